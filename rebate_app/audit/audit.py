"""The whole audit: stage 1, stage 2 with its users, then what was sent (design.md 3, "Audit").

One partition of one stage is in memory at a time; of the messages only their digests are kept.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from agents.accounts import AccountsStage
from agents.guarded import FailurePolicy
from agents.order_lines import OrderLinesStage
from agents.stages import stages_of
from rebate_app.domain.rules import RuleBook
from rebate_app.lane.first_start import EVERYTHING_MS
from rebate_app.settings import Settings
from rebate_app.wire.topics import Topics
from tables import accounts, order_lines

from .balances import ROUNDS_MAX, Balances, Workers, users_of
from .findings import LIMIT, Findings, Report
from .logs import Logs
from .messages import Messages, Names
from .partition import PartitionAudit

Tell = Callable[[int, str], None]
ACCOUNT_HEADS = (b"h ", b"H ")


class Auditor:
    """Audits what two stages made of their topics. `workers` None: the topics and tables alone.

    `since_ms`: events tell of records from then on (lane.first_start).
    """

    def __init__(
        self,
        lines_stage: OrderLinesStage,
        accounts_stage: AccountsStage,
        partitions: int,
        logs: Logs,
        *,
        since_ms: int = EVERYTHING_MS,
        workers: Workers | None = None,
        tell: Tell = lambda _count, _says: None,
        limit: int = LIMIT,
    ) -> None:
        self.findings = Findings(limit)
        self._report = Report()
        policy = FailurePolicy(decisions=lines_stage.failures.decisions, on_bug="stop")
        telling = replace(accounts_stage.telling, since_ms=lambda: EVERYTHING_MS, singly=True)
        self._lines = replace(lines_stage, failures=policy, telling=telling)
        self._accounts = replace(accounts_stage, failures=policy, telling=telling)
        self._partitions = partitions
        self._logs = logs
        self._tell = tell
        self._balances = None if workers is None else Balances(workers, self.findings)
        names = Names(
            app=lines_stage.app,
            orders=lines_stage.source,
            user_log=accounts_stage.source,
            dead_letters={lines_stage.source: lines_stage.dlt, accounts_stage.source: accounts_stage.dlt},
            parked={lines_stage.source: lines_stage.parked, accounts_stage.source: accounts_stage.parked},
            registry=lines_stage.registry,
            decisions=policy.decisions,
            partitions=partitions,
            events=telling.topic,
            since_ms=since_ms,
        )
        self._messages = Messages(names, logs, self.findings)
        self._watermarks: dict[tuple[str, int], int] = {}

    async def run(self) -> Report:
        """Audit, and return what was found. BrokerAwayError when a log cannot be read to its end."""
        report = self._report
        for partition in range(self._partitions):
            await self._audit_lines(partition)
        for partition in range(self._partitions):
            await self._audit_accounts(partition)
        self._tell(report.facts, "records folded; looking for what they sent")
        await self._messages.compare(self._watermarks)
        report.messages, report.after_cut = self._messages.compared, self._messages.after_cut
        report.events = self._messages.events.compared
        report.after_cut += self._messages.events.after_cut
        if self._balances is not None:
            report.users_compared = self._balances.compared
        report.cut = {f"{topic}/{number}": mark for (topic, number), mark in self._watermarks.items()}
        report.differences, report.items = len(self.findings), self.findings.items
        return report

    async def _audit_lines(self, partition: int) -> None:
        audit = self._audit(self._lines, order_lines.NAME, partition)
        if await audit.advance():
            audit.compare()
            self._report.lines += sum(1 for key in audit.fold if order_lines.is_line(key))
            self._watermarks[audit.stage.source, partition] = audit.watermark

    async def _audit_accounts(self, partition: int) -> None:
        audit = self._audit(self._accounts, accounts.NAME, partition)
        if not await audit.advance():
            return
        audit.compare()
        if self._balances is not None:
            await self._ask(audit, self._balances)
        self._report.accounts += sum(1 for key in audit.fold if key.startswith(ACCOUNT_HEADS))
        self._watermarks[audit.stage.source, partition] = audit.watermark

    async def _ask(self, audit: PartitionAudit, balances: Balances) -> None:
        """Compare every user's answer; for those who have moved on, again at a later cut."""
        self._tell(self._report.facts, f"records folded; asking for the users of {audit.where}")
        missed = await balances.compare(audit.where, audit.fold, users_of(audit.fold))
        for _ in range(ROUNDS_MAX - 1):
            if not missed or not await audit.advance():
                break
            audit.compare()
            missed = await balances.compare(audit.where, audit.fold, missed)
        self._report.not_comparable += len(missed)

    def _audit(self, stage: OrderLinesStage | AccountsStage, table: str, partition: int) -> PartitionAudit:
        def tell(count: int) -> None:
            self._report.facts += count
            self._tell(self._report.facts, f"records folded; {stage.source}/{partition}")

        return PartitionAudit(
            stage,
            table,
            partition,
            self._partitions,
            logs=self._logs,
            findings=self.findings,
            send=self._messages.sender((stage.source, partition)),
            tell=tell,
            seen=self._messages.seen[partition] if stage is self._accounts else None,
        )


def audited_stages(settings: Settings, rules: RuleBook) -> tuple[OrderLinesStage, AccountsStage]:
    """Return the stages as these settings make them, to be folded without any lane."""
    policy = FailurePolicy(decisions=Topics.of(settings).decisions)
    return stages_of(settings, rules, policy, since_ms=lambda: EVERYTHING_MS)
