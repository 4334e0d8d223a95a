"""The stages of the stream, one row each (docs/adr/0015-stage-table.md).

Topics, ACLs, placement, dead letters, lag, audit, doctor and web routes iterate over `STAGES`; a stage's fold
is registered under its name in `agents/stages.py`, its record kinds are in the module of its table. Only code
that states the law (which record follows from which) names a stage. docs/how-to/add-a-stage.md adds a row.
"""

from __future__ import annotations

from msgspec import Struct

RECORD_BYTES_MAX = 1_048_576  # of one fact on the wire
STATE_BYTES_MAX = 8 * 1_048_576  # a line with every limit reached


class StageSpec(Struct, frozen=True):
    """One stage; topic names are without REBATE_TOPIC_PREFIX, the changelog's also without the app's scope.

    `name`: what commands call the stage. `agent`: the Faust agent, also the stage's name in logs and metrics.
    `records`: what its table holds, in the plural; requests between workers are named after it.
    `source_bytes_max`: the largest record that the source accepts. `importers_write`: whether importers and
    producers of your own may write to the source; workers and operators always may, since releases and
    replays are records of the source.
    """

    name: str
    agent: str
    source: str
    dead_letter: str
    parked: str
    table: str
    records: str
    changelog: str
    source_bytes_max: int
    source_about: str
    dead_letter_about: str
    parked_about: str
    table_about: str
    importers_write: bool = True


class StageTopics(Struct, frozen=True):
    """The real topic names of one stage."""

    spec: StageSpec
    source: str
    dead_letter: str
    parked: str
    changelog: str

    @classmethod
    def of(cls, spec: StageSpec, prefix: str, scope: str) -> StageTopics:
        """Return the names behind REBATE_TOPIC_PREFIX; the changelog belongs to one app."""
        return cls(
            spec=spec,
            source=prefix + spec.source,
            dead_letter=prefix + spec.dead_letter,
            parked=prefix + spec.parked,
            changelog=f"{scope}-{spec.changelog}",
        )


ORDERS = StageSpec(
    name="orders",
    agent="order-lines",
    source="order_topic",
    dead_letter="order_topic-dlt",
    parked="order_topic-parked",
    table="order_lines",
    records="lines",
    changelog="order_lines-changelog",
    source_bytes_max=2 * RECORD_BYTES_MAX,
    source_about="facts about order lines, keyed platform:order_line_id",
    dead_letter_about="records of order_topic that cannot be used",
    parked_about="copies of what waits for a parked order line",
    table_about="the state of every order line",
)
USER_LOG = StageSpec(
    name="user-log",
    agent="accounts",
    source="rebate-user-log",
    dead_letter="rebate-user-log-dlt",
    parked="rebate-user-log-parked",
    table="accounts",
    records="accounts",
    changelog="accounts-changelog",
    source_bytes_max=STATE_BYTES_MAX,
    source_about="all that concerns a user or an attribution id",
    dead_letter_about="records of the user log that cannot be used",
    parked_about="copies of what waits for a parked account",
    table_about="every user's and attribution id's account",
)

#: In the order in which records pass through them.
STAGES: tuple[StageSpec, ...] = (ORDERS, USER_LOG)
