"""The engine over API servers: what is read and how often, what is not, the result's shape, when it fails."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import health_site
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import health_info, probes
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.parameter_kinds import PARAMETER_KINDS
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError

Json = dict[str, Any]

CANARY = "canary-0f1e2d3c4b5a"
VALUES = {
    "relay-root-tls-secret": ("gloo-mesh", {"ca.crt": "relay root", "tls.key": CANARY}),
    "relay-identity-token-secret": ("gloo-mesh", {"token": CANARY}),
    "relay-client-tls-secret": ("gloo-mesh", {"ca.crt": "relay root", "tls.key": CANARY}),
    "cacerts": ("istio-system", {"root-cert.pem": "mesh root", "ca-key.pem": CANARY}),
}
PLURALS = {
    "ServiceEntry": "serviceentries",
    "WorkloadEntry": "workloadentries",
    "EndpointSlice": "endpointslices",
    "GatewayClass": "gatewayclasses",
    "WorkspaceSettings": "workspacesettings",
    "RootTrustPolicy": "roottrustpolicies",
}
CLUSTER_SCOPED = ("Namespace", "GatewayClass", "ServiceMeshController", "MutatingWebhookConfiguration")


def fill(api: Any, objects: dict[str, list[Json]], secrets: list[str]) -> None:
    """Put the objects of a cluster of the site into a server, with the kinds they need."""
    for title, items in objects.items():
        kind = title.split(" of ")[0]
        api_version = items[0]["apiVersion"] if items else "networking.istio.io/v1"
        plural = PLURALS.get(kind) or (kind.lower() if kind.endswith("s") else f"{kind.lower()}s")
        api.kinds.setdefault(api_version, {})[plural] = (kind, kind not in CLUSTER_SCOPED)
        for item in items:
            if kind == "ConfigMap":
                item["metadata"].setdefault("labels", {})
            api.write(api_version, plural, item["metadata"].get("namespace", ""), item)
    hooks = {"mutatingwebhookconfigurations": ("MutatingWebhookConfiguration", False)}
    api.kinds["admissionregistration.k8s.io/v1"] = hooks
    for name in secrets:
        namespace, values = VALUES[name]
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        api.write("v1", "secrets", namespace, {"metadata": {"name": name}, "data": data})


class Served:
    """The healthy site on three API servers."""

    def __init__(self, apis: dict[str, Any], params: Json) -> None:
        self.apis, self.params = apis, params

    def run(self, **more: Any) -> Json:
        return health_info.run({**self.params, **more}, False, print)


@pytest.fixture
def served(serving: Any, tmp_path: Path) -> Iterator[Served]:
    site = health_site.Site()
    with ExitStack() as stack:
        apis, rows = {}, []
        for name, objects in site.clusters.items():
            folder = tmp_path / name
            folder.mkdir()
            apis[name], kubeconfig = stack.enter_context(serving(folder, name))
            fill(apis[name], objects, [*VALUES] if name != "mgmt" else [*VALUES][:2])
            role = "management" if name == "mgmt" else "workload"
            rows.append(
                {"name": name, "kubeconfig": kubeconfig, "context": name, "role": role, "gateway": name == "c1"}
            )
        yield Served(apis, {"clusters": rows, "data": {**(site.data or {}), "proofs": []}, "fail_on": "never"})


def test_a_healthy_site_is_read_once_and_nothing_of_a_secret_comes_back(served: Served) -> None:
    result = served.run()
    health = result["health"]
    bad = [row for row in health["checks"] if row["verdict"] in ("failed", "warning")]
    assert not bad
    assert health["first"] is None
    assert CANARY not in json.dumps(result)
    for api in served.apis.values():
        assert not api.writes()
        lists = Counter(path.split("?")[0] for _method, path, _dry in api.log if path.split("/")[-1].endswith("s"))
        del lists["/api/v1/configmaps"]  # by label for istiod, by name for its root certificate
        assert max(lists.values()) == 1, lists.most_common(3)
    assert result["msg"] == (
        f"{health['counts']['ok']} checks ok ({health['counts']['skipped']} checks could not be evaluated)"
    )


def test_the_shape_of_the_result(served: Served) -> None:
    health = served.run()["health"]
    assert set(health) == {
        "verdict", "counts", "first", "checks", "seconds", "time", "clusters", "destinations", "routes", "answers",
    }  # fmt: skip
    management, c1, c2 = health["clusters"]
    assert management["relay_address"] == "192.0.2.9:9900"
    assert management["telemetry_address"] == "192.0.2.8:4317"
    assert management["agent"] is None
    assert c1["istiod"]["cluster_id"] == "c1"
    assert c1["east_west"] == ["192.0.2.1:15443"]
    assert c1["gateways"][0]["gateway"] == "http"
    assert (c2["gateways"], c2["agent"]) == ([], "unknown")
    [destination] = health["destinations"]
    assert (destination["host"], destination["port"], destination["state"]) == (health_site.HOST, 9080, "ACCEPTED")
    assert [(i["cluster"], i["workload"], i["ready"]) for i in destination["instances"]] == [
        ("c1", "reviews-rs", True),
        ("c2", "reviews-rs", True),
    ]
    assert health["routes"] == [
        {
            "cluster": "c1",
            "namespace": "app",
            "name": "r",
            "gateway": "edge/http",
            "hostnames": [],
            "backends": [f"{health_site.HOST}:9080"],
        }
    ]
    assert health["answers"] == []


def test_the_management_server_of_the_inventorys_clusters_is_the_one_in_use(served: Served) -> None:
    """Another one, with registrations of its own, is first in the alphabet."""
    api = served.apis["mgmt"]
    server = dict(api.get("apps/v1", "deployments", "gloo-mesh", "gloo-mesh-mgmt-server"))
    server["metadata"] = {"name": "gloo-mesh-mgmt-server", "labels": server["metadata"].get("labels", {})}
    api.write("apps/v1", "deployments", "aaa", server)
    for name in ("prod1", "prod2", "prod3"):
        api.write("admin.gloo.solo.io/v2", "kubernetesclusters", "aaa", {"metadata": {"name": name}})
    rows = served.run()["health"]["checks"]
    found = next(row for row in rows if row["id"] == "management-server")
    assert found["object"] == "Deployment gloo-mesh/gloo-mesh-mgmt-server"


def test_a_cluster_that_does_not_answer_is_a_result(served: Served) -> None:
    served.params["clusters"][2]["kubeconfig"] = "/nowhere/kubeconfig"
    health = served.run()["health"]
    assert health["first"]["id"] == "reach"
    assert health["first"]["cluster"] == "c2"
    assert health["first"]["message"].startswith("the kubeconfig /nowhere/kubeconfig does not exist")
    rest = [row for row in health["checks"] if row["cluster"] == "c2" and row["id"] != "reach"]
    assert {row["message"] for row in rest} == {"because reach failed in c2"}
    assert {row["verdict"] for row in health["checks"] if row["id"] == "istiod" and row["cluster"] == "c1"} == {"ok"}


def test_an_unreachable_management_cluster_leaves_what_can_be_said_of_the_others(served: Served) -> None:
    served.params["clusters"][0]["kubeconfig"] = "/nowhere/kubeconfig"
    health = served.run()["health"]
    assert (health["first"]["id"], health["first"]["cluster"]) == ("reach", "mgmt")
    verdicts = {row["id"]: row["verdict"] for row in health["checks"] if row["cluster"] == "c1"}
    assert verdicts["istiod"] == verdicts["gateway-parameters"] == "ok"
    assert verdicts["relay-token"] == verdicts["service-entry"] == "skipped"


@pytest.mark.parametrize(
    ("path", "id"), [("/serviceentries", "service-entry"), ("/secrets/relay-identity-token-secret", "relay-token")]
)
def test_what_may_not_be_read_is_said(served: Served, path: str, id: str) -> None:
    status = {"reason": "Forbidden", "message": f"{path} is forbidden: User x cannot list"}
    served.apis["c2"].refuse("GET", path, 403, status, times=9)
    health = served.run()["health"]
    row = next(r for r in health["checks"] if r["id"] == id and r["cluster"] == "c2")
    assert row["verdict"] == "skipped"
    assert row["message"].startswith("not evaluated: ")
    assert "Forbidden" in row["message"]
    assert health["verdict"] == "ok"


def test_an_api_server_that_fails_while_it_is_read_is_a_result(served: Served) -> None:
    status = {"reason": "InternalError", "message": "etcdserver: no leader"}
    served.apis["c2"].refuse("GET", "/secrets/", 500, status, times=99)
    health = served.run()["health"]
    row = next(r for r in health["checks"] if r["id"] == "relay-token" and r["cluster"] == "c2")
    assert (row["verdict"], "InternalError" in row["message"]) == ("skipped", True)
    assert health["verdict"] == "ok"


def test_an_object_the_picture_cannot_show_leaves_the_checks(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_found: Any) -> Json:
        raise KeyError("port")

    monkeypatch.setattr(health_info, "record", fail)
    health = served.run()["health"]
    assert next(each for each in health["clusters"] if each["cluster"] == "c1")["gateways"] == []
    assert {row["id"] for row in health["checks"]} > {"reach", "gateway", "route"}


@pytest.mark.parametrize(("code", "verdicts"), [(401, {"failed"}), (403, {"ok"})])
def test_without_rights_there_is_less_to_say_and_without_credentials_nothing(
    served: Served, code: int, verdicts: set[str]
) -> None:
    status = {"reason": "Forbidden", "message": 'namespaces "kube-system" is forbidden: User x cannot get'}
    served.apis["c2"].refuse("GET", "/namespaces/kube-system", code, status, times=9)
    rows = [row for row in served.run()["health"]["checks"] if row["cluster"] == "c2"]
    assert {row["verdict"] for row in rows if row["id"] == "reach"} == verdicts
    assert {row["verdict"] for row in rows if row["id"] == "distinct"} == {"skipped"}


def test_the_log_of_an_agent_that_is_not_connected_is_quoted(served: Served) -> None:
    line = "x509: certificate signed by unknown authority; token=s3cr3t-canary"
    served.apis["c2"].logs["gloo-mesh", "gloo-mesh-agent-1", "gloo-mesh-agent", False] = line
    first = served.run()["health"]["first"]
    assert (first["id"], first["cluster"]) == ("agent-connected", "c2")
    assert "signed by unknown authority" in first["message"]
    assert "s3cr3t" not in first["message"]
    assert served.run(logs=False)["health"]["first"] is None


@pytest.mark.parametrize(("fail_on", "fails"), [("never", False), ("failed", True), ("warning", True)])
def test_fail_on(served: Served, fail_on: str, fails: bool) -> None:
    served.apis["mgmt"].remove(("networking.gloo.solo.io/v2", "virtualdestinations", "app", "vd"))
    if not fails:
        assert served.run(fail_on=fail_on)["health"]["verdict"] == "failed"
        return
    with pytest.raises(ClusterError, match=r"mgmt: VirtualDestination app/vd does not exist in mgmt") as caught:
        served.run(fail_on=fail_on)
    assert caught.value.facts["health"]["first"]["id"] == "virtual-destination"
    assert caught.value.facts["table"]


@pytest.mark.parametrize(
    ("roles", "text"),
    [
        (["workload"], "'clusters' has 0 entries of role management"),
        (["management", "management"], "'clusters' has 2 entries of role management"),
    ],
)
def test_clusters_that_do_not_fit_are_refused(roles: list[str], text: str) -> None:
    rows = [{"name": f"c{n}", "kubeconfig": "x", "context": "x", "role": role} for n, role in enumerate(roles)]
    with pytest.raises(ClusterError, match=text):
        health_info.run({"clusters": rows}, False, print)


@pytest.mark.parametrize(
    ("key", "entry", "text"),
    [
        ("virtual_destinations", {"name": "vd"}, "'virtual_destinations' in 'data' has no namespace: vd"),
        ("http_routes", {"namespace": "app"}, "'http_routes' in 'data' has no name"),
        ("proofs", {"name": "p", "path": "/"}, "'proofs' in 'data' has no answered_by: p"),
    ],
)
def test_data_that_lacks_something_is_refused(key: str, entry: Json, text: str) -> None:
    rows = [{"name": "c", "kubeconfig": "x", "context": "x", "role": "management"}]
    with pytest.raises(ClusterError, match=text):
        health_info.run({"clusters": rows, "data": {key: [entry]}}, False, print)


def test_two_clusters_of_one_name_are_refused() -> None:
    rows = [{"name": "c", "kubeconfig": "x", "context": "x", "role": role} for role in ("management", "workload")]
    with pytest.raises(ClusterError, match="has several entries named c"):
        health_info.run({"clusters": rows}, False, print)


def test_parameters_of_every_product_are_read(served: Served) -> None:
    served.run()
    groups = {kind.group for kind in PARAMETER_KINDS}
    asked = {group for group in groups for _m, path, _d in served.apis["c1"].log if f"/apis/{group}/" in path}
    assert asked == groups


# -- the metric ------------------------------------------------------------------------------------------------------


def test_connections_of_the_metric() -> None:
    text = b"""# HELP relay_push_clients_connected Current number of connected Relay push clients.
# TYPE relay_push_clients_connected gauge
relay_push_clients_connected{cluster="c1"} 1
relay_push_clients_connected{pod="x",cluster="c2",other="y"} 0
relay_push_clients_connected_total{cluster="c3"} 1
other{cluster="c4"} 1
"""
    assert probes.connections(text.splitlines(keepends=True)) == {"c1": True, "c2": False}
    assert probes.connections([b"# TYPE relay_push_clients_connected gauge\n"]) == {}
    with pytest.raises(ClusterError, match="no metric relay_push_clients_connected"):
        probes.connections([b"up 1\n"])
