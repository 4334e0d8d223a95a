"""The real app as a worker of a later generation: `faust -A tests.rig.later_generation worker`."""

from __future__ import annotations

from typing import Any

from rebate_app.streams.faust import assignor

vars(assignor)["GENERATION"] += 1


def __getattr__(name: str) -> Any:
    """Build the app when Faust asks for it."""
    if name != "app":
        raise AttributeError(name)
    from rebate_app import app

    return app
