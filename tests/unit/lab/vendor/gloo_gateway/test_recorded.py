"""The simulated controllers beside recordings of kgateway 2.1 and 2.3.0: the same conditions, listeners and objects."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from lab.vendor.gloo_gateway import gloo_gateway
from lab.vendor.gloo_gateway.gloo_gateway import GlooGateway

Object = dict[str, Any]

NAMESPACE, NAME = "kgateway-system", "gn"
GATEWAY_API = "gateway.networking.k8s.io"
BALANCED, CLUSTER_IP = "127.2.179.245", "10.101.23.67"
SITUATIONS = yaml.safe_load((Path(__file__).parent / "recorded.yml").read_text())
ROWS = [(each, line) for each in SITUATIONS for line in each["lines"]]

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
    "address": BALANCED,
    "added": [],
}


class Server:
    """A cluster with an API server's answers: server-side apply of one manager, generations, status of Services."""

    name = "cluster1"

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self._applied: dict[tuple[str, str, str], Object] = {}

    def served(self, kind: str) -> bool:
        return True

    def list(self, kind: str, namespace: str | None = None, labels: dict[str, str] | None = None) -> list[Object]:
        return [
            obj
            for (found, where, _name), obj in sorted(self.objects.items())
            if found == kind
            and namespace in (None, where)
            and (labels or {}).items() <= (obj["metadata"].get("labels") or {}).items()
        ]

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        return self.objects.get((kind, namespace or "", name))

    def put(self, kind: str, name: str, namespace: str = NAMESPACE, **content: Any) -> Object:
        """What a user wrote."""
        key = (kind, namespace, name)
        old = self.objects.get(key, {})
        labels = {"labels": content.pop("labels")} if "labels" in content else {}
        metadata = {"name": name, "namespace": namespace, "uid": f"{kind}-{name}", "generation": 1, **labels}
        obj = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "status": old.get("status", {}), **content}
        if old:
            metadata["generation"] = old["metadata"]["generation"] + (old.get("spec") != obj.get("spec"))
        self.objects[key] = json.loads(json.dumps(obj))
        return self.objects[key]

    def apply(self, obj: Object, manager: str) -> Object:
        metadata = obj["metadata"]
        key = (obj["kind"], metadata.get("namespace") or "", metadata["name"])
        live = self.objects.get(key)
        before, former = copy.deepcopy(live or {}), self._applied.get(key, {})
        self._applied[key] = copy.deepcopy(obj)
        result = _taken_away(live or {}, former, obj) | {"status": before.get("status", {})}
        _set(result, obj)
        result["metadata"] |= {"uid": "-".join(key), "generation": (before.get("metadata") or {}).get("generation", 0)}
        if obj["kind"] == "Deployment":
            result["spec"].setdefault("replicas", 1)
        if obj["kind"] == "Service":
            result["spec"]["clusterIPs"] = [CLUSTER_IP]
            result["status"] = {"loadBalancer": {"ingress": [{"ip": BALANCED}]}}
        if result.get("spec") != before.get("spec"):
            result["metadata"]["generation"] += 1
        self.objects[key] = result
        return result

    def set_status(self, obj: Object, status: Object, manager: str) -> Object:
        found = self.objects[obj["kind"], obj["metadata"].get("namespace") or "", obj["metadata"]["name"]]
        found["status"] = copy.deepcopy(status)
        return found

    def delete(self, kind: str, name: str, namespace: str | None = None) -> None:
        del self.objects[kind, namespace or "", name]


def _taken_away(live: Object, former: Object, wanted: Object) -> Object:
    """The live object without what was applied before and is not wanted any more."""
    result = {}
    for key, value in live.items():
        if key in former and key not in wanted:
            continue
        nested = isinstance(value, dict) and isinstance(wanted.get(key), dict)
        result[key] = _taken_away(value, former.get(key) or {}, wanted[key]) if nested else copy.deepcopy(value)
    return result


def _set(into: Object, wanted: Object) -> None:
    for key, value in wanted.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _set(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


class Stage:
    """A cluster with the open-source controller of a line, and what a situation changes there."""

    def __init__(self, line: str, home: Path) -> None:
        self.server, self.line, self.name = Server(), line, NAME
        self.lab: Any = SimpleNamespace(home=home, clusters={"cluster1": self.server}, programs={})
        self.part = GlooGateway()
        self.kube: Object = {"istio": {"istioProxyContainer": _istio(ENV)}}
        self.spec: Object = {
            "gatewayClassName": "kgateway",
            "listeners": _listeners([{"name": "http", "port": 8080}]),
            "infrastructure": {"parametersRef": _reference("gateway.kgateway.dev", "GatewayParameters", "p")},
        }
        self.switches = {"KGW_ENABLE_ISTIO_AUTO_MTLS": "true", "KGW_ENABLE_ISTIO_INTEGRATION": "true"}

    def step(self, step: Object) -> None:
        """Make the changes of one step, then let the controller act."""
        server = self.server
        self.name = step.get("name", self.name)
        self.switches |= step.get("switches", {})
        self._controller(step.get("controller") != "gone")
        if "foreign_class" in step:
            given = step["foreign_class"]
            server.put("GatewayClass", given["name"], "", spec={"controllerName": given["controller"]})
        if "class" in step:
            self._class(**step["class"])
        self._parameters(step.get("parameters", {}), self_managed=step.get("self_managed", False))
        for key, value in (step.get("gateway") or {}).items():
            merged = isinstance(value, dict)
            self.spec[key] = (
                {**self.spec[key], **value} if merged else _listeners(value) if key == "listeners" else value
            )
        if "refers" in step:
            self.spec["infrastructure"] = {"parametersRef": step["refers"]}
        server.put("Gateway", self.name, apiVersion=f"{GATEWAY_API}/v1", spec=copy.deepcopy(self.spec))
        if "service_entry" in step:
            entry = {
                "hosts": [step["service_entry"]],
                "resolution": "STATIC",
                "ports": [{"number": 9080, "name": "http"}],
            }
            server.put("ServiceEntry", "entry", "bookinfo", spec=entry)
        if "service" in step:
            ports = [{"port": step["service"]["port"]}]
            server.put("Service", step["service"]["name"], "bookinfo", spec={"ports": ports})
        for name, given in (step.get("routes") or {}).items():
            self._route(name, **given)
        if "by_hand" in step:
            self._by_hand(**step["by_hand"])
        self.part.reconcile(self.lab)
        self.part.reconcile(self.lab)  # its own writes make it act again

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in self.lab.home.rglob("*") if path.is_file())

    def _controller(self, present: bool) -> None:
        labels, version = {"kgateway": "kgateway"}, f"v{self.line}.7"
        env = [{"name": name, "value": value} for name, value in self.switches.items()]
        # A mirror's tag tells nothing about the line.
        spec = {"containers": [{"name": "controller", "image": "mirror.example/kgateway:stable", "env": env}]}
        selector = {"selector": {"matchLabels": labels}, "template": {"spec": spec}}
        chart = {"helm.sh/chart": f"kgateway-{version}"}
        self.server.put("Deployment", "kgateway", labels=chart, spec=selector)
        status = {"conditions": [{"type": "Ready", "status": "True" if present else "False"}]}
        self.server.put("Pod", "kgateway-1", labels=labels, spec=spec)["status"] = status

    def _parameters(self, kube: Object | str, self_managed: bool) -> None:
        if kube == "missing":
            self.server.objects.pop(("GatewayParameters", NAMESPACE, "p"), None)
            return
        _set(self.kube, kube)  # type: ignore[arg-type]
        spec: Object = {"selfManaged": {}} if self_managed else {"kube": copy.deepcopy(self.kube)}
        self.server.put("GatewayParameters", "p", spec=spec)

    def _class(self, name: str, parameters: Object, group: str, kind: str) -> None:
        self.server.put("GatewayParameters", "of-class", spec={"kube": parameters})
        ref = {**_reference(group, kind, "of-class"), "namespace": NAMESPACE}
        spec = {"controllerName": "kgateway.dev/kgateway", "parametersRef": ref}
        self.server.put("GatewayClass", name, "", apiVersion=f"{GATEWAY_API}/v1", spec=spec)
        self.spec["gatewayClassName"] = name

    def _route(self, route: str, **given: Any) -> None:
        parent = {"name": self.name, "namespace": NAMESPACE}
        if "section" in given:
            parent["sectionName"] = given["section"]
        backend = {key: value for key, value in given.items() if key not in ("section", "in")}
        if backend.get("kind") == "Hostname":
            backend["group"] = "networking.istio.io"
        spec = {"parentRefs": [parent], "rules": [{"backendRefs": [backend]}]}
        self.server.put("HTTPRoute", route, given.get("in", "bookinfo"), apiVersion=f"{GATEWAY_API}/v1", spec=spec)

    def _by_hand(self, replicas: int | None = None, env: dict[str, str] | None = None) -> None:
        changed = env or {}
        found = self.server.objects["Deployment", NAMESPACE, self.name]
        if replicas is not None:
            found["spec"]["replicas"] = replicas
        for container in found["spec"]["template"]["spec"]["containers"]:
            for entry in container.get("env") or []:
                entry.update({"value": changed[entry["name"]]} if entry["name"] in changed else {})
        found["metadata"]["generation"] += 1


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


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gloo_gateway, "ACCEPTED_FIRST", 0.0)


@pytest.mark.parametrize(
    ("situation", "line"), ROWS, ids=[f"{line}-{each['situation'].replace(' ', '-')}" for each, line in ROWS]
)
def test_the_simulated_controller_does_what_the_real_one_did(situation: Object, line: str, tmp_path: Path) -> None:
    stage = Stage(line, tmp_path)
    for step in situation["steps"]:
        stage.step(step)
        given = step.get("expect") or {}
        check(stage, {**HEALTHY, **given, **given.get(line, {})})


def check(stage: Stage, expect: Object) -> None:
    server, name = stage.server, stage.name
    gateway = server.get("Gateway", name, NAMESPACE)
    assert gateway is not None
    status, generation = gateway["status"], expect.get("observed", gateway["metadata"]["generation"])

    wanted = {"Accepted": expect["accepted"], "Programmed": expect["programmed"]}
    if stage.line == "2.1":
        wanted["AttachedListenerSets"] = "Unknown/ListenerSetsNotAllowed"
    else:
        wanted["ResolvedRefs"] = expect["resolved"]
    assert told(status["conditions"]) == wanted
    assert {each["observedGeneration"] for each in status["conditions"]} == {generation}
    assert any(text.startswith(expect.get("says", "")) for text in [*messages(status["conditions"]), ""])

    listeners = expect.get("listeners") or {"http": {}}
    assert {each["name"]: told(each["conditions"]) for each in status["listeners"]} == {
        listener: {**LISTENER, "Conflicted": "False/NoConflicts", **problems}
        for listener, problems in listeners.items()
    }
    for each in status["listeners"]:
        assert each["attachedRoutes"] == expect.get("attached", 0)
        assert set(messages(each["conditions"])) <= {expect.get("listener_says")}

    check_objects(stage, expect)
    for route, problems in (expect.get("routes") or {}).items():
        [found] = [each for each in server.list("HTTPRoute") if each["metadata"]["name"] == route]
        [parent] = found["status"]["parents"]
        good = {"Accepted": "True/Accepted", "ResolvedRefs": "True/ResolvedRefs"}
        assert (route, told(parent["conditions"])) == (route, {**good, **problems})
        assert [text for text in messages(parent["conditions"]) if text] == [
            text for key, text in (expect.get("route_says") or {}).items() if key == route
        ]
    assert expect.get("logs", "") in stage.logs()


def check_objects(stage: Stage, expect: Object) -> None:
    server, name = stage.server, stage.name
    gateway = server.get("Gateway", name, NAMESPACE) or {}
    kinds = ["Deployment", "Service", "ConfigMap", "ServiceAccount"]
    objects = {kind: server.get(kind, name, NAMESPACE) for kind in kinds}
    added = [kind for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget") if server.list(kind)]
    addresses = [each["value"] for each in gateway["status"].get("addresses") or []]
    if expect.get("nothing"):
        assert {kind: obj for kind, obj in objects.items() if obj} == {} and added == addresses == []
        return
    assert None not in objects.values()
    assert addresses == [expect["address"]] and added == expect["added"]

    deployment, service = objects["Deployment"] or {}, objects["Service"] or {}
    template = deployment["spec"]["template"]
    containers = {each["name"]: each for each in template["spec"]["containers"]}
    assert list(containers) == expect["containers"]
    assert deployment["spec"]["replicas"] == expect["replicas"]
    if "deployment_generation" in expect:
        assert deployment["metadata"]["generation"] == expect["deployment_generation"]
    env = {each["name"]: each.get("value") for each in containers.get("istio-proxy", {}).get("env") or []}
    assert {key: env.get(key) for key in ENV if key in env} == _expected_env(expect, "istio-proxy" in containers)
    if "ports" in expect:
        assert [each["port"] for each in service["spec"]["ports"]] == expect["ports"]
        proxy = [each["containerPort"] for each in containers["kgateway-proxy"]["ports"]]
        assert proxy == [*expect["ports"], 9091]
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


@pytest.mark.parametrize("line", ["2.1", "2.3"])
@pytest.mark.parametrize(
    "situation", [each for each in SITUATIONS if differs(each)], ids=lambda each: each["situation"].replace(" ", "-")
)
def test_where_the_lines_differ_one_is_not_taken_for_the_other(situation: Object, line: str, tmp_path: Path) -> None:
    """The expectations of one line fail with the controller of the other."""
    stage = Stage("2.3" if line == "2.1" else "2.1", tmp_path)
    with pytest.raises(AssertionError):
        for step in situation["steps"]:
            stage.step(step)
            given = step.get("expect") or {}
            check(stage, {**HEALTHY, **given, **given.get(line, {})})
