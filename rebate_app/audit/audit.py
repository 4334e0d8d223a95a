"""The whole audit: fold again, compare tables, answers, messages and events.

An audit of a system without faults finds no difference, at rest and while the system goes on; any record,
message, event or balance that does not follow from the facts is a finding. The audit writes nothing. One
partition of one stage is in memory at a time; of messages only digests are kept. See docs/audit.md and
docs/spec/exactness.md#audit.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from agents.accounts import AccountsStage
from agents.money_out import DecisionPolicy
from agents.order_lines import OrderLinesStage
from agents.stages import stages_of
from rebate_app.domain.pricing.catalogue import RuleCatalogue
from rebate_app.settings import Settings
from rebate_app.streams.failures.guard import FailurePolicy
from rebate_app.streams.kafka.event_epoch import EVERYTHING_MS
from rebate_app.wire.topics import Topics
from tables import accounts, order_lines

from .activations import ActivationReplay, ReadRules, no_more_rules
from .balance_check import ROUNDS_MAX, BalanceCheck, BalanceWorkers
from .decision_replay import DecisionReplay, followed_decisions
from .event_check import EventCheck
from .findings import FINDINGS_LISTED_MAX, Findings, Report
from .logs import Logs
from .message_check import MessageCheck
from .partition_audit import PartitionAudit
from .record_kinds import count_accounts, count_lines, users_of
from .scope import AuditScope

#: Called with the number of facts folded so far and what is being done.
OnProgress = Callable[[int, str], None]


class Auditor:
    """Audits both stages of one app. Without `workers` no balance is requested.

    `since_ms`: the event epoch (rebate_app.streams.kafka.event_epoch). `read_rules` adds the versions that
    were published since to those of the stage.
    """

    def __init__(
        self,
        lines_stage: OrderLinesStage,
        accounts_stage: AccountsStage,
        partitions: int,
        logs: Logs,
        *,
        since_ms: int = EVERYTHING_MS,
        workers: BalanceWorkers | None = None,
        on_progress: OnProgress = lambda _facts, _activity: None,
        limit: int = FINDINGS_LISTED_MAX,
        read_rules: ReadRules = no_more_rules,
    ) -> None:
        self.findings = Findings(limit)
        self._report = Report()
        policy = FailurePolicy(decisions=lines_stage.failures.decisions, on_bug="stop")
        # The fold emits an event for every change of a balance; the event check decides which are due.
        event_policy = replace(accounts_stage.event_policy, since_ms=lambda: EVERYTHING_MS, singly=True)
        self._lines_stage = replace(lines_stage, failures=policy, event_policy=event_policy)
        self._accounts_stage = replace(accounts_stage, failures=policy, event_policy=event_policy)
        self._partitions = partitions
        self._logs = logs
        self._on_progress = on_progress
        self._read_rules = read_rules
        scope = AuditScope.of_stages(self._lines_stage, self._accounts_stage, partitions, since_ms)
        self._events = EventCheck(scope, logs, self.findings)
        self._messages = MessageCheck(scope, logs, self.findings, self._events)
        self._balances = None if workers is None else BalanceCheck(workers, self.findings)
        self._watermarks: dict[tuple[str, int], int] = {}

    async def run(self) -> Report:
        """Audit everything; BrokerAwayError when a log cannot be read to its end."""
        for partition in range(self._partitions):
            await self._audit_lines(partition)
        for partition in range(self._partitions):
            await self._audit_accounts(partition)
        self._on_progress(self._report.facts, "records folded; comparing messages and events")
        await self._compare_messages()
        await self._compare_events()
        return self._completed_report()

    async def _audit_lines(self, partition: int) -> None:
        """Fold one partition of stage 1 and compare its table."""
        audit = self._partition_audit(self._lines_stage, order_lines.NAME, partition)
        if await audit.fold_to_watermark():
            audit.compare_table()
            self._report.building += audit.building
            self._report.lines += count_lines(audit.fold)
            self._watermarks[audit.stage.source, partition] = audit.watermark

    async def _audit_accounts(self, partition: int) -> None:
        """Fold one partition of stage 2, compare its table, then what workers answer for its users."""
        decisions = DecisionReplay()
        policy = DecisionPolicy(topic_id=decisions.topic_id, replayed=decisions.clock_us)
        stage = replace(self._accounts_stage, deciding=policy)
        audit = self._partition_audit(stage, accounts.NAME, partition)
        decisions.table = audit.table
        if not await audit.fold_to_watermark():
            return
        audit.compare_table()
        followed = ((partition, offset) for offset in followed_decisions(audit.fold))
        self._messages.followed.update(followed)
        if self._balances is not None:
            await self._compare_answers(audit, self._balances)
        self._report.building += audit.building
        self._report.accounts += count_accounts(audit.fold)
        self._watermarks[audit.stage.source, partition] = audit.watermark

    async def _compare_answers(self, audit: PartitionAudit, balances: BalanceCheck) -> None:
        """Compare every user's balance; for users whose account has changed, again at a later cut."""
        self._on_progress(self._report.facts, f"records folded; requesting balances of {audit.where}")
        missed = await balances.compare(audit.where, audit.fold, users_of(audit.fold))
        for _ in range(ROUNDS_MAX - 1):
            if not missed or not await audit.fold_to_watermark():
                break
            audit.compare_table()
            missed = await balances.compare(audit.where, audit.fold, missed)
        self._report.not_comparable += len(missed)
        self._report.users_compared = balances.compared

    async def _compare_messages(self) -> None:
        await self._messages.compare(self._watermarks)
        self._report.messages = self._messages.compared
        self._report.after_cut += self._messages.after_cut

    async def _compare_events(self) -> None:
        await self._events.compare(self._messages.cuts)
        self._report.events = self._events.compared
        self._report.after_cut += self._events.after_cut

    def _completed_report(self) -> Report:
        report = self._report
        report.cut = {f"{topic}/{number}": mark for (topic, number), mark in self._watermarks.items()}
        report.differences, report.items = len(self.findings), self.findings.items
        return report

    def _partition_audit(
        self, stage: OrderLinesStage | AccountsStage, table: str, partition: int
    ) -> PartitionAudit:
        def on_folded(count: int) -> None:
            self._report.facts += count
            self._on_progress(self._report.facts, f"records folded; {stage.source}/{partition}")

        send = self._messages.sender((stage.source, partition))
        activations = None
        if isinstance(stage, AccountsStage):
            activations = ActivationReplay(stage, partition, self._partitions, send, self._read_rules)
        return PartitionAudit(
            stage,
            table,
            partition,
            self._partitions,
            logs=self._logs,
            findings=self.findings,
            send=send,
            on_folded=on_folded,
            present=self._messages.present[partition] if isinstance(stage, AccountsStage) else None,
            activations=activations,
        )


def audited_stages(settings: Settings, rules: RuleCatalogue) -> tuple[OrderLinesStage, AccountsStage]:
    """Return the two stages that balances depend on, as workers with these settings run them."""
    policy = FailurePolicy(decisions=Topics.of(settings).decisions)
    stages = stages_of(settings, rules, policy, since_ms=lambda: EVERYTHING_MS)
    (lines,) = (stage for stage in stages if isinstance(stage, OrderLinesStage))
    (accounts_stage,) = (stage for stage in stages if isinstance(stage, AccountsStage))
    return lines, accounts_stage
