"""Objects of Istio's charts 1.20 to 1.32, reduced to the fields that describe the control plane.

One `Istiod` is one Helm release; its parts are plain dicts that a test changes or drops. `joined` puts several into
one cluster.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

Json = dict[str, Any]
Objects = dict[str, list[Json] | None]

KINDS = ("deployments", "services", "endpointslices", "configmaps", "mutatingwebhookconfigurations", "namespaces")


def labelled(namespace: str, name: str, labels: dict[str, str] | None = None, **rest: Any) -> Json:
    where = {"namespace": namespace} if namespace else {}
    return {"metadata": {**where, "name": name, "labels": labels or {}}, **rest}


def namespace(name: str, **labels: str) -> Json:
    """Label keys are given with `_` for `-`; `rev` is istio.io/rev."""
    told = {"istio.io/rev" if k == "rev" else k.replace("_", "-"): v for k, v in labels.items()}
    return labelled("", name, {"kubernetes.io/metadata.name": name, **told})


def suffixed(name: str, revision: str) -> str:
    return name if revision == "default" else f"{name}-{revision}"


def row(revision: str = "default", namespace: str = "istio-system", name: str | None = None, **facts: Any) -> Json:
    """The record istiod_info gives of a healthy control plane with nothing set, changed by ``facts``."""
    service = name or suffixed("istiod", revision)
    return {
        "namespace": namespace,
        "name": service,
        "revision": revision,
        "tags": [],
        "address": f"{service}.{namespace}.svc:15012",
        "cluster_id": "Kubernetes",
        "mesh_id": "cluster.local",
        "network": None,
        "trust_domain": "cluster.local",
        "version": None,
        "ready": True,
        **facts,
    }


def joined(*parts: Objects) -> Objects:
    return {kind: list(itertools.chain.from_iterable(part.get(kind) or [] for part in parts)) for kind in KINDS}


def endpoints_of(service: Json, *addresses: str, ready: bool | None = True) -> Json:
    conditions = {} if ready is None else {"conditions": {"ready": ready}}
    name, where = service["metadata"]["name"], service["metadata"]["namespace"]
    rows = [{"addresses": [address], **conditions} for address in addresses]
    return labelled(where, f"{name}-x", {"kubernetes.io/service-name": name}, endpoints=rows)


class Istiod:
    """One control plane. `objects()` is what a cluster holds of it, with everything healthy."""

    def __init__(self, revision: str = "default", namespace: str = "istio-system", cluster: str = "cluster1") -> None:
        self.revision, self.namespace = revision, namespace
        self.name = suffixed("istiod", revision)
        self.rev = {"istio.io/rev": revision}
        pods = {"app": "istiod", "istio": "pilot" if revision == "default" else "istiod", **self.rev}
        self.container: Json = {
            "name": "discovery",
            "image": "registry.example:5000/istio/pilot:1.27.0-solo",
            "args": ["discovery", "--monitoringAddr=:15014", "--domain", "cluster.local"],
            "env": [{"name": "REVISION", "value": revision}, {"name": "CLUSTER_ID", "value": cluster}],
        }
        self.deployment = labelled(
            namespace,
            self.name,
            {"app": "istiod", "app.kubernetes.io/version": "1.27.0", **self.rev},
            spec={"replicas": 1, "template": {"metadata": {"labels": pods}, "spec": {"containers": [self.container]}}},
            status={"readyReplicas": 1, "conditions": [{"type": "Available", "status": "True"}]},
        )
        self.selector = {"app": "istiod"} | ({"istio": "pilot"} if revision == "default" else self.rev)
        self.service = self.service_named(self.name)
        self.slice = endpoints_of(self.service, "10.0.0.1")
        self.mesh = f"trustDomain: cluster.local\ndefaultConfig: {{discoveryAddress: '{self.address}'}}\n"
        self.values: Json = {"multiCluster": {"clusterName": cluster}, "network": "", "meshID": "", "tag": "1.27.0"}
        self.tag_services: list[Json] = []
        self.webhooks = [self.webhook(suffixed("istio-sidecar-injector", revision), revision, revision == "default")]

    @property
    def address(self) -> str:
        return f"{self.name}.{self.namespace}.svc:15012"

    def service_named(self, name: str, **labels: str) -> Json:
        """A Service as the chart makes istiod's: `tag=` gives it the label istio.io/tag."""
        told = {f"istio.io/{key}": value for key, value in labels.items()}
        return labelled(
            self.namespace,
            name,
            {"app": "istiod", "istio": "pilot", "app.kubernetes.io/name": "istiod", **self.rev, **told},
            spec={
                "ports": [{"name": "grpc-xds", "port": 15010}, {"name": "https-dns", "port": 15012}, {"port": 443}],
                "selector": self.selector,
            },
        )

    def webhook(self, name: str, revision: str, default: bool, tag: str | None = None) -> Json:
        config = {"service": {"namespace": self.namespace, "name": self.name, "path": "/inject", "port": 443}}
        absent: list[Json] = [{"key": key, "operator": "DoesNotExist"} for key in ("istio-injection", "istio.io/rev")]
        asked = [{"key": "istio.io/rev", "operator": "In", "values": [revision]}, absent[0]]
        rules: list[tuple[str, list[Json]]] = [("rev.namespace", asked), ("rev.object", absent)]
        if default:
            enabled: list[Json] = [{"key": "istio-injection", "operator": "In", "values": ["enabled"]}]
            rules += [("namespace", enabled), ("object", absent)]
        suffix = "" if self.namespace == "istio-system" else f"-{self.namespace}"
        return labelled(
            "",
            name + suffix,
            self.rev | ({"istio.io/tag": tag} if tag else {}),
            webhooks=[
                {
                    "name": f"{prefix}.sidecar-injector.istio.io",
                    "clientConfig": dict(config),
                    "namespaceSelector": {"matchExpressions": rule},
                }
                for prefix, rule in rules
            ],
        )

    def tag(self, name: str, service: bool = False) -> Istiod:
        """Tags the revision as `istioctl tag set` does; with a Service too, as charts 1.28 do."""
        self.webhooks.append(self.webhook(f"istio-revision-tag-{name}", name, name == "default", name))
        self.tag_services += [self.service_named(f"istiod-revision-tag-{name}", tag=name)] * service
        return self

    def deactivated(self) -> Istiod:
        """The default injector as it is left when `istioctl tag set default` moves the default elsewhere."""
        for hook in self.webhooks[0]["webhooks"]:
            hook["namespaceSelector"] = {"matchLabels": {"istio.io/deactivated": "never-match"}}
        return self

    def calls(self, **config: Any) -> Istiod:
        """Injectors call this instead: `url=` or `path=` of the Service."""
        for webhook in self.webhooks:
            for hook in webhook["webhooks"]:
                old = hook["clientConfig"]
                hook["clientConfig"] = config if "url" in config else {"service": {**old["service"], **config}}
        return self

    def remote(self, host: str | None = None, suffix: str = "", labels: bool = True) -> Json:
        """The Service the remote profile makes instead: without selector, or an ExternalName."""
        ports = [{"name": "tcp-istiod", "port": 15012}, {"name": "tcp-webhook", "port": 443, "targetPort": 15017}]
        told = {"app.kubernetes.io/name": "istiod", **self.rev} if labels else {}
        spec = {"ports": ports} | ({"type": "ExternalName", "externalName": host} if host else {})
        return labelled(self.namespace, self.name + suffix, told, spec=spec)

    def objects(self, **instead: Any) -> Objects:
        """All of the release; `deployments=[]` and the like replace a list."""
        config = [
            labelled(self.namespace, suffixed("istio", self.revision), self.rev, data={"mesh": self.mesh}),
            labelled(
                self.namespace,
                suffixed("istio-sidecar-injector", self.revision),
                self.rev,
                data={"values": json.dumps({"global": self.values, "revision": self.revision}), "config": "templates"},
            ),
        ]
        return {
            "deployments": [self.deployment],
            "services": [self.service, *self.tag_services],
            "endpointslices": [self.slice],
            "configmaps": config,
            "mutatingwebhookconfigurations": self.webhooks,
            "namespaces": [namespace(self.namespace)],
            **instead,
        }
