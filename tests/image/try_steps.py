"""Carry out deploy/Dockerfile without Docker: `make image-steps` (as root, with REBATE_BROKER).

Builds both stages below a folder with the lock file, then starts the worker and commands as the image's user,
who can write only its data folder. PYTHON: an interpreter that every user can run. What it cannot show is the
base image itself, its user database and the engine's own doing (volumes, health checks on schedule).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rebate_app.broker import free_port
from tests.image.dockerfile import CHECKOUT, Step, copied, environment, only, stages

PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")
#: Folders of the image, which stand below FOLDER here.
FOLDERS = ("/opt/rebate", "/var/lib/rebate", "/app", "/src")
READY_SECONDS_MAX = 90.0


class Image:
    """The image as a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.build, self.final = stages()

    def place(self, text: str) -> str:
        """Return a text with the image's folders replaced by those below the root."""
        for folder in FOLDERS:
            text = text.replace(folder, f"{self.root}{folder}")
        return text

    def make(self) -> None:
        """Carry out both stages."""
        for folder in FOLDERS:
            Path(self.place(folder)).parent.mkdir(parents=True, exist_ok=True)
        source = Path(self.place("/src"))
        source.mkdir()
        for step in self.build:
            self._carry_out(step, source)
        shutil.rmtree(source)  # the second stage has the virtual environment alone
        Path(self.place("/app")).mkdir()
        for step in self.final:
            self._carry_out(step, Path(self.place("/app")))

    def _carry_out(self, step: Step, folder: Path) -> None:
        if step.word == "RUN" and not step.rest.startswith("groupadd"):
            command = self.place(step.rest).replace("python -m venv", f"{PYTHON} -m venv")
            subprocess.run(["/bin/sh", "-ec", command], cwd=folder, check=True)
        for sources, target in copied([step]):
            for source in sources:
                at = folder / self.place(target) / ("" if not target.endswith("/") else source)
                if (CHECKOUT / source).is_dir():
                    shutil.copytree(CHECKOUT / source, at, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(CHECKOUT / source, at)

    def environment(self, port: int) -> dict[str, str]:
        """Return the image's environment and what `docker run -e` adds."""
        given = {name: self.place(value) for name, value in environment(self.final).items()}
        path = given.pop("PATH").replace("$PATH", "/usr/bin:/bin")
        broker = {"REBATE_BROKER": os.environ["REBATE_BROKER"], "REBATE_APP_ID": f"image-{os.getpid()}"}
        return given | broker | {"PATH": path, "REBATE_WEB_PORT": str(port)}

    def command(self, words: list[str]) -> list[str]:
        """Return a command line that runs as the image's user."""
        user, _, group = only(self.final, "USER").rest.partition(":")
        return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs", *words]


def main(root: Path) -> int:
    """Build, run and end everything; return an exit code."""
    image = Image(root)
    image.make()
    environment, cwd = image.environment(free_port()), Path(image.place("/app"))

    def run(*words: str) -> int:
        print("$", " ".join(words)[:100], flush=True)
        return subprocess.run(image.command([*words]), env=environment, cwd=cwd, check=False).returncode

    worker = subprocess.Popen(
        image.command(only(image.final, "CMD").command), env=environment, cwd=cwd, stderr=subprocess.STDOUT
    )
    health = only(image.final, "HEALTHCHECK").command
    codes = {}
    try:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while (code := run(*health)) and time.monotonic() < deadline and worker.poll() is None:
            time.sleep(1)
        codes["health"] = code
        url = f"http://127.0.0.1:{environment['REBATE_WEB_PORT']}"
        environment["REBATE_URL"] = url
        for command in ("doctor", "lag", "--help"):
            codes[command] = run("rebate", command)
        codes["write elsewhere"] = int(run("touch", image.place("/app/x")) == 0)
    finally:
        worker.terminate()
        codes["worker"] = worker.wait(15)
    print(codes)
    return int(any(codes.values()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
