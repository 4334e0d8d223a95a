"""`make page-load`: how fast the page is when there is much to show.

10,000 users, 100,000 lines, 1,000 dead letters in a real worker. Prints, for each view, the median of the
time from the change of the address to the shown data, and of the first view from an empty cache; whether
lists scroll; and what a tab holds after as many refreshes as half an hour has. Ends with 1 if memory grows.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson
from playwright.sync_api import Browser

from tests.kafka_fixture import guarded, start_on_a_free_port
from tests.page import dataset
from tests.page.browser import Memory, Tab, chromium
from tests.page.site import Site, running

USERS, LINES, LETTERS = 10_000, 100_000, 1_000
PIECE = 5_000
TRIES = 5
FIRST_VIEW_MS_MAX = 1_000
IDLE_SECONDS_MAX = 600.0
#: A refresh every 5 s for 30 minutes, one after the other.
REFRESHES, PARTS = 360, 6
HEAP_GROWTH_MAX = 1.1
#: One more tree of the view may still wait for its collection.
NODES_GROWTH_MAX = 2.5
REFRESHED = {"overview": "/v1/totals", "users": "/v1/balances", "failures": "/v1/dead-letters"}
FRAMES = 60
VIEWS = {
    "users": "users",
    "one user with 1,000 lines": "users/busy",
    "its ledger": "users/busy?tab=ledger",
    "one line": "orders/taobao/5000000000",
    "dead letters": "failures",
    "audit trail": "trail",
}


def orders() -> Iterator[dict[str, object]]:
    """Yield the lines: every hundredth is one user's."""
    for number in range(LINES):
        owner = "busy" if number % 100 == 0 else f"load-{number % USERS:05d}"
        status = "settled" if number % 2 else "paid"
        line_id = f"5{number:09d}"
        members = {"attribution": {"user_id": owner}, **dataset.item(dataset.TITLES[number % 8], number)}
        yield dataset.snapshot(line_id, status, 1 + number % 60, est=500 + number % 3_000, **members)


def fill(site: Site) -> None:
    """Send all of it."""
    system, piece = site.system, []
    for order in orders():
        piece.append(order)
        if len(piece) == PIECE:
            system.send_orders(piece)
            piece = []
    bad = dataset.snapshot("1", "paid", 1) | {"status": "sleeping"}
    system.produce(
        system.topics.orders,
        (
            (f"taobao:bad-{n}".encode(), orjson.dumps(bad | {"order_line_id": f"bad-{n}"}))
            for n in range(LETTERS)
        ),
    )
    system.wait_idle(IDLE_SECONDS_MAX)


def first_view_ms(browser: Browser, site: Site) -> float:
    """Return the time from an empty cache to the figures of the overview."""
    here = Tab(browser, site.url).sign_in(site.token("admin"))
    here.page.goto(here.url)
    here.page.wait_for_selector(".tile .money")
    elapsed_ms = float(here.page.evaluate("performance.now()"))
    here.close()
    return elapsed_ms


def view_ms(here: Tab, view: str) -> float:
    """Return the time from the change of the address to the view's data."""
    here.open("nonsense")
    here.page.evaluate("view => { window.began = performance.now(); location.hash = `#/${view}` }", view)
    here.page.wait_for_selector("main .view .card")
    return float(here.page.evaluate("performance.now() - began"))


def frame_ms(here: Tab) -> float:
    """Scroll through a list for some frames; return the longest time between two."""
    script = """frames => new Promise((resolve) => {
      let before = performance.now(), longest = 0, left = frames;
      const step = (now) => {
        longest = Math.max(longest, now - before);
        before = now;
        scrollBy(0, 400);
        left -= 1;
        if (left) requestAnimationFrame(step); else resolve(longest);
      };
      requestAnimationFrame((now) => { before = now; requestAnimationFrame(step); });
    })"""
    return float(here.page.evaluate(script, FRAMES))


def held(browser: Browser, site: Site, view: str) -> list[Memory]:
    """Return what a tab holds at the beginning and after each part of the refreshes."""
    here = Tab(browser, site.url).sign_in(site.token("admin")).open(view)
    for _ in range(5):
        here.refresh(REFRESHED[view])
    found = [here.memory()]
    for _ in range(PARTS):
        for _ in range(REFRESHES // PARTS):
            here.refresh(REFRESHED[view])
        found.append(here.memory())
    here.close()
    return found


def report_memory(browser: Browser, site: Site) -> bool:
    """Print what tabs hold; return whether all of them stay level."""
    print(
        f"\n| view | MB at first, then every {REFRESHES // PARTS} refreshes | nodes | listeners |"
        "\n|---|---|---|---|"
    )
    is_level = True
    for view in REFRESHED:
        found = held(browser, site, view)
        heaps = ", ".join(f"{each.heap / 1e6:.1f}" for each in found)
        first, last = found[1], found[-1]
        print(f"| {view} | {heaps} | {first.nodes} to {last.nodes} | {first.listeners} to {last.listeners} |")
        is_level &= last.heap <= first.heap * HEAP_GROWTH_MAX and last.nodes <= first.nodes * NODES_GROWTH_MAX
    return is_level


def main() -> int:
    """Fill a worker, measure, and print tables; return 0 if memory stays level."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        limits = {"REBATE_DLQ_LIMIT_OVERRIDE_UNTIL": dataset.ago(-1)}
        with guarded(folder / "kafka"):
            broker = start_on_a_free_port(folder / "kafka")
            try:
                with running(broker.address, "load-", folder, money=False, **limits) as site:
                    fill(site)
                    with chromium() as browser:
                        report(browser, site)
                        return 0 if report_memory(browser, site) else 1
            finally:
                broker.stop()


def report(browser: Browser, site: Site) -> None:
    """Print the table."""
    print(f"| view | median of {TRIES}, ms |\n|---|---|")
    firsts = [first_view_ms(browser, site) for _ in range(TRIES)]
    print(f"| first view, empty cache | {statistics.median(firsts):.0f} |")
    if statistics.median(firsts) > FIRST_VIEW_MS_MAX:
        print(f"The first view takes longer than {FIRST_VIEW_MS_MAX} ms: is the machine quiet?")
    here = Tab(browser, site.url).sign_in(site.token("admin"))
    here.open("rules")
    for name, view in VIEWS.items():
        times = [view_ms(here, view) for _ in range(TRIES)]
        print(f"| {name} | {statistics.median(times):.0f} |")
    print("\n| list | longest frame while it scrolls, ms |\n|---|---|")
    for view in ("users", "users/busy", "failures"):
        here.open(view)
        print(f"| {view} | {frame_ms(here):.0f} |")
    here.close()


if __name__ == "__main__":
    sys.exit(main())
