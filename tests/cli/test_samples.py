"""The samples are imported once into the same logs, and again where they are missing."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rebate_app.broker.process import birth
from rebate_app.cli.guardian import keep_watch
from rebate_app.cli.import_actions import ImportReport
from rebate_app.cli.samples import EXAMPLES, IMPORT_RECORD, import_samples
from rebate_app.settings import Settings, load_settings
from rebate_app.wire.topics import Topics
from tests.cli.cases import read_all
from tests.cli.walkthrough import CHECKOUT, sample_facts


def settings_of(broker: str, prefix: str, datadir: Path) -> Settings:
    """Return settings for a data folder of the test's own."""
    return load_settings(
        {
            "REBATE_BROKER": broker,
            "REBATE_TOPIC_PREFIX": prefix,
            "REBATE_PARTITIONS": "2",
            "REBATE_DATADIR": str(datadir),
            "REBATE_RULES": str(CHECKOUT / "rules"),
        }
    )


def imported(settings: Settings, examples: Path = EXAMPLES) -> ImportReport | None:
    """Import the samples in silence."""
    return asyncio.run(import_samples(settings, lambda rows, text: None, examples))


class TestOnce:
    """When samples are imported, and when not."""

    def test_a_second_time_nothing_is_sent(self, kafka: str, topic_prefix: str, tmp_path: Path) -> None:
        """Profiles, bindings and all facts are there after the first time, and as many after the second."""
        settings = settings_of(kafka, topic_prefix, tmp_path)
        first = imported(settings)
        assert first is not None
        assert (first.read, first.refused) == (first.sent, [])
        assert len(read_all(settings, Topics.of(settings).orders)) == len(sample_facts())
        assert imported(settings) is None
        assert len(read_all(settings, Topics.of(settings).orders)) == len(sample_facts())

    def test_other_logs_or_other_samples_are_imported(
        self, kafka: str, topic_prefix: str, tmp_path: Path
    ) -> None:
        """A prefix of one's own, a log that was cut, a changed file, an unreadable record."""
        examples = tmp_path / "examples"
        shutil.copytree(EXAMPLES, examples)
        settings = settings_of(kafka, topic_prefix, tmp_path)
        assert imported(settings, examples) is not None
        assert imported(settings_of(kafka, f"{topic_prefix}2-", tmp_path), examples) is not None
        assert imported(settings, examples) is not None, "the record names the other logs now"
        path = tmp_path / IMPORT_RECORD
        record = json.loads(path.read_text())
        record["ends"][Topics.of(settings).orders]["0"] += 1_000
        path.write_text(json.dumps(record))
        assert imported(settings, examples) is not None, "the log is shorter than it was"
        path.write_text("{")
        assert imported(settings, examples) is not None
        with (examples / "attributions.ndjson").open("a") as file:
            file.write('{"attribution_id": "jd:pid:1", "user_id": "mei"}\n')
        assert imported(settings, examples) is not None
        assert imported(settings, examples) is None


class TestGuardian:
    """What it does when its input ends."""

    @pytest.mark.parametrize("dismissed", [True, False])
    def test_it_ends_what_it_watches_unless_it_was_dismissed(self, dismissed: bool) -> None:
        """It ends the process of its order, that one only, and nothing once it is dismissed."""
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as child:
            try:
                order = json.dumps({"pid": child.pid, "birth": birth(child.pid)}).encode()
                keep_watch([order, b'{"done": true}'] if dismissed else [order])
                time.sleep(0.1)
                assert (child.poll() is None) == dismissed
            finally:
                child.kill()

    def test_a_process_that_only_has_the_same_number_is_left_alone(self) -> None:
        """A process id is used again sooner or later; when it began tells them apart."""
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as child:
            try:
                keep_watch([json.dumps({"pid": child.pid, "birth": "some other day"}).encode()])
                assert child.poll() is None
            finally:
                child.kill()
