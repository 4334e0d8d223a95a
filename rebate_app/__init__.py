"""A Taoke (CPS cashback) rebate backend: order lines in, every user's balance out, exactly once."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """Build the app when `faust -A rebate_app` asks for it, and not when a module is imported."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    composition = import_module("rebate_app.bootstrap")  # by name: no room may import the root
    try:
        app = composition.create_app()
    except composition.ConfigurationError as error:
        print(f"rebate: {error}", file=sys.stderr)  # noqa: T201 - there is no log yet
        sys.exit(composition.EXIT_CONFIGURATION)
    globals()["app"] = app
    return app
