"""The commands: `rebate …`, and the demonstration behind `make run`.

Results go to stdout, progress and errors to stderr; errors have an exit code and never a traceback.
"""

from .root import main

__all__ = ["main"]
