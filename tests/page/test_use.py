"""What a person does on the page, end to end: sign in, decide, write, and what comes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest

from rebate_app.auth.scopes import SCOPES
from tests.page import dataset, money_world
from tests.page.browser import Tab
from tests.page.conftest import NewTab
from tests.page.site import Site

PROFILE = f"v1/users/{dataset.BUYER}/profile"
REASON = "<b>asked</b> on the phone"


def answer(here: Tab, path: str) -> Any:
    """Return what the API says to the holder of this tab's session."""
    reply = here.context.request.get(here.url + path)
    assert reply.ok, reply.text()
    return reply.json()


def newest_trail(here: Tab) -> dict[str, Any]:
    """Return the newest record of the audit trail."""
    found: dict[str, Any] = answer(here, "v1/audit-trail?limit=1")["items"][0]
    return found


class TestSigningIn:
    """The form, the cookie, and its end."""

    def test_a_wrong_key_and_a_right_one(self, tab: NewTab, site: Site) -> None:
        """The wrong one is explained; the right one leads to the overview, and no script sees the cookie."""
        here = tab(None).open()
        here.refused = {401}
        here.fill("API key", "rbk_admin_" + "x" * 43)
        here.named("button", "Sign in").click()
        here.page.get_by_text("The key is wrong").wait_for()
        here.fill("API key", site.token("admin"))
        here.page.keyboard.press("Enter")
        here.named("heading", "Overview").wait_for()
        (cookie,) = here.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
        assert here.page.evaluate("document.cookie") == ""
        assert here.page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})").count("rbk_") == 0
        here.page.reload()
        here.named("heading", "Overview").wait_for()

    def test_signing_out(self, tab: NewTab) -> None:
        """The cookie is gone, and so are the data."""
        here = tab().open("users")
        here.named("button", "Sign out").click()
        here.named("button", "Sign in").wait_for()
        assert here.context.cookies() == []
        assert dataset.BUYER not in here.page.content()

    def test_a_session_that_ends_meanwhile(self, tab: NewTab) -> None:
        """The next refresh says so and asks for the key again."""
        here = tab().open("users")
        here.refused = {401}
        here.context.clear_cookies()
        here.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        here.page.get_by_text("Your session has ended").wait_for()
        assert dataset.BUYER not in here.page.content()

    def test_the_language_can_be_changed_and_stays(self, tab: NewTab) -> None:
        """Kept in the browser, nowhere else."""
        here = tab(language="en").open("users")
        here.named("button", "中文").click()
        here.named("heading", "用户").wait_for()
        here.page.reload()
        here.named("heading", "用户").wait_for()
        assert here.page.get_attribute("html", "lang") == "zh-CN"


class TestActions:
    """Each one: from the click to the account and the audit trail."""

    def test_bind(self, tab: NewTab) -> None:
        """The line leaves suspense and is in the account; the reason stays text in the trail."""
        here = tab().open("orders")
        row = here.page.locator("tr", has_text=dataset.BOUND_ID)
        row.get_by_role("button", name="Bind").click()
        here.fill("User id", "user-001")
        here.fill("Reason", REASON)
        here.confirm("Bind")
        here.shows("in the account")
        owner = answer(here, f"v1/order-lines/taobao/{dataset.BOUND_LINE}")["owner"]
        assert owner == {"user_id": "user-001", "by": "binding", "attribution_id": dataset.BOUND_ID}
        record = newest_trail(here)
        assert (record["actor"], record["action"], record["reason"]) == (
            "key:admin",
            "attribution.put",
            REASON,
        )
        row.wait_for(state="detached")
        here.open("trail")
        assert REASON in here.text()

    def test_claim_and_its_refusal(self, tab: NewTab) -> None:
        """A refused user id is explained in the dialog, which stays open with what was typed."""
        here = tab().open(f"orders/taobao/{dataset.SETTLED_LINE}")
        here.refused = {400}
        here.named("button", "Claim").click()
        here.fill("User id", "no such user id")
        here.confirm("Claim")
        here.page.locator("dialog [role=alert]").wait_for()
        assert here.page.get_by_label("User id").input_value() == "no such user id"
        here.fill("User id", "user-002")
        here.confirm("Claim")
        here.shows("Claimed")
        entries = answer(here, f"v1/order-lines/taobao/{dataset.SETTLED_LINE}")["timeline"]
        assert any(entry["says"] == "claimed by user-002" for entry in entries)
        here.page.get_by_text("Claimed by user-002").wait_for()

    def test_discard_and_replay(self, tab: NewTab) -> None:
        """One is looked at, discarded with a reason, and closed; the other is sent again."""
        here = tab().open("failures")
        here.page.get_by_text("Its kind is not known").click()
        here.page.get_by_text("it would be refused again").wait_for()
        assert '"kind": "order.gift"' in here.text("pre")
        here.named("button", "Discard").click()
        here.confirm("Discard")  # without a reason the browser asks for one
        assert here.page.locator("dialog").is_visible()
        here.fill("Reason", REASON)
        here.confirm("Discard")
        here.shows("discarded")
        here.page.get_by_text("discarded", exact=True).first.wait_for()
        assert REASON in here.text()
        record = newest_trail(here)
        assert (record["action"], record["reason"]) == ("dead-letter.discard", REASON)
        here.open("failures?reason=undecodable")
        here.page.get_by_text("It cannot be read").click()
        here.named("button", "Replay").click()
        here.confirm("Replay")
        here.shows("replayed")
        assert newest_trail(here)["action"] == "dead-letter.replay"

    def test_release(self, tab: NewTab) -> None:
        """What waits for the parked key is folded again; the bug is still there, so it fails again."""
        here = tab().open("failures")
        here.named("button", "Release").click()
        here.fill("Reason", "mended")
        here.confirm("Release")
        here.shows("It is being released")
        record = newest_trail(here)
        assert (record["action"], record["subject"]) == ("parked-key.release", dataset.PARKED_LINE)

    def test_a_release_that_cannot_be(self, tab: NewTab, site: Site) -> None:
        """Of a key that was never parked, without a reason, of another topic; nothing is sent."""
        here = tab()
        headers = {"Origin": site.url.rstrip("/")}
        for key, body, status, code in (
            ("nobody", {"reason": "x"}, 404, "unknown-parked-key"),
            (dataset.PARKED_LINE, {}, 400, "invalid-wish"),
            (dataset.PARKED_LINE, {"reason": " "}, 400, "invalid-wish"),
            (dataset.PARKED_LINE, {"reason": "x", "why": "y"}, 400, "invalid-wish"),
            (dataset.PARKED_LINE, {"reason": "x", "topic": "nowhere"}, 400, "invalid-filter"),
        ):
            target = f"{site.url}v1/parked-keys/{quote(key)}/release"
            reply = here.context.request.post(target, headers=headers, data=body)
            assert (reply.status, reply.json()["code"]) == (status, code)

    def test_search_and_filters(self, tab: NewTab) -> None:
        """The number of the buyer leads to the line, the line to its user, filters to fewer lines."""
        here = tab().open("orders")
        here.page.get_by_label(re.compile("Order number")).fill(dataset.PARENT)
        here.page.keyboard.press("Enter")
        here.named("link", dataset.SETTLED_LINE).click()
        here.page.locator("dd").get_by_role("link", name=dataset.BUYER).click()
        here.named("heading", f"User {dataset.BUYER} Copy {dataset.BUYER}").wait_for()
        rows = here.page.locator("tbody tr", has=here.page.locator(".badge"))
        everything = rows.count()
        here.page.get_by_label("State").select_option("closed")
        here.named("button", "Search").click()
        here.until(f"document.querySelectorAll('tbody tr .badge').length < {everything}")
        assert set(rows.locator(".badge").all_inner_texts()) == {"closed"}
        here.open("users")
        here.page.get_by_label("User id").fill("never-seen")
        here.page.keyboard.press("Enter")
        here.page.get_by_text("was never seen").wait_for()


class TestForgery:
    """Another page in the same browser."""

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_a_page_of_another_origin_changes_nothing(self, tab: NewTab, site: Site, host: str) -> None:
        """Of another port, to which SameSite does not apply, and of another site."""
        here = tab()
        before = answer(here, PROFILE)
        with other_origin(host) as url:
            other = here.context.new_page()
            other.goto(url)
            statuses = other.evaluate(ATTACK, site.url + PROFILE)
            session = other.evaluate(ATTACK, f"{site.url}v1/session")
            other.close()
        assert statuses == session == ["blocked", "unread", "blocked"]
        assert answer(here, PROFILE)["level"] == before["level"]
        assert answer(here, "v1/me")["actor"] == "key:admin"

    def test_the_cookie_alone_is_not_enough(self, tab: NewTab, site: Site) -> None:
        """With a foreign Origin the worker itself refuses, whatever a browser would have done."""
        here = tab()
        headers = {"Origin": "https://evil.example", "Content-Type": "application/json"}
        target = site.url + PROFILE
        reply = here.context.request.put(target, headers=headers, data='{"level":"vip","inviter_id":null}')
        assert (reply.status, reply.json()["code"]) == (403, "forbidden")


#: What a page of another origin can try with the session of somebody's browser.
ATTACK = """async (target) => {
  const body = JSON.stringify({ level: "vip", inviter_id: null });
  const tries = [
    { method: "PUT", headers: { "Content-Type": "application/json" }, body },
    { method: "POST", headers: { "Content-Type": "text/plain" }, mode: "no-cors", body },
    { method: "GET" },
  ];
  const found = [];
  for (const each of tries) {
    try {
      const answer = await fetch(target, { ...each, credentials: "include" });
      found.push(answer.type === "opaque" ? "unread" : answer.status);
    } catch { found.push("blocked") }
  }
  return found;
}"""


@contextmanager
def other_origin(host: str) -> Iterator[str]:
    """Serve an empty page from another port of this machine."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{host}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


#: Name in the navigation → the scopes that show it, and addresses that belong to it.
NAVIGATION = {
    "Overview": (("balances:read", "operations:read"), ("overview",)),
    "Users": (("balances:read",), ("users", f"users/{dataset.BUYER}")),
    "Orders": (("balances:read",), ("orders", f"orders/taobao/{dataset.SETTLED_LINE}")),
    "Withdrawals": (
        ("withdrawals:review",),
        ("withdrawals", f"withdrawals/{money_world.SUSPECT}/big-1", "withdrawals?state=paid"),
    ),
    "Adjustments": (
        ("adjustments:approve", "adjustments:write"),
        ("adjustments", "adjustments?state=approved"),
    ),
    "Failures": (("operations:read",), ("failures", "failures/order_topic%2F0%2F0")),
    "Sources": (("operations:read",), ("sources",)),
    "Rules": (("balances:read",), ("rules", "rules/2026-07-r1")),
    "Audit trail": (("operations:read",), ("trail",)),
}


class TestScopes:
    """A key sees what it may see, and nothing is even asked of what it may not."""

    @pytest.mark.parametrize("scope", sorted(set(SCOPES) - {"admin"}))
    def test_views(self, tab: NewTab, scope: str) -> None:
        """The navigation has its views only; the address of another one says why, and asks for nothing."""
        here = tab(scope).open()
        shown = [name for name, (scopes, _) in NAVIGATION.items() if scope in scopes]
        links = here.page.get_by_role("navigation", name="Views").get_by_role("link").all_inner_texts()
        assert links == shown
        here.requests.clear()
        for scopes, addresses in NAVIGATION.values():
            for address in addresses if scope not in scopes else ():
                here.open(address)
                here.page.get_by_text("This key may not see this").wait_for()
                assert here.page.locator("main :is(table, .money, form, dl)").count() == 0, address
                text = here.text(".view")
                assert not [each for each in (dataset.BUYER, "¥", "jd-shop") if each in text], address
        assert not [url for url in here.requests if "/v1/" in url]

    def test_a_reviewer_without_balances(self, tab: NewTab) -> None:
        """Sees the queue, and neither an account nor a link to one withdrawal, which shows it."""
        here = tab("withdrawals:review").open("withdrawals")
        here.page.get_by_text("this key also needs balances:read").wait_for()
        assert here.page.get_by_role("link", name="big-1").count() == 0
        here.requests.clear()
        here.open(f"withdrawals/{money_world.SUSPECT}/big-1")
        here.page.get_by_text("balances:read").first.wait_for()
        assert not [url for url in here.requests if "/v1/users" in url]

    def test_readers_see_no_actions(self, tab: NewTab) -> None:
        """A key that may read and not write has no buttons for it."""
        here = tab("operations:read").open("failures")
        assert here.page.get_by_role("button", name=re.compile("Replay|Discard|Release")).count() == 0
        for view in ("sources", "failures"):
            here.open(view)
            assert here.page.locator("main .buttons button").count() == 0
        other = tab("balances:read").open(f"orders/taobao/{dataset.SETTLED_LINE}")
        assert other.page.get_by_role("button", name=re.compile("Bind|Claim")).count() == 0
        assert "Dead letters about this line" not in other.text()


class TestKeyboard:
    """Without a mouse."""

    def test_the_way_into_the_content(self, tab: NewTab) -> None:
        """The first Tab is the skip link; the focus can be seen."""
        here = tab().open("users")
        here.page.keyboard.press("Tab")
        assert here.page.evaluate("document.activeElement.textContent") == "Skip to content"
        here.page.keyboard.press("Enter")
        assert here.page.evaluate("document.activeElement.id") == "content"
        here.page.keyboard.press("Tab")
        style = here.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style == "solid"

    def test_a_view_is_announced(self, tab: NewTab) -> None:
        """After a change of the view its heading has the focus, and the window its name."""
        here = tab().open("users")
        here.named("link", "Rules").click()
        here.until("document.activeElement.id === 'title'")
        assert here.page.title() == "Rules · Rebate"

    def test_the_values_of_a_chart(self, tab: NewTab) -> None:
        """Arrow keys go from value to value, which are spoken and shown; a table has all of them."""
        here = tab()
        here.page.clock.install()
        here.open("overview")
        slider = here.page.get_by_role("slider", name="Orders processed")
        slider.focus()
        here.page.keyboard.press("End")
        newest = slider.get_attribute("aria-valuetext")
        here.page.keyboard.press("ArrowLeft")
        before = slider.get_attribute("aria-valuetext")
        assert before != newest
        assert re.fullmatch(r"\d\d:\d\d: [\d.,]+", before or "")
        assert here.page.locator(".plot svg:focus-visible .pointer text").text_content() == before
        TestRefresh._refresh(here)  # the chart is drawn anew, and still where it was
        assert slider.get_attribute("aria-valuetext") == before
        here.page.keyboard.press("Home")
        assert slider.get_attribute("aria-valuenow") == "0"
        figure = here.page.locator("figure", has_text="Orders processed")
        figure.locator("summary").press("Enter")
        assert figure.locator("tbody tr").count() == int(slider.get_attribute("aria-valuemax") or 0) + 1

    def test_a_dialog(self, tab: NewTab) -> None:
        """It takes the focus, Escape closes it, and the button that opened it has the focus again."""
        here = tab().open("failures")
        button = here.named("button", "Release")
        button.focus()
        here.page.keyboard.press("Enter")
        assert here.page.evaluate("document.activeElement.closest('dialog') !== null")
        here.page.keyboard.press("Escape")
        here.until("!document.querySelector('dialog')")
        assert here.page.evaluate("document.activeElement.textContent") == "Release"

    def test_an_id_can_be_copied(self, tab: NewTab) -> None:
        """Into the clipboard, and it says so."""
        here = tab().open(f"users/{dataset.BUYER}")
        here.context.grant_permissions(["clipboard-read", "clipboard-write"])
        here.named("button", f"Copy {dataset.BUYER}").press("Enter")
        here.shows(f"Copied {dataset.BUYER}")
        assert here.page.evaluate("navigator.clipboard.readText()") == dataset.BUYER

    def test_less_motion(self, tab: NewTab) -> None:
        """Who asks for less motion gets none."""
        for reduced, moves in ((True, False), (False, True)):
            here = tab(reduced=reduced).open("users")
            seconds = here.page.evaluate(
                "getComputedStyle(document.querySelector('.side nav a')).transitionDuration"
            )
            assert (seconds not in ("0s", "")) == moves


class TestRefresh:
    """Every five seconds, without jumping, and only while somebody looks."""

    def test_it_keeps_what_a_person_has_done(self, tab: NewTab) -> None:
        """Typed text, the open table, the focus, the scroll position and the elements themselves."""
        here = tab(width=360)
        here.page.clock.install()
        here.open("overview")
        page = here.page
        page.locator("figure summary").first.click()
        page.evaluate("scrollTo(0, 900)")
        page.get_by_role("slider").first.focus()
        page.evaluate("window.row = document.querySelector('tbody tr')")
        top = page.evaluate("scrollY")
        self._refresh(here)
        assert page.evaluate("document.querySelector('figure details').open")
        assert page.evaluate("document.activeElement.getAttribute('role')") == "slider"
        assert page.evaluate("row.isConnected")
        assert page.evaluate("scrollY") == top
        here.open("orders")
        field = page.get_by_label(re.compile("Order number"))
        field.fill("166")
        self._refresh(here)
        assert field.input_value() == "166"
        assert page.evaluate("document.activeElement.name") == "order_id"

    @staticmethod
    def _refresh(here: Tab) -> None:
        """Let five seconds pass, and the refresh come and be drawn."""
        stamp = here.text(".stamp")
        with here.page.expect_response(re.compile(r"/v1/(totals|attributions)")):
            here.page.clock.run_for(5_001)
        here.until(f"document.querySelector('.stamp').textContent !== '{stamp}'")

    def test_memory_stays_level(self, tab: NewTab) -> None:
        """What a refresh makes is gone after it; `make page-load` refreshes for as long as half an hour."""
        for view, path in (
            ("overview", "/v1/totals"),
            ("withdrawals", "/v1/channels"),
            ("users", "/v1/users"),
        ):
            here = tab().open(view)
            for _ in range(5):
                here.refresh(path)
            before = here.memory()
            for _ in range(25):
                here.refresh(path)
            after = here.memory()
            assert after.nodes <= 2.5 * before.nodes, view  # one more tree may still wait for its collection
            assert after.listeners <= before.listeners + 10, view
            assert after.heap <= before.heap + 500_000, view

    def test_it_stops_while_nobody_looks(self, tab: NewTab) -> None:
        """Hidden for a minute it asks nothing; shown again it asks at once."""
        here = tab()
        here.page.clock.install()
        here.open("users")
        here.page.evaluate("Object.defineProperty(document, 'hidden', { get: () => window.away ?? false })")
        here.page.evaluate("window.away = true; document.dispatchEvent(new Event('visibilitychange'))")
        here.requests.clear()
        here.page.clock.run_for(60_000)
        assert here.requests == []
        with here.page.expect_response(re.compile("/v1/rules")):  # a link opened in a tab behind others
            here.page.evaluate("location.hash = '#/rules'")
        here.page.wait_for_selector("main table")
        here.requests.clear()
        here.page.clock.run_for(60_000)
        assert here.requests == []
        with here.page.expect_response(re.compile("/v1/rules")):
            here.page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")


class TestStates:
    """Loading, empty, failed and old data."""

    def test_nobody_answers(self, tab: NewTab) -> None:
        """Data stay and say how old they are; without any there is a button to try again."""
        here = tab().open("users")
        here.context.set_offline(True)
        here.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        here.page.get_by_text("Not refreshed since").wait_for()
        assert dataset.BUYER in here.text()
        here.page.evaluate("location.hash = '#/users/never-seen'")
        here.page.get_by_text("The worker cannot be reached").wait_for()
        here.context.set_offline(False)
        here.named("button", "Try again").click()
        here.page.get_by_text("was never seen").wait_for()
        here.errors = [each for each in here.errors if "ERR_INTERNET_DISCONNECTED" not in each]

    def test_it_says_that_it_is_loading(self, tab: NewTab) -> None:
        """Until the answer comes."""
        here = tab().open("rules")
        held: list[Any] = []
        here.page.route("**/v1/users?*", lambda route: held.append(route))  # noqa: PLW0108 - it is wrapped
        with here.page.expect_request("**/v1/users?*"):
            here.page.evaluate("location.hash = '#/users'")
        here.page.get_by_text("Loading…").wait_for()
        held[0].continue_()
        here.page.get_by_role("link", name=dataset.BUYER).wait_for()
        here.page.unroute_all()

    def test_what_is_not_there(self, tab: NewTab) -> None:
        """A line, a rule version and a view that do not exist are explained."""
        here = tab()
        here.refused = {404}
        for view, words in (
            ("orders/taobao/404", "There is no such line"),
            ("rules/1999", "There is no such rule version"),
            ("failures/nowhere%2F0%2F0", "There is no such dead letter"),
            ("nonsense", "There is no such page"),
            ("orders?order_id=404", "No line has this number"),
        ):
            here.open(view)
            here.page.get_by_text(words).first.wait_for()

    def test_views_of_what_is_still_to_come(self, tab: NewTab) -> None:
        """They say so as long as the API does not have their resource."""
        here = tab()
        paths = set(answer(here, "page/paths.json"))
        for view, path in (
            ("withdrawals", "/v1/withdrawals"),
            ("adjustments", "/v1/adjustments"),
            ("sources", "/v1/sources"),
        ):
            here.open(view)
            assert ("This version has no" in here.text()) == (path not in paths)
