"""The real app where the library of snappy, lz4 and zstd is not installed.

`faust -A tests.rig.without_codecs worker` and `python -m tests.rig.without_codecs doctor`.
"""

from __future__ import annotations

from typing import Any

import aiokafka.codec

aiokafka.codec.cramjam = None  # what aiokafka's own import of it leaves where it is missing


def __getattr__(name: str) -> Any:
    """Build the app when Faust asks for it."""
    if name != "app":
        raise AttributeError(name)
    from rebate_app import app

    return app


if __name__ == "__main__":
    from rebate_app.cli import main

    main()
