"""deploy/Dockerfile, as far as it can be shown without Docker; `make image-steps` carries all of it out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rebate_app.settings import PREFIX, Settings
from tests.image.dockerfile import CHECKOUT, copied, environment, only, stages
from tests.test_lock_files import BUILD, RUNTIME, locked

BUILD_STAGE, IMAGE = stages()
LOCK = "requirements-runtime.lock"


def is_let_through(source: str) -> bool:
    """Whether deploy/Dockerfile.dockerignore leaves a path in the build's context."""
    text = (CHECKOUT / "deploy" / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    through = True
    for line in (line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"):
        if fnmatch(source, line.removeprefix("!")):
            through = line.startswith("!")
    return through


def needed(wanted: list[Requirement]) -> set[str]:
    """Return the packages that these requirements lead to, as they are installed here."""
    found: set[str] = set()
    waiting = [(canonicalize_name(want.name), frozenset(want.extras)) for want in wanted]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        found.add(name)
        try:
            texts = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # of another platform
            continue
        for each in map(Requirement, texts):
            applies = each.marker is None or any(
                each.marker.evaluate({"extra": extra}) for extra in ("", *extras)
            )
            step = (canonicalize_name(each.name), frozenset(each.extras))
            if applies and step not in seen:
                seen.add(step)
                waiting.append(step)
    return found


class TestRecipe:
    """What the recipe names exists, and what the image needs is in it."""

    def test_every_copied_source_exists_and_reaches_the_build(self) -> None:
        """A file that is renamed, or left out by .dockerignore, is noticed."""
        sources = [source for stage in (BUILD_STAGE, IMAGE) for group, _ in copied(stage) for source in group]
        assert len(sources) >= 8
        assert [source for source in sources if not (CHECKOUT / source).exists()] == []
        assert [source for source in sources if not is_let_through(source)] == []
        assert not is_let_through("tests")
        assert not is_let_through(".rebate")

    def test_every_package_of_ours_is_copied(self) -> None:
        """What pyproject.toml installs has to be there to be installed."""
        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
        roots = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
        assert roots <= {source for group, _ in copied(BUILD_STAGE) for source in group}

    def test_the_lock_has_runtime_packages_only(self) -> None:
        """By hash, and nothing that only develops or tests."""
        runs = [step.rest for step in BUILD_STAGE if step.word == "RUN"]
        assert any(f"--no-deps --require-hashes -r {LOCK}" in run for run in runs)
        others = {"colorama"}  # Windows alone, by its marker
        assert set(locked(LOCK)) - needed(RUNTIME + BUILD) - others == set()

    def test_nothing_needs_to_be_mounted(self) -> None:
        """Rules are in it, the data folder is a volume of the user's, every variable is a setting."""
        given = environment(IMAGE)
        ours = {name.removeprefix(PREFIX).lower() for name in given if name.startswith(PREFIX)}
        assert ours <= set(Settings.model_fields)
        assert (["rules"], given["REBATE_RULES"]) in copied(IMAGE)
        assert any((CHECKOUT / "rules").glob("*.toml"))
        data = given["REBATE_DATADIR"]
        assert only(IMAGE, "VOLUME").words == [data]
        user, group = only(IMAGE, "USER").rest.split(":")
        assert f"install -d -m 0700 -o {user} -g {group} {data}" in [step.rest for step in IMAGE]

    def test_nothing_runs_as_root(self) -> None:
        """By number, so that platforms can see that it is not root; no step after it needs more."""
        words = [step.word for step in IMAGE]
        assert re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", only(IMAGE, "USER").rest)
        assert {"RUN", "COPY"}.isdisjoint(words[words.index("USER") :])

    def test_a_command_takes_the_workers_place(self) -> None:
        """Without an entrypoint `docker run IMAGE rebate …` is that command; exec form brings signals."""
        assert "ENTRYPOINT" not in [step.word for step in IMAGE]
        assert only(IMAGE, "CMD").command == ["faust", "-A", "rebate_app", "worker", "-l", "info"]

    def test_compose_uses_it_as_it_is(self) -> None:
        """Read-only, without other mounts than the volume, with the image's own health check."""
        text = (CHECKOUT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
        data = environment(IMAGE)["REBATE_DATADIR"]
        assert re.findall(r'volumes: \["worker-(\d)-data:([^"]*)"', text) == [("1", data), ("2", data)]
        shared, _, services = text.partition("services:")
        assert "read_only: true" in shared
        worker = shared + services[services.index("worker-1:") :]
        assert re.findall(r"^ *(healthcheck|entrypoint|command):", worker, re.MULTILINE) == []


class TestHealth:
    """The image's health check, run as the engine would."""

    @pytest.fixture(params=[200, 503])
    def answering(self, request: pytest.FixtureRequest) -> Iterator[tuple[int, int, list[str]]]:
        """Return port, status and the paths that were requested of a server."""
        paths: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                paths.append(self.path)
                self.send_response(request.param)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            yield server.server_address[1], request.param, paths
            server.shutdown()
            thread.join(5)

    def test_it_is_readiness(self, answering: tuple[int, int, list[str]]) -> None:
        """0 when /readyz is 200 at the port of REBATE_WEB_PORT, else not; no proxy is used."""
        port, status, paths = answering
        _, *arguments = only(IMAGE, "HEALTHCHECK").command
        done = subprocess.run(
            [sys.executable, *arguments],
            env={"REBATE_WEB_PORT": str(port), "http_proxy": "http://127.0.0.1:9", "PATH": ""},
            check=False,
            timeout=30,
        )
        assert (done.returncode == 0) == (status == 200)
        assert paths == ["/readyz"]


class TestContent:
    """The package as the image has it: installed from the copied sources, run in an empty folder."""

    @pytest.fixture(scope="module")
    @staticmethod
    def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Install the copied sources into a folder, without the network."""
        root = tmp_path_factory.mktemp("image")
        for group, target in copied(BUILD_STAGE):
            for source in group:
                at = root / "src" / target / ("" if (CHECKOUT / source).is_dir() else source)
                at.parent.mkdir(parents=True, exist_ok=True)
                if (CHECKOUT / source).is_dir():
                    shutil.copytree(CHECKOUT / source, at, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(CHECKOUT / source, at)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--no-deps", "--no-build-isolation", "--no-index", "--target", root / "lib", root / "src"],
            check=True,
            timeout=120,
        )
        shutil.rmtree(root / "src")
        (root / "app").mkdir()
        shutil.copytree(CHECKOUT / "rules", root / "app" / "rules")
        return root

    def run(self, installed: Path, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the image does."""
        path = f"{installed / 'lib' / 'bin'}:{Path(sys.executable).parent}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        settings = {
            "REBATE_RULES": str(installed / "app" / "rules"),
            "REBATE_DATADIR": str(installed / "data"),
            "REBATE_BROKER": "127.0.0.1:9",
        }
        return subprocess.run(
            command,
            cwd=installed / "app",
            env=kept | settings | {"PYTHONPATH": str(installed / "lib"), "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @pytest.mark.slow
    def test_the_worker_starts_and_names_the_broker(self, installed: Path) -> None:
        """All it lacks is a broker: exit code 69 and one sentence."""
        done = self.run(installed, *only(IMAGE, "CMD").command)
        assert done.returncode == 69, done.stderr
        assert "no Kafka broker answers at 127.0.0.1:9" in done.stderr
        assert "Traceback" not in done.stderr

    def test_commands_start(self, installed: Path) -> None:
        """`rebate` is on the path; doctor finds the rules and misses the broker."""
        done = self.run(installed, "rebate", "doctor")
        assert done.returncode == 69, done.stderr
        assert re.search(r"^ok +rules +\d+ versions", done.stdout, re.MULTILINE)

    def test_it_is_this_installation_with_its_data(self, installed: Path) -> None:
        """Not the checkout; files beside the modules are in the package."""
        code = (
            "import rebate_app, agents, tables; from rebate_app.broker.jars import pinned_hashes;"
            "from rebate_app.broker import member; print(rebate_app.__file__, len(pinned_hashes()) > 9,"
            "member._LOG4J.exists())"
        )
        done = self.run(installed, "python", "-c", code)
        assert done.stdout.split() == [str(installed / "lib/rebate_app/__init__.py"), "True", "True"], (
            done.stderr
        )
