"""Files for deployment: valid by the schemas of their systems, and in agreement with the product."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from rebate_app.settings import PREFIX, Settings, load_settings

CHECKOUT = Path(__file__).parents[2]
DEPLOY = CHECKOUT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
UNIT = DEPLOY / "systemd" / "rebate-worker@.service"
KUBERNETES_VERSIONS = ("1.31", "1.34")
NAME = re.compile(rf"\b{PREFIX}[A-Z_]+\b")
#: Read by make-secrets.sh itself, and no setting.
OTHERS = {"REBATE_PORT"}


def documents(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield every document of every YAML file in a folder."""
    for path in sorted(folder.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield path.name, document


OBJECTS = [(name, each) for name, each in documents(KUBERNETES) if name != "kustomization.yaml"]
WORKERS = next(each for _, each in OBJECTS if each["kind"] == "StatefulSet")
CONTAINER = WORKERS["spec"]["template"]["spec"]["containers"][0]
CONFIG = next(each for _, each in OBJECTS if each["kind"] == "ConfigMap")["data"]


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize(("name", "document"), OBJECTS, ids=[f"{n}-{d['kind']}" for n, d in OBJECTS])
def test_kubernetes_takes_it(name: str, document: Any, version: str) -> None:
    """Strictly: an unknown member is a misspelt one."""
    del name
    kubernetes_validate.validate(document, version, strict=True)


def test_everything_is_applied() -> None:
    """The kustomization names each file but the example, which holds no secret."""
    (kustomization,) = [each for name, each in documents(KUBERNETES) if name == "kustomization.yaml"]
    files = {path.name for path in KUBERNETES.glob("*.yaml")}
    assert set(kustomization["resources"]) == files - {"kustomization.yaml", "secrets.example.yaml"}
    (example,) = [each for name, each in OBJECTS if each["metadata"]["name"] == "rebate-keys"]
    assert set(re.findall(r'sha256 = "(.*)"', example["stringData"]["keys.toml"])) == {"0" * 64}


def test_names_belong_together() -> None:
    """Selectors, volumes, secrets and ports name what there is."""
    labels = WORKERS["spec"]["template"]["metadata"]["labels"]
    for _, each in OBJECTS:
        spec = each.get("spec", {})
        selector = spec.get("selector", spec.get("podSelector", {}))
        wanted = selector.get("matchLabels", selector)
        assert wanted.items() <= labels.items(), each["metadata"]["name"]
    pod = WORKERS["spec"]["template"]["spec"]
    volumes = {
        each["name"]
        for each in pod["volumes"] + [c["metadata"] for c in WORKERS["spec"]["volumeClaimTemplates"]]
    }
    assert {each["name"] for each in CONTAINER["volumeMounts"]} == volumes
    secrets = {each["metadata"]["name"] for _, each in OBJECTS if each["kind"] == "Secret"}
    assert {each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each} <= secrets
    ports = {each["name"] for each in CONTAINER["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert CONTAINER[probe]["httpGet"]["port"] in ports
        assert CONTAINER[probe]["httpGet"]["scheme"] == "HTTPS"
    assert CONTAINER["ports"][0]["containerPort"] == int(CONFIG["REBATE_WEB_PORT"])


def test_nothing_runs_with_more_than_it_needs() -> None:
    """No root, no writable root file system, no capability, no token of the cluster; memory is bounded."""
    pod = WORKERS["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} <= CONTAINER["resources"].keys()


def test_a_worker_takes_the_settings_of_the_pod() -> None:
    """Authentication and TLS on, an address that other pods reach, and every name a setting."""
    own = {each["name"]: each.get("value", "a:" + "s" * 40) for each in CONTAINER["env"]}
    own["REBATE_ADVERTISED_URL"] = own["REBATE_ADVERTISED_URL"].replace("$(POD_NAME)", "rebate-0")
    settings = load_settings({name: text for name, text in {**CONFIG, **own}.items() if name != "POD_NAME"})
    assert settings.auth_required
    assert settings.own_url == "https://rebate-0.rebate-workers:6066"
    service = WORKERS["spec"]["serviceName"]
    assert f".{service}:" in settings.own_url


@pytest.mark.parametrize("path", sorted(p for p in DEPLOY.rglob("*") if p.is_file()), ids=lambda p: p.name)
def test_every_setting_is_one(path: Path) -> None:
    """A misspelt setting would end the worker with 78, where nobody has tried it."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    named = set(NAME.findall(path.read_text(encoding="utf-8")))
    assert {each.removesuffix("_FILE") for each in named} - known - OTHERS <= {"REBATE_"}


def test_the_unit_is_one() -> None:
    """By systemd's own judgement, apart from programs and users that only the target machine has."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed here")
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(UNIT)], capture_output=True, text=True, check=False
    )
    of_ours = [line for line in done.stderr.splitlines() if UNIT.name in line or "rebate-worker@" in line]
    assert [
        line for line in of_ours if "is not executable" not in line and "Failed to create" not in line
    ] == []


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """The script's key is one that workers take; a second run changes nothing; nobody else can read them."""
    folder = tmp_path / "secrets"
    environment = {**os.environ, "REBATE": f"{Path(sys.executable).parent}/rebate"}
    kept: dict[str, bytes] = {}
    for _ in range(2):
        done = subprocess.run(
            [DEPLOY / "make-secrets.sh", folder], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "1 keys, no problem" in done.stdout
        files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert not kept or kept == files
        kept = files
    assert {path.stat().st_mode & 0o077 for path in folder.rglob("*")} == {0}
    load_settings(
        {
            "REBATE_KEYS": str(folder / "keys" / "keys.toml"),
            "REBATE_CLUSTER_SECRET_FILE": str(folder / "cluster_secret"),
            "REBATE_TOKEN_FILE": str(folder / "operators.token"),
            "REBATE_WEB_CERT": str(folder / "tls.crt"),
            "REBATE_WEB_KEY": str(folder / "tls.key"),
        }
    )


def test_compose_names_files_that_are_made() -> None:
    """Each secret of compose.yaml is one of the script's; its workers differ in URL and disk only."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    script = (DEPLOY / "make-secrets.sh").read_text(encoding="utf-8")
    for each in compose["secrets"].values():
        assert f"$folder/{Path(each['file']).name}" in script
    workers = [compose["services"][name] for name in ("worker-1", "worker-2")]
    urls = [each["environment"]["REBATE_ADVERTISED_URL"] for each in workers]
    assert urls == ["https://worker-1:6066", "https://worker-2:6066"]
    assert all(f"DNS:{name}" in script for name in ("worker-1", "worker-2"))
