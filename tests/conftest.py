"""What every test shares: the seed, the real Kafka, and that nothing is left running."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import coverage
import pytest
from hypothesis import HealthCheck, settings

from rebate_app.broker import ports
from tests.kafka_fixture import kafka, topic_prefix

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

__all__ = ["kafka", "topic_prefix"]

#: Objects between two collections of garbage: Python's 700 make thousands of collected tests dear.
GARBAGE_THRESHOLD = 20_000
SEED_DEFAULT = "20260101"
SEED_GIVEN = os.environ.get("REBATE_TEST_SEED")
SEED = SEED_GIVEN or SEED_DEFAULT


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make the run repeatable: Hypothesis as well, before it reads its own settings.

    Without REBATE_TEST_SEED each property draws the same examples every time; with it, other ones,
    which the same seed draws again. Examples run as long as they need: two cores are shared.
    """
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
    _keep_bytecode()
    settings.register_profile(
        "rebate",
        derandomize=SEED_GIVEN is None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],  # by the clock too: a busy machine is no fault
        print_blob=True,
    )
    settings.load_profile("rebate")
    if SEED_GIVEN is not None and config.getoption("hypothesis_seed") is None:
        config.option.hypothesis_seed = SEED_GIVEN
    _take_own_ports()
    signal.signal(signal.SIGTERM, _interrupted)
    # Started in the background, the suite has SIGINT ignored, and so would have all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _keep_bytecode() -> None:
    """Compile each module once, not in each of a thousand processes, whatever PYTHONDONTWRITEBYTECODE says.

    Python that tests have edited (tests/docs) is compiled each time all the same: an edit of the same size
    within a second would not be seen.
    """
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_finish() -> None:
    """Leave thousands of collected tests out of every later collection of garbage."""
    gc.freeze()


def _take_own_ports() -> None:
    """Give each process of the suite ports of its own: one that is chosen is free until somebody listens."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker:
        count = (ports.FREE_PORT_MAX - ports.FREE_PORT_MIN) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        ports.FREE_PORT_MIN += count * int(worker.removeprefix("gw"))
        ports.FREE_PORT_MAX = ports.FREE_PORT_MIN + count


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that fixtures end what they started."""
    raise KeyboardInterrupt


def pytest_report_header() -> str:
    """Say what to set to run the same again."""
    return f"REBATE_TEST_SEED={SEED}"


#: They take longest, most of it waiting: begun first, in this order, they overlap with all others.
LONG = (
    "tests/chaos/test_nodes.py",
    "tests/chaos/",
    "tests/streams/failures/",
    "tests/upgrade/",
    "tests/e2e/",
    "tests/security/",
    "tests/events/",
    "tests/webhooks/",
    "tests/cli/test_demo.py",
    "tests/docs/test_readme_commands.py",
    "tests/streams/",
    "tests/doctor/",
    "tests/audit/",
    "tests/broker/",
    "tests/domain/test_law.py",
)

#: Files that take seconds each without a broker, by processor time: `make test-fast` leaves them out, too.
SLOW = (
    "tests/alerts/",
    "tests/audit/",
    "tests/broker/test_failures.py",
    "tests/cli/test_command_line.py",
    "tests/cli/test_demo.py",
    "tests/cli/test_output.py",
    "tests/deploy/",
    "tests/docs/test_add_a_ledger_kind.py",
    "tests/docs/test_add_a_rule.py",
    "tests/docs/test_operations.py",
    "tests/domain/test_add_a_reason_code.py",
    "tests/domain/test_balance_events.py",
    "tests/domain/test_edge_owners.py",
    "tests/domain/test_law.py",
    "tests/domain/test_line_events.py",
    "tests/domain/test_repricing.py",
    "tests/image/test_image.py",
    "tests/metrics/test_add_a_metric.py",
    "tests/money_out/test_model.py",
    "tests/oracle/test_feeds.py",
    "tests/payouts/test_channels.py",
    "tests/sources/test_runs.py",
    "tests/streams/kafka/test_client_border.py",
    "tests/streams/test_file_limit.py",
    "tests/streams/test_idle_producers.py",
    "tests/streams/test_supervision.py",
    "tests/test_settings_urls.py",
    "tests/web/test_access.py",
    "tests/web/test_add_a_resource.py",
    "tests/web/test_added_reads.py",
    "tests/web/test_content_coding.py",
    "tests/web/test_cursors.py",
    "tests/web/test_fuzz.py",
    "tests/web/test_malformed.py",
    "tests/web/test_payees.py",
    "tests/web/test_read_your_writes.py",
    "tests/web/test_request_params.py",
    "tests/web/test_transport.py",
    "tests/webhooks/test_order.py",
    "tests/webhooks/test_special_addresses.py",
    "tests/wire/facts/test_fact_schemas.py",
    "tests/wire/facts/test_order_paths_agree.py",
    "tests/wire/networks/test_add_a_network.py",
    "tests/wire/networks/test_ids.py",
    "tests/wire/networks/test_pages.py",
    "tests/wire/test_fuzz.py",
    "tests/wire/test_large_values.py",
    "tests/wire/test_total_decoders.py",
)


#: Their processes run what those of other tests run too, and coverage costs a third of a process.
UNMEASURED = (
    "tests/alerts/",
    "tests/broker/",
    "tests/chaos/",
    "tests/doctor/test_disks_and_replicas.py",
    "tests/doctor/test_open_transactions.py",
    "tests/domain/test_law.py",
    "tests/e2e/test_activation.py",
    "tests/e2e/test_api_tester.py",
    "tests/e2e/test_building.py",
    "tests/e2e/test_canonical_facts.py",
    "tests/e2e/test_clean_log.py",
    "tests/e2e/test_codecs.py",
    "tests/e2e/test_dot_ids.py",
    "tests/e2e/test_header_names.py",
    "tests/e2e/test_junk.py",
    "tests/e2e/test_kill.py",
    "tests/e2e/test_life.py",
    "tests/e2e/test_money_out.py",
    "tests/e2e/test_rules.py",
    "tests/e2e/test_two_hosts.py",
    "tests/e2e/test_urls.py",
    "tests/events/test_on_kafka.py::TestKills",
    "tests/image/",
    "tests/page/",
    "tests/security/",
    "tests/streams/failures/test_halted.py",
    "tests/streams/failures/test_large_records.py",
    "tests/streams/state/",
    "tests/streams/test_lost_logs.py",
    "tests/upgrade/",
)
PROCESSES_MEASURED = os.environ.get("COVERAGE_PROCESS_START")

#: They compute for seconds, by lines that other tests pass too; measured, they take twice as long.
UNTRACED = (
    "tests/domain/test_law.py",
    "tests/money_out/test_model.py",
    "tests/sources/test_runs.py::TestAllFaults",
    "tests/sources/test_runs.py::TestWrongPollers",
    "tests/web/test_access.py::TestMatrix",
    "tests/wire/facts/test_fact_schemas.py",
    "tests/wire/facts/test_order_paths_agree.py",
    "tests/wire/test_fuzz.py",
)

#: Folders in which every test needs a broker.
WITH_BROKER = ("tests/chaos/", "tests/e2e/")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even read, for `make test-fast`, what it leaves out as a whole: reading takes time, too."""
    if "not slow" not in config.option.markexpr or collection_path.suffix != ".py":
        return None
    place = collection_path.relative_to(config.rootpath).as_posix()
    return True if place.startswith(SLOW + WITH_BROKER) and collection_path.name != "conftest.py" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the shared Kafka `kafka` and what is in SLOW `slow`; long ones come first."""
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(
        key=lambda item: next((at for at, path in enumerate(LONG) if item.nodeid.startswith(path)), len(LONG))
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure coverage in a test, and in its processes, or not; its fixtures start them as well."""
    if PROCESSES_MEASURED is not None:
        if item.nodeid.startswith(UNMEASURED):
            os.environ.pop("COVERAGE_PROCESS_START", None)
        else:
            os.environ["COVERAGE_PROCESS_START"] = PROCESSES_MEASURED
    measuring = coverage.Coverage.current() if item.nodeid.startswith(UNTRACED) else None
    if measuring is None:
        return (yield)
    measuring.stop()
    try:
        return (yield)
    finally:
        with warnings.catch_warnings():  # that modules are there already, as they are when it starts again
            warnings.simplefilter("ignore", coverage.exceptions.CoverageWarning)
            measuring.start()


@pytest.fixture(autouse=True)
def _seeded(request: pytest.FixtureRequest) -> None:
    """Each test draws its own numbers, the same whether it runs alone or among others."""
    random.seed(f"{SEED}:{request.node.nodeid}")
