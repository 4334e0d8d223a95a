"""The composition root: builds the Faust app with engine, tables, agents and web views from settings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

from msgspec.structs import replace

import agents.attach
import tables.declare
from agents.accounts import NAME as ACCOUNTS_AGENT
from agents.accounts import AccountsStage
from agents.active_app import AccountNotes, wall_clock_ms
from agents.dry_run import dry_run
from agents.money_out import DecisionPolicy
from agents.order_lines import NAME as LINES_AGENT
from agents.rule_activation import RuleActivation
from agents.stages import stages_of
from rebate_app.audit_trail.service import AuditTrailService
from rebate_app.dead_letters.open_dead_letters import OpenDeadLetters
from rebate_app.dead_letters.service import DeadLetterService
from rebate_app.domain.pricing.catalogue import RuleCatalogue
from rebate_app.http_transport import client_tls, server_tls
from rebate_app.http_urls import parse_authorities
from rebate_app.import_names import wrong_import_names
from rebate_app.log_format import json_log_settings
from rebate_app.metrics.catalogue import IGNORED_REPRICES, UNKNOWN_ACTIVATIONS
from rebate_app.metrics.minute_samples import MinuteSamples
from rebate_app.order_service import OrderService
from rebate_app.payouts.service import ActiveHere, PayoutService
from rebate_app.placement import GroupPlacement
from rebate_app.settings import EXIT_CONFIGURATION, ConfigurationError, Settings, load_settings
from rebate_app.sources.service import SourceService
from rebate_app.streams.failures.dead_letter import WorkerInfo
from rebate_app.streams.failures.guard import FailurePolicy, GuardedStage
from rebate_app.streams.faust.assignor import AnnouncingAssignor
from rebate_app.streams.faust.consumer import BatchTransport
from rebate_app.streams.faust.recovery import TaskTableManager
from rebate_app.streams.gauges import read_tasks
from rebate_app.streams.kafka.active_app import ActiveApp
from rebate_app.streams.kafka.connection import client_options
from rebate_app.streams.kafka.library_log import lower_transient
from rebate_app.streams.kafka.resumptions import Resumptions
from rebate_app.streams.kafka.rule_versions import PublishedRules
from rebate_app.streams.state.folder import StoreFolder
from rebate_app.streams.task.manager import TaskManager, new_memory_store
from rebate_app.streams.task.owner_notes import OwnerNotes
from rebate_app.streams.task.stage import Stage
from rebate_app.web.app import WebPorts
from rebate_app.web.app import attach as attach_web
from rebate_app.web.auth.credential_files import CredentialFiles
from rebate_app.web.resources.log_ends import ask_members
from rebate_app.web.routing.peer_client import PeerSecurity
from rebate_app.web.server.limits import Limits
from rebate_app.webhooks.service import NoWebhooks, WebhookService
from rebate_app.wire.facts.payouts import Author
from rebate_app.wire.rules.files import RuleFile, read_folder
from rebate_app.wire.topics import Topics
from rebate_app.worker import RebateWorker, RebateWorkerApp
from rebate_app.worker_gauges import app_version, known_labels, read_worker

__all__ = ["EXIT_CONFIGURATION", "ConfigurationError", "create_app"]

MakeStages = Callable[[Settings, RuleCatalogue, FailurePolicy, Callable[[], int]], Sequence[Stage]]

#: Faust leaves the root logger at DEBUG, which costs a log record per send.
QUIET_LOGGERS = ("aiokafka", "faust", "mode", "asyncio")


def create_app(settings: Settings | None = None, *, make_stages: MakeStages = stages_of) -> RebateWorkerApp:
    """Return the app for these settings; ConfigurationError if they, the rules or the names do not fit.

    `make_stages`: other folds on the same topics and engine, for measuring the engine alone.
    """
    settings = load_settings() if settings is None else settings
    _check_import_names()
    topics = Topics.of(settings)
    rule_files = read_folder(settings.rules)
    app = RebateWorkerApp(settings=settings, rule_files=rule_files, **_faust_settings(settings))
    resumptions = Resumptions(topics.decisions, settings.scope)
    failures = _failure_policy(settings, topics, rule_files, resumptions.through)
    rules = RuleCatalogue(live=True)
    active_app = ActiveApp(topics.active, settings.app_id)
    stages = list(make_stages(settings, rules, failures, lambda: app.event_epoch.since_ms))
    stages = [_deciding(stage, active_app) for stage in stages]
    _add_tasks(app, settings, stages, resumptions)
    app.active_app = active_app
    active_app.skip = app.tasks.skipped
    app.rules = PublishedRules(topics.rule_versions, app.tasks.skipped, rules)
    app.tasks.owner_notes = _owner_notes(stages, app.rules, active_app, settings)
    _add_services(app, settings, topics)
    app.transport = BatchTransport(app.conf.broker_consumer, app)
    placement = GroupPlacement(app, app.tasks, settings, topics)
    tables.declare.declare(app, settings, topics)
    agents.attach.attach(app, app.tasks, settings, app.webhooks)
    context = attach_web(app, _web_ports(app, placement, topics, stages))
    app.payouts.ends.ask_members = lambda: ask_members(context)
    app.tasks.metrics.declare(known_labels(topics, stages, app.sources))
    _read_gauges(app, placement)
    _quieten_loggers()
    return app


def _add_tasks(
    app: RebateWorkerApp, settings: Settings, stages: list[Stage], resumptions: Resumptions
) -> None:
    """Make the engine: a task per partition and stage, and their stores."""
    app.stores = StoreFolder(settings) if settings.store == "rocksdb" else None
    app.tasks = TaskManager(
        settings,
        client_options(settings),
        stages,
        fatal=app.fatal,
        consumer_thread=lambda: app.consumer.thread,
        fetcher=lambda: app.consumer.fetcher,
        new_store=app.stores or new_memory_store,
        resumptions=resumptions,
    )
    for metric in (UNKNOWN_ACTIVATIONS, IGNORED_REPRICES):
        app.tasks.metrics.add(metric, (), 0)  # a rate needs the zero before the first one


def _add_services(app: RebateWorkerApp, settings: Settings, topics: Topics) -> None:
    """Make what runs beside the engine."""
    app.open_dead_letters = OpenDeadLetters(settings, app.tasks.skipped)
    app.order_service = OrderService(settings)
    app.credential_files = CredentialFiles(settings)
    app.audit_trail = AuditTrailService(settings, app.tasks.metrics, wall_clock_us, app.tasks.skipped)
    app.sources = SourceService(settings, topics, app.tasks, app.order_service, _worker_info(settings, ()))
    app.samples = MinuteSamples(app.tasks.metrics, wall_clock_us, LINES_AGENT, ACCOUNTS_AGENT)
    app.webhooks = app.tasks.side_consumer = _webhooks(app, settings, topics)
    app.payouts = PayoutService(settings, topics, app.tasks, _active_here(app, settings))


def _active_here(app: RebateWorkerApp, settings: Settings) -> ActiveHere:
    """Return which app writes what is paid, and whether it is the active one."""
    return ActiveHere(
        lambda: Author(settings.app_id, app.active_app.topic_id),
        app.active_app.is_active,
        lambda: None if app.active_app.record is None else app.active_app.record.app,
    )


def _webhooks(app: RebateWorkerApp, settings: Settings, topics: Topics) -> WebhookService | NoWebhooks:
    """Return the service that delivers events, or one that skips them while there is no URL."""
    if settings.webhook_url:
        return WebhookService(settings, topics, app.tasks, app.events_from, app_version())
    return NoWebhooks(topics, app.tasks)


def _read_gauges(app: RebateWorkerApp, placement: GroupPlacement) -> None:
    """Register the gauges of every part of the worker, which are read at each scrape."""
    metrics = app.tasks.metrics
    metrics.read_from(lambda: read_worker(app, placement, app.settings))
    metrics.read_from(lambda: read_tasks(app.tasks))
    metrics.read_from(app.open_dead_letters.read)
    metrics.read_from(app.webhooks.read)
    metrics.read_from(app.payouts.read)
    metrics.read_from(app.credential_files.gauges)
    metrics.read_from(app.sources.gauges)


def _web_ports(
    app: RebateWorkerApp, placement: GroupPlacement, topics: Topics, stages: Sequence[Stage]
) -> WebPorts:
    """Return what the web views need."""
    settings = app.settings
    by_source = {stage.source: stage for stage in stages if isinstance(stage, GuardedStage)}
    return WebPorts(
        placement=placement,
        sender=app.order_service,
        trail=app.audit_trail,
        clock=wall_clock_us,
        topics=topics,
        rules=app.rules.catalogue,
        published=app.rules.entries,
        user_id_fields=settings.user_id_fields,
        own_url=settings.own_url,
        instance=app.instance,
        metrics=app.tasks.metrics,
        samples=app.samples,
        dead_letters=DeadLetterService(settings),
        dry_run=lambda source, store, record: dry_run(by_source[source], store, record),
        limits=Limits(read_timeout_seconds=settings.web_read_timeout),
        allowed_hosts=parse_authorities(settings.allowed_hosts),
        webhooks=app.webhooks.state,
        sources=app.sources.items,
        source_decision=app.sources.decision,
        payouts=app.payouts,
        credentials=app.credential_files.credentials(),
        peer_security=PeerSecurity(settings.cluster_ring, wall_clock_us, client_tls(settings.web_ca)),
        cors_origins=settings.cors_allowed,
        body_secrets=settings.cluster_ring,
    )


def _quieten_loggers() -> None:
    """Limit the libraries to warnings, and mode to the life of services."""
    lower_transient()
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO if name == "mode" else logging.WARNING)


def _deciding(stage: Stage, active_app: ActiveApp) -> Stage:
    """Return the stage; that of accounts decides requests while this app is active."""
    if not isinstance(stage, AccountsStage):
        return stage
    policy = DecisionPolicy(
        is_active=active_app.is_active,
        topic_id=lambda: active_app.topic_id,
        activation=active_app.activation,
        clock_ms=wall_clock_ms,
    )
    return replace(stage, deciding=policy)


def _owner_notes(
    stages: Sequence[Stage], rules: PublishedRules, active_app: ActiveApp, settings: Settings
) -> dict[str, OwnerNotes]:
    """Return what owners note, by source: rule versions and turns on the user log."""
    return {
        stage.source: AccountNotes(
            stage,
            RuleActivation(stage, rules, client_options(settings), settings.partitions),
            active_app,
            settings.partitions,
        )
        for stage in stages
        if isinstance(stage, AccountsStage)
    }


def _failure_policy(
    settings: Settings,
    topics: Topics,
    files: Sequence[RuleFile],
    resumed_through: Callable[[str, int], int],
) -> FailurePolicy:
    """Return the failure policy, and what dead letters say about this worker."""
    until = settings.dlq_limit_override_until
    return FailurePolicy(
        decisions=topics.decisions,
        on_bug=settings.on_bug,
        limited=True,
        overridden=lambda: until is not None and time.time() < until.timestamp(),
        resumed_through=resumed_through,
        worker_info=_worker_info(settings, files),
    )


def _worker_info(settings: Settings, files: Sequence[RuleFile]) -> WorkerInfo:
    """Return what dead letters say about this worker."""
    hashes = " ".join(file.version.content_hash for file in files)
    return WorkerInfo(
        app_version=app_version(),
        rules_hash=blake2b(hashes.encode(), digest_size=16).hexdigest(),
        worker=settings.own_url,
        clock=wall_clock_us,
    )


def wall_clock_us() -> int:
    """Return the moment in µs since 1970."""
    return time.time_ns() // 1_000


def _check_import_names() -> None:
    """ConfigurationError if another distribution's `agents` or `tables` is imported instead of ours."""
    problems = wrong_import_names()
    if problems:
        raise ConfigurationError("; ".join(problems))


def _faust_settings(settings: Settings) -> dict[str, Any]:
    """Return Faust's settings; its admin, pages and guarantees are off, since the engine has its own."""
    session = settings.session_timeout
    return {
        "id": settings.scope,
        "env_prefix": "REBATE_FAUST_",
        "broker": ";".join(f"kafka://{address.strip()}" for address in settings.broker.split(",")),
        "datadir": str(settings.datadir / f"faust-{settings.web_port}"),
        "web_host": settings.web_host,
        "web_bind": settings.web_host,
        "web_port": settings.web_port,
        "web_ssl_context": server_tls(settings.web_cert, settings.web_key),
        "canonical_url": settings.own_url,
        "web_router_enabled": False,
        "web_tables_enabled": False,
        "web_stats_enabled": False,
        "web_graph_enabled": False,
        "web_metrics_enabled": False,
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        "topic_partitions": settings.partitions,
        "table_standby_replicas": settings.standbys,
        "stream_wait_empty": True,
        "stream_buffer_maxsize": 64,
        "stream_recovery_delay": 0.0,
        "broker_commit_interval": 0.2,
        "broker_session_timeout": session,
        "broker_heartbeat_interval": session / 5,
        "broker_request_timeout": max(40.0, session + 10),
        "broker_rebalance_timeout": max(30.0, session),
        "broker_max_poll_interval": 300.0,
        "Worker": RebateWorker,
        "TableManager": TaskTableManager,
        "PartitionAssignor": AnnouncingAssignor,
        **(json_log_settings() if settings.log_format == "json" else {}),
    }
