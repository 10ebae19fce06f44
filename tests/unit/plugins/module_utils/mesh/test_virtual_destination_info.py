"""Several VirtualDestinations at once, as a management and a workload cluster see them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError
from ansible_collections.multicluster.gloo.plugins.module_utils.mesh import virtual_destination_info as engine

Json = dict[str, Any]
HOSTS = ["a.mesh.internal", "b.mesh.internal"]
SPEC = {"hosts": HOSTS, "ports": [{"number": 80}, {"number": 81}], "services": [{"labels": {"app": "a"}}]}
DESTINATION = {"name": "vd", "namespace": "app", "spec": SPEC}


def check(kubeconfig: str, **changes: Any) -> Json:
    defaults = {name: option.get("default") for name, option in engine.ARGUMENT_SPEC.items()}
    given = {"kubeconfig": kubeconfig, "context": "fake", "cluster": "c", "destinations": [DESTINATION]}
    return engine.run({**defaults, **given, **changes}, False, lambda line: None)


def write_destination(api: Any, **status: Any) -> None:
    api.kinds["networking.gloo.solo.io/v2"] = {"virtualdestinations": ("VirtualDestination", True)}
    common = {"State": {"approval": "ACCEPTED", "observedGeneration": "1"}}
    found = {"metadata": {"name": "vd"}, "spec": SPEC, "status": {"common": common, **status}}
    api.write("networking.gloo.solo.io/v2", "virtualdestinations", "app", found)


def test_there_is_a_record_for_every_host_and_port(fake: Any) -> None:
    api, kubeconfig = fake
    istio = {"serviceentries": ("ServiceEntry", True), "workloadentries": ("WorkloadEntry", True)}
    api.kinds["networking.istio.io/v1"] = istio
    result = check(kubeconfig)
    assert [(row["host"], row["port"]) for row in result["destinations"]] == [
        (host, port) for host in HOSTS for port in (80, 81)
    ]
    for host in HOSTS:
        for port in (80, 81):
            assert f"host {host}:{port} of VirtualDestination app/vd: no ServiceEntry has that host" in result["msg"]


def test_an_accepted_destination_that_selects_a_service_is_ready(fake: Any) -> None:
    api, kubeconfig = fake
    write_destination(api, numSelectedBackingServices=1, ownedByWorkspace="w")
    result = check(kubeconfig, wait=True, wait_for="accepted", wait_timeout=5)
    assert result["msg"] == "c: VirtualDestination app/vd: accepted"


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"ownedByWorkspace": "w"}, r"^c: VirtualDestination app/vd: selects no Service in any cluster"),
        ({"numSelectedBackingServices": 1, "ownedByWorkspace": ""}, "is in no workspace"),
        (None, "does not exist"),
    ],
)
def test_an_accepted_destination_that_leads_nowhere_is_refused(fake: Any, status: Json | None, says: str) -> None:
    api, kubeconfig = fake
    if status is not None:
        write_destination(api, **status)
    with pytest.raises(ClusterError, match=says):
        check(kubeconfig, wait=True, wait_for="accepted", wait_timeout=0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"host": HOSTS[0]}, "'destinations' is set with 'host' or 'name'"),
        ({"destinations": None}, "Set 'destinations', 'host' or 'name'"),
    ],
)
def test_options_that_contradict_each_other_are_refused(fake: Any, change: Json, says: str) -> None:
    with pytest.raises(ClusterError, match=says):
        check(fake[1], **change)
