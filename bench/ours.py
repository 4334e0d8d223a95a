"""Our own app with the toy's stages in place of the product's: `faust -A bench.ours worker`.

Everything but the two folds is the product's own composition, so the measurement is of its streams engine.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Build the app when Faust asks for it."""
    if name != "app":
        raise AttributeError(name)
    from bench.toy_stages import toy_stages
    from rebate_app.bootstrap import create_app

    app = create_app(make_stages=lambda settings, *_: toy_stages(settings))
    globals()["app"] = app
    return app
