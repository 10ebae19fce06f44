"""Situations that were recorded of kgateway (recorded.yml): what is changed in each, and what is to be seen then.

The same situations are played without an API server, by unit tests, and on the lab, with simulated or real controllers.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Protocol

import yaml

Object = dict[str, Any]

REPO = Path(__file__).resolve().parents[2]
NAMESPACE, NAME = "kgateway-system", "gn"
GATEWAY_API = "gateway.networking.k8s.io"
SITUATIONS: list[Object] = yaml.safe_load(
    (REPO / "tests/unit/lab/vendor/gloo_gateway/recorded.yml").read_text(encoding="utf-8")
)

LISTENER = {"Accepted": "True/Accepted", "Programmed": "True/Programmed", "ResolvedRefs": "True/ResolvedRefs"}
ENV = {
    "CA_ADDR": "istiod-gloo.istio-system.svc:15012",
    "ISTIO_META_MESH_ID": "cluster1",
    "ISTIO_META_CLUSTER_ID": "cluster1",
}
HEALTHY: Object = {
    "accepted": "True/Accepted",
    "programmed": "True/Programmed",
    "resolved": "True/ResolvedRefs",
    "containers": ["kgateway-proxy", "sds", "istio-proxy"],
    "replicas": 1,
    "service": "LoadBalancer",
    "added": [],
}
OBJECTS = ("Deployment", "Service", "ConfigMap", "ServiceAccount")
ADDED = ("HorizontalPodAutoscaler", "PodDisruptionBudget")


class World(Protocol):
    """A cluster with open-source kgateway."""

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None: ...

    def put(self, kind: str, name: str, namespace: str, spec: Object) -> object:
        """Create the object, or replace its spec."""

    def remove(self, kind: str, name: str, namespace: str) -> None: ...

    def edit(self, deployment: Object) -> None:
        """Write a Deployment that was changed by hand."""

    def controller(self, switches: dict[str, str], present: bool) -> None:
        """Let the controller run with these environment variables, or end it."""


class Stage:
    """What a situation changes in a cluster."""

    def __init__(self, world: World) -> None:
        self.world, self.name = world, NAME
        self.kube: Object = {"istio": {"istioProxyContainer": _istio(ENV)}}
        self.spec: Object = {
            "gatewayClassName": "kgateway",
            "listeners": _listeners([{"name": "http", "port": 8080}]),
            "infrastructure": {"parametersRef": _reference("gateway.kgateway.dev", "GatewayParameters", "p")},
        }
        self.switches = {"KGW_ENABLE_ISTIO_AUTO_MTLS": "true", "KGW_ENABLE_ISTIO_INTEGRATION": "true"}

    def step(self, step: Object) -> None:
        """Make the changes of one step."""
        world = self.world
        self.name = step.get("name", self.name)
        self.switches |= step.get("switches", {})
        world.controller(self.switches, step.get("controller") != "gone")
        if "foreign_class" in step:
            given = step["foreign_class"]
            world.put("GatewayClass", given["name"], "", {"controllerName": given["controller"]})
        if "class" in step:
            self._class(**step["class"])
        self._parameters(step.get("parameters", {}), self_managed=step.get("self_managed", False))
        for key, value in (step.get("gateway") or {}).items():
            merged = {**self.spec[key], **value} if isinstance(value, dict) else value
            self.spec[key] = _listeners(value) if key == "listeners" else merged
        if "refers" in step:
            self.spec["infrastructure"] = {"parametersRef": step["refers"]}
        world.put("Gateway", self.name, NAMESPACE, copy.deepcopy(self.spec))
        if "service_entry" in step:
            ports = [{"number": 9080, "name": "http", "protocol": "HTTP"}]
            entry = {"hosts": [step["service_entry"]], "resolution": "STATIC", "ports": ports}
            world.put("ServiceEntry", "entry", "bookinfo", entry)
        if "service" in step:
            ports = [{"port": step["service"]["port"]}]
            world.put("Service", step["service"]["name"], "bookinfo", {"ports": ports})
        for name, given in (step.get("routes") or {}).items():
            self._route(name, **given)
        if "by_hand" in step:
            self._by_hand(**step["by_hand"])

    def _parameters(self, kube: Object | str, self_managed: bool) -> None:
        if kube == "missing":
            self.world.remove("GatewayParameters", "p", NAMESPACE)
            return
        merge(self.kube, kube)  # type: ignore[arg-type]
        spec: Object = {"selfManaged": {}} if self_managed else {"kube": copy.deepcopy(self.kube)}
        self.world.put("GatewayParameters", "p", NAMESPACE, spec)

    def _class(self, name: str, parameters: Object, group: str, kind: str) -> None:
        self.world.put("GatewayParameters", "of-class", NAMESPACE, {"kube": parameters})
        ref = {**_reference(group, kind, "of-class"), "namespace": NAMESPACE}
        spec = {"controllerName": "kgateway.dev/kgateway", "parametersRef": ref}
        self.world.put("GatewayClass", name, "", spec)
        self.spec["gatewayClassName"] = name

    def _route(self, route: str, **given: Any) -> None:
        parent = {"name": self.name, "namespace": NAMESPACE}
        if "section" in given:
            parent["sectionName"] = given["section"]
        backend = {key: value for key, value in given.items() if key not in ("section", "in")}
        if backend.get("kind") == "Hostname":
            backend["group"] = "networking.istio.io"
        spec = {"parentRefs": [parent], "rules": [{"backendRefs": [backend]}]}
        self.world.put("HTTPRoute", route, given.get("in", "bookinfo"), spec)

    def _by_hand(self, replicas: int | None = None, env: dict[str, str] | None = None) -> None:
        changed = env or {}
        found = self.world.get("Deployment", self.name, NAMESPACE)
        assert found is not None
        if replicas is not None:
            found["spec"]["replicas"] = replicas
        for container in found["spec"]["template"]["spec"]["containers"]:
            for entry in container.get("env") or []:
                entry.update({"value": changed[entry["name"]]} if entry["name"] in changed else {})
        self.world.edit(found)


def merge(into: Object, wanted: Object) -> None:
    """Set the fields of `wanted`, leave the others."""
    for key, value in wanted.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def _istio(env: dict[str, str]) -> dict[str, str]:
    fields = ("istioDiscoveryAddress", "istioMetaMeshId", "istioMetaClusterId")
    return dict(zip(fields, env.values(), strict=True))


def _reference(group: str, kind: str, name: str) -> Object:
    return {"group": group, "kind": kind, "name": name}


def _listeners(given: list[Object]) -> list[Object]:
    """Listeners of Gateway API from their short form."""
    result = []
    for each in given:
        secret = each.get("certificate")
        listener = {"name": each["name"], "port": each["port"], "protocol": "HTTPS" if secret else "HTTP"}
        listener["allowedRoutes"] = {"namespaces": {"from": each.get("from", "All")}}
        result.append({**listener, **({"tls": {"certificateRefs": [{"name": secret}]}} if secret else {})})
    return result


def told(conditions: list[Object]) -> dict[str, str]:
    return {each["type"]: f"{each['status']}/{each['reason']}" for each in conditions}


def messages(conditions: list[Object]) -> list[str]:
    """The messages of conditions with a problem."""
    good = {"Conflicted": "False", "AttachedListenerSets": "Unknown"}
    return [each["message"] for each in conditions if each["status"] != good.get(each["type"], "True")]


def expected(step: Object, line: str, version: str = "") -> Object:
    """What is to be seen after a step on this line; ``version``: of a real controller that may be newer."""
    given = step.get("expect") or {}
    return {**HEALTHY, **given, **given.get(line, {}), **given.get(version, {})}


def check(world: World, name: str, line: str, expect: Object) -> None:
    """Compare the Gateway, its objects and the routes. Raises AssertionError."""
    gateway = world.get("Gateway", name, NAMESPACE)
    assert gateway is not None
    status, generation = gateway.get("status") or {}, expect.get("observed", gateway["metadata"]["generation"])

    wanted = {"Accepted": expect["accepted"], "Programmed": expect["programmed"]}
    if line == "2.1":
        wanted["AttachedListenerSets"] = "Unknown/ListenerSetsNotAllowed"
    else:
        wanted["ResolvedRefs"] = expect["resolved"]
    assert told(status["conditions"]) == wanted
    assert {each.get("observedGeneration") for each in status["conditions"]} == {generation}
    assert any(text.startswith(expect.get("says", "")) for text in [*messages(status["conditions"]), ""])

    listeners = expect.get("listeners") or {"http": {}}
    assert {each["name"]: told(each["conditions"]) for each in status.get("listeners") or []} == {
        listener: {**LISTENER, "Conflicted": "False/NoConflicts", **problems}
        for listener, problems in listeners.items()
    }
    for each in status["listeners"]:
        assert each["attachedRoutes"] == expect.get("attached", 0)
        assert set(messages(each["conditions"])) <= {expect.get("listener_says")}

    _check_objects(world, name, status, expect)
    for route, problems in (expect.get("routes") or {}).items():
        found = world.get("HTTPRoute", route, "bookinfo") or world.get("HTTPRoute", route, NAMESPACE) or {}
        [parent] = (found.get("status") or {})["parents"]
        good = {"Accepted": "True/Accepted", "ResolvedRefs": "True/ResolvedRefs"}
        seen = told(parent["conditions"])
        of_newer_versions = {key: value for key, value in seen.items() if key not in good and value.startswith("True/")}
        assert (route, seen) == (route, {**good, **of_newer_versions, **problems})
        assert [text for text in messages(parent["conditions"]) if text] == [
            text for key, text in (expect.get("route_says") or {}).items() if key == route
        ]


def _check_objects(world: World, name: str, status: Object, expect: Object) -> None:
    objects = {kind: world.get(kind, name, NAMESPACE) for kind in OBJECTS}
    added = [kind for kind in ADDED if world.get(kind, name, NAMESPACE)]
    addresses = [each["value"] for each in status.get("addresses") or []]
    if expect.get("nothing"):
        assert {kind: obj for kind, obj in objects.items() if obj} == {} and added == addresses == []
        return
    assert None not in objects.values()
    deployment, service = objects["Deployment"] or {}, objects["Service"] or {}
    assert added == expect["added"]
    assert service["spec"]["type"] == expect["service"]
    ingress = (service["status"].get("loadBalancer") or {}).get("ingress") or []
    balanced = [each["ip"] for each in ingress]
    assert addresses == (balanced if expect["service"] == "LoadBalancer" else service["spec"]["clusterIPs"]) != []

    template = deployment["spec"]["template"]
    containers = {each["name"]: each for each in template["spec"]["containers"]}
    assert list(containers) == expect["containers"]
    assert deployment["spec"]["replicas"] == expect["replicas"]
    if "deployment_generation" in expect:
        assert deployment["metadata"]["generation"] == expect["deployment_generation"]
    env = {each["name"]: each.get("value") for each in containers.get("istio-proxy", {}).get("env") or []}
    assert {key: env.get(key) for key in ENV if key in env} == _expected_env(expect, "istio-proxy" in containers)
    if "ports" in expect:
        # Their order differs between versions.
        assert sorted(each["port"] for each in service["spec"]["ports"]) == sorted(expect["ports"])
        proxy = sorted(each["containerPort"] for each in containers["kgateway-proxy"]["ports"])
        assert proxy == sorted([*expect["ports"], 9091])
    labels = template["metadata"]["labels"]
    assert (expect.get("pod_labels") or {}).items() <= labels.items()
    for obj in (labels, *(each["metadata"]["labels"] for each in objects.values() if each)):
        assert set(expect.get("no_labels") or []).isdisjoint(obj)


def _expected_env(expect: Object, present: bool) -> dict[str, str]:
    return {**ENV, **(expect.get("env") or {})} if present else {}


def differs(situation: Object) -> bool:
    """Whether something else is recorded of one line than of the other."""
    told = [step.get("expect") or {} for step in situation["steps"]]
    return len(situation["lines"]) == 2 and any(key in each for each in told for key in ("2.1", "2.3"))
