"""kwok's objects through which `kubectl port-forward`, `exec` and `logs` reach a Pod's programs. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.control_plane.objects import Object, uid_of
from lab.pods.pod_ports import SIDECAR_PORT


def kubectl_access(pod: Object, ports: dict[int, int], logs: dict[str, Path]) -> list[Object]:
    """PortForward, Exec and Logs of one Pod; they are deleted with it.

    ports: port of the Pod -> port of 127.0.0.1; logs: container -> file. Other containers have no log.
    """
    name = pod["metadata"]["name"]
    metadata = {
        "name": name,
        "namespace": pod["metadata"]["namespace"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid_of(pod)}],
    }
    forwards = [
        {"ports": [port], "target": {"address": "127.0.0.1", "port": local}}
        for port, local in sorted(ports.items())
        if port != SIDECAR_PORT
    ]
    objects: list[Object] = [_kwok("PortForward", metadata, {"forwards": forwards})] if forwards else []
    if SIDECAR_PORT in ports:
        # Commands run on this machine; with the proxy names resolve as they do in the Pod.
        env = {"http_proxy": f"http://127.0.0.1:{ports[SIDECAR_PORT]}", "no_proxy": "", "HOSTNAME": name}
        local = {"envs": [{"name": key, "value": value} for key, value in env.items()]}
        objects.append(_kwok("Exec", metadata, {"execs": [{"local": local}]}))
    if logs:
        files = [{"containers": [container], "logsFile": str(file)} for container, file in sorted(logs.items())]
        objects.append(_kwok("Logs", metadata, {"logs": files}))
    return objects


def _kwok(kind: str, metadata: dict[str, Any], spec: dict[str, Any]) -> Object:
    return {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
