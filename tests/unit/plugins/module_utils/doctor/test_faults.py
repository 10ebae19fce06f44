"""Known failures that the lab cannot simulate, as plain objects; and a test for every known failure.

The others are made on the lab: tests/integration/acceptance/faults.py. The numbers are those of docs/doctor.md.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import health_site
from acceptance.faults import FAULTS
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import health_info, runner

GUIDE = (Path(__file__).parents[5] / "docs" / "doctor.md").read_text()

# Not to be found by anybody: why.
NO_FAILURE = {31: "both Services are understood: tests/integration/test_3_doctor.py shows it on the lab"}


class Fault(NamedTuple):
    """numbers: the known failures it is one of; check, cluster, verdict: the first; says: words of what is told."""

    name: str
    numbers: tuple[int, ...]
    make: Callable[[Any], None]
    check: str
    cluster: str
    says: tuple[str, ...]
    verdict: str = "failed"


def _agent_calls_it_c_2(site: Any) -> None:
    site.one("c2", "Deployment", "gloo-mesh-agent")["spec"]["template"]["spec"]["containers"][0]["args"][0] = (
        "--cluster=c_2"
    )


def _without_metadata_labels(site: Any) -> None:
    site.one("c1", "WorkloadEntry", "we")["metadata"]["labels"].pop("app")


def _without_tls_mode(site: Any) -> None:
    site.one("c1", "WorkloadEntry", "we")["metadata"]["labels"].pop("security.istio.io/tlsMode")


def _at_a_host_name(site: Any) -> None:
    site.one("c1", "WorkloadEntry", "we")["spec"]["address"] = "ew.example"


def _not_translated_there(site: Any) -> None:
    site.drop("c2", "ServiceEntry", "se")


def _controller(site: Any, version: str) -> Any:
    """The controller's container, of this version."""
    container = site.one("c1", "Deployment", "gloo-gateway")["spec"]["template"]["spec"]["containers"][0]
    site.one("c1", "Deployment", "gloo-gateway")["metadata"]["labels"]["helm.sh/chart"] = f"kgateway-{version}"
    return container


def _no_integration_in_2_3(site: Any) -> None:
    for setting in _controller(site, "v2.3.0")["env"]:
        if setting["name"] == "KGW_ENABLE_ISTIO_INTEGRATION":
            setting["value"] = "false"
    state = site.one("c1", "HTTPRoute", "r")["status"]["parents"][0]["conditions"][1]
    state.update(status="False", reason="InvalidKind", message="unknown backend kind")


def _several_ports(site: Any) -> None:
    _controller(site, "v2.3.0")
    site.one("c1", "ServiceEntry", "se")["spec"]["ports"].append({"name": "http-9443", "number": 9443})


def _one_of_two_pods_not_ready(site: Any) -> None:
    _controller(site, "v2.2.9")
    pod = copy.deepcopy(site.one("c1", "Pod", "reviews-1"))
    pod["metadata"] |= {"name": "reviews-2", "uid": "reviews-2"}
    pod["status"]["conditions"][0]["status"] = "False"
    site.clusters["c1"]["Pod"].append(pod)


def _environment_of_before(site: Any) -> None:
    """The parameters say c1, the Pod template has what they said before."""
    containers = site.one("c1", "Deployment", "http")["spec"]["template"]["spec"]["containers"]
    environment = next(container for container in containers if container["name"] == "istio-proxy")["env"]
    next(setting for setting in environment if setting["name"] == "ISTIO_META_CLUSTER_ID")["value"] = "before"


def _istiod_refuses(site: Any) -> None:
    """Everything written down is right; only istiod's log knows, which reads its cluster ID from elsewhere."""
    pod = site.unready("c1", "http")
    pod["status"]["containerStatuses"][1] = {"name": "sds", "ready": False, "restartCount": 4, "state": _CRASHED}
    site.logs["c1/discovery"] = f'{health_site.LATER} error: client claims to be in cluster "c1", but we only know "x"'


def _relay_times_out(site: Any) -> None:
    site.connected = {"c1": True, "c2": False}
    site.logs["c2/gloo-mesh-agent"] = "transport: Error while dialing: dial tcp 192.0.2.9:9900: i/o timeout"


def _kept_local(site: Any) -> None:
    policy = {"outlierDetection": {}, "loadBalancer": {"localityLbSetting": {"enabled": True}}}
    spec = {"host": health_site.HOST, "trafficPolicy": policy}
    site.clusters["c1"]["DestinationRule"].append(health_site.obj("DestinationRule", "dr", "app", spec=spec))


def _port_15443_closed(site: Any) -> None:
    site.silent.append("c2")


_CRASHED = {"waiting": {"reason": "CrashLoopBackOff"}}

RECORDED = (
    Fault(
        "only istiod's log knows",
        (2, 4),
        _istiod_refuses,
        "gateway-pods",
        "c1",
        ("client claims", "istioMetaClusterId"),
    ),
    Fault(
        "the Pod has what the parameters said before",
        (9,),
        _environment_of_before,
        "gateway-deployment",
        "c1",
        ("ISTIO_META_CLUSTER_ID before",),
    ),
    Fault(
        "Istio integration off from 2.3 on",
        (12,),
        _no_integration_in_2_3,
        "gateway-integration",
        "c1",
        ("have an unknown kind",),
    ),
    Fault("WorkloadEntry without labels", (14,), _without_metadata_labels, "workload-entries", "c1", ("metadata",)),
    Fault("WorkloadEntry without TLS mode", (14,), _without_tls_mode, "workload-entries", "c1", ("tlsMode",)),
    Fault(
        "WorkloadEntry at a host name",
        (29,),
        _at_a_host_name,
        "route-backends",
        "c1",
        ("ew.example", "not an IP", "sidecars resolve names"),
        "warning",
    ),
    Fault("locality keeps traffic in the cluster", (15,), _kept_local, "locality", "c1", ("dr",), "warning"),
    Fault("port 15443 closed", (15,), _port_15443_closed, "mesh-answers", "c1", ("no response from c2", "15443")),
    Fault("not translated in one cluster", (17,), _not_translated_there, "service-entry", "c2", ("no ServiceEntry",)),
    Fault(
        "packets to the relay are lost", (23,), _relay_times_out, "agent-connected", "c2", ("i/o timeout", "firewall")
    ),
    Fault("name with an underscore", (26,), _agent_calls_it_c_2, "registered", "c2", ("c_2", "underscores")),
    Fault("several ports up to 2.3.0", (32,), _several_ports, "gateway-version", "c1", ("has several",), "warning"),
    Fault(
        "Pod that is not ready up to 2.3.0",
        (33,),
        _one_of_two_pods_not_ready,
        "backends",
        "c1",
        ("reviews-2", "not ready"),
        "warning",
    ),
)


def checked(site: Any) -> Any:
    return runner.summary(runner.run_checks(health_info.CHECKS, site.facts(), "mgmt", health_info.PREREQUISITES))


@pytest.mark.parametrize("fault", RECORDED, ids=lambda fault: fault.name)
def test_the_broken_link_and_no_other_is_the_first(fault: Fault) -> None:
    site = health_site.Site()
    fault.make(site)
    found = checked(site)
    first = found["first"]
    assert (first["id"], first["cluster"], first["verdict"]) == (fault.check, fault.cluster, fault.verdict)
    text = f"{first['message']} {first['hint']} {first['object']}"
    assert all(word in text for word in fault.says), text
    assert {row["id"] for row in found["checks"] if row["verdict"] == "failed"} <= {fault.check}


def test_a_controller_that_asks_pods_that_are_not_ready_is_named_too() -> None:
    site = health_site.Site()
    _one_of_two_pods_not_ready(site)
    told = [row for row in checked(site)["checks"] if row["verdict"] == "warning"]
    assert [row["id"] for row in told] == ["backends", "gateway-version"]
    assert "reviews-2" in told[1]["message"]


def known() -> dict[int, set[str]]:
    """Known failures of docs/doctor.md: the checks that are said to name them."""
    rows = re.findall(r"^\| (\d+) \|[^|]*\|([^|]*)\|$", GUIDE, re.MULTILINE)
    return {int(number): set(re.findall(r"\(#([\w-]+)\)", checks)) for number, checks in rows}


def test_every_known_failure_is_proven_on_the_lab_or_on_objects() -> None:
    assert set(known()) == set(range(1, 35))
    proven = {number for fault in (*FAULTS, *RECORDED) for number in fault.numbers}
    assert proven.isdisjoint(NO_FAILURE)
    assert proven | set(NO_FAILURE) == set(known())


@pytest.mark.parametrize("fault", [*FAULTS, *RECORDED], ids=lambda fault: fault.name)
def test_the_guide_says_which_check_names_it(fault: Any) -> None:
    for number in fault.numbers:
        assert fault.check in known()[number], f"docs/doctor.md, known failure {number}"
