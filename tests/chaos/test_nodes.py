"""Single nodes of three that hang: five short rounds by default, `make chaos-nodes` for fifty long ones."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from rebate_app.broker import LocalCluster
from tests.chaos.node_campaign import NodeCampaign
from tests.conftest import SEED
from tests.rig.system import System

ROUNDS_GIVEN = int(os.environ.get("NODE_ROUNDS", "0"))
ROUNDS = ROUNDS_GIVEN or 5
FROZEN_SECONDS = (5.0, 40.0) if ROUNDS_GIVEN else (4.0, 8.0)
LINES, USERS = 80, 15
REPLICATED = {
    "REBATE_REPLICATION_FACTOR": "3",
    "REBATE_MIN_INSYNC_REPLICAS": "2",
    "REBATE_PARTITIONS": "4",
    "REBATE_TRANSACTION_TIMEOUT": "4",
}

pytestmark = pytest.mark.chaos


def test_a_node_hangs_again_and_again(cluster: LocalCluster, topic_prefix: str, tmp_path: Path) -> None:
    """All partitions go on, or the worker ends with 75; at the end audit 0, and balances are the oracle's."""
    seed = f"{SEED}:nodes"
    print(f"seed {seed}")
    rng = random.Random(seed)
    with System(cluster.address, topic_prefix, tmp_path / "system", [], **REPLICATED) as system:
        campaign = NodeCampaign(cluster, system, rng, lines=LINES, users=USERS, frozen_seconds=FROZEN_SECONDS)
        system.use_rules(campaign.rules)
        counts = campaign.run(ROUNDS)
    print(f"counts: {dict(counts)}")
    assert counts["rounds"] == ROUNDS
