"""The one composition root: settings in, a Faust app with tables, agents and web views out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import agents.attach
import tables.declare
from agents.accounts import AccountsStage
from agents.dead_letters import Imprint
from agents.guarded import FailurePolicy
from agents.order_lines import OrderLinesStage
from agents.rehearsal import rehearse
from agents.stages import stages_of
from rebate_app.dead_letters.office import Office
from rebate_app.dead_letters.open_letters import OpenLetters
from rebate_app.domain.rules import RuleBook
from rebate_app.import_names import wrong_import_names
from rebate_app.lane.connection import client_options
from rebate_app.lane.lane import Lane, new_memory_store
from rebate_app.lane.manager import LaneTableManager
from rebate_app.lane.readings import read_lane
from rebate_app.lane.stage import Stage
from rebate_app.lane.store_folder import StoreFolder
from rebate_app.lane.transport import LaneTransport
from rebate_app.order_service import OrderService
from rebate_app.placement import LanePlacement
from rebate_app.readings import app_version, read_worker
from rebate_app.settings import EXIT_CONFIGURATION, ConfigurationError, Settings, load_settings
from rebate_app.web.attach import Api
from rebate_app.web.attach import attach as attach_web
from rebate_app.webhooks.courier import Courier, Passing
from rebate_app.wire.rule_files import load_rules
from rebate_app.wire.topics import Topics
from rebate_app.worker import RebateWorkerApp

__all__ = ["EXIT_CONFIGURATION", "ConfigurationError", "create_app"]

MakeStages = Callable[[Settings, RuleBook, FailurePolicy, Callable[[], int]], Sequence[Stage]]

QUIET_LOGGERS = ("aiokafka", "faust", "mode", "asyncio")
"""Faust leaves the root logger at DEBUG, which costs a log record per send."""


def create_app(settings: Settings | None = None, *, make_stages: MakeStages = stages_of) -> RebateWorkerApp:
    """Return the app for these settings; ConfigurationError if they, the rules or the names do not fit.

    `make_stages`: other folds on the same topics and the same lane, for measuring the lane alone.
    """
    settings = load_settings() if settings is None else settings
    _check_import_names()
    topics = Topics.of(settings)
    rules = load_rules(settings.rules)
    options = client_options(settings)
    app = RebateWorkerApp(settings=settings, rules=rules, **_faust_settings(settings))
    failures = _failure_policy(settings, topics, rules)
    stages = list(make_stages(settings, rules, failures, lambda: app.first_start.since_ms))
    app.stores = StoreFolder(settings) if settings.store == "rocksdb" else None
    app.lane = Lane(settings, options, stages, fatal=app.fatal, new_store=app.stores or new_memory_store)
    placement = LanePlacement(app, app.lane, settings, topics)
    app.open_letters = OpenLetters(settings)
    app.transport = LaneTransport(app.conf.broker_consumer, app)
    app.lane.use_thread(lambda: app.consumer.thread)
    tables.declare.declare(app, settings, topics)
    app.webhooks = _webhooks(app, settings, topics)
    app.lane.companion = app.webhooks
    _read_figures(app, placement)
    agents.attach.attach(app, app.lane, settings, app.webhooks)
    app.order_service = OrderService(settings)
    attach_web(app, _api(app, placement, topics, stages))
    _quieten_loggers()
    return app


def _webhooks(app: RebateWorkerApp, settings: Settings, topics: Topics) -> Courier | Passing:
    """Return what delivers the events, or what passes them over while there is no URL."""
    if settings.webhook_url:
        return Courier(settings, topics, app.lane, app.events_from, app_version())
    return Passing(topics, app.lane)


def _read_figures(app: RebateWorkerApp, placement: LanePlacement) -> None:
    """Have every part of the worker asked at a scrape for what it alone knows."""
    figures = app.lane.figures
    figures.read_from(lambda: read_worker(app, placement, app.settings))
    figures.read_from(lambda: read_lane(app.lane))
    figures.read_from(app.open_letters.read)
    figures.read_from(app.webhooks.read)


def _api(app: RebateWorkerApp, placement: LanePlacement, topics: Topics, stages: Sequence[Stage]) -> Api:
    """Return what the web views answer from."""
    settings = app.settings
    ours = {stage.source: stage for stage in stages if isinstance(stage, OrderLinesStage | AccountsStage)}
    return Api(
        placement=placement,
        sender=app.order_service,
        clock=wall_clock_us,
        topics=topics,
        rules=app.rules,
        user_id_fields=settings.user_id_fields,
        own_url=settings.own_url,
        figures=app.lane.figures,
        office=Office(settings),
        rehearse=lambda source, store, record: rehearse(ours[source], store, record),
    )


def _quieten_loggers() -> None:
    """Have the libraries tell of warnings, and Faust's services of their life too."""
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO if name == "mode" else logging.WARNING)


def _failure_policy(settings: Settings, topics: Topics, rules: RuleBook) -> FailurePolicy:
    """Return what this worker does about failures, and what it writes on dead letters."""
    until = settings.dlq_limit_override_until
    hashes = " ".join(version.content_hash for version in rules.versions)
    return FailurePolicy(
        decisions=topics.decisions,
        on_bug=settings.on_bug,
        limited=True,
        overridden=lambda: until is not None and time.time() < until.timestamp(),
        imprint=Imprint(
            app_version=app_version(),
            rules_hash=blake2b(hashes.encode(), digest_size=16).hexdigest(),
            worker=settings.own_url,
            clock=wall_clock_us,
        ),
    )


def wall_clock_us() -> int:
    """Return the moment in µs since 1970."""
    return time.time_ns() // 1_000


def _check_import_names() -> None:
    """Refuse when another distribution's `agents` or `tables` is imported in place of ours."""
    problems = wrong_import_names()
    if problems:
        raise ConfigurationError("; ".join(problems))


def _faust_settings(settings: Settings) -> dict[str, Any]:
    """Return Faust's settings: its own admin, web pages and guarantees are off, the lane has its own."""
    session = settings.session_timeout
    return {
        "id": settings.scope,
        "env_prefix": "REBATE_FAUST_",
        "broker": ";".join(f"kafka://{address.strip()}" for address in settings.broker.split(",")),
        "datadir": str(settings.datadir / f"faust-{settings.web_port}"),
        "web_host": settings.web_host,
        "web_bind": settings.web_host,
        "web_port": settings.web_port,
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
        "TableManager": LaneTableManager,
    }
