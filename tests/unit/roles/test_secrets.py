"""Secrets in the output of roles that refuse their variables: real runs of ansible-playbook without any cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

Json = dict[str, Any]
REPO = Path(__file__).resolve().parents[3]
ROLES = sorted(path for path in (REPO / "roles").iterdir() if path.is_dir())
CANARY = "canary-6f1d"
ENVIRONMENT = ("GLOO_MESH_LICENSE_KEY", "GLOO_GATEWAY_LICENSE_KEY")
LICENCES = ("mesh_license_key", "mesh_istio_license_key", "gateway_license_key")
#: Helm values of a user who has the licences there
VALUES: Json = {
    "mesh_management_values": {"licensing": {"glooMeshLicenseKey": f"{CANARY}-values"}},
    "mesh_operator_values": {"manager": {"env": {"SOLO_ISTIO_LICENSE_KEY": f"{CANARY}-values"}}},
    "gateway_values": {"licensing": {"glooGatewayLicenseKey": f"{CANARY}-values"}},
}


#: values that have the right type, but not the right content
CONTENT = {
    "mesh_management_values": ({"licensing": f"{CANARY}-wrong"}, {"licensing": [f"{CANARY}-wrong"]}),
}


def specs(role: Path) -> Json:
    content: Json = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    return content


def templates(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [found for each in value for found in templates(each)]
    return [value] if isinstance(value, str) and "{{" in value else []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_argument_specs_have_no_templates(role: Path) -> None:
    """Ansible shows the spec with resolved templates when one argument is wrong."""
    assert templates(specs(role)) == []


def wrong_values(option: Json) -> Iterator[Any]:
    """Values that the argument spec refuses; those for dictionaries contain a secret."""
    if "choices" in option:
        yield "neither"
    elif option["type"] in ("int", "bool"):
        yield "soon"
    elif option["type"] == "list":
        yield {"licence": f"{CANARY}-wrong"}
        if option.get("elements") == "dict":
            yield [f"{CANARY}-wrong"]
    elif option["type"] == "dict":
        yield f"{{licensing: {CANARY}-wrong}}"
        yield f"licensing {CANARY}-wrong"
        yield [f"{CANARY}-wrong"]


def run(tmp_path: Path, role: Path) -> tuple[str, dict[str, str]]:
    """(output of a run in which each host has one wrong variable, that variable by host).

    The licences are in the environment, and for every other host in variables, too.
    """
    options = specs(role)["main"]["options"]
    wrong = [
        (name, value) for name, option in options.items() for value in (*wrong_values(option), *CONTENT.get(name, ()))
    ]
    variables = dict.fromkeys(LICENCES, f"{CANARY}-variable")
    hosts = {
        f"h{number}": {**(variables if number % 2 else {}), name: value} for number, (name, value) in enumerate(wrong)
    }
    site = {
        "all": {
            "vars": {
                "kubeconfig": str(tmp_path / "none"),
                "kube_context": "none",
                "ansible_connection": "local",
                "mesh_istio_version": "1.27.0",
                **{name: {"spec": {}} if option["type"] == "dict" else [] if option["type"] == "list" else "x"
                   for name, option in options.items() if option.get("required")},
                **VALUES,
            }
        },
        "management": {"hosts": {"mgmt": {}}},
        "workload": {"hosts": {"east": {}}},
        "gateway": {"hosts": {"east": {}}},
        "wrong": {"hosts": hosts},
    }  # fmt: skip
    call = {"name": f"multicluster.gloo.{role.name}"}
    # Parameters of a role are arguments of the task that validates them.
    given = {**call, "tasks_from": "validate"}
    parameters = dict.fromkeys(LICENCES, f"{CANARY}-parameter")
    calls: list[Json] = [
        {"ansible.builtin.import_role": call},
        {"ansible.builtin.import_role": given, "vars": parameters, "when": "inventory_hostname == 'h0'"},
    ]
    tasks = [{"block": [each], "rescue": [{"ansible.builtin.meta": "noop"}]} for each in calls]
    play = [{"hosts": "wrong", "gather_facts": False, "tasks": tasks}]
    for name, content in (("site.yml", site), ("play.yml", play)):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    environment = {
        **os.environ,
        **dict.fromkeys(ENVIRONMENT, f"{CANARY}-environment"),
        "ANSIBLE_COLLECTIONS_PATH": str(REPO / ".cache" / "collections"),
        "ANSIBLE_HOME": str(tmp_path),
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "site.yml", "play.yml", "-vvv"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    return done.stdout + done.stderr, {host: name for host, (name, _value) in zip(hosts, wrong, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_refused_variable_shows_no_secret(tmp_path: Path, role: Path) -> None:
    shown, wrong = run(tmp_path, role)
    assert [line for line in shown.splitlines() if CANARY in line] == []
    refused = re.findall(r"^fatal: \[(\w+)\]: FAILED! => (.*?)(?=^\S)", shown, re.MULTILINE | re.DOTALL)
    assert [host for host, _result in refused].count("h0") == 2
    assert {host for host, _result in refused} == set(wrong)
    for host, result in refused:
        assert re.search(rf"\bmsg: .*\b{wrong[host]}\b", result, re.DOTALL), (host, result)
