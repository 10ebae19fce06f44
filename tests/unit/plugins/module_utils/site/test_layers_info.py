"""What layers_info asks of API servers, what it does without rights, and that it returns no secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helm_records import record

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import Invalid, Unreachable
from ansible_collections.multicluster.gloo.plugins.module_utils.site import layers_info

Json = dict[str, Any]
CANARY = "a-licence-that-is-never-shown"
ADMIN = {
    "workspaces": ("Workspace", True),
    "workspacesettings": ("WorkspaceSettings", True),
    "kubernetesclusters": ("KubernetesCluster", True),
    "roottrustpolicies": ("RootTrustPolicy", True),
}
PLANNED = {
    "crds": {
        "name": "gloo-platform-crds",
        "namespace": "gloo-mesh",
        "chart": "gloo-platform-crds",
        "repo_url": "https://x",
    },
    "platform": {"name": "gloo-platform", "namespace": "gloo-mesh", "chart": "gloo-platform", "repo_url": "https://x"},
    "istio": {"name": "istiod-gloo", "namespace": "istio-system"},
}
NOTES = {"meta.helm.sh/release-name": "mesh", "meta.helm.sh/release-namespace": "gloo"}
SERVER: Json = {
    "metadata": {"name": "server", "annotations": NOTES},
    "spec": {
        "replicas": 1,
        "template": {
            "metadata": {"labels": {"app": "server"}},
            "spec": {"containers": [{"name": "c", "image": "registry.example/gloo-mesh-mgmt-server:1"}]},
        },
    },
}


@pytest.fixture
def clusters(serving: Any, tmp_path: Path) -> Iterator[Any]:
    """(FakeApi of mgmt, FakeApi of east, rows for the option clusters)."""
    (tmp_path / "m").mkdir()
    (tmp_path / "w").mkdir()
    with serving(tmp_path / "m", "mgmt") as (mgmt, first), serving(tmp_path / "w", "east") as (east, second):
        mgmt.kinds["admin.gloo.solo.io/v2"] = dict(ADMIN)
        for api in (mgmt, east):
            api.kinds["discovery.k8s.io/v1"] = {"endpointslices": ("EndpointSlice", True)}
            api.kinds["admissionregistration.k8s.io/v1"] = {
                "mutatingwebhookconfigurations": ("MutatingWebhookConfiguration", False)
            }
        rows = [
            {"host": "mgmt", "name": "mgmt", "kubeconfig": str(first), "context": "mgmt", "role": "management"},
            {"host": "east", "name": "east", "kubeconfig": str(second), "context": "east", "role": "workload"},
        ]
        yield mgmt, east, rows


def go(rows: list[Json], **options: Any) -> Json:
    params = {"clusters": rows, "planned": PLANNED, "license_secrets": ["license-keys"], "strict": True, **options}
    return layers_info.run(params, False, lambda line: None)


def states(result: Json) -> dict[str, str]:
    return {f"{host} {layer}": row["state"] for host, rows in result["layers"].items() for layer, row in rows.items()}


def test_an_empty_site_takes_few_reads_and_no_write(clusters: Any) -> None:
    mgmt, east, rows = clusters
    found = go(rows)
    assert set(states(found).values()) == {"absent"}
    assert found["decisions"]["east"][0].startswith("crds: it does not exist: Helm release gloo-mesh/")
    assert (found["problems"], found["unread"], found["msg"]) == ([], [], "2 clusters read")
    assert mgmt.writes() == east.writes() == []
    assert found["requests"] <= 50


def test_what_exists_is_found_in_any_namespace_without_its_secrets(clusters: Any) -> None:
    mgmt, _east, rows = clusters
    mgmt.write("apps/v1", "deployments", "gloo", SERVER)
    stored = record("mesh", 2, namespace="gloo", chart="gloo-platform", version="2.9.1", values={"key": CANARY})
    mgmt.write("v1", "secrets", "gloo", stored)
    licence = {"metadata": {"name": "license-keys"}, "stringData": {"gloo-mesh-license-key": CANARY}}
    mgmt.write("v1", "secrets", "gloo", licence)
    found = go(rows)
    row = found["layers"]["mgmt"]["platform"]
    assert row["state"] == "adopted" and row["release"]["name"] == "mesh"
    assert CANARY not in json.dumps(found)


def test_a_release_of_crds_is_found_in_a_namespace_of_its_own(clusters: Any) -> None:
    _mgmt, east, rows = clusters
    names = {"plural": "kubernetesclusters", "kind": "KubernetesCluster"}
    spec = {"group": "admin.gloo.solo.io", "names": names, "scope": "Namespaced", "versions": [{"name": "v2"}]}
    notes = {"meta.helm.sh/release-name": "gloo-crds", "meta.helm.sh/release-namespace": "crds"}
    meta = {"name": "kubernetesclusters.admin.gloo.solo.io", "annotations": notes}
    east.write("apiextensions.k8s.io/v1", "customresourcedefinitions", "", {"metadata": meta, "spec": spec})
    east.write("v1", "secrets", "crds", record("gloo-crds", 1, namespace="crds", chart="gloo-platform-crds"))
    row = go(rows)["layers"]["east"]["crds"]
    assert (row["state"], row["release"]["namespace"], row["release"]["name"]) == ("adopted", "crds", "gloo-crds")


def test_certificates_of_istio_are_read_where_it_will_be(clusters: Any) -> None:
    _mgmt, east, rows = clusters
    east.write("v1", "secrets", "istio-system", {"metadata": {"name": "cacerts"}, "stringData": {"ca-key.pem": CANARY}})
    found = go(rows)
    row = found["layers"]["mgmt"]["trust"]
    assert (row["manage"], row["facts"]["own_certificates"]) == (False, ["istio-system/cacerts in east"])
    assert CANARY not in json.dumps(found)


def test_without_permission_to_read_secrets_nothing_is_adopted(clusters: Any) -> None:
    mgmt, _east, rows = clusters
    mgmt.write("apps/v1", "deployments", "gloo", SERVER)
    forbidden = {"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "no", "code": 403}
    mgmt.refuse("GET", "secrets", 403, forbidden, times=20)
    found = go(rows)
    row = found["layers"]["mgmt"]["platform"]
    assert (row["state"], row["manage"]) == ("external", False)
    assert found["unread"] and all(each.startswith("mgmt: ") for each in found["unread"])


def test_without_the_right_to_read_cacerts_no_root_is_replaced(clusters: Any) -> None:
    _mgmt, east, rows = clusters
    forbidden = {"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "no", "code": 403}
    east.refuse("GET", "secrets", 403, forbidden, times=20)
    [problem] = go(rows, strict=False)["problems"]
    assert problem.startswith("mgmt: RootTrustPolicy: it is not known whether the root CA of east is managed elsewhere")
    assert "mesh_layers.trust to use" in problem


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ({"istoi": "use"}, "east: mesh_layers has istoi: no such layer. Use crds, platform"),
        ({"istio": "ours"}, "east: mesh_layers.istio is 'ours'. Use auto, manage, use"),
    ],
)
def test_names_that_do_not_exist_are_refused_without_a_request(clusters: Any, layers: Json, said: str) -> None:
    mgmt, east, rows = clusters
    with pytest.raises(Invalid) as refused:
        go([rows[0], {**rows[1], "layers": layers}])
    assert said in refused.value.msg
    assert mgmt.log == east.log == []


def test_a_contradiction_names_the_cluster_and_keeps_the_records(clusters: Any) -> None:
    mgmt, _east, rows = clusters
    mgmt.write("apps/v1", "deployments", "gloo", {**SERVER, "metadata": {"name": "server"}})
    rows[0]["layers"] = {"platform": "manage"}
    with pytest.raises(Invalid) as refused:
        go(rows)
    assert refused.value.msg.startswith("mgmt: Deployment gloo/server belongs to field manager someone, so it cannot")
    assert refused.value.facts["layers"]["mgmt"]["platform"]["manage"] is False
    assert go(rows, strict=False)["problems"] == [refused.value.msg]


def test_a_cluster_that_is_not_required_may_be_down(clusters: Any, tmp_path: Path) -> None:
    _mgmt, _east, rows = clusters
    down = tmp_path / "down"
    down.write_text(re.sub(r"(https?://127\.0\.0\.1):\d+", r"\1:1", Path(rows[1]["kubeconfig"]).read_text()))
    gone = {**rows[1], "kubeconfig": str(down)}
    with pytest.raises(Unreachable):
        go([rows[0], gone])
    for kubeconfig in (str(down), str(tmp_path / "missing")):
        with pytest.raises(Invalid) as refused:
            go([rows[0], {**gone, "kubeconfig": kubeconfig, "required": False}])
        assert "mgmt: RootTrustPolicy: it is not known whether the root CA of east" in refused.value.msg
    rows[0]["layers"] = {"trust": "use"}
    found = go([rows[0], {**gone, "required": False}])
    assert list(found["layers"]) == ["mgmt"] and "east" in found["unread"][0]
