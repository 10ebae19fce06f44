"""Both ways of running an engine, in the controller and as a module, return the same."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

COLLECTION = "ansible_collections.multicluster.gloo.plugins.modules"
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "made"}}
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "s", "namespace": "made"},
    "stringData": {"password": "hunter2"},
}
UNDERSCORE = {**NAMESPACE, "metadata": {"name": "not_a_name"}}

# (module, arguments, changed, failed); run one after the other.
TASKS: list[tuple[str, dict[str, Any], bool, bool]] = [
    ("cluster_info", {"kinds": ["apps/Deployment"]}, False, False),
    ("cluster_info", {"expected_uid": "another"}, False, True),
    ("cluster_info", {"context": "nope"}, False, True),
    ("objects", {"definitions": [SECRET, NAMESPACE]}, True, False),
    ("objects", {"definitions": [SECRET, NAMESPACE]}, False, False),
    ("objects", {"definitions": [UNDERSCORE]}, False, True),
    ("objects", {"definitions": []}, False, True),
    ("objects_info", {"objects": [{"api_version": "v1", "kind": "Secret"}], "wait_for": "present"}, False, False),
    (
        "objects_info",
        {"objects": [{"api_version": "v1", "kind": "Pod"}], "wait_for": "present", "wait_timeout": 1},
        False,
        True,
    ),
    ("objects", {"definitions": [SECRET, NAMESPACE], "state": "absent"}, True, False),
]
# What differs between any two servers.
VOLATILE = ("uid", "resourceVersion", "creationTimestamp")
# What Ansible adds around a module or an action plugin.
AROUND = ("invocation", "ansible_facts", "warnings", "deprecations", "exception", "failed", "_ansible_parsed")


def play(folder: Path, tasks: list[dict[str, Any]], kubeconfig: str, *, check: bool = False) -> list[dict[str, Any]]:
    """Results of tasks as a playbook has them; nothing secret and no trace may be in the output."""
    named = [{**task, "register": f"r{index}", "ignore_errors": True} for index, task in enumerate(tasks)]
    results = folder / "results.json"
    content = "{{ [" + ",".join(f"r{index}" for index in range(len(tasks))) + "] | to_json }}"
    named.append({"ansible.builtin.copy": {"content": content, "dest": str(results)}, "check_mode": False})
    defaults = {"group/multicluster.gloo.cluster": {"kubeconfig": kubeconfig, "context": "fake"}}
    book = [{"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": named}]
    path = folder / "play.yml"
    path.write_text(yaml.safe_dump(book), encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(Path(__file__).resolve().parents[4] / ".cache" / "collections"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_ASYNC_DIR": str(folder / "async"),
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", "--diff"]
    command += ["-e", f"ansible_python_interpreter={sys.executable}", *(["--check"] if check else []), str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(results.read_text(encoding="utf-8"))
    return found


def run_module(name: str, arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The result of a module as it prints it, run as ansible-core runs it on a host."""
    module = importlib.import_module(f"{COLLECTION}.{name}")
    capsys.readouterr()
    with patch_module_args({"_ansible_diff": True, **arguments}), pytest.raises(SystemExit):
        module.main()
    printed = capsys.readouterr().out
    assert "hunter2" not in printed.split('"invocation"')[0]
    result: dict[str, Any] = json.loads(printed)
    return result


def tasks_of() -> list[dict[str, Any]]:
    return [{f"multicluster.gloo.{name}": arguments} for name, arguments, _changed, _failed in TASKS]


def comparable(result: dict[str, Any], server: tuple[str, ...]) -> Any:
    """A result without what differs from run to run: UIDs, versions, the server's address, seconds waited."""
    text = json.dumps({key: value for key, value in result.items() if key not in AROUND})
    for value in server:
        text = text.replace(value, "-")
    text = re.sub(r"waited \d+ s", "waited - s", text)

    def without(value: Any) -> Any:
        if isinstance(value, list):
            return [without(item) for item in value]
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items() if key not in VOLATILE}
        return value

    return without(json.loads(text))


def identity(results: list[dict[str, Any]]) -> tuple[str, str]:
    info = results[0]["info"][0]
    return info["server"], info["uid"]


@pytest.fixture
def two(fake: Any, serving: Any, tmp_path: Path) -> Any:
    """A second server beside the fixture's, so that both ways start from the same."""
    (tmp_path / "second").mkdir()
    with serving(tmp_path / "second", "fake", "other") as second:
        yield fake, second


@pytest.mark.slow
def test_module_and_action_plugin_return_the_same(two: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (_api, kubeconfig), (_second, other_kubeconfig) = two
    inside = play(tmp_path, tasks_of(), kubeconfig)
    outside = [
        run_module(name, {"kubeconfig": other_kubeconfig, "context": "fake", **arguments}, capsys)
        for name, arguments, _changed, _failed in TASKS
    ]
    marks = [(*identity(results), config) for results, config in ((inside, kubeconfig), (outside, other_kubeconfig))]
    for task, one, other in zip(TASKS, inside, outside, strict=True):
        assert comparable(one, marks[0]) == comparable(other, marks[1]), task
        for result in (one, other):
            assert (result["changed"], result.get("failed", False)) == task[2:], task
    assert "contexts: fake, other" in inside[2]["msg"] and "definitions is empty" in inside[6]["msg"]


@pytest.mark.slow
def test_check_mode_writes_nothing(fake: Any, tmp_path: Path) -> None:
    api, kubeconfig = fake
    results = play(tmp_path, [tasks_of()[3], tasks_of()[9]], kubeconfig, check=True)
    assert [[record["action"] for record in result["objects"]] for result in results] == [
        ["created", "created"],
        ["absent", "absent"],
    ]
    assert results[0]["changed"] and "namespace made does not exist yet" in results[0]["objects"][0]["reason"]
    assert api.writes() == []


@pytest.mark.slow
def test_async_and_wrong_arguments(fake: Any, tmp_path: Path) -> None:
    tasks = [
        {**tasks_of()[0], "async": 120, "poll": 1},
        {"multicluster.gloo.cluster_info": {"contekst": "x"}},
        {"multicluster.gloo.cluster_info": {}, "environment": {"http_proxy": "http://127.0.0.1:9", "no_proxy": "*"}},
    ]
    later, wrong, environment = play(tmp_path, tasks, fake[1])
    assert later["finished"] and later["info"][0]["cluster"] == "fake"
    assert wrong["failed"] and "contekst" in wrong["msg"]
    assert not environment.get("failed", False)
