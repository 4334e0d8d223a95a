"""The commands: `rebate …`, and the demonstration behind `make run`.

Law: results on stdout, progress and errors on stderr, honest exit codes, never a traceback.
"""

from .root import main

__all__ = ["main"]
