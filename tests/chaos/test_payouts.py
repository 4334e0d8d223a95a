"""Payouts under faults of the service, killed and frozen workers, and restarts of the broker.

60 payouts in the suite; `make payouts-long` has 1,000, 60 kills and freezes, and 10 restarts.
"""

from __future__ import annotations

import os
import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from rebate_app.broker import LocalKafka
from tests.chaos.conftest import FAST
from tests.chaos.payout_campaign import BROKER, FREEZE, KILL, PayoutCampaign
from tests.conftest import SEED
from tests.rig.paying import RULES, settings, simulated
from tests.rig.system import System

LONG = bool(os.environ.get("REBATE_PAYOUTS_LONG"))
PAYOUTS = int(os.environ.get("PAYOUTS", "1000" if LONG else "60"))
HARMS = {KILL: 30, FREEZE: 30, BROKER: 10} if LONG else {KILL: 1, FREEZE: 1, BROKER: 1}
WORKERS = 3 if LONG else 2

pytestmark = pytest.mark.chaos


def test_each_is_paid_once_or_not_at_all(chaos_kafka: LocalKafka, topic_prefix: str, tmp_path: Path) -> None:
    """The service's ledger has one transfer for each withdrawal that is paid here, and no other."""
    seed = f"{SEED}:{PAYOUTS}"
    print(f"seed {seed}")
    with simulated(tmp_path) as url, ExitStack() as stack:
        environment = settings(tmp_path, url) | FAST | {"REBATE_PARTITIONS": "4"}
        system = System(chaos_kafka.address, topic_prefix, tmp_path, [RULES], **environment)
        stack.enter_context(system)
        campaign = PayoutCampaign(chaos_kafka, system, url, random.Random(seed))
        campaign.run(PAYOUTS, HARMS, WORKERS)
    assert campaign.harms == HARMS
