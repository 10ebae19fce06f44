"""Invalid variables in real runs of ansible-playbook: refused with few lines, before any cluster is contacted."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

Json = dict[str, Any]
REPO = Path(__file__).resolve().parents[3]
CANARY = "canary-6f1d"
GATEWAY: Json = {
    "gateway_name": "http",
    "gateway_parameters_name": "params",
    "gateway_listeners": [{"name": "http", "port": 8080, "protocol": "HTTP"}],
}
#: a playbook, its variables, and what the errors say
PLAYBOOKS: dict[str, tuple[str, Json, list[str]]] = {
    "wrong types and contents": (
        "site.yml",
        {
            "mesh_wait_timeout": "soon",
            "mesh_layers": None,
            "mesh_management_values": CANARY,
            "mesh_config_namespace": "{{ team }}-config",
            "mesh_management_host": "mgnt",
            "bookinfo_image_tag": 1.20,
            "gateway_layers": ["use"],
            "helm_binary": "/no/helm",
        },
        [
            "mgmt, cluster1, cluster2: helm_binary is '/no/helm': no such program",
            "mesh_management_host is 'mgnt': the inventory has no such host. Set mgmt",
            r"and 6 more problems, of mesh_layers, mesh_config_namespace, mesh_management_values, mesh_wait_timeout,",
        ],
    ),
    "a field that does not exist": (
        "site.yml",
        {"routing_virtual_destinations": [{"name": "a", "namespace": "b", "spec": {"hosts": ["a.b"], "port": [80]}}]},
        [
            r"mgmt, cluster1, cluster2: routing_virtual_destinations\[0\]\.spec\.ports \(b/a\) is missing",
            r"routing_virtual_destinations\[0\]\.spec\.port \(b/a\) is a list: a VirtualDestination has no such field",
        ],
    ),
    "a template that refers to nothing": (
        "site.yml",
        {"mesh_config_namespace": "{{ team }}-config"},
        ["mesh_config_namespace is not set: 'team' is undefined"],
    ),
    "no file with data": ("site.yml", {"site_data": "/no/site.yml"}, ["site_data is '/no/site.yml': no such file"]),
    "a file of something else": (
        "site.yml",
        {"site_data": str(REPO / "roles" / "mesh" / "tasks" / "main.yml")},
        [r"site_data is '.*': 'ansible\.builtin\.\w+' in it cannot be the name of a variable"],
    ),
    "one name for all clusters": (
        "site.yml",
        {"mesh_cluster_name": "east"},
        ["mgmt, cluster1, cluster2: mesh_cluster_name is 'east': each cluster needs its own name. Set it per host"],
    ),
    "no name of a file": ("site.yml", {"site_data": ""}, ["site_data is empty"]),
    "cleanup": ("cleanup.yml", {"cleanup_wait_timeout": -1}, ["cleanup_wait_timeout is -1: less than 0"]),
    "doctor": (
        "doctor.yml",
        {"doctor_timeout": "1h", "doctor_logs": "some"},
        ["doctor_logs is 'some'", "doctor_timeout is '1h'"],
    ),
}
#: what is wrong for a role in the playbook of somebody else, by host, and what the error says
ROLES: dict[str, tuple[Json, str]] = {
    "bookinfo": ({"bookinfo_hosts": ["nowhere"]}, r"bookinfo_hosts\[0\] is 'nowhere': the inventory has no such host"),
    "gateway": (
        {"gateway_listeners": [GATEWAY["gateway_listeners"][0]] * 2},
        r"gateway_listeners\[1\]\.name is 'http': gateway_listeners\[0\] has the same name",
    ),
    "mesh": ({"mesh_license_key": [CANARY]}, "mesh_license_key is a list: not text"),
    "routing": ({"routing_gateway_name": 8080}, "routing_gateway_name is 8080: YAML reads it as a number"),
    "cleanup": ({"cleanup_istio_namespace": "A b"}, "cleanup_istio_namespace is 'A b'"),
    "report": ({"report_health": {}, "report_name": "a/b"}, "report_name is 'a/b'"),
}


@contextmanager
def silent_server() -> Iterator[tuple[int, list[str]]]:
    """(port, connections): answers nothing."""
    connections: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                connections.append(str(address))
                connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], connections
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def play(folder: Path, book: Path, variables: Json, hosts: dict[str, Json], port: int) -> str:
    """Output of a run that fails, on clusters whose API servers would notice a connection."""
    names = ["mgmt", "cluster1", "cluster2", *hosts]
    (folder / "kubeconfig").write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{port}"}}],
                "users": [{"name": "u", "user": {"token": CANARY}}],
                "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in names],
            }
        )
    )
    inventory = {
        "all": {
            "vars": {"kubeconfig": str(folder / "kubeconfig"), "ansible_connection": "local"},
            "hosts": {name: {"kube_context": name, **hosts.get(name, {})} for name in names},
        },
        "management": {"hosts": {"mgmt": {}}},
        "workload": {"hosts": {"cluster1": {}, "cluster2": {}}},
        "gateway": {"hosts": {"cluster1": {}}},
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    (folder / "variables.json").write_text(json.dumps(variables))
    environment = {
        **os.environ,
        "GLOO_MESH_LICENSE_KEY": CANARY,
        "GLOO_GATEWAY_LICENSE_KEY": CANARY,
        "ANSIBLE_COLLECTIONS_PATH": str(REPO / ".cache" / "collections"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.yml", "-e", "@variables.json"]
    done = subprocess.run([*command, str(book)], env=environment, capture_output=True, text=True, cwd=folder)
    output = done.stdout + done.stderr
    assert done.returncode == 2 and "Traceback" not in output and CANARY not in output, output
    return output


def errors(output: str) -> list[str]:
    """The lines of the errors of each host."""
    return re.findall(r"^(\[ERROR\].*?)(?=^\[ERROR\]|^TASK|^PLAY|\Z)", output, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("row", PLAYBOOKS)
def test_a_playbook_refuses_invalid_variables_before_a_cluster_is_contacted(tmp_path: Path, row: str) -> None:
    book, variables, says = PLAYBOOKS[row]
    with silent_server() as (port, connections):
        output = play(tmp_path, REPO / "playbooks" / book, variables, {}, port)
    assert connections == []
    [error] = errors(output)
    assert len(error.strip().splitlines()) <= 15, error
    assert [text for text in says if not re.search(text, " ".join(error.split()))] == [], error


@pytest.mark.slow
def test_each_role_refuses_invalid_variables_before_a_cluster_is_contacted(tmp_path: Path) -> None:
    """Also: valid variables lead to a cluster, otherwise nothing would be shown."""
    calls: dict[str, list[Json]] = {
        role: [{"ansible.builtin.import_role": {"name": f"multicluster.gloo.{role}"}}] for role in ROLES
    }
    # A playbook ends when all hosts of a play have failed.
    noop = [{"ansible.builtin.meta": "noop"}]
    plays: list[Json] = [
        {"hosts": f"for-{role}", "gather_facts": False, "tasks": [{"block": tasks, "rescue": noop}]}
        for role, tasks in calls.items()
    ]
    plays[-1]["tasks"] = calls["report"]
    hosts = {f"for-{role}": {**GATEWAY, **variables} for role, (variables, _says) in ROLES.items()}
    book = tmp_path / "play.yml"
    with silent_server() as (port, connections):
        book.write_text(yaml.safe_dump(plays))
        found = errors(play(tmp_path, book, {}, hosts, port))
        assert connections == []
        book.write_text(yaml.safe_dump([{**plays[0], "hosts": "cluster1", "tasks": calls["bookinfo"]}]))
        play(tmp_path, book, {}, {}, port)
        assert connections
    assert len(found) == len(ROLES)
    for error, (role, (_variables, says)) in zip(found, ROLES.items(), strict=True):
        assert re.search(f"for-{role}: {says}" if role != "report" else says, error), error
        assert len(error.strip().splitlines()) <= 15, error
