"""The examples in the modules' documentation run unchanged, with the same result as action plugin and as module.

Every task of every EXAMPLES runs on the deployed lab: in the controller (action plugin), then as a module (async).
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from acceptance.site import REPO, Site

MODULES = sorted(path.stem for path in (REPO / "plugins" / "modules").glob("*.py"))
Json = dict[str, Any]

#: What differs from run to run although nothing else does.
VOLATILE = {"requests", "requests_sent", "writes", "seconds", "time", "count", "sent", "resourceVersion", "diff"}
VOLATILE |= {"size", "files", "failures", "failed_requests", "longest_gap"}
#: What Ansible adds around a task's result.
AROUND = {"invocation", "failed", "warnings", "stdout", "stdout_lines", "stderr", "stderr_lines"}
AROUND |= {"ansible_job_id", "results_file", "started", "finished", "ansible_async_watchdog_pid"}


def examples(module: str) -> list[Json]:
    """The tasks of a module's EXAMPLES."""
    source = ast.parse((REPO / "plugins" / "modules" / f"{module}.py").read_text())
    for node in source.body:
        if isinstance(node, ast.Assign) and [getattr(t, "id", "") for t in node.targets] == ["EXAMPLES"]:
            tasks: list[Json] = yaml.safe_load(ast.literal_eval(node.value))
            return tasks
    raise AssertionError(f"{module} has no EXAMPLES")


def of_this_lab(site: Site, tasks: list[Json]) -> list[Json]:
    """The tasks with what no documentation can know: this cluster's UID and the gateway's address."""
    system = site.get(site.gateway_cluster, "/api/v1/namespaces/kube-system")
    gateway = site.get(site.gateway_cluster, "/api/v1/namespaces/gloo-system/services/http")
    assert system is not None and gateway is not None
    address = gateway["status"]["loadBalancer"]["ingress"][0]["ip"]
    text = json.dumps(tasks).replace("192.0.2.10", address)
    text = re.sub(r'("expected_uid": )"[^"]*"', rf'\1"{system["metadata"]["uid"]}"', text)
    text = re.sub(r'oci://[^"]*/charts/', f"{REPO}/lab/vendor/charts/", text)
    found: list[Json] = json.loads(text)
    for task in found:
        if "multicluster.gloo.helm_release" in task:  # its releases are those of the site that the other tests use
            task["check_mode"] = True
            task["multicluster.gloo.helm_release"]["binary_path"] = helm_program(site)
    return found


def is_ours(task: Json) -> bool:
    """Whether the task uses a module of this collection; others, such as debug, may not run asynchronously."""
    return any(key.startswith("multicluster.gloo.") for key in task)


def helm_program(site: Site) -> str:
    """Path of the lab's Helm."""
    programs: dict[str, str] = json.loads((site.home / "lab.json").read_text())["programs"]
    return programs["helm"]


def play(site: Site, home: Path, ways: str, tasks: list[Json]) -> list[Json]:
    """Results of the tasks. `home` is the user's home: the examples read ~/.kube/config."""
    named = [{**task, "register": task.get("register", f"example_{index}")} for index, task in enumerate(tasks)]
    if ways == "module":
        named = [{**task, "async": 300, "poll": 1} if is_ours(task) else task for task in named]
    kept = [
        step
        for index, task in enumerate(named)
        for step in (task, {"ansible.builtin.set_fact": {f"result_{index}": f"{{{{ {task['register']} }}}}"}})
    ]
    target = home / f"{ways}.json"
    content = "{{ [" + ", ".join(f"result_{index}" for index in range(len(named))) + "] | to_json }}"
    kept.append({"ansible.builtin.copy": {"content": content, "dest": str(target), "mode": "0600"}})
    book = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": kept}]
    path = home / f"{ways}.yml"
    path.write_text(yaml.safe_dump(book, sort_keys=False))
    run = site.run(
        *("ansible-playbook", "--inventory", "localhost,", str(path)),
        *("--extra-vars", "ansible_python_interpreter={{ ansible_playbook_python }}"),
        environment={"HOME": str(home), "ANSIBLE_ASYNC_DIR": str(home / "jobs")},
    ).ok()
    assert "Traceback" not in run.output
    results: list[Json] = json.loads(target.read_text())
    return results


def comparable(value: Any) -> Any:
    """A result without what Ansible adds and what time changes."""
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items() if key not in VOLATILE | AROUND}
    if not isinstance(value, str):
        return value
    # what was scaled down and up again has other Pods
    value = re.sub(r"-[a-z0-9]{5,10}-[a-z0-9]{5}\b|\b10(\.\d+){3}\b", "-POD", value)
    # a sentence may count requests or seconds
    return re.sub(r"\b\d+(\.\d+)?x?\b", "N", value) if " " in value else value


def test_every_module_has_an_action_plugin_and_examples() -> None:
    actions = {path.stem for path in (REPO / "plugins" / "action").glob("*.py")}
    assert actions == set(MODULES)
    assert all(examples(module) for module in MODULES)


@pytest.mark.share
@pytest.mark.parametrize("module", MODULES)
def test_examples_run_and_module_and_action_plugin_return_the_same(deployed: Site, tmp_path: Path, module: str) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").symlink_to(deployed.kubeconfig)
    tasks = of_this_lab(deployed, examples(module))

    play(deployed, tmp_path, "first", tasks)  # what they write is there from now on
    inside = play(deployed, tmp_path, "action", tasks)
    outside = play(deployed, tmp_path, "module", tasks)

    for task, one, other in zip(tasks, inside, outside, strict=True):
        assert comparable(one) == comparable(other), task["name"]
