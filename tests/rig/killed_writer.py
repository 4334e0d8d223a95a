"""The real app, whose writer of the audit trail kills its process between the last record and the commit.

`faust -A tests.rig.killed_writer worker`: once the file REBATE_TEST_GATE exists, the next transaction of the
web server is not committed, although every record of it is acknowledged: SIGKILL.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from rebate_app.audit_trail.writer import TrailWriter

GATE = os.environ["REBATE_TEST_GATE"]

send = TrailWriter._send


async def send_and_die(self: TrailWriter, *arguments: Any) -> Any:
    """Send as the original; end the process where the gate is open."""
    places = await send(self, *arguments)
    if os.path.exists(GATE):  # noqa: ASYNC240, PTH110
        os.kill(os.getpid(), signal.SIGKILL)
    return places


TrailWriter._send = send_and_die  # type: ignore[method-assign, assignment]


def __getattr__(name: str) -> Any:
    """Build the app when Faust asks for it."""
    if name != "app":
        raise AttributeError(name)
    from rebate_app import app

    return app
