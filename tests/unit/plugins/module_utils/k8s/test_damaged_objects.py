"""Engines of cluster_info, objects_info and relay_secrets against API servers on loopback."""

from __future__ import annotations

import base64
import json
import threading
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.apply import cluster_info, objects_info
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError, Invalid, Timeout
from ansible_collections.multicluster.gloo.plugins.module_utils.mesh import relay_secrets


def common(fake: Any, **more: Any) -> dict[str, Any]:
    return {"kubeconfig": fake[1], "context": "fake", "cluster": "cluster1", **more}


def quiet(line: str) -> None:
    """Progress nobody reads."""


def test_a_cluster_tells_who_it_is_and_what_it_serves(fake: Any) -> None:
    api, _kubeconfig = fake
    uid = api.get("v1", "namespaces", "", "kube-system")["metadata"]["uid"]
    result = cluster_info.run(common(fake, expected_uid=uid), False, quiet)
    [info] = result["info"]
    assert (info["cluster"], info["uid"], info["version"], info["served"]) == ("cluster1", uid, "v1.36.3", [])
    assert result["requests"] == 2 and api.writes() == []


def test_another_cluster_is_refused_with_both_uids(fake: Any) -> None:
    with pytest.raises(ClusterError, match=r"refers to another cluster.*expected other-uid"):
        cluster_info.run(common(fake, expected_uid="other-uid"), False, quiet)


@pytest.mark.parametrize("text", ["Gateway", "a/b/c", "group/"])
def test_a_kind_without_group_is_refused(fake: Any, text: str) -> None:
    with pytest.raises(ClusterError, match=r"is not valid. Set <API group>/<Kind>"):
        cluster_info.run(common(fake, kinds=[text]), False, quiet)


def service(api: Any, name: str, *ingress: dict[str, str]) -> None:
    spec = {"type": "LoadBalancer", "ports": [{"name": "grpc", "port": 9900}]}
    status = {"loadBalancer": {"ingress": list(ingress)}}
    api.write("v1", "services", "default", {"metadata": {"name": name}, "spec": spec, "status": status})


def query(**more: Any) -> dict[str, Any]:
    return {"api_version": "v1", "kind": "Service", "namespace": "default", "name": "mgmt", **more}


def read(fake: Any, *queries: dict[str, Any], wait_for: str = "none", wait_timeout: int = 1) -> dict[str, Any]:
    params = common(fake, objects=list(queries), wait_for=wait_for, wait_timeout=wait_timeout)
    return objects_info.run(params, False, quiet)


@pytest.mark.slow
def test_a_service_is_waited_for_until_it_has_an_address(fake: Any) -> None:
    api, _kubeconfig = fake
    service(api, "mgmt")
    with pytest.raises(Timeout, match=r"Service default/mgmt: no LoadBalancer address.*waited \d+ s") as error:
        read(fake, query(), wait_for="ready")
    assert error.value.facts["objects"][0]["ready"] == "waiting"
    threading.Timer(0.3, service, (api, "mgmt", {"ip": "192.0.2.1"})).start()
    [record] = read(fake, query(), wait_for="ready", wait_timeout=10)["objects"]
    assert record["address"] == "192.0.2.1" and record["ports"] == [{"name": "grpc", "port": 9900}]


@pytest.mark.usefixtures("fast")
def test_absent_present_and_unserved_are_told_apart(fake: Any) -> None:
    assert read(fake, query())["objects"] == []
    assert read(fake, query(), wait_for="absent")["msg"] == "cluster1: 0 objects found"
    with pytest.raises(Timeout, match="Service default/mgmt: does not exist"):
        read(fake, query(), wait_for="present")
    with pytest.raises(Timeout, match=r"does not serve x\.example/v1 Thing"):
        read(fake, {"api_version": "x.example/v1", "kind": "Thing"}, wait_for="present")
    service(fake[0], "mgmt")
    with pytest.raises(Timeout, match="Service default/mgmt: not deleted yet"):
        read(fake, query(), wait_for="absent")


def test_an_empty_question_is_refused(fake: Any) -> None:
    with pytest.raises(Invalid, match="objects is empty"):
        read(fake)


def test_values_of_secrets_and_config_maps_are_not_returned(fake: Any) -> None:
    api, _kubeconfig = fake
    for plural in ("secrets", "configmaps"):
        api.write("v1", plural, "default", {"metadata": {"name": "a"}, "data": {"k": "hunter2"}})
    found = read(
        fake, *({"api_version": "v1", "kind": kind, "namespace": "default"} for kind in ("Secret", "ConfigMap"))
    )
    assert len(found["objects"]) == 2 and "hunter2" not in json.dumps(found)
    assert "managedFields" not in json.dumps(found)


ROOT = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nroot").decode()
TOKEN = base64.b64encode(b"played-token").decode()


@pytest.fixture
def two(fake: Any, serving: Any, tmp_path: Any) -> Any:
    """(management, workload): two servers."""
    (tmp_path / "workload").mkdir()
    with serving(tmp_path / "workload", "fake") as workload:
        for api in (fake[0], workload[0]):
            api.write("v1", "namespaces", "", {"metadata": {"name": "gloo-mesh"}})
        yield fake, workload


def made(api: Any, root: str = ROOT) -> None:
    data = {"ca.crt": root, "tls.crt": ROOT, "tls.key": base64.b64encode(b"PRIVATE KEY").decode()}
    api.write("v1", "secrets", "gloo-mesh", {"metadata": {"name": "relay-root-tls-secret"}, "data": data})
    data = {"token": TOKEN}
    api.write("v1", "secrets", "gloo-mesh", {"metadata": {"name": "relay-identity-token-secret"}, "data": data})


def copy_secrets(two: Any, *, check: bool = False, **more: Any) -> dict[str, Any]:
    management, workload = two
    params = common(
        workload,
        management_kubeconfig=management[1],
        management_context="fake",
        management_cluster="mgmt",
        namespace="gloo-mesh",
        wait_timeout=2,
        **more,
    )
    return relay_secrets.run(params, check, quiet)


def test_only_the_keys_that_may_travel_travel(two: Any) -> None:
    (management, _config), (workload, _other) = two
    made(management)
    result = copy_secrets(two)
    assert [record["action"] for record in result["objects"]] == ["created", "created"]
    assert workload.get("v1", "secrets", "gloo-mesh", "relay-root-tls-secret")["data"] == {"ca.crt": ROOT}
    assert workload.get("v1", "secrets", "gloo-mesh", "relay-identity-token-secret")["data"] == {"token": TOKEN}
    assert ROOT not in json.dumps(result) and TOKEN not in json.dumps(result)
    assert management.writes() == []
    assert copy_secrets(two)["changed"] is False


def test_it_waits_until_the_management_server_made_them(two: Any) -> None:
    threading.Timer(0.5, made, (two[0][0],)).start()
    assert copy_secrets(two)["changed"] is True


@pytest.mark.usefixtures("fast")
def test_secrets_that_never_come_are_named(two: Any) -> None:
    with pytest.raises(Timeout, match=r"mgmt: Secret gloo-mesh/relay-root-tls-secret: no key ca\.crt \(waited \d+ s\)"):
        copy_secrets(two)
    assert two[1][0].writes() == []


def test_check_mode_does_not_wait_for_them(two: Any) -> None:
    result = copy_secrets(two, check=True)
    assert [record["action"] for record in result["objects"]] == ["created", "created"]
    assert two[1][0].writes() == []


def test_a_private_key_never_leaves(two: Any) -> None:
    made(two[0][0], base64.b64encode(b"-----BEGIN PRIVATE KEY-----").decode())
    with pytest.raises(Invalid, match="contains a private key"):
        copy_secrets(two)
    assert two[1][0].writes() == []


def test_absent_takes_the_copies_away_without_asking_management(two: Any) -> None:
    made(two[0][0])
    copy_secrets(two)
    del two[0][0].log[:]
    assert [record["action"] for record in copy_secrets(two, state="absent")["objects"]] == ["deleted", "deleted"]
    assert two[0][0].log == []
