"""The networks that this version reads: one row per network, which every room reads.

A network's row names the module of its adapter, the policy by which its settled shares are released, and
the attribution members that hold the operator's own user ids. Its key is the `platform` of its order lines
and the `--network` of its files; its samples are in `examples/<name>/`, if it has any.
docs/how-to/add-a-network.md describes how to add one.

The module is below all others and holds names only, so that the domain stays pure and `rebate --help` loads
no adapter: an adapter is imported when its first file is read.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

#: Names of the policies in rebate_app/domain/pricing/calendar.py.
ReleasePolicyName = Literal[
    "day-21-of-next-month", "day-21-after-the-15th", "day-after-expected-date", "after-30-days"
]


class Network(NamedTuple):
    """One network: `adapter` is the full name of a module that has an `ADAPTER`.

    `user_id_fields` are the members of `attribution` that become the default of `REBATE_USER_ID_FIELDS`.
    `line_is_order`: the id of a line is the order number that the buyer sees. `api` is the full name of a
    module that has an `API`, the client that fetches orders; "" where orders are only imported.
    """

    adapter: str
    release_policy: ReleasePolicyName
    user_id_fields: tuple[str, ...] = ()
    line_is_order: bool = False
    api: str = ""


NETWORKS: dict[str, Network] = {
    "taobao": Network(
        "rebate_app.wire.networks.taobao", "day-21-of-next-month", api="rebate_app.sources.apis.taobao"
    ),
    "jd": Network(
        "rebate_app.wire.networks.jd",
        "day-after-expected-date",
        ("sub_union_id",),
        api="rebate_app.sources.apis.jd",
    ),
    "pdd": Network(
        "rebate_app.wire.networks.pdd",
        "day-21-after-the-15th",
        ("custom_uid",),
        line_is_order=True,
        api="rebate_app.sources.apis.pdd",
    ),
}

#: The format of files that hold facts of docs/spec/facts.md, of any platform; no network.
CANONICAL = "canonical"
CANONICAL_ADAPTER = "rebate_app.wire.networks.canonical"


def file_formats() -> list[str]:
    """Return the names of all formats that files of order lines can have, the networks first."""
    return [*NETWORKS, CANONICAL]


def default_user_id_fields() -> str:
    """Return the default of `REBATE_USER_ID_FIELDS`: `platform:member` pairs, joined by commas."""
    return ",".join(f"{name}:{member}" for name, row in NETWORKS.items() for member in row.user_id_fields)


def line_is_order(platform: str) -> bool:
    """Return whether the platform's lines have the order number that the buyer sees as their id."""
    return platform in NETWORKS and NETWORKS[platform].line_is_order
