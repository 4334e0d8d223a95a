"""Fetch from three simulated networks into the broker of `make run`, and print what comes of it.

    make run               # in one terminal
    make sources-demo      # in another

Nothing here was tried against the real services.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from .server import NETWORKS, fast_clock, new_network, serving

DAYS = 3
ROWS = 40
TABLES = """
[[app]]
id = "{name}-app"
network = "{name}"
url = "{url}"
app_key = "key"
secret_file = "secret"
per_second = 50
[[account]]
id = "{name}-demo"
app = "{name}-app"
since = {since}
"""


def main() -> int:
    """Serve the networks, run the commands, and return 0 if all of them did."""
    begin = int(time.time()) - DAYS * 86_400
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin))
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        (folder / "secret").write_text("secret", encoding="utf-8")
        tables = []
        for name in NETWORKS:
            network = new_network(name, ROWS, begin, DAYS)
            url = stack.enter_context(serving(network, fast_clock(time.time(), 1)))
            tables.append(TABLES.format(name=name, url=url, since=since))
        file = folder / "sources.toml"
        file.write_text("".join(tables), encoding="utf-8")
        print("Three networks are simulated; nothing was tried against the real services.", flush=True)
        return run(file)


def run(file: Path) -> int:
    """Run the commands with this file of sources."""
    environment = os.environ | {"REBATE_SOURCES": str(file)}
    for words in (
        ("sources", "check"),
        ("sources", "poll", "--once"),
        ("lag", "--wait", "60"),
        ("users", "balance", "--all"),
    ):
        print("\n$ rebate " + " ".join(words), flush=True)
        done = subprocess.run([sys.executable, "-m", "rebate_app.cli", *words], env=environment, check=False)  # noqa: S603
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
