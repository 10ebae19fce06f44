"""The simulated controllers beside recordings of kgateway 2.1 and 2.3.0: the same conditions, listeners and objects."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from recorded_gateway import GATEWAY_API, NAMESPACE, SITUATIONS, Object, Stage, check, differs, expected, merge

from lab.vendor.gloo_gateway import gloo_gateway
from lab.vendor.gloo_gateway.gloo_gateway import GlooGateway

BALANCED, CLUSTER_IP = "127.2.179.245", "10.101.23.67"
ROWS = [(each, line) for each in SITUATIONS for line in each["lines"]]
GATEWAY_API_KINDS = ("Gateway", "GatewayClass", "HTTPRoute")


class Server:
    """A cluster with an API server's answers: server-side apply of one manager, generations, status of Services."""

    name = "cluster1"

    def __init__(self, line: str) -> None:
        self._line = line
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

    def put(self, kind: str, name: str, namespace: str, spec: Object, labels: dict[str, str] | None = None) -> Object:
        """What a user wrote."""
        key = (kind, namespace, name)
        old = self.objects.get(key, {})
        version = f"{GATEWAY_API}/v1" if kind in GATEWAY_API_KINDS else "v1"
        metadata = {"name": name, "namespace": namespace, "uid": f"{kind}-{name}", "generation": 1, "labels": labels}
        if old:
            metadata["generation"] = old["metadata"]["generation"] + (old.get("spec") != spec)
        obj = {"apiVersion": version, "kind": kind, "metadata": metadata, "status": old.get("status", {}), "spec": spec}
        self.objects[key] = json.loads(json.dumps(obj))
        return self.objects[key]

    def remove(self, kind: str, name: str, namespace: str) -> None:
        self.objects.pop((kind, namespace, name), None)

    def edit(self, deployment: Object) -> None:
        deployment["metadata"]["generation"] += 1

    def controller(self, switches: dict[str, str], present: bool) -> None:
        labels = {"kgateway": "kgateway"}
        env = [{"name": name, "value": value} for name, value in switches.items()]
        # A mirror's tag tells nothing about the line.
        spec = {"containers": [{"name": "controller", "image": "mirror.example/kgateway:stable", "env": env}]}
        chart = {"helm.sh/chart": f"kgateway-v{self._line}.7"}
        selector = {"selector": {"matchLabels": labels}, "template": {"spec": spec}}
        self.put("Deployment", "kgateway", NAMESPACE, selector, chart)
        status = {"conditions": [{"type": "Ready", "status": "True" if present else "False"}]}
        self.put("Pod", "kgateway-1", NAMESPACE, spec, labels)["status"] = status

    def apply(self, obj: Object, manager: str) -> Object:
        metadata = obj["metadata"]
        key = (obj["kind"], metadata.get("namespace") or "", metadata["name"])
        live = self.objects.get(key)
        before, former = copy.deepcopy(live or {}), self._applied.get(key, {})
        self._applied[key] = copy.deepcopy(obj)
        result = _taken_away(live or {}, former, obj) | {"status": before.get("status", {})}
        merge(result, obj)
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


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gloo_gateway, "ACCEPTED_FIRST", 0.0)


def play(situation: Object, controller: str, line: str, home: Path) -> None:
    """Play a situation with the controller of one line, and compare with what was recorded of a line."""
    server, part = Server(controller), GlooGateway()
    lab: Any = SimpleNamespace(home=home, clusters={"cluster1": server}, programs={})
    stage = Stage(server)
    for step in situation["steps"]:
        stage.step(step)
        part.reconcile(lab)
        part.reconcile(lab)  # its own writes make it act again
        expect = expected(step, line)
        check(server, stage.name, line, expect)
        logs = "".join(path.read_text() for path in home.rglob("*") if path.is_file())
        assert expect.get("logs", "") in logs


@pytest.mark.parametrize(
    ("situation", "line"), ROWS, ids=[f"{line}-{each['situation'].replace(' ', '-')}" for each, line in ROWS]
)
def test_the_simulated_controller_does_what_the_real_one_did(situation: Object, line: str, tmp_path: Path) -> None:
    play(situation, line, line, tmp_path)


@pytest.mark.parametrize("line", ["2.1", "2.3"])
@pytest.mark.parametrize(
    "situation", [each for each in SITUATIONS if differs(each)], ids=lambda each: each["situation"].replace(" ", "-")
)
def test_where_the_lines_differ_one_is_not_taken_for_the_other(situation: Object, line: str, tmp_path: Path) -> None:
    """The expectations of one line fail with the controller of the other."""
    with pytest.raises(AssertionError):
        play(situation, "2.3" if line == "2.1" else "2.1", line, tmp_path)
