"""Canaries for licences, tokens and values, searched in everything that a run of helm_release shows or leaves."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_helm import FakeHelm

Json = dict[str, Any]
REPO = Path(__file__).resolve().parents[4]
LICENCE, TOKEN, VALUE = "canary-licence-77d1", "canary-token-77d1", "canary-value-77d1"
CANARIES = [LICENCE, TOKEN, VALUE, *(base64.b64encode(each.encode()).decode() for each in (LICENCE, TOKEN, VALUE))]
# Secrets by the names of their fields; those in the environment of Ansible are not for helm.
VALUES: Json = {"licensing": {"glooMeshLicenseKey": LICENCE}, "agent": {"token": TOKEN, "level": "info"}}
LICENCES = ("GLOO_MESH_LICENSE_KEY", "GLOO_GATEWAY_LICENSE_KEY")
RELEASE = {"name": "edge", "namespace": "team", "chart": "oci://registry.example/edge", "version": "1.0.0"}
TASKS: dict[str, Json] = {
    "it succeeds": {},
    "helm fails with the values in its message": {},
    "the difference is shown": {"check_mode": True},
    "an argument is wrong": {"timeout": "soon"},
    "an option is unknown": {"licence": LICENCE},
    "the values are no dictionary": {"values": f"licensing {LICENCE}"},
    "helm is missing": {"binary_path": "/nowhere/helm"},
}


def found(text: str) -> list[str]:
    """Lines with a canary."""
    return [line for line in text.splitlines() if any(each in line for each in CANARIES)]


@pytest.mark.slow
@pytest.mark.parametrize("case", TASKS)
def test_no_canary_is_shown_or_left(fake: Any, tmp_path: Path, case: str) -> None:
    api, kubeconfig = fake
    api.write("v1", "namespaces", "", {"metadata": {"name": "team"}})
    access = yaml.safe_load(Path(kubeconfig).read_text())
    for user in access["users"]:
        user["user"]["token"] = TOKEN
    Path(kubeconfig).write_text(yaml.safe_dump(access))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    helm = FakeHelm(tmp_path / "helm", "fails" if case.startswith("helm fails") else "ends", temporary)
    options = {**RELEASE, "values": VALUES, "binary_path": str(helm.path), **TASKS[case]}
    check = bool(options.pop("check_mode", False))
    task = {"multicluster.gloo.helm_release": options, "check_mode": check, "register": "done", "ignore_errors": True}
    shown = {"ansible.builtin.debug": {"var": "done"}}
    defaults = {"group/multicluster.gloo.cluster": {"kubeconfig": kubeconfig, "context": "fake"}}
    play = [{"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": [task, shown]}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    environment = {
        **os.environ,
        **dict.fromkeys(LICENCES, LICENCE),
        "TMPDIR": str(temporary),
        "ANSIBLE_COLLECTIONS_PATH": str(REPO / ".cache" / "collections"),
        "ANSIBLE_HOME": str(tmp_path / "home"),
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local"]
    command += ["-vvv", "--diff", "-e", json.dumps({"ansible_python_interpreter": sys.executable}), "play.yml"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert found(done.stdout + done.stderr) == []
    assert "Traceback" not in done.stdout + done.stderr
    assert ("fatal: " in done.stdout) is (case not in ("it succeeds", "the difference is shown"))
    left = [each for folder in (temporary, tmp_path / "home") for each in folder.rglob("*") if each.is_file()]
    assert [each for each in left if found(each.read_text(errors="replace"))] == []
    for record in helm.records():
        # The values and the kubeconfig reach helm, and nothing else does.
        assert not record["values"] or json.loads(record["values"]) == VALUES
        assert TOKEN in record["kubeconfig"]
        shown_to_all = [" ".join(words) for words in record["commands"].values()]
        for pid, words in record["commands"].items():
            if str(helm.path) in words:  # helm and its guard
                shown_to_all += record["environments"][pid]
        assert found("\n".join(shown_to_all)) == []
        assert [each for each in record["files"] if Path(each).is_file() and found(Path(each).read_text())] == []
    if case == "it succeeds":
        assert [each for each in helm.records() if each["values"]] != []
