"""A real worker with the page's world in it, behind keys, for a browser to look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from rebate_app.auth.api_keys import NewKey, new_key
from rebate_app.auth.scopes import SCOPES
from tests.page import dataset, money_world
from tests.rig.system import System, Worker
from tests.rig.waiting import wait_for

SECRET = "a:" + "s" * 40
#: Keys of people (docs/security.md), besides one for each scope.
PEOPLE: dict[str, list[str]] = {
    "support": ["balances:read", "profiles:write", "operations:read"],
    "finance": ["balances:read", "adjustments:approve", "withdrawals:review"],
    "controller": ["balances:read", "adjustments:approve", "withdrawals:review"],
    "operator": ["balances:read", "operations:read", "operations:write"],
}


class Site(Struct):
    """The worker's address, and a key for each scope and kind of person; `admin` may do everything."""

    system: System
    worker: Worker
    keys: dict[str, NewKey]

    @property
    def url(self) -> str:
        """Return the page's address."""
        return self.worker.url + "/"

    @property
    def desk(self) -> money_world.Desk:
        """Return the API with these keys."""
        return money_world.Desk(self.worker.url, {name: key.token for name, key in self.keys.items()})

    def token(self, name: str) -> str:
        """Return the key that has that scope alone, or that of such a person."""
        return self.keys[name].token


@contextmanager
def running(
    kafka: str,
    prefix: str,
    folder: Path,
    *,
    money: bool = True,
    markup: str = money_world.SHORT_MARKUP,
    **environment: str,
) -> Iterator[Site]:
    """Run a worker, give it its world, and end it with the block.

    `money`: with payouts and sources; `markup`: what is in the texts about them.
    """
    keys = {scope: new_key(scope.replace(":", "-"), _name(scope), [scope]) for scope in SCOPES}
    keys |= {name: new_key(name, name.title(), scopes) for name, scopes in PEOPLE.items()}
    file = folder / "keys.toml"
    file.write_text("\n".join(key.entry for key in keys.values()), encoding="utf-8")
    with ExitStack() as stack:
        more, service = stack.enter_context(money_world.services(folder, markup)) if money else ({}, "")
        settings = {
            "REBATE_KEYS": str(file),
            "REBATE_CLUSTER_SECRET": SECRET,
            "REBATE_TOKEN": keys["admin"].token,
            "REBATE_TEST_APP": "tests.page.app",
            "REBATE_TEST_BUG": dataset.PARKED_LINE,
            "REBATE_USER_ID_FIELDS": "",
            **more,
            **environment,
        }
        settings = {name: value for name, value in settings.items() if value}
        rules = [dataset.RULES, dataset.LATER_RULES + money_world.WITHDRAW]
        system = stack.enter_context(System(kafka, prefix, folder, rules, **settings))
        system.send_users(dataset.profiles())
        worker = system.start_worker()
        worker.wait_ready()
        site = Site(system, worker, keys)
        fill(system)
        if money:
            money_world.fill(site.desk, service, markup)
        yield site


def _name(scope: str) -> str:
    return "Lin Qing" if scope == "admin" else scope


def fill(system: System) -> None:
    """Send everything that happened, and wait until all of it is in the balances."""
    system.send_orders(dataset.orders())
    system.produce(system.topics.orders, dataset.junk())
    system.send_orders(dataset.waiting())
    system.wait_idle()


__all__ = ["Site", "fill", "running", "wait_for"]
