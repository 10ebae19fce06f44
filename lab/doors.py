"""kwok's objects that let `kubectl port-forward`, `exec` and `logs` reach what plays a Pod on this machine. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.board import SIDECAR
from lab.endpoints import Object


def doors(pod: Object, ports: dict[int, int], logs: dict[str, Path]) -> list[Object]:
    """PortForward, Exec and Logs of one Pod, which go with it.

    ports: Pod port -> port of 127.0.0.1; logs: container -> file. Other containers have no log to show.
    """
    metadata = {
        "name": pod["metadata"]["name"],
        "namespace": pod["metadata"]["namespace"],
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        ],
    }
    forwards = [
        {"ports": [port], "target": {"address": "127.0.0.1", "port": local}}
        for port, local in sorted(ports.items())
        if port != SIDECAR
    ]
    found: list[Object] = [_kwok("PortForward", metadata, {"forwards": forwards})] if forwards else []
    if SIDECAR in ports:
        # Commands run on this machine; the proxy makes names resolve as they do in the Pod.
        proxy = f"http://127.0.0.1:{ports[SIDECAR]}"
        env = {"http_proxy": proxy, "no_proxy": "", "HOSTNAME": pod["metadata"]["name"]}
        local = {"envs": [{"name": key, "value": value} for key, value in env.items()]}
        found.append(_kwok("Exec", metadata, {"execs": [{"local": local}]}))
    if logs:
        files = [{"containers": [container], "logsFile": str(file)} for container, file in sorted(logs.items())]
        found.append(_kwok("Logs", metadata, {"logs": files}))
    return found


def _kwok(kind: str, metadata: dict[str, Any], spec: dict[str, Any]) -> Object:
    return {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
