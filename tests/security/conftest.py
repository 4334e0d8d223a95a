"""One secured broker for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.security.secured import SecuredKafka, secured_kafka


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """Run a broker with a SASL_SSL listener, on which nobody may do anything yet."""
    with secured_kafka(tmp_path_factory.mktemp("secured")) as broker:
        yield broker
