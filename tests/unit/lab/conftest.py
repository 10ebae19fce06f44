"""Small builders of API objects for the lab's data plane tests."""

from __future__ import annotations

from typing import Any

import pytest

Object = dict[str, Any]


class Made:
    """Builders and a stand-in for lab.control_plane.cluster.Cluster's reading side."""

    class Cluster:
        def __init__(self, name: str, *objects: Object) -> None:
            self.name = name
            self.objects = list(objects)

        def list(self, kind: str, namespace: str | None = None, labels: dict[str, str] | None = None) -> list[Object]:
            return [
                obj
                for obj in self.objects
                if obj["kind"] == kind
                and namespace in (None, obj["metadata"].get("namespace"))
                and (labels or {}).items() <= (obj["metadata"].get("labels") or {}).items()
            ]

        def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
            found = [obj for obj in self.list(kind, namespace) if obj["metadata"]["name"] == name]
            return found[0] if found else None

    @staticmethod
    def obj(
        kind: str, name: str, namespace: str = "bookinfo", labels: dict[str, str] | None = None, **rest: Any
    ) -> Object:
        metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": labels or {}}
        return {"kind": kind, "metadata": {**metadata, "creationTimestamp": "2026-01-01T00:00:00Z"}, **rest}

    @classmethod
    def pod(
        cls,
        name: str,
        labels: dict[str, str] | None = None,
        namespace: str = "bookinfo",
        ready: bool = True,
        sidecar: bool = True,
        containers: list[Object] | None = None,
    ) -> Object:
        own = containers or [{"name": "app", "image": "x", "ports": [{"containerPort": 9080}]}]
        spec = {"nodeName": "node", "containers": [*own, *([{"name": "istio-proxy"}] if sidecar else [])]}
        status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
        marked = {**(labels or {}), **({"security.istio.io/tlsMode": "istio"} if sidecar else {})}
        return cls.obj("Pod", name, namespace, marked, spec=spec, status=status)

    @classmethod
    def service(cls, name: str, port: int, pods: list[Object], target: int | None = None, **spec: Any) -> list[Object]:
        """A Service and its EndpointSlice over these Pods."""
        namespace = pods[0]["metadata"]["namespace"] if pods else "bookinfo"
        ports = [{"name": "http", "port": port, "targetPort": target or port}]
        endpoints = [{"targetRef": {"uid": pod["metadata"]["uid"]}, "conditions": {"ready": True}} for pod in pods]
        return [
            cls.obj("Service", name, namespace, spec={"ports": ports, **spec}),
            cls.obj(
                "EndpointSlice",
                f"{name}-1",
                namespace,
                {"kubernetes.io/service-name": name},
                ports=[{"name": "http", "port": target or port}],
                endpoints=endpoints,
            ),
        ]

    @classmethod
    def entry(cls, host: str = "reviews.mesh.internal.com", **spec: Any) -> Object:
        result = {
            "hosts": [host],
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "ports": [{"name": "http-9080", "number": 9080, "protocol": "HTTP"}],
            "workloadSelector": {"labels": {"app": "reviews"}},
        }
        return cls.obj("ServiceEntry", f"vd-{host}", spec={**result, **spec})

    @classmethod
    def remote(cls, address: str = "127.9.9.9", tls: bool = True, labels: dict[str, str] | None = None) -> Object:
        marks = {"app": "reviews", **({"security.istio.io/tlsMode": "istio"} if tls else {})}
        spec = {"address": address, "labels": marks, "ports": {"http-9080": 15443}}
        return cls.obj("WorkloadEntry", "remote", labels=marks if labels is None else labels, spec=spec)

    @staticmethod
    def local(cluster: str, uid: str, port: int) -> int | None:
        """Every Pod serves 9080; its local port follows from its name."""
        return 40000 + len(uid) if port == 9080 else None


@pytest.fixture
def made() -> type[Made]:
    return Made
