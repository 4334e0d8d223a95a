"""A Taoke (CPS cashback) rebate backend: order lines in, every user's balance out, exactly once."""

from __future__ import annotations

import sys
from typing import Any


def __getattr__(name: str) -> Any:
    """Build the app when `faust -A rebate_app` asks for it, and not when a module is imported."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rebate_app.composition import create_app
    from rebate_app.settings import EXIT_CONFIGURATION, ConfigurationError

    try:
        app = create_app()
    except ConfigurationError as error:
        print(f"rebate: {error}", file=sys.stderr)  # noqa: T201 - there is no log yet
        sys.exit(EXIT_CONFIGURATION)
    globals()["app"] = app
    return app
