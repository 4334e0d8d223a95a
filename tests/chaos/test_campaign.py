"""Random faults of all kinds: a short night by default, `make chaos ROUNDS=n` for long ones."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rebate_app.broker import LocalKafka
from tests.chaos.campaign import Campaign
from tests.chaos.conftest import FAST, FULL, ROUNDS
from tests.conftest import SEED
from tests.rig.system import System

FAULTS = 10 if not FULL else 30
LINES, USERS = 60 if not FULL else 200, 15

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("night", range(max(ROUNDS, 1)))
def test_a_night_of_faults_changes_nothing(
    chaos_kafka: LocalKafka, topic_prefix: str, tmp_path: Path, night: int
) -> None:
    """Killed, frozen, cut off, joined and left at random under import: audit 0, balances the oracle's."""
    seed = f"{SEED}:{night}"
    print(f"seed {seed}")
    rng = random.Random(seed)
    with System(chaos_kafka.address, topic_prefix, tmp_path, [], **FAST) as system:
        campaign = Campaign(chaos_kafka, system, rng, lines=LINES, users=USERS)
        system.use_rules(campaign.rules)
        counts = campaign.run(FAULTS)
    print(f"faults: {dict(counts)}")
    assert counts.total() == FAULTS
