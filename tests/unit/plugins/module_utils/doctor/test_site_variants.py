"""Sites that differ from the guide's and work, and the same sites broken: every row has the verdict of each check."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import health_site
from health_changes import Json, checked
from health_site import HOST, Site, conditions

PARAMETERS = "GatewayParameters of gateway.kgateway.dev"
CLASS = "solo.io/gloo-gateway-v2"
GATEWAY_API = "gateway.networking.k8s.io/v1"


class Variant(NamedTuple):
    """``expected``: verdict by check (of c1, the cluster with the gateway), ok for all others; words of the first."""

    meaning: str
    change: Callable[[Any], Any]
    expected: dict[str, str] = {}
    words: tuple[str, ...] = ()


# -- istiods -----------------------------------------------------------------------------------------------------------


def istiod(
    site: Any, revision: str, namespace: str = "istio-system", version: str = "1.28.0", cluster_id: str = "c1"
) -> Json:
    """Another istiod in c1; returns its Deployment."""
    name = f"istiod-{revision}" if revision else "istiod"
    discovery = {
        "name": "discovery",
        "image": f"x/pilot:{version}",
        "env": [{"name": "CLUSTER_ID", "value": cluster_id}, dict(health_site.SELECTION)],
    }
    labels = {"app": "istiod", "istio.io/rev": revision or "default"}
    deployment = health_site.deployment(name, namespace, labels, [discovery])
    service = health_site.service(name, namespace, {"https-dns": 15012}, selector=dict(labels), labels=dict(labels))
    one = site.one("c1", "Service", "istiod-gloo")
    one["spec"]["selector"] = {"app": "istiod", "istio.io/rev": "gloo"}
    slices = copy.deepcopy(site.one("c1", "EndpointSlice", "istiod-gloo-1"))
    slices["metadata"].update(name=f"{name}-1", namespace=namespace, labels={"kubernetes.io/service-name": name})
    site.clusters["c1"]["Deployment"].append(deployment)
    site.clusters["c1"]["Pod"].append(health_site.pod_of(deployment))
    site.clusters["c1"]["Service"].append(service)
    site.clusters["c1"]["EndpointSlice"].append(slices)
    return deployment


def namespace_of(site: Any, name: str, revision: str) -> None:
    site.clusters["c1"]["Namespace"].append(health_site.namespace(name, istio_io__rev=revision))


def address(site: Any, value: str) -> None:
    """The gateway's istiod address, in parameters and proxy."""
    settings = site.one("c1", PARAMETERS, "params")["spec"]["kube"]["istio"]["istioProxyContainer"]
    settings["istioDiscoveryAddress"] = value
    for obj in (site.one("c1", "Deployment", "http")["spec"]["template"], site.one("c1", "Pod", "http-1")):
        env = next(c for c in obj["spec"]["containers"] if c["name"] == "istio-proxy")["env"]
        next(e for e in env if e["name"] == "CA_ADDR")["value"] = value


def uncertified(site: Any) -> None:
    """The proxy's Pod has not got a certificate, so nothing is proved."""
    pod = site.unready("c1", "http")
    for status in pod["status"]["containerStatuses"]:
        status["ready"] = status["name"] == "kgateway-proxy"


def canary(site: Any) -> None:
    istiod(site, "1-28")
    site.clusters["c1"]["Namespace"].insert(0, health_site.namespace("aaa", istio_io__rev="1-28"))


def moved_canary(site: Any) -> None:
    canary(site)
    address(site, "istiod-1-28.istio-system.svc:15012")


def canary_of_others(site: Any) -> None:
    """The other istiod uses WorkloadEntries for Services, which concerns nothing of this site."""
    canary(site)
    deployment = site.one("c1", "Deployment", "istiod-1-28")
    deployment["spec"]["template"]["spec"]["containers"][0]["env"].pop()


def moved_without_setting(site: Any) -> None:
    canary_of_others(site)
    site.one("c1", "Namespace", "app")["metadata"]["labels"] = {"istio.io/rev": "1-28"}


def workloads_moved_first(site: Any) -> None:
    canary(site)
    site.one("c1", "Namespace", "app")["metadata"]["labels"] = {"istio.io/rev": "1-28"}


def canary_not_ready(site: Any) -> None:
    moved_canary(site)
    site.unready("c1", "istiod-1-28")
    site.one("c1", "EndpointSlice", "istiod-1-28-1")["endpoints"][0]["conditions"]["ready"] = False


def former_not_ready(site: Any) -> None:
    """Everything has moved but one namespace, and the old istiod is down."""
    moved_canary(site)
    site.unready("c1", "istiod-gloo")
    site.one("c1", "EndpointSlice", "istiod-gloo-1")["endpoints"][0]["conditions"]["ready"] = False


def other_mesh(site: Any) -> None:
    istiod(site, "", "other-mesh", cluster_id="elsewhere")
    namespace_of(site, "aaa-others", "default")


def by_tag(site: Any) -> None:
    tag = health_site.service(
        "istiod-stable", "istio-system", {"https-dns": 15012}, selector={"app": "istiod", "istio.io/rev": "gloo"},
        labels={"istio.io/tag": "stable", "istio.io/rev": "gloo"},
    )  # fmt: skip
    site.clusters["c1"]["Service"].append(tag)
    address(site, "istiod-stable.istio-system.svc:15012")


def by_cluster_ip(site: Any) -> None:
    site.one("c1", "Service", "istiod-gloo")["spec"]["clusterIP"] = "10.0.0.10"
    address(site, "10.0.0.10:15012")


def uncertified_cluster_ip(site: Any) -> None:
    by_cluster_ip(site)
    uncertified(site)


def chosen_revision(site: Any) -> None:
    canary(site)
    site.data["istiod"] = {"revision": "1-28"}


ISTIODS = [
    Variant("canary istiod, the gateway still on the old one", canary),
    Variant("canary istiod without the setting for WorkloadEntries, which nothing of the site uses", canary_of_others),
    Variant(
        "canary istiod without the setting for WorkloadEntries, used by workloads", moved_without_setting,
        {"workload-selection": "warning"}, ("WorkloadEntry app/we",),
    ),
    Variant("canary istiod, the gateway moved first", moved_canary),
    Variant("canary istiod, the workloads moved first", workloads_moved_first),
    Variant(
        "canary istiod that the gateway uses and that is not ready", canary_not_ready,
        {"gateway-istiod": "failed"}, ("istiod-1-28 is not ready",),
    ),
    Variant(
        "the old istiod is down, the gateway uses the other one",
        former_not_ready,
        {"istiod": "failed", "gateway-istiod": "ok", "gateway-pods": "ok"},
        ("istiod-gloo",),
    ),
    Variant("a third istiod, of another mesh", other_mesh),
    Variant("the address is that of a revision tag", by_tag),
    Variant("short address without svc", lambda s: address(s, "istiod-gloo.istio-system:15012")),
    Variant("full address", lambda s: address(s, "istiod-gloo.istio-system.svc.cluster.local:15012")),
    Variant("custom cluster domain", lambda s: address(s, "istiod-gloo.istio-system.svc.corp.internal:15012")),
    Variant("ClusterIP as address", by_cluster_ip),
    Variant("external istiod by IPv6", lambda s: address(s, "[2001:db8::1]:15012")),
    Variant("external istiod by name", lambda s: address(s, "istiod.mesh.example.com:15012")),
    Variant(
        "ClusterIP as address that the certificate does not include", uncertified_cluster_ip,
        {"gateway-istiod-address": "failed"}, ("valid only for names ending in .svc",),
    ),
    Variant(
        "address of no Service", lambda s: address(s, "istiod-main.istio-system.svc:15012"),
        {"gateway-istiod-address": "failed"}, ("the Service does not exist", "correct the value in the parameters"),
    ),
    Variant(
        "the site's data choose another revision than the gateway uses", chosen_revision,
        {"gateway-istiod-address": "warning"}, ("of revision gloo", "name revision 1-28"),
    ),
]  # fmt: skip


# -- backends ----------------------------------------------------------------------------------------------------------


def owned_by(kind: str, **labels: str) -> Callable[[Any], None]:
    """The Pods of reviews in c1 belong to another kind than a Deployment."""

    def change(site: Any) -> None:
        owned = site.one("c1", "Deployment", "reviews")
        site.clusters["c1"]["Deployment"].remove(owned)
        if kind == "StatefulSet":
            site.clusters["c1"]["StatefulSet"] = [{**owned, "kind": "StatefulSet"}]
        pod = site.one("c1", "Pod", "reviews-1")
        owner = {"kind": "ReplicaSet" if kind == "Rollout" else kind, "name": "reviews-77", "controller": True}
        pod["metadata"]["ownerReferences"] = [] if kind == "Pod" else [owner]
        pod["metadata"]["labels"] |= {key.replace("_", "-"): value for key, value in labels.items()}

    return change


def scaled_stateful_set(site: Any) -> None:
    labels = {"app": "reviews", "version": "v9"}
    found = health_site.deployment("reviews-v9", "app", labels, [{"name": "reviews"}])
    found["spec"]["replicas"] = 0
    site.clusters["c1"]["StatefulSet"] = [{**found, "kind": "StatefulSet"}]


def injected_by_pod_labels(site: Any) -> None:
    site.one("c1", "Namespace", "app")["metadata"]["labels"] = {}
    for name in ("reviews-1", "page-1"):
        site.one("c1", "Pod", name)["metadata"]["labels"]["istio.io/rev"] = "gloo"


def injected_without_labels(site: Any) -> None:
    site.one("c1", "Namespace", "app")["metadata"]["labels"] = {}


def outside_on_purpose(site: Any) -> None:
    pod = site.one("c1", "Pod", "reviews-1")
    pod["metadata"]["labels"]["sidecar.istio.io/inject"] = "false"
    pod["spec"]["containers"] = [{"name": "reviews"}]


def ambient(site: Any) -> None:
    site.one("c1", "Namespace", "app")["metadata"]["labels"] = {"istio.io/dataplane-mode": "ambient"}
    site.one("c1", "Pod", "reviews-1")["spec"]["containers"] = [{"name": "reviews"}]


def two_workspaces(site: Any) -> None:
    """The destination belongs to a workspace of c1; c2 has Services with the same labels in another one."""
    site.clusters["mgmt"]["Workspace"] = [
        health_site.gloo("Workspace", name, "gloo-mesh", {"workloadClusters": [cluster]}, numSelectedClusters=1)
        for name, cluster in (
            ("ws", {"name": "c1", "namespaces": [{"name": "app"}]}),
            ("other", {"name": "c2", "namespaces": [{"name": "*"}]}),
        )
    ]
    site.one("mgmt", "VirtualDestination", "vd")["status"]["numSelectedBackingServices"] = 1
    site.drop("c2", "ServiceEntry", "se")
    site.drop("c1", "WorkloadEntry", "we")
    for proof in site.data["proofs"]:
        proof["answered_by"]["label_selector"] = "app=page"


BACKENDS = [
    Variant(
        "two workspaces, the destination in one of them",
        two_workspaces,
        {"backing-service": "ok", "service-entry": "ok"},
    ),
    Variant("backends are a StatefulSet", owned_by("StatefulSet")),
    Variant("backends are a DaemonSet", owned_by("DaemonSet")),
    Variant("backends are an Argo Rollout", owned_by("Rollout", rollouts_pod_template_hash="77")),
    Variant("backends are bare Pods", owned_by("Pod")),
    Variant("backends of an operator's own kind", owned_by("Reviews")),
    Variant(
        "a StatefulSet scaled to 0 beside Pods that respond", scaled_stateful_set,
        {"backends": "warning", "proof-backends": "failed"}, ("StatefulSet app/reviews-v9 is scaled to 0",),
    ),
    Variant("Pods injected by their own labels", injected_by_pod_labels),
    Variant(
        "sidecars without any label", injected_without_labels,
        {"injection": "warning"}, ("no injection label", "unless the sidecars are injected by other means"),
    ),
    Variant(
        "a Pod outside the mesh by its own label", outside_on_purpose,
        {"injection": "failed"}, ("unless the Pod is meant to be outside the mesh",),
    ),
    Variant("a namespace in ambient mode", ambient),
]  # fmt: skip


# -- routes and Gateways -----------------------------------------------------------------------------------------------


def route_status(controller: str, accepted: str, generation: int = 1) -> Json:
    found = copy.deepcopy(conditions("Accepted", "ResolvedRefs"))
    found[0].update(status=accepted, reason="NotAllowedByListeners", message="refused", observedGeneration=generation)
    return {"parentRef": health_site.PARENT_REF, "controllerName": controller, "conditions": found}


def statuses(*entries: Json) -> Callable[[Any], None]:
    return lambda site: site.one("c1", "HTTPRoute", "r")["status"].update(parents=list(entries))


def older_entry(site: Any) -> None:
    statuses(route_status(CLASS, "True"))(site)
    site.one("c1", "HTTPRoute", "r")["metadata"]["generation"] = 2


def route(name: str, path: str, *refs: Json, parents: Any = (health_site.PARENT_REF,), accepted: bool = True) -> Json:
    status = [
        {"parentRef": parent, "controllerName": CLASS, "conditions": conditions("Accepted", "ResolvedRefs")}
        for parent in parents
    ]
    for entry in () if accepted else status:
        entry["conditions"][0].update(status="False", reason="NotAllowedByListeners", message="refused")
    match = {"path": {"type": "PathPrefix", "value": path}}
    spec = {"parentRefs": list(parents), "rules": [{"matches": [match], "backendRefs": list(refs)}]}
    return health_site.obj("HTTPRoute", name, "app", api=GATEWAY_API, spec=spec, status={"parents": status})


def add_route(site: Any, found: Json) -> None:
    site.clusters["c1"]["HTTPRoute"].append(found)
    meta = found["metadata"]
    site.data["http_routes"].append({"name": meta["name"], "namespace": meta["namespace"], "spec": found["spec"]})


def one_broken_of_two(site: Any) -> None:
    add_route(site, route("broken", "/broken", {"kind": "Hostname", "group": "networking.istio.io", "name": HOST}))
    add_route(site, route("refused", "/refused", {"name": "reviews", "port": 9080}, accepted=False))


def one_translation_missing(site: Any) -> None:
    """No ServiceEntry for the host of one route, another route is refused."""
    site.drop("c1", "ServiceEntry", "se")
    site.data["proofs"] = []
    add_route(site, route("refused", "/refused", {"name": "reviews", "port": 9080}, accepted=False))


def two_faults_of_one_route(site: Any) -> None:
    """A port that the host lacks, one that the Service lacks; the status has one at most."""
    host = {"kind": "Hostname", "group": "networking.istio.io", "name": HOST, "port": 9999}
    add_route(site, route("two", "/two", host, {"name": "reviews", "port": 1}, {"name": "nothing", "port": 9080}))


def faulty_and_refused(site: Any) -> None:
    """One route with a broken backend that no listener accepts."""
    add_route(site, route("both", "/both", {"name": "nothing", "port": 1}, accepted=False))


def refused_beside_a_bad_listener(site: Any) -> None:
    gateway = site.one("c1", "Gateway", "http")
    bad = copy.deepcopy(gateway["status"]["listeners"][0])
    bad["name"] = "bad"
    bad["conditions"][1].update(status="False", reason="Invalid", message="port is reserved")
    gateway["spec"]["listeners"].append({"name": "bad", "port": 8082, "protocol": "HTTP"})
    gateway["status"]["listeners"].append(bad)
    add_route(site, route("refused", "/refused", {"name": "reviews", "port": 9080}, accepted=False))


def refused_by_one_of_two_gateways(site: Any) -> None:
    """One Gateway has no class, the other one refuses the route."""
    second_gateway(site, gateway_class="gone")
    parents = ({"name": "internal", "namespace": "edge"}, health_site.PARENT_REF)
    add_route(site, route("shared", "/shared", {"name": "reviews", "port": 9080}, parents=parents, accepted=False))


def integration_is_off(site: Any) -> None:
    """A controller that needs the switch: one route is refused for it, another one for its section."""
    env = site.one("c1", "Deployment", "gloo-gateway")["spec"]["template"]["spec"]["containers"][0]["env"]
    env[1]["value"] = "false"
    live = site.one("c1", "HTTPRoute", "r")["status"]["parents"][0]["conditions"]
    live[1].update(status="False", reason="InvalidKind", message="unknown backend kind")
    add_route(site, route("refused", "/refused", {"name": "reviews", "port": 9080}, accepted=False))
    site.data["proofs"] = []


def delegated(site: Any) -> None:
    """r delegates to a child without parentRefs, which leads to the destination."""
    live = site.one("c1", "HTTPRoute", "r")
    child = route("child", "/reviews", *live["spec"]["rules"][0]["backendRefs"], parents=())
    ref = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "child"}
    for spec in (live["spec"], site.data["http_routes"][0]["spec"]):
        spec["rules"] = [{"matches": spec["rules"][0]["matches"], "backendRefs": [ref]}]
    add_route(site, child)


def orphan(site: Any) -> None:
    add_route(site, route("child", "/other", parents=()))


def second_gateway(site: Any, name: str = "internal", gateway_class: str = "gloo-gateway-v2") -> Json:
    """Another Gateway with a proxy in c1; returns it."""
    cluster = site.clusters["c1"]
    gateway = copy.deepcopy(site.one("c1", "Gateway", "http"))
    gateway["metadata"].update(name=name, uid=f"Gateway-edge-{name}")
    gateway["spec"]["gatewayClassName"] = gateway_class
    proxy = copy.deepcopy(site.one("c1", "Deployment", "http"))
    labels = {"gateway.networking.k8s.io/gateway-name": name}
    proxy["metadata"].update(name=name, labels=labels, uid=f"Deployment-edge-{name}")
    proxy["spec"]["selector"] = {"matchLabels": labels}
    proxy["spec"]["template"]["metadata"]["labels"] = labels
    cluster["Gateway"].append(gateway)
    cluster["Deployment"].append(proxy)
    cluster["Pod"].append(health_site.pod_of(proxy))
    cluster["Service"].append(health_site.service(name, "edge", {"http": 8080}, "192.0.2.17"))
    return gateway


def two_gateways(site: Any) -> None:
    second_gateway(site)
    parent = {"name": "internal", "namespace": "edge"}
    add_route(
        site,
        route(
            "inner", "/inner", *site.one("c1", "HTTPRoute", "r")["spec"]["rules"][0]["backendRefs"], parents=[parent]
        ),
    )
    site.data["proofs"].append({**site.data["proofs"][1], "name": "inner", "path": "/inner/0"})


def second_gateway_for_a_host(site: Any) -> None:
    """Proofs without a host are not for the Gateway that serves one host only."""
    found = second_gateway(site)
    found["spec"]["listeners"] = [{"name": "http", "port": 8443, "protocol": "HTTPS", "hostname": "shop.example.com"}]
    parent = {"name": "internal", "namespace": "edge"}
    refs = site.one("c1", "HTTPRoute", "r")["spec"]["rules"][0]["backendRefs"]
    shop = route("shop", "/reviews", *refs, parents=[parent])
    shop["spec"]["hostnames"] = ["shop.example.com"]
    add_route(site, shop)


def one_of_two_gateways_broken(site: Any) -> None:
    two_gateways(site)
    site.one("c1", "Gateway", "internal")["metadata"]["generation"] = 2


def shared_route(site: Any) -> None:
    """The route is attached to a Gateway of Istio as well."""
    theirs = health_site.obj("GatewayClass", "istio", spec={"controllerName": "istio.io/gateway-controller"})
    site.clusters["c1"]["GatewayClass"].append(theirs)
    site.clusters["c1"]["Gateway"].append(health_site.obj("Gateway", "g", "app", spec={"gatewayClassName": "istio"}))
    for spec in (site.one("c1", "HTTPRoute", "r")["spec"], site.data["http_routes"][0]["spec"]):
        spec["parentRefs"] = [health_site.PARENT_REF, {"name": "g"}]


def moved_class_without_data(site: Any) -> None:
    site.data = None
    theirs = health_site.obj("GatewayClass", "istio", spec={"controllerName": "istio.io/gateway-controller"})
    site.clusters["c1"]["GatewayClass"].append(theirs)
    site.one("c1", "Gateway", "http")["spec"]["gatewayClassName"] = "istio"


def https(hostname: str, host: str | None = None, **gateway: Any) -> Callable[[Any], None]:
    def change(site: Any) -> None:
        found = site.one("c1", "Gateway", "http")
        found["spec"]["listeners"].append({"name": "https", "port": 8443, "protocol": "HTTPS", "hostname": hostname})
        entry = {"name": "https", "conditions": conditions("Accepted", "Programmed", "ResolvedRefs")}
        found["status"]["listeners"].append(entry)
        site.data["proofs"][1].update({"host": host} if host else {}, gateway={"listener": "https", **gateway})

    return change


def both_clusters(site: Any) -> None:
    """c2 has a gateway as well, with routes of its own."""
    site.add_gateway("c2", "192.0.2.27")
    site.data["http_routes"][0]["clusters"] = ["c1"]
    theirs = {**site.data["http_routes"][0], "name": "r2", "clusters": ["c2"]}
    site.data["http_routes"].append(theirs)
    site.one("c2", "HTTPRoute", "r")["metadata"]["name"] = "r2"


def hostname_endpoints(site: Any) -> None:
    site.one("c1", "WorkloadEntry", "we")["spec"]["address"] = "lb.example.com"


def hostname_endpoints_that_fail(site: Any) -> None:
    hostname_endpoints(site)
    site.data["proofs"].pop(0)
    site.silent.append("c2")


ROUTES = [
    Variant(
        "another controller accepts the route, ours refuses it",
        statuses(route_status("istio.io/gateway-controller", "True"), route_status(CLASS, "False")),
        {"route-accepted": "failed"}, ("NotAllowedByListeners",),
    ),
    Variant(
        "another controller refuses the route, ours accepts it",
        statuses(route_status("istio.io/gateway-controller", "False"), route_status(CLASS, "True")),
    ),
    Variant(
        "only another controller has an entry", statuses(route_status("istio.io/gateway-controller", "True")),
        {"route-accepted": "failed"}, (f"not reconciled by controller {CLASS}",),
    ),
    Variant(
        "our entry is of an older generation",
        older_entry,
        {"route-accepted": "failed"}, ("observed generation 1",),
    ),
    Variant(
        "a broken route hides no other", one_broken_of_two,
        {"route-backends": "failed", "route-accepted": "failed", "gateway-answers": "ok", "route-match": "ok"},
        ("no port",),
    ),
    Variant(
        "a missing translation hides no refused route", one_translation_missing,
        {"service-entry": "failed", "route-accepted": "failed"}, ("no ServiceEntry",),
    ),
    Variant(
        "two broken backends of one route", two_faults_of_one_route, {"route-backends": "failed"},
        ("port 9999", "Service app/reviews has no port 1 (ports: 9080)", "Service app/nothing does not exist"),
    ),
    Variant(
        "a route with a broken backend is refused too", faulty_and_refused,
        {"route-backends": "failed", "route-accepted": "failed"}, ("Service app/nothing does not exist",),
    ),
    Variant(
        "a bad listener hides no refused route", refused_beside_a_bad_listener,
        {"gateway-listeners": "failed", "route-accepted": "failed"}, ("port is reserved",),
    ),
    Variant(
        "a Gateway without a class hides no refusal of another", refused_by_one_of_two_gateways,
        {"gateway-class": "failed", "route-accepted": "failed"}, ("GatewayClass gone does not exist",),
    ),
    Variant(
        "without the integration one kind is unknown, another route is refused", integration_is_off,
        {"gateway-integration": "failed", "route-accepted": "failed"}, ("HTTPRoute app/r have an unknown kind",),
    ),
    Variant("a route delegates to a child without parentRefs", delegated),
    Variant(
        "a route that nothing serves", orphan, {"route-accepted": "failed"}, ("no HTTPRoute delegates to it",),
    ),
    Variant("two Gateways in one cluster", two_gateways),
    Variant(
        "one of two Gateways is broken", one_of_two_gateways_broken,
        {"gateway-accepted": "failed", "gateway-answers": "ok", "route-accepted": "ok", "gateway-pods": "ok"},
        ("Gateway edge/internal", "observed generation 1"),
    ),
    Variant("a route of ours at a Gateway of another controller too", shared_route),
    Variant(
        "a Gateway moved to another class while its proxy runs", moved_class_without_data,
        {"gateway-class": "failed"}, ("istio.io/gateway-controller",),
    ),
    Variant("an HTTPS listener with a hostname", https("shop.example.com")),
    Variant("a wildcard listener with a host in the proof", https("*.example.com", "shop.example.com")),
    Variant(
        "a wildcard listener without a host in the proof", https("*.example.com"),
        {"gateway-answers": "failed"}, ("hostname *.example.com. Set host in the proof",),
    ),
    Variant(
        "a proof for a host that no listener has", https("shop.example.com", "news.example.com"),
        {"gateway-answers": "failed"}, ("no listener for host news.example.com",),
    ),
    Variant(
        "a proof names a listener that does not exist", https("shop.example.com", listener="web"),
        {"gateway-answers": "failed"}, ("no listener with listener web",),
    ),
    Variant("Gateways in both workload clusters", both_clusters),
    Variant(
        "endpoints with host names", hostname_endpoints, {"route-backends": "warning"},
        ("lb.example.com, which is not an IP", "sidecars resolve names"),
    ),
    Variant(
        "endpoints with host names that the gateway does not use", hostname_endpoints_that_fail,
        {"route-backends": "warning", "gateway-answers": "failed"}, ("lb.example.com", "Until then"),
    ),
]  # fmt: skip


def _verdicts(found: Json) -> dict[str, str]:
    """The worst verdict of each check."""
    order = ("ok", "skipped", "warning", "failed")
    result: dict[str, str] = {}
    for row in found["checks"]:
        result[row["id"]] = max(result.get(row["id"], "ok"), row["verdict"], key=order.index)
    return result


def test_a_proof_without_a_host_is_not_for_a_gateway_of_one_host() -> None:
    site = Site()
    second_gateway_for_a_host(site)
    assert checked(site)["verdict"] == "ok"
    assert site.asked == 3  # from both clusters inside the mesh, and through one Gateway


@pytest.mark.parametrize("variant", [*ISTIODS, *BACKENDS, *ROUTES], ids=lambda variant: variant.meaning)
def test_every_check_judges_the_site_by_what_it_is(variant: Variant) -> None:
    site = Site()
    variant.change(site)
    found = checked(site)
    have = _verdicts(found)
    problems = {id: verdict for id, verdict in have.items() if verdict in ("warning", "failed")}
    assert problems == {id: verdict for id, verdict in variant.expected.items() if verdict != "ok"}, found["first"]
    answered = {row["verdict"] for row in found["checks"] if row["id"] in variant.expected}
    assert {verdict for verdict in variant.expected.values() if verdict == "ok"} <= answered
    if variant.words:
        text = f"{found['first']['object']} {found['first']['message']} {found['first']['hint']}"
        assert [word for word in variant.words if word not in text] == [], text
