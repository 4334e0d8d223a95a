"""What staff do about money and sources on the page: from the click to the account and the audit trail."""

from __future__ import annotations

from typing import Any

from tests.page import money_world
from tests.page.browser import Tab
from tests.page.conftest import NewTab
from tests.page.site import Site
from tests.page.test_use import answer, newest_trail
from tests.rig.waiting import wait_for

STUCK, APPROVED, DOUBLE, REJECTED, CANCELLED, STALE, ADJUSTED, BLOCKED = money_world.ACTED
REASON = "<b>seen</b> in the bank's list"


def requested(site: Site, user: str, amount: int, *, by: str = "withdrawals:write") -> str:
    """Ask for a withdrawal of a user by the key of a scope; return the address of its view."""
    desk = site.desk
    body = {"channel": "bank", "account": "6217000010001234567", "name": "王小二"}
    payee = desk.write(by, f"/v1/users/{user}/payees", body)["payee_id"]
    document = {"withdrawal_id": "w1", "amount": amount, "channel": "bank", "payee_id": payee}
    assert desk.write(by, f"/v1/users/{user}/withdrawals", document, 200, 201)["state"] == "review"
    return f"withdrawals/{user}/w1"


def decide(here: Tab, verb: str, *, shows: str = "", **fields: str) -> None:
    """Press a button, fill its dialog, confirm, and wait for what is announced."""
    here.named("button", verb).click()
    for label, value in fields.items():
        here.fill(label, value)
    here.fill("Reason", REASON)
    here.confirm(verb)
    if shows:
        here.shows(shows)


def refused(here: Tab, words: str) -> None:
    """Wait until the dialog, which stays open, says why it is refused; close it."""
    here.page.locator("dialog [role=alert]", has_text=words).wait_for()
    here.page.locator("dialog").get_by_role("button", name="Cancel", exact=True).click()


def buttons(here: Tab) -> list[str]:
    """Return the names of the buttons of the first card."""
    return here.page.locator("section.card").first.locator("div.buttons button").all_inner_texts()


def money(here: Tab, user: str) -> tuple[int, int]:
    """Return (available, frozen)."""
    balance: dict[str, Any] = answer(here, f"v1/users/{user}/balance")
    return balance["available"], balance["frozen"]


class TestWithdrawals:
    """Reviews, and what became of stuck ones."""

    def test_approve(self, tab: NewTab, site: Site) -> None:
        """What decides is shown; the dialog names amount and user; a reason is needed and is in the trail."""
        requested(site, APPROVED, 30_000)
        here = tab("finance").open("withdrawals")
        here.page.locator("tr", has_text=APPROVED).get_by_role("link", name="w1").click()
        here.page.get_by_text("first withdrawal").wait_for()
        here.page.get_by_text("adjustments by hand: 1, +¥4,000.00 in all").wait_for()
        assert buttons(here) == ["Approve", "Reject"]  # this key may not cancel
        here.named("button", "Approve").click()
        assert f"¥300.00 will be paid to {APPROVED} (withdrawal w1)" in here.text("dialog")
        here.confirm("Approve")  # without a reason the browser asks for one
        assert here.page.locator("dialog").is_visible()
        here.fill("Reason", REASON)
        here.confirm("Approve")
        here.shows("approved")
        here.page.get_by_text("Waits to be paid.").wait_for()
        assert answer(here, f"v1/users/{APPROVED}/withdrawals/w1")["approvals"][0]["actor"] == "key:finance"
        record = newest_trail(tab())
        assert (record["action"], record["actor"], record["reason"], record["subject"]) == (
            "withdrawal.approve",
            "key:finance",
            REASON,
            f"{APPROVED}/w1",
        )

    def test_two_persons(self, tab: NewTab, site: Site) -> None:
        """Who asked may not approve, and who approved is not asked again; the second approval counts."""
        view = requested(site, DOUBLE, 230_000, by="admin")
        here = tab().open(view)
        here.refused = {409}
        decide(here, "Approve")
        refused(here, "Another person has to do this")
        first = tab("finance").open(view)
        first.named("button", "Approve").click()
        assert "once another person approves it too" in first.text("dialog")
        first.fill("Reason", REASON)
        first.confirm("Approve")
        first.shows("in review")
        first.page.get_by_text("You have approved it").wait_for()
        assert buttons(first) == ["Reject"]
        decide(tab("controller").open(view), "Approve", shows="approved")
        actors = [each["actor"] for each in answer(here, f"v1/users/{DOUBLE}/withdrawals/w1")["approvals"]]
        assert actors == ["key:finance", "key:controller"]

    def test_reject_and_cancel(self, tab: NewTab, site: Site) -> None:
        """The amount is back in the account."""
        for user, verb, scope, state in (
            (REJECTED, "Reject", "finance", "rejected"),
            (CANCELLED, "Cancel the withdrawal", "admin", "cancelled"),
        ):
            view = requested(site, user, 30_000)
            here = tab(scope).open(view)
            assert money(here, user) == (370_000, 30_000)
            decide(here, verb, shows=state)
            here.page.get_by_text("the amount is back in the account").wait_for()
            assert money(here, user) == (400_000, 0)
            assert buttons(here) == []

    def test_a_state_that_changed_meanwhile(self, tab: NewTab, site: Site) -> None:
        """Somebody else was faster: the refusal is shown in the dialog, and the view is the newest."""
        here = tab("finance").open(requested(site, STALE, 30_000))
        here.refused = {409}
        here.named("button", "Approve").click()
        here.fill("Reason", REASON)
        site.desk.act(STALE, "w1", "reject", "somebody else was faster")
        here.confirm("Approve")
        refused(here, "Its state has changed meanwhile")
        here.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        here.page.locator(".badge", has_text="rejected").first.wait_for()
        assert answer(here, f"v1/users/{STALE}/withdrawals/w1")["approvals"] == []

    def test_resolve_and_confirm(self, tab: NewTab) -> None:
        """One states how a stuck one ended, another one confirms just that."""
        view = f"withdrawals/{STUCK}/w1"
        here = tab("finance").open(view)
        here.refused = {409}
        assert buttons(here) == ["Resolve"]
        decide(here, "Resolve", shows="stuck", **{"Channel's reference": "ref-77"})
        here.named("button", "Confirm").click()
        assert "reference ref-77" in here.text("dialog")
        here.fill("Reason", REASON)
        here.confirm("Confirm")
        refused(here, "Another person has to do this")
        decide(tab("controller").open(view), "Confirm", shows="paid")
        found = answer(here, f"v1/users/{STUCK}/withdrawals/w1")
        assert (found["state"], found["resolution"]["actor"]) == ("paid", "key:finance")
        assert money(here, STUCK)[1] == 0

    def test_channels(self, tab: NewTab) -> None:
        """Open, pause and close, each with a reason that is shown beside the state."""
        here = tab("finance").open("withdrawals")
        row = here.page.locator("tr", has_text="cash")
        for verb, state in (("Open", "open"), ("Pause", "paused"), ("Close", "closed")):
            row.get_by_role("button", name=verb).click()
            here.fill("Reason", f"{REASON} {verb}")
            here.page.locator("dialog button.submit").click()
            here.shows("Done")
            row.get_by_text(f"{REASON} {verb}").wait_for()
            found = {each["name"]: each for each in answer(here, "v1/channels")["items"]}["cash"]
            assert (found["state"], found["by"]) == (state, "key:finance")
        assert newest_trail(tab())["action"] == "channel.close"


class TestAdjustments:
    """Proposed by one, approved by another."""

    def test_propose_approve_reject(self, tab: NewTab) -> None:
        """An amount that is none is refused in the dialog; the proposer's own approval is refused."""
        here = tab().open(f"users/{ADJUSTED}")
        here.refused = {409}
        for amount, reason in (("12.50", "first ticket"), ("-3", "second ticket")):
            here.named("button", "Propose an adjustment").click()
            here.fill("Amount in yuan", "12.505")
            here.fill("Reason", reason)
            here.page.locator("dialog button.submit").click()
            here.page.locator("dialog [role=alert]").wait_for()
            here.fill("Amount in yuan", amount)
            here.page.locator("dialog button.submit").click()
            here.shows("¥")
        assert money(here, ADJUSTED)[0] == 400_000
        here.open("adjustments")
        row = here.page.locator("tr", has_text="first ticket")
        row.get_by_role("button", name="Approve").click()
        here.fill("Reason", REASON)
        here.confirm("Approve")
        refused(here, "Another person has to do this")
        other = tab("finance").open("adjustments")
        for ticket, verb, state in (
            ("first ticket", "Approve", "approved"),
            ("second ticket", "Reject", "rejected"),
        ):
            other.page.locator("tr", has_text=ticket).get_by_role("button", name=verb).click()
            other.fill("Reason", REASON)
            other.confirm(verb)
            other.shows(state)
            other.page.locator("tr", has_text=ticket).wait_for(state="detached")
        assert money(here, ADJUSTED)[0] == 401_250
        assert newest_trail(here)["action"] == "adjustment.reject"

    def test_block_and_unblock(self, tab: NewTab) -> None:
        """The account says so, and both are in the trail."""
        here = tab("finance").open(f"users/{BLOCKED}")
        for verb, after in (("Block", "Unblock"), ("Unblock", "Block")):
            decide(here, f"{verb} the user", shows="Done")
            here.named("button", f"{after} the user").wait_for()
            assert answer(here, f"v1/users/{BLOCKED}/balance").get("blocked", False) == (verb == "Block")
            record = newest_trail(tab())
            assert (record["action"], record["reason"]) == (f"user.{verb.lower()}", REASON)


class TestSources:
    """Pause and resume."""

    def test_pause_and_resume(self, tab: NewTab, site: Site) -> None:
        """A paused account makes no calls; the reason is in the trail; an unknown account is refused."""
        name = money_world.RUNNING_ACCOUNT
        here = tab("operator").open("sources")
        for verb, state in (("Pause", "paused"), ("Resume", "running")):
            here.page.locator("section.card", has_text=name).get_by_role("button", name=verb).click()
            here.fill("Reason", REASON)
            here.confirm(verb)
            here.shows("Done")
            wait_for(lambda: source(here, name)["state"] == state, 10, state)  # noqa: B023
            record = newest_trail(here)
            assert (record["action"], record["subject"], record["reason"]) == (
                f"sources.{verb.lower()}",
                name,
                REASON,
            )
        assert site.desk.send("admin", "/v1/sources/nobody/pause", {})[1]["code"] == "unknown-source"

    def test_a_stopped_one(self, tab: NewTab) -> None:
        """The network's words are text; its job does not pretend to run; it can be resumed."""
        here = tab("operator").open("sources")
        card = here.page.locator("section.card", has_text=money_world.STOPPED_ACCOUNT)
        assert money_world.SHORT_MARKUP in card.inner_text()
        assert card.locator("tbody").inner_text().count("running") == 0
        card.get_by_role("button", name="Resume").click()
        here.fill("Reason", REASON)
        here.confirm("Resume")
        here.shows("Done")
        here.open("overview")
        here.page.get_by_text(f"Source {money_world.STOPPED_ACCOUNT} is stopped").wait_for()


def source(here: Tab, name: str) -> dict[str, Any]:
    """Return what the API says of an account."""
    items: list[dict[str, Any]] = answer(here, "v1/sources")["items"]
    return next(item for item in items if item["account"] == name)
