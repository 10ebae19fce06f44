"""The objects for kubectl port-forward, exec and logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.pods.pod_ports import SIDECAR_PORT
from lab.traffic.kubectl_access import kubectl_access


def test_objects_for_kubectl(made: Any) -> None:
    logs = {"app": Path("/lab/app.log"), "istio-proxy": Path("/lab/proxy.log")}
    forward, inside, output = kubectl_access(made.pod("productpage-v1"), {9080: 41000, SIDECAR_PORT: 42000}, logs)
    assert forward["spec"] == {"forwards": [{"ports": [9080], "target": {"address": "127.0.0.1", "port": 41000}}]}
    assert forward["metadata"]["ownerReferences"][0]["uid"] == "uid-productpage-v1"
    env = {e["name"]: e["value"] for e in inside["spec"]["execs"][0]["local"]["envs"]}
    assert env["http_proxy"] == "http://127.0.0.1:42000"
    assert output["spec"]["logs"] == [
        {"containers": ["app"], "logsFile": "/lab/app.log"},
        {"containers": ["istio-proxy"], "logsFile": "/lab/proxy.log"},
    ]
    assert [obj["kind"] for obj in kubectl_access(made.pod("http-1"), {8080: 1}, {})] == ["PortForward"]
    assert kubectl_access(made.pod("quiet"), {}, {}) == []
