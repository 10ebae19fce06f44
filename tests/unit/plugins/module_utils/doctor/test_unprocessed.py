"""Objects whose controller has not processed them: no check advises to change them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from health_changes import checked, trusts
from health_site import Site

Json = dict[str, Any]


def no_status(obj: Json) -> None:
    obj.pop("status", None)


def empty_status(obj: Json) -> None:
    obj["status"] = {}


def older(obj: Json) -> None:
    """The object has changed since; what its status counts is no longer certain."""
    obj["metadata"]["generation"] = 7
    for key in ("numSelectedClusters", "numSelectedEastWestGateways", "numSelectedBackingServices"):
        if key in obj.get("status", {}):
            obj["status"][key] = 0
    if "ownedByWorkspace" in obj.get("status", {}):
        obj["status"]["ownedByWorkspace"] = {}


def pending(obj: Json) -> None:
    state = {"approval": "PENDING", "message": "in progress", "observedGeneration": 1}
    obj["status"] = {"state": "PENDING", "observedGeneration": 1} if obj["kind"] == "RootTrustPolicy" else {
        **obj["status"], "common": {"State": state}
    }  # fmt: skip


def unknown(obj: Json) -> None:
    """The API server's default conditions."""
    obj["status"] = {"conditions": [
        {"type": name, "status": "Unknown", "reason": "Pending", "message": "Waiting for controller"}
        for name in ("Accepted", "Programmed")
    ]}  # fmt: skip


GLOO = (no_status, empty_status, older, pending)
ANY = (no_status, empty_status, older)
OBJECTS: tuple[tuple[str, str, str, tuple[Callable[[Json], None], ...]], ...] = (
    ("mgmt", "RootTrustPolicy", "root", GLOO),
    ("mgmt", "Workspace", "ws", GLOO),
    ("mgmt", "WorkspaceSettings", "ws", GLOO),
    ("mgmt", "KubernetesCluster", "c1", GLOO),
    ("mgmt", "VirtualDestination", "vd", GLOO),
    ("mgmt", "RouteTable", "rt", GLOO),
    ("mgmt", "Deployment", "gloo-mesh-mgmt-server", ANY),
    ("c1", "Deployment", "gloo-mesh-agent", ANY),
    ("c1", "Deployment", "gloo-operator", ANY),
    ("c1", "ServiceMeshController", "managed-istio", (no_status, empty_status)),
    ("c1", "GatewayClass", "gloo-gateway-v2", (*ANY, unknown)),
    ("c1", "Gateway", "http", (*ANY, unknown)),
    ("c1", "Deployment", "gloo-gateway", ANY),
    ("c1", "Deployment", "http", ANY),
    ("c1", "HTTPRoute", "r", ANY),
)
CASES = [(cluster, kind, name, change) for cluster, kind, name, changes in OBJECTS for change in changes]
#: a verb of a write where a sentence or a clause begins
WRITE = re.compile(
    r"(?:^|[.:;,] |\b(?:then|and|or|to) )"
    r"(?:add|copy|correct|create|delete|install|label|remove|renew|restart|scale|set)\b"
)


@pytest.mark.parametrize(
    ("cluster", "kind", "name", "change"),
    CASES,
    ids=[f"{kind} {name} {change.__name__}" for _c, kind, name, change in CASES],
)
def test_no_check_advises_to_change_it(cluster: str, kind: str, name: str, change: Callable[[Json], None]) -> None:
    site = Site()
    change(site.one(cluster, kind, name))
    rows = [row for row in checked(site)["checks"] if row["verdict"] in ("warning", "failed")]
    named = re.compile(rf"\b{kind} (\S+/)?{name}\b")
    about = [row for row in rows if named.search(f"{row['object']} {row['message']}")]
    assert about or kind == "Deployment"
    assert [row for row in about if WRITE.search(row["hint"])] == []


@pytest.mark.parametrize("change", GLOO)
@pytest.mark.parametrize("trusting", [True, False], ids=["clusters trust each other", "clusters do not"])
def test_a_trust_policy_that_is_not_processed_is_not_wrong(change: Callable[[Json], None], trusting: bool) -> None:
    site = Site()
    change(site.one("mgmt", "RootTrustPolicy", "root"))
    if not trusting:
        trusts("c2", "other")(site)
    row = next(each for each in checked(site)["checks"] if each["id"] == "trust-policy")
    assert row["verdict"] == "warning"
    assert "read the logs of the management server" in row["hint"]


@pytest.mark.parametrize("change", GLOO)
def test_a_trust_policy_waits_for_an_istiod(change: Callable[[Json], None]) -> None:
    site = Site()
    change(site.one("mgmt", "RootTrustPolicy", "root"))
    site.unready("c2", "istiod-gloo")
    found = checked(site)
    row = next(each for each in found["checks"] if each["id"] == "trust-policy")
    assert row["verdict"] == "warning"
    assert "It waits for an istiod: none is running in c2" in row["message"]
    assert "see the check istiod of c2" in row["hint"]
    assert found["first"]["id"] == "istiod"


def test_a_policy_that_failed_beside_one_that_is_pending_is_wrong() -> None:
    site = Site()
    wrong = site.one("mgmt", "RootTrustPolicy", "root")
    wrong["status"]["state"] = "FAILED"
    other: Json = {**wrong, "metadata": {**wrong["metadata"], "name": "other"}, "status": {}}
    site.clusters["mgmt"]["RootTrustPolicy"].insert(0, other)
    trusts("c2", "other")(site)
    row = next(each for each in checked(site)["checks"] if each["id"] == "trust-policy")
    assert (row["verdict"], row["object"].rpartition("/")[2]) == ("failed", "root")


@pytest.mark.parametrize("kind", ["VirtualDestination", "Workspace"])
def test_a_licence_is_judged_by_current_statuses(kind: str) -> None:
    site = Site()
    obj = site.one("mgmt", kind, "vd" if kind == "VirtualDestination" else "ws")
    obj["status"]["common"]["State"]["approval"] = "UNLICENSED"
    assert checked(site)["first"]["id"] == "licence"
    obj["metadata"]["generation"] = 7
    row = next(each for each in checked(site)["checks"] if each["id"] == "licence")
    assert not WRITE.search(row["hint"])


@pytest.mark.parametrize(
    ("kind", "name", "with_message"),
    [
        ("VirtualDestination", "vd", True),
        ("VirtualDestination", "vd", False),
        ("RouteTable", "rt", True),
        ("RouteTable", "rt", False),
        ("WorkspaceSettings", "ws", True),
    ],
)
def test_an_object_in_no_workspace_is_reported_although_it_is_pending(kind: str, name: str, with_message: bool) -> None:
    site = Site()
    status = site.one("mgmt", kind, name)["status"]
    message = "namespace app is in no workspace" if with_message else ""
    status["common"]["State"] = {"approval": "PENDING", "message": message, "observedGeneration": 1}
    if not with_message:
        status["ownedByWorkspace"] = {}
    first = checked(site)["first"]
    assert first["object"].startswith(kind)
    assert "in no workspace" in first["message"]
    assert first["hint"] == "unless it is left out on purpose, add its namespace to a Workspace"


def test_a_listener_without_a_status_names_its_gateway_once() -> None:
    site = Site()
    site.one("c1", "Gateway", "http")["spec"]["listeners"].append({"name": "https", "protocol": "HTTPS", "port": 8443})
    found = [row for row in checked(site)["checks"] if row["verdict"] == "failed"]
    assert [row["message"] for row in found] == ["Gateway edge/http: listener https: no status yet"]
