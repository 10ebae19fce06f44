"""The Lease of a run of Ansible: one for all its tasks and hosts, given back at its end, however it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

Json = dict[str, Any]
REPO = Path(__file__).resolve().parents[4]
PLACE = ("coordination.k8s.io/v1", "leases", "team", "multicluster.gloo")
VALUE = "{{ lookup('multicluster.gloo.site_lease', hostvars | multicluster.gloo.inventory_clusters(groups)) }}"


class Runs:
    """An API server as management and workload clusters, and plays on it."""

    def __init__(self, api: Any, kubeconfig: str, folder: Path) -> None:
        self.api, self.folder = api, folder
        api.kinds["coordination.k8s.io/v1"] = {"leases": ("Lease", True)}
        api.write("v1", "namespaces", "", {"metadata": {"name": "team"}})
        hosts: Json = {"management": {"hosts": {"mgmt": None}}, "workload": {"hosts": {"c1": None, "c2": None}}}
        variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        variables |= {"kubeconfig": kubeconfig, "kube_context": "fake", "site_lease_namespace": "team"}
        (folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"vars": variables, "children": hosts}}))

    def play(self, name: str, *tasks: Json, **options: Any) -> subprocess.Popen[str]:
        """A started play on all clusters."""
        play = {"hosts": "all", "gather_facts": False, "environment": {"MULTICLUSTER_GLOO_LEASE": VALUE}}
        (self.folder / name).write_text(yaml.safe_dump([{**play, "tasks": list(tasks), **options}]))
        return self.start(str(self.folder / name))

    def start(self, playbook: str, *words: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(REPO / ".cache" / "collections"),
            "ANSIBLE_HOME": str(self.folder / "home"),
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self.folder / "inventory.yml")]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen([*command, playbook, *words], env=environment, cwd=self.folder, **pipes)

    @property
    def holder(self) -> str | None:
        lease = self.api.get(*PLACE)
        return lease["spec"]["holderIdentity"] if lease else None

    def of_others(self) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
        meta = {"name": PLACE[3], "labels": {"app.kubernetes.io/managed-by": "multicluster.gloo"}}
        spec = {"holderIdentity": "bob on build8 (site.yml)", "leaseDurationSeconds": 600, "renewTime": now}
        self.api.write(*PLACE[:3], {"metadata": meta, "spec": {**spec, "acquireTime": now}})


@pytest.fixture
def runs(fake: Any, tmp_path: Path) -> Runs:
    api, kubeconfig = fake
    return Runs(api, kubeconfig, tmp_path)


def write(name: str) -> Json:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "team"}, "data": {"k": "v"}}
    options = {"kubeconfig": "{{ kubeconfig }}", "context": "{{ kube_context }}", "definitions": [obj], "wait": False}
    return {"multicluster.gloo.objects": options}


def wait_until(condition: Any, what: str) -> None:
    end = time.monotonic() + 280
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


RELEASE = {"multicluster.gloo.site_lease": {"state": "released"}, "run_once": True}


@pytest.mark.slow
def test_tasks_and_hosts_of_a_run_share_the_lease(runs: Runs) -> None:
    run = runs.play("change.yml", write("{{ inventory_hostname }}"), write("second-{{ inventory_hostname }}"), RELEASE)
    output = run.communicate(timeout=300)[0]
    assert run.returncode == 0, output
    leases = [(verb, path) for verb, path in runs.api.writes() if "leases" in path]
    # The hosts begin at once: those that come second find the Lease of their run.
    assert leases[0][0] == "POST" and leases[-1][0] == "DELETE" and runs.holder is None
    assert runs.api.writes()[0] == leases[0]
    again = runs.play("again.yml", write("{{ inventory_hostname }}"), RELEASE)
    written = runs.api.writes()
    output = again.communicate(timeout=300)[0]
    assert again.returncode == 0 and "changed=0" in output, output
    assert runs.api.writes() == written  # no write, no Lease


@pytest.mark.slow
@pytest.mark.share
@pytest.mark.parametrize("ends", ["failed", "killed"])
def test_a_run_that_fails_or_is_killed_gives_it_back(runs: Runs, ends: str) -> None:
    wait = {"ansible.builtin.wait_for": {"path": str(runs.folder / "go"), "timeout": 200}, "when": ends == "killed"}
    run = runs.play("change.yml", write("m"), wait, {"ansible.builtin.fail": {"msg": "the end"}})
    wait_until(lambda: runs.holder is not None or run.poll() is not None, "taken")
    if ends == "killed":
        assert runs.holder is not None and runs.holder.endswith("(change.yml)")
        run.kill()
    output = run.communicate(timeout=300)[0]
    assert run.returncode != 0
    wait_until(lambda: runs.holder is None, f"given back: {output}")
    assert [verb for verb, path in runs.api.writes() if "leases" in path][-1] == "DELETE"


@pytest.mark.slow
def test_a_second_run_is_refused_before_its_first_write(runs: Runs) -> None:
    runs.of_others()
    run = runs.play("change.yml", write("m"))
    output = " ".join(run.communicate(timeout=300)[0].split())
    assert run.returncode != 0 and runs.api.writes() == []
    assert "Lease team/multicluster.gloo: bob on build8 (site.yml) has been changing this site since 20" in output
    assert runs.holder == "bob on build8 (site.yml)"


@pytest.mark.slow
@pytest.mark.share
@pytest.mark.parametrize("words", [(), ("--limit", "c2"), ("--tags", "gateway"), ("--check",)], ids=" ".join)
def test_the_playbooks_wait_for_the_other_run(runs: Runs, words: tuple[str, ...]) -> None:
    runs.of_others()
    run = runs.start(str(REPO / "playbooks/lease.yml"), "-e", json.dumps({"site_lease_wait": 1}), *words)
    output = " ".join(run.communicate(timeout=300)[0].split())
    assert ("bob on build8 (site.yml) has been changing this site" in output) is (words != ("--check",)), output
    assert (run.returncode == 0) is (words == ("--check",)), output
    assert "Traceback" not in output and runs.api.writes() == []
