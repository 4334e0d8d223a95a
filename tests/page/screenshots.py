"""`make screenshots`: pictures of each view for docs/page, from a real worker with the world of the tests.

PNGs with 64 colours, so that all of them together stay small.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from tests.kafka_fixture import guarded, start_on_a_free_port
from tests.page import dataset, money_world
from tests.page.browser import Tab, chromium
from tests.page.site import Site, running

FOLDER = Path(__file__).parents[2] / "docs" / "page"
#: File name → (view, language, width, dark).
PICTURES = {
    "overview": ("overview", "en", 1440, False),
    "overview-zh": ("overview", "zh", 1440, False),
    "overview-dark": ("overview", "en", 1440, True),
    "overview-narrow": ("overview", "zh", 360, True),
    "users": ("users", "en", 1440, False),
    "user": (f"users/{dataset.BUYER}", "en", 1440, False),
    "ledger": (f"users/{dataset.BUYER}?tab=ledger", "zh", 1440, False),
    "orders": (f"orders?order_id={dataset.PARENT}", "en", 1440, False),
    "line": (f"orders/taobao/{dataset.DISPUTED_LINE}", "en", 1440, False),
    "line-zh": (f"orders/taobao/{dataset.DISPUTED_LINE}", "zh", 1440, False),
    "suspense": ("orders", "zh", 1440, False),
    "failures": ("failures", "en", 1440, False),
    "dead-letter": ("failures?reason=unknown-schema", "en", 1440, False),
    "rule": ("rules/2026-07-r1?with=2026-01-r1", "en", 1440, False),
    "rules": ("rules", "zh", 1440, False),
    "trail": ("trail", "en", 1440, False),
    "withdrawals": ("withdrawals", "en", 1440, False),
    "withdrawal": (f"withdrawals/{money_world.SUSPECT}/big-1", "en", 1440, False),
    "withdrawal-zh": (f"withdrawals/{money_world.STUCK}/w1", "zh", 1440, False),
    "adjustments": ("adjustments", "en", 1440, False),
    "sources": ("sources", "en", 1440, False),
}
HEIGHT_MAX, OVERVIEW_HEIGHT_MAX = 1_700, 2_400


def take(browser: Browser, site: Site, name: str) -> None:
    """Write one picture."""
    view, language, width, dark = PICTURES[name]
    here = Tab(browser, site.url, language=language, width=width, dark=dark).sign_in(site.token("admin"))
    here.open(view)
    if name == "dead-letter":
        here.page.get_by_text("Its schema is not known").click()
        here.page.wait_for_selector("pre")
    here.page.mouse.move(0, 0)
    here.page.evaluate("document.fonts.ready")
    most = OVERVIEW_HEIGHT_MAX if view == "overview" and width > 360 else HEIGHT_MAX
    height = min(most, int(here.page.evaluate("document.documentElement.scrollHeight")))
    here.page.set_viewport_size({"width": width, "height": height})
    here.page.wait_for_timeout(200)  # charts follow the new width of their boxes
    here.page.screenshot(path=FOLDER / f"{name}.png")
    here.close()


def act(browser: Browser, site: Site) -> None:
    """Do a little, so that the audit trail has something to show."""
    here = Tab(browser, site.url).sign_in(site.token("admin"))
    headers = {"Origin": site.url.rstrip("/")}
    for path, body in (
        (f"v1/users/{dataset.BUYER}/profile", {"level": "vip", "inviter_id": dataset.INVITER}),
        ("v1/attributions/jd:pid:3_7", {"user_id": "user-003"}),
        (f"v1/users/{dataset.BUYER}/profile", {"level": "basic", "inviter_id": dataset.INVITER}),
    ):
        reason = {"reason": "ticket 4711"} if "profile" in path else {"reason": "promoter confirmed by phone"}
        here.context.request.put(site.url + path, data=body | reason, headers=headers)
    here.context.request.put(site.url + "v1/users/user-003/profile", data={"level": "gold"}, headers=headers)
    here.context.close()


def main() -> None:
    """Run a broker and a worker, and take every picture, or those named."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with guarded(folder / "kafka"):
            broker = start_on_a_free_port(folder / "kafka")
            try:
                with running(broker.address, "shop-", folder, markup="") as site, chromium() as browser:
                    act(browser, site)
                    for each in sys.argv[1:] or PICTURES:
                        take(browser, site, each)
            finally:
                broker.stop()
    shrink()


def shrink() -> None:
    """Reduce the colours of all pictures, where pngquant is there; it is not needed."""
    program = shutil.which("pngquant")
    if program is None:
        return
    for picture in FOLDER.glob("*.png"):
        subprocess.run([program, "--force", "--output", picture, "64", picture], check=True)


if __name__ == "__main__":
    main()
