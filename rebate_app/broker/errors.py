"""Errors of the local broker, each with one sentence that names the remedy.

The message is printed as it is; `exit_code` is what a command ends with.
"""

from __future__ import annotations

from typing import ClassVar


class BrokerError(Exception):
    """The broker does not start, does not answer, or its port is taken."""

    exit_code: ClassVar[int] = 69


class BrokerBusyError(BrokerError):
    """It may work next time: a download failed, or another process holds the folder for too long."""

    exit_code: ClassVar[int] = 75


class BrokerSetupError(BrokerError):
    """Something has to be installed or set first: Java, Maven, a folder that can be written."""

    exit_code: ClassVar[int] = 78
