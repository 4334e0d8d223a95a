"""`make mutants`: plants each mutation in a copy of the checkout, and proves that a test fails there.

First the same tests run in an unchanged copy, where they have to pass; a mutant that survives ends this
with 1. The copies share one Kafka.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.kafka_fixture import CHECKOUT, JARS_HOME, SHARED_OVERRIDES, guarded, start_on_a_free_port
from tests.mutants.catalogue import MUTATIONS, Mutation

COPIED = ("rebate_app", "agents", "tables", "tests", "rules", "pyproject.toml")
PASSED, FAILED = 0, 1  # exit codes of pytest; any other means that it could not run
SECONDS_MAX = 600  # a mutant that hangs is caught; a machine that is shared is no mutant


def copy_to(folder: Path, mutation: Mutation | None) -> None:
    """Copy what the tests need, with the mutation in it."""
    for name in COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    (folder / ".rebate").mkdir()
    (folder / ".rebate" / "kafka").symlink_to(JARS_HOME)
    for change in mutation.changes if mutation else ():
        path = folder / change.file
        path.write_text(path.read_text(encoding="utf-8").replace(change.old, change.new), encoding="utf-8")


def run_tests(tests: list[str], mutation: Mutation | None, environment: Mapping[str, str]) -> tuple[int, str]:
    """Return pytest's exit code and its last line."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy_to(Path(folder), mutation)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return FAILED, f"{tests[0]} hangs"
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    lines = failed or done.stdout.splitlines() or [done.stderr]
    return done.returncode, lines[-1]


def prove(environment: Mapping[str, str]) -> int:
    """Return how many mutants survive."""
    code, last_line = run_tests(sorted({each.caught_by for each in MUTATIONS}), None, environment)
    print(f"unchanged: {last_line}")
    if code != PASSED:
        return len(MUTATIONS)
    survivors = 0
    for mutation in MUTATIONS:
        code, last_line = run_tests([mutation.caught_by], mutation, environment)
        survivors += code != FAILED
        print(f"{'caught' if code == FAILED else 'SURVIVED'}: {mutation.name}: {last_line}", flush=True)
    return survivors


def main() -> int:
    """Return 0 when every mutant is caught."""
    folder = Path(tempfile.mkdtemp(prefix="mutants-kafka-"))
    with guarded(folder):
        broker = start_on_a_free_port(folder, SHARED_OVERRIDES)
        try:
            survivors = prove(os.environ | {"REBATE_TEST_BROKER": broker.address})
        finally:
            broker.stop()
    shutil.rmtree(folder, ignore_errors=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
