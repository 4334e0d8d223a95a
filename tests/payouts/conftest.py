"""Keys of the simulated payment services, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.simulators.payouts.keys import make_keys


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with keys and certificates."""
    folder = tmp_path_factory.mktemp("payment-keys")
    make_keys(folder)
    return folder
