"""Free ports: none is handed out twice while there is another."""

from __future__ import annotations

import pytest

from rebate_app.broker import BrokerError, ports


class TestFreePort:
    """`free_port`."""

    def test_each_is_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody listens on them yet; once all were handed out, they are handed out again."""
        monkeypatch.setattr(ports, "_returned", set())
        monkeypatch.setattr(ports, "is_free", lambda port: port % 2 == 0)
        monkeypatch.setattr(ports, "FREE_PORT_MAX", ports.FREE_PORT_MIN + 20)
        assert len({ports.free_port() for _ in range(10)}) == 10
        assert len({ports.free_port() for _ in range(10)}) == 10

    def test_none_is_free(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is said, also after some were handed out."""
        monkeypatch.setattr(ports, "_returned", {ports.FREE_PORT_MIN})
        monkeypatch.setattr(ports, "is_free", lambda _port: False)
        monkeypatch.setattr(ports, "FREE_PORT_MAX", ports.FREE_PORT_MIN + 3)
        with pytest.raises(BrokerError, match="is free"):
            ports.free_port()
