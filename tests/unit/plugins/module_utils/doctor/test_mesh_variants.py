"""Sites as users have them: what works is ok, whoever made it and however; what does not work is found.

Each row changes the healthy site and lists every check that is not ok then, with its verdict. Skipped checks are
symptoms and not listed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

import authorities
from health_changes import Change, Json, add, both, checked, disconnect, drop, set_field, set_secret, trusts
from health_site import Site, cacerts, namespace, pod_of, secret, service

FAR = ("c1", "c2")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()


class Variant(NamedTuple):
    """A site: what it is like, the change, and the checks that are not ok as ``id cluster: verdict``."""

    name: str
    change: Change
    findings: tuple[str, ...] = ()


def everywhere(change: Callable[[str], Change]) -> Change:
    """The same change in both workload clusters."""
    return both(*(change(cluster) for cluster in FAR))


UNKNOWN = ("agent-connected c1: skipped", "agent-connected c2: skipped")


def nothing_from(site: Site) -> None:
    """Nothing could be learned of connections: the metric cannot be read, nor any log."""
    site.connected = None


# -- Gloo Mesh installed by others -------------------------------------------------------------------------------------


def moved(cluster: str, name: str, to: str, namespace_: str, **container: Any) -> Change:
    """A Deployment of namespace gloo-mesh and its Pods have another name and namespace, with other container fields."""

    def change(site: Site) -> None:
        site.clusters[cluster]["Namespace"].append(namespace(namespace_))
        found, pod = site.one(cluster, "Deployment", name), site.one(cluster, "Pod", f"{name}-1")
        for each in (found, pod):
            each["metadata"].update(name=each["metadata"]["name"].replace(name, to), namespace=namespace_)
        for spec in (found["spec"]["template"]["spec"], pod["spec"]):
            spec["containers"][0].update(container)
        for each in site.clusters[cluster]["Service"]:
            if each["metadata"]["name"] == name:
                each["metadata"].update(name=to, namespace=namespace_)

    return change


SERVER_IMAGE = {"image": "registry.example/solo/gloo-mesh-mgmt-server:2.11.0"}
AGENT_IMAGE = {"image": "registry.example/solo/gloo-mesh-agent:2.11.0"}


def second(cluster: str, name: str, **spec: Any) -> Change:
    """A second Deployment like the one of that name, from another release."""

    def change(site: Site) -> None:
        found = copy.deepcopy(site.one(cluster, "Deployment", name))
        found["metadata"].update(name=f"former-{name}", namespace="former")
        found["spec"].update(spec)
        if spec.get("replicas") == 0:
            found["status"].update(readyReplicas=0, availableReplicas=0)
        site.clusters[cluster]["Deployment"].insert(0, found)

    return change


def argument(cluster: str, place: int, value: str) -> Change:
    return set_field(cluster, "Deployment", "gloo-mesh-agent", f"spec.template.spec.containers.0.args.{place}", value)


def more_arguments(cluster: str, *values: str) -> Change:
    def change(site: Site) -> None:
        container = site.one(cluster, "Deployment", "gloo-mesh-agent")["spec"]["template"]["spec"]["containers"][0]
        container["args"] = [*container["args"], *values]

    return change


def relay_service(**fields: Any) -> Change:
    def change(site: Site) -> None:
        found = site.one("mgmt", "Service", "gloo-mesh-mgmt-server")
        found["spec"].update(fields)
        found["status"] = {}

    return change


def of_another_team(cluster: str, name: str, *args: str) -> Change:
    """A second program of Gloo Mesh, in a namespace that is first in the alphabet."""

    def change(site: Site) -> None:
        theirs = copy.deepcopy(site.one(cluster, "Deployment", name))
        theirs["metadata"].update(namespace="aaa", uid="theirs")
        theirs["spec"]["template"]["spec"]["containers"][0]["args"] = list(args)
        site.clusters[cluster]["Deployment"].insert(0, theirs)
        site.clusters[cluster]["Pod"].insert(0, pod_of(theirs))

    return change


THEIR_AGENT = ("--cluster=prod-c1", "--relay-address=198.51.100.7:9900", "--relay-authority=x.y")

NO_RELAY_SECRETS = both(
    set_secret("mgmt", "relay-root-tls-secret", None),
    set_secret("mgmt", "relay-identity-token-secret", None),
    everywhere(lambda c: set_secret(c, "relay-root-tls-secret", None)),
    everywhere(lambda c: set_secret(c, "relay-identity-token-secret", None)),
)
OWN_CLIENT = everywhere(lambda c: more_arguments(c, "--relay-client-cert-secret-name=agent-tls"))
OTHER_RELAY_ROOT = secret({"ca.crt": authorities.root("own relay").pem})
BOTH_RELAY_ROOTS = secret(
    {"ca.crt": authorities.root("next relay").pem + "\n# former\n" + authorities.root("relay").pem}
)

GLOO_MESH = (
    Variant(
        "other release names and namespaces",
        both(
            moved("mgmt", "gloo-mesh-mgmt-server", "platform-server", "gloo-platform", **SERVER_IMAGE),
            everywhere(lambda c: argument(c, 2, "--relay-authority=gloo-mesh-mgmt-server.gloo-platform")),
            everywhere(lambda c: moved(c, "gloo-mesh-agent", "gloo-agent", "solo", **AGENT_IMAGE)),
        ),
    ),
    Variant(
        "other release names, and the agent is not connected",
        both(moved("c2", "gloo-mesh-agent", "gloo-agent", "solo", **AGENT_IMAGE), disconnect()),
        ("agent-connected c2: failed",),
    ),
    Variant("arguments of the agent as two words", more_arguments("c2", "--cluster", "c2")),
    Variant(
        "a former release scaled to 0",
        both(second("mgmt", "gloo-mesh-mgmt-server", replicas=0), second("c1", "gloo-mesh-agent", replicas=0)),
    ),
    Variant(
        "an agent of another management server beside ours",
        both(of_another_team("c1", "gloo-mesh-agent", *THEIR_AGENT), nothing_from),
        UNKNOWN,
    ),
    Variant(
        "another management server beside ours",
        both(of_another_team("mgmt", "gloo-mesh-mgmt-server"), nothing_from),
        UNKNOWN,
    ),
    Variant(
        "another management server beside ours, and an agent is not connected",
        both(of_another_team("mgmt", "gloo-mesh-mgmt-server"), disconnect()),
        ("agent-connected c2: failed",),
    ),
    Variant("two agents with one name", second("c2", "gloo-mesh-agent"), ("agent c2: warning",)),
    Variant("without telemetry gateway", drop("mgmt", "Service", "gloo-telemetry-gateway")),
    Variant("relay behind a load balancer of their own", relay_service(type="ClusterIP")),
    Variant("relay at a node port", relay_service(type="NodePort")),
    Variant("relay at an external IP", relay_service(type="ClusterIP", externalIPs=["192.0.2.9"])),
    Variant(
        "relay without an address, and nobody knows who is connected",
        both(relay_service(type="ClusterIP"), nothing_from),
        ("relay-address mgmt: warning", *UNKNOWN),
    ),
    Variant(
        "relay without an address, and an agent is not connected",
        both(relay_service(type="LoadBalancer"), disconnect()),
        ("relay-address mgmt: failed",),
    ),
    Variant(
        "relay at an IPv6 address, spelled differently",
        both(
            set_field(
                "mgmt", "Service", "gloo-mesh-mgmt-server", "status.loadBalancer.ingress", [{"ip": "2001:db8::1"}]
            ),
            everywhere(lambda c: argument(c, 1, "--relay-address=[2001:DB8:0::1]:9900")),
            disconnect(),
        ),
        ("agent-connected c2: failed",),
    ),
    Variant(
        "injection label on the namespace, disabled for the Pods",
        both(
            set_field("c2", "Namespace", "gloo-mesh", "metadata.labels", {"istio.io/rev": "gloo"}),
            lambda s: [
                d["spec"]["template"]["metadata"]["labels"].update({"sidecar.istio.io/inject": "false"})
                for d in s.clusters["c2"]["Deployment"]
                if d["metadata"]["namespace"] == "gloo-mesh"
            ],
        ),
    ),
    Variant("relay certificates of their own", both(NO_RELAY_SECRETS, OWN_CLIENT)),
    Variant(
        "relay certificates of their own, connections unknown",
        both(NO_RELAY_SECRETS, OWN_CLIENT, nothing_from),
        UNKNOWN,
    ),
    Variant(
        "relay certificates of their own beside leftover Secrets",
        both(
            OWN_CLIENT,
            everywhere(lambda c: set_secret(c, "relay-root-tls-secret", None)),
            everywhere(lambda c: set_secret(c, "relay-identity-token-secret", None)),
            nothing_from,
        ),
        UNKNOWN,
    ),
    Variant(
        "relay certificates of their own, without a client certificate",
        both(NO_RELAY_SECRETS, disconnect("x509: certificate signed by unknown authority")),
        ("agent-connected c2: failed",),
    ),
    Variant(
        "relay Secrets with other names",
        everywhere(
            lambda c: more_arguments(
                c,
                "--relay-root-cert-secret-name=relay-root",
                "--relay-identity-token-secret-name=relay-token",
                "--relay-identity-token-secret-key=value",
            )
        ),
        ("relay-token c1: warning", "relay-token c2: warning"),
    ),
    Variant(
        "relay root in rotation, trusted with the former one",
        both(set_secret("mgmt", "relay-root-tls-secret", BOTH_RELAY_ROOTS), disconnect()),
        ("agent-connected c2: failed",),
    ),
    Variant(
        "relay root of another installation",
        both(set_secret("c2", "relay-root-tls-secret", OTHER_RELAY_ROOT), disconnect()),
        ("relay-root c2: failed",),
    ),
    Variant(
        "relay Secrets that are missing while nothing is known",
        both(set_secret("c2", "relay-root-tls-secret", None), nothing_from),
        ("relay-root c2: warning", *UNKNOWN),
    ),
)


# -- Workspaces --------------------------------------------------------------------------------------------------------


def workspaces(*entries: Json, settings: int = 1) -> Change:
    """One Workspace for each list of workloadClusters entries."""

    def change(site: Site) -> None:
        first = site.one("mgmt", "Workspace", "ws")
        site.clusters["mgmt"]["Workspace"] = []
        for number, entry in enumerate(entries):
            found = copy.deepcopy(first)
            found["metadata"]["name"] = f"ws-{number}"
            found["spec"] = {"workloadClusters": entry["clusters"]}
            found["status"].update(numSelectedClusters=entry.get("number", len(entry["clusters"])))
            site.clusters["mgmt"]["Workspace"].append(found)

    return change


def includes(*clusters: str, namespaces: tuple[str, ...] = ("*",), **more: Any) -> Json:
    parts = [{"name": each} for each in namespaces]
    return {"clusters": [{"name": cluster, "namespaces": parts} for cluster in clusters], **more}


def without_needs(site: Site) -> None:
    """Cluster c2 has nothing of the site: it is in the inventory for other reasons."""
    site.clusters["c2"]["Namespace"] = [n for n in site.clusters["c2"]["Namespace"] if n["metadata"]["name"] != "app"]
    for kind in ("Pod", "Service", "Deployment"):
        site.clusters["c2"][kind] = [o for o in site.clusters["c2"][kind] if o["metadata"].get("namespace") != "app"]
    site.clusters["c1"]["WorkloadEntry"].clear()
    site.one("mgmt", "VirtualDestination", "vd")["status"]["numSelectedBackingServices"] = 1
    site.data["proofs"] = []  # type: ignore[index]


def more_settings(*entries: Json, number: int | None) -> Change:
    """Further WorkspaceSettings of another team, with entries of eastWestGateways and the number they select."""

    def change(site: Site) -> None:
        found = copy.deepcopy(site.one("mgmt", "WorkspaceSettings", "ws"))
        found["metadata"].update(name="team", namespace="team")
        found["spec"] = {"options": {"eastWestGateways": list(entries)}}
        found["status"].update(numSelectedEastWestGateways=number)
        site.clusters["mgmt"]["WorkspaceSettings"].append(found)

    return change


def state(kind: str, name: str, approval: str) -> Change:
    told = {"approval": approval, "message": "bad", "observedGeneration": 1}
    return set_field("mgmt", kind, name, "status.common.State", told)


IN_C1 = {"selector": {"labels": {"istio": "eastwestgateway"}, "cluster": "c1"}}
IN_C2 = {"selector": {"labels": {"istio": "eastwestgateway"}, "cluster": "c2"}}

WORKSPACES = (
    Variant("a Workspace for each cluster", workspaces(includes("c1"), includes("c2"))),
    Variant("clusters by pattern", workspaces(includes("c*", number=2))),
    Variant("more clusters than the inventory has", workspaces(includes("c1", "c2", "c3", number=3))),
    Variant(
        "two Workspaces with the same cluster",
        workspaces(includes("c1"), includes("c1")),
        ("workspace mgmt: failed",),
    ),
    Variant(
        "clusters by label",
        both(
            workspaces({"clusters": [{"selector": {"site": "ours"}, "namespaces": [{"name": "*"}]}], "number": 2}),
            *(set_field("mgmt", "KubernetesCluster", c, "metadata.labels", {"site": "ours"}) for c in FAR),
        ),
    ),
    Variant(
        "a cluster that is left out and has nothing of the site",
        both(
            workspaces(includes("c1")),
            without_needs,
            set_field("mgmt", "WorkspaceSettings", "ws", "status.numSelectedEastWestGateways", 1),
        ),
        ("workspace mgmt: warning", "backing-service c2: warning"),
    ),
    Variant(
        "a Workspace that has not been processed for every cluster",
        workspaces(includes("c1", "c2", number=1)),
        ("workspace mgmt: failed",),
    ),
    Variant("without the number of clusters", workspaces(includes("c1", "c2", number=None))),
    Variant(
        "a broken Workspace of another team",
        both(
            workspaces(includes("c1", "c2"), includes("c1", namespaces=("team",))),
            state("Workspace", "ws-1", "INVALID"),
        ),
        ("workspace mgmt: warning",),
    ),
    Variant(
        "the only Workspace of a cluster is broken",
        both(workspaces(includes("c1"), includes("c2")), state("Workspace", "ws-1", "INVALID")),
        ("workspace mgmt: failed",),
    ),
    Variant(
        "namespaces of the site in no Workspace",
        workspaces(includes("c1", "c2", namespaces=("config",))),
        ("workspace mgmt: warning",),
    ),
    Variant(
        "namespaces by pattern",
        workspaces(includes("*", namespaces=("a*", "config"), number=2)),
    ),
    Variant(
        "broken settings of another team",
        both(
            more_settings(number=0),
            lambda s: s.clusters["mgmt"]["WorkspaceSettings"][1]["status"]["common"]["State"].update(
                approval="INVALID"
            ),
        ),
        ("workspace-settings mgmt: warning",),
    ),
    Variant(
        "settings that select both clusters together",
        both(
            set_field("mgmt", "WorkspaceSettings", "ws", "spec.options", {"eastWestGateways": [IN_C1]}),
            set_field("mgmt", "WorkspaceSettings", "ws", "status.numSelectedEastWestGateways", 1),
            more_settings(IN_C2, number=1),
        ),
    ),
    Variant(
        "settings that select one cluster twice",
        both(
            set_field("mgmt", "WorkspaceSettings", "ws", "spec.options", {"eastWestGateways": [IN_C1]}),
            set_field("mgmt", "WorkspaceSettings", "ws", "status.numSelectedEastWestGateways", 1),
            more_settings(IN_C1, number=1),
        ),
        ("east-west-selected mgmt: failed",),
    ),
    Variant(
        "settings without a count of their gateways",
        set_field("mgmt", "WorkspaceSettings", "ws", "status.numSelectedEastWestGateways", None),
    ),
    Variant(
        "RootTrustPolicy that fails beside a working PKI",
        set_field("mgmt", "RootTrustPolicy", "root", "status.state", "FAILED"),
        ("trust-policy mgmt: warning",),
    ),
)


# -- Istio installed by others -----------------------------------------------------------------------------------------


def without_operator(cluster: str) -> Change:
    return both(
        drop(cluster, "Deployment", "gloo-operator"),
        lambda s: s.clusters[cluster]["ServiceMeshController"].clear(),
    )


def istiod(cluster: str, revision: str, name: str = "", tag: str = "", ready: bool = True) -> Change:
    """A further istiod beside the one of revision gloo."""
    full = name or (f"istiod-{revision}" if revision != "default" else "istiod")

    def change(site: Site) -> None:
        found = copy.deepcopy(site.one(cluster, "Deployment", "istiod-gloo"))
        labels = {"app": "istiod", "istio.io/rev": revision, "of": full}
        found["metadata"].update(name=full, labels=labels)
        found["spec"]["selector"] = {"matchLabels": labels}
        found["spec"]["template"]["metadata"]["labels"] = labels
        if not ready:
            found["status"].update(readyReplicas=0, availableReplicas=0)
        own = copy.deepcopy(site.one(cluster, "Service", "istiod-gloo"))
        own["metadata"].update(name=full, labels={"istio.io/rev": revision, **({"istio.io/tag": tag} if tag else {})})
        own["spec"]["selector"] = {"app": "istiod", "of": full}
        slices = copy.deepcopy(site.one(cluster, "EndpointSlice", "istiod-gloo-1"))
        slices["metadata"].update(name=f"{full}-1", labels={"kubernetes.io/service-name": full})
        slices["endpoints"][0]["conditions"]["ready"] = ready
        # the one of revision gloo must not be selected by the other's Service, nor the other way round
        site.one(cluster, "Service", "istiod-gloo")["spec"]["selector"] = {"app": "istiod", "istio.io/rev": "gloo"}
        site.clusters[cluster]["Deployment"].append(found)
        site.clusters[cluster]["Service"].append(own)
        site.clusters[cluster]["EndpointSlice"].append(slices)
        if ready:
            site.clusters[cluster]["Pod"].append(pod_of(found))

    return change


def tagged(cluster: str, tag: str) -> Change:
    """A tag that leads to revision gloo."""
    found = service(
        f"istiod-{tag}", "istio-system", {"https-dns": 15012}, selector={"app": "istiod"},
        labels={"istio.io/rev": "gloo", "istio.io/tag": tag},
    )  # fmt: skip
    return add(cluster, "Service", found)


def label(cluster: str, name: str, **labels: str) -> Change:
    return set_field(cluster, "Namespace", name, "metadata.labels", namespace("x", **labels)["metadata"]["labels"])


def pods(cluster: str, app: str, **changes: Any) -> Change:
    """The Pod of an application: ``labels`` added, ``containers`` and ``init`` replaced."""

    def change(site: Site) -> None:
        pod = site.one(cluster, "Pod", f"{app}-1")
        pod["metadata"]["labels"].update(changes.get("labels", {}))
        for key, field in (("containers", "containers"), ("init", "initContainers")):
            if key in changes:
                pod["spec"][field] = changes[key]

    return change


REMOTE = ("cluster-id c2: skipped", "workload-selection c2: skipped")
AMBIENT = {"istio.io/dataplane-mode": "ambient"}
PLAIN = {"containers": [{"name": "reviews"}]}
NATIVE = {**PLAIN, "init": [{"name": "istio-proxy", "restartPolicy": "Always"}]}
SMC = ("ServiceMeshController", "managed-istio", "status")
CANARY = everywhere(lambda c: istiod(c, "1-28"))
OTHER_TEAM = everywhere(lambda c: add(c, "Namespace", namespace("aaa", istio_io__rev="1-28")))


def remote_istiod(cluster: str) -> Change:
    """istiod runs outside the cluster: a Service without selector leads to it."""

    def change(site: Site) -> None:
        site.drop(cluster, "Deployment", "istiod-gloo")
        site.drop(cluster, "Pod", "istiod-gloo-1")
        found = site.one(cluster, "Service", "istiod-gloo")
        found["spec"].pop("selector")
        found["metadata"]["labels"]["app.kubernetes.io/name"] = "istiod"

    return change


def injected_from_outside(cluster: str) -> Change:
    """Sidecars use an istiod outside the cluster, of which nothing else is in it."""

    def change(site: Site) -> None:
        site.drop(cluster, "Deployment", "istiod-gloo")
        site.drop(cluster, "Pod", "istiod-gloo-1")
        site.drop(cluster, "Service", "istiod-gloo")
        for pod in site.clusters[cluster]["Pod"]:
            for container in pod["spec"]["containers"]:
                if container["name"] == "istio-proxy" and not container.get("env"):
                    told = '{"discoveryAddress":"istiod.example.com:15012"}'
                    container["env"] = [{"name": "PROXY_CONFIG", "value": told}]

    return change


def of_argo(site: Site) -> None:
    """Objects applied by Argo CD: its annotation, no record of Helm."""
    for kinds in site.clusters.values():
        for each in kinds.get("Deployment", ()):
            each["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": "mesh:apps/Deployment:x"}


ISTIO = (
    Variant("objects owned by Argo CD", of_argo),
    Variant("Istio without operator", everywhere(without_operator)),
    Variant(
        "Istio of the operator, which was uninstalled",
        drop("c2", "Deployment", "gloo-operator"),
        ("operator c2: warning",),
    ),
    Variant(
        "operator in another namespace and release",
        moved("c2", "gloo-operator", "operator", "solo-ops", image="registry.example/gloo-operator:0.4.0"),
    ),
    Variant("phase of an older operator", set_field("c2", *SMC, {"phase": "INSTALLED", "conditions": []})),
    Variant(
        "operator that left Istio of another team alone",
        set_field("c2", *SMC, {"phase": "ABORTED", "conditions": []}),
        ("service-mesh-controller c2: warning",),
    ),
    Variant("canary istiod for another team", both(CANARY, OTHER_TEAM)),
    Variant("canary istiod that nothing uses yet", CANARY),
    Variant(
        "the site's namespace has moved to the canary",
        both(CANARY, everywhere(lambda c: label(c, "app", istio_io__rev="1-28"))),
    ),
    Variant("canary istiod that nothing uses and is not ready", everywhere(lambda c: istiod(c, "1-28", ready=False))),
    Variant(
        "canary istiod that another team uses and is not ready", both(istiod("c2", "1-28", ready=False), OTHER_TEAM)
    ),
    Variant(
        "canary istiod that the site uses and is not ready",
        both(istiod("c2", "1-28", ready=False), label("c2", "app", istio_io__rev="1-28")),
        ("istiod c2: failed",),
    ),
    Variant(
        "namespaces by tag",
        both(everywhere(lambda c: tagged(c, "prod")), everywhere(lambda c: label(c, "app", istio_io__rev="prod"))),
    ),
    Variant("remote istiod", both(remote_istiod("c2"), without_operator("c2")), REMOTE),
    Variant(
        "sidecars of an istiod outside the cluster",
        both(injected_from_outside("c2"), without_operator("c2")),
        (
            "service-mesh-controller c2: warning",
            "istiod c2: warning",
            "cluster-id c2: skipped",
            "injection c2: warning",
            "workload-selection c2: skipped",
        ),
    ),
    Variant(
        "Pods injected by their own label",
        both(
            everywhere(lambda c: label(c, "app")),
            everywhere(
                lambda c: pods(c, "reviews", labels={"sidecar.istio.io/inject": "true", "istio.io/rev": "gloo"})
            ),
            everywhere(lambda c: pods(c, "page", labels={"istio.io/rev": "gloo"})),
        ),
    ),
    Variant(
        "Pods whose own label names a revision that nothing serves",
        both(label("c2", "app"), pods("c2", "reviews", labels={"istio.io/rev": "gone"})),
        ("injection c2: warning",),
    ),
    Variant(
        "Pods without a sidecar, disabled by their own label",
        pods("c2", "reviews", labels={"sidecar.istio.io/inject": "false"}, **PLAIN),
        ("injection c2: failed",),
    ),
    Variant("native sidecars", everywhere(lambda c: pods(c, "reviews", **NATIVE))),
    Variant(
        "ambient Pods",
        both(
            pods("c2", "reviews", **PLAIN),
            pods("c2", "page", **PLAIN),
            set_field("c2", "Namespace", "app", "metadata.labels", AMBIENT),
        ),
    ),
    Variant("Pods without a sidecar", pods("c2", "reviews", **PLAIN), ("injection c2: failed",)),
)


# -- addresses of east-west gateways -----------------------------------------------------------------------------------


def east_west(cluster: str, kind: str = "LoadBalancer", ingress: tuple[Json, ...] = (), **spec: Any) -> Change:
    def change(site: Site) -> None:
        found = site.one(cluster, "Service", "ew")
        found["spec"].update(type=kind, **spec)
        found["status"] = {"loadBalancer": {"ingress": list(ingress)}} if ingress else {}

    return change


def endpoint(cluster: str, address: str, port: int = 15443) -> Change:
    """The WorkloadEntry in a cluster leads to this address."""
    return both(
        set_field(cluster, "WorkloadEntry", "we", "spec.address", address),
        set_field(cluster, "WorkloadEntry", "we", "spec.ports", {"http-9080": port}),
    )


def options(*entries: Json) -> Change:
    return set_field("mgmt", "WorkspaceSettings", "ws", "spec.options", {"eastWestGateways": list(entries)})


def override(entry: Json, address: str, port: Any = None, **more: Any) -> Json:
    return {**entry, "hostInfoOverrides": [{"addr": address, **({"port": port} if port else {})}], **more}


def other_services(site: Site) -> None:
    """Services that have nothing to do with east-west traffic, one of them with a port named https."""
    for cluster in FAR:
        site.clusters[cluster]["Service"].insert(0, service("shop", "app", {"https": 443}))


NODE_PORTS = everywhere(lambda c: east_west(c, "NodePort", ports=[{"name": "tls", "port": 15443, "nodePort": 32443}]))
NO_ENDPOINTS = both(*(lambda s, c=c: s.clusters[c]["WorkloadEntry"].clear() for c in FAR))

ADDRESSES = (
    Variant(
        "node ports with overrides",
        both(
            NODE_PORTS,
            options(override(IN_C1, "192.0.2.11", 32443), override(IN_C2, "192.0.2.12", {"number": 32443})),
            endpoint("c1", "192.0.2.12", 32443),
            endpoint("c2", "192.0.2.11", 32443),
        ),
    ),
    Variant(
        "clusters named without labels, beside other Services",
        both(
            NODE_PORTS,
            other_services,
            options(
                override({"selector": {"cluster": "c1"}}, "192.0.2.11", 32443),
                override({"selector": {"cluster": "c2", "labels": None}}, "192.0.2.12", 32443),
            ),
            endpoint("c1", "192.0.2.12", 32443),
            endpoint("c2", "192.0.2.11", 32443),
        ),
    ),
    Variant(
        "node ports with one override for all",
        both(
            NODE_PORTS,
            options(override({"selector": {"labels": {"istio": "eastwestgateway"}}}, "192.0.2.1", 32443)),
            endpoint("c1", "192.0.2.1", 32443),
            endpoint("c2", "192.0.2.1", 32443),
        ),
    ),
    Variant(
        "node ports whose addresses only WorkloadEntries show",
        both(NODE_PORTS, endpoint("c1", "192.0.2.12", 32443), endpoint("c2", "192.0.2.11", 32443)),
    ),
    Variant(
        "node ports whose addresses nothing shows",
        both(east_west("c2", "NodePort"), NO_ENDPOINTS),
        (
            "east-west-address c2: warning",
            "workload-entries c1: failed",
            "workload-entries c2: failed",
        ),
    ),
    Variant(
        "a load balancer that gives no address", both(east_west("c2"), NO_ENDPOINTS), ("east-west-address c2: failed",)
    ),
    Variant(
        "inside its cluster only", both(east_west("c2", "ClusterIP"), NO_ENDPOINTS), ("east-west-address c2: failed",)
    ),
    Variant("external IPs", east_west("c2", "ClusterIP", externalIPs=["192.0.2.2"])),
    Variant(
        "IPv6 addresses in different spellings",
        both(east_west("c2", ingress=({"ip": "2001:db8::2"},)), endpoint("c1", "2001:DB8:0:0::2")),
    ),
    Variant(
        "a new load balancer address that WorkloadEntries do not have",
        east_west("c2", ingress=({"ip": "192.0.2.22"},)),
        ("east-west-address c2: warning",),
    ),
    Variant(
        "a host name that no gateway of another cluster has to resolve",
        both(east_west("c1", ingress=({"hostname": "ew.example"},)), endpoint("c2", "ew.example")),
    ),
    Variant(
        "a host name that a gateway cannot resolve",
        both(east_west("c2", ingress=({"hostname": "ew.example"},)), endpoint("c1", "ew.example")),
        ("east-west-address c2: warning", "route-backends c1: warning"),
    ),
    Variant(
        "a host name with an override",
        both(east_west("c2", ingress=({"hostname": "ew.example"},)), options(IN_C1, override(IN_C2, "192.0.2.2"))),
    ),
    Variant(
        "a host name as an override",
        both(options(IN_C1, override(IN_C2, "ew.example")), endpoint("c1", "ew.example")),
        ("east-west-address c2: warning", "route-backends c1: warning"),
    ),
    Variant(
        "another port, named by the settings",
        both(
            east_west("c2", ingress=({"ip": "192.0.2.2"},), ports=[{"name": "tcp-mtls", "port": 443}]),
            options(IN_C1, {**IN_C2, "port": {"number": 443}, "tlsTerminationPort": {"number": 8443}}),
            endpoint("c1", "192.0.2.2", 443),
        ),
    ),
    Variant(
        "a port of the settings that the Service lacks",
        options(IN_C1, {**IN_C2, "port": {"name": "mtls"}}),
        ("east-west-port c2: failed",),
    ),
    Variant(
        "a port named https", east_west("c2", ingress=({"ip": "192.0.2.2"},), ports=[{"name": "https", "port": 15443}])
    ),
    Variant(
        "several Services, one without an address",
        both(
            lambda s: s.clusters["c2"]["Service"].append(
                {
                    **copy.deepcopy(s.one("c2", "Service", "ew")),
                    "metadata": {
                        "name": "ew-internal",
                        "namespace": "istio-eastwest",
                        "labels": {"istio": "eastwestgateway"},
                    },
                    "status": {},
                }
            )
        ),
        ("east-west-address c2: warning",),
    ),
    Variant(
        "selected by name and namespace",
        options({"selector": {"name": "ew", "namespace": "istio-eastwest"}}),
    ),
)


# -- certificates ------------------------------------------------------------------------------------------------------


def signs(cluster: str, root: str, *trusted: str) -> Change:
    """Secret cacerts and what istiod distributes: a signing certificate of *root*, and the trusted roots."""
    return both(
        set_secret(cluster, "cacerts", cacerts(cluster, root, *trusted)), trusts(cluster, *(trusted or (root,)))
    )


NO_POLICY = drop("mgmt", "RootTrustPolicy", "root")


def self_signed(cluster: str, root: str) -> Change:
    return both(
        set_secret(cluster, "cacerts", None),
        set_secret(cluster, "istio-ca-secret", secret({"ca-cert.pem": authorities.root(root).pem})),
        trusts(cluster, root),
    )


def cert_manager(cluster: str) -> Change:
    chain = authorities.issued(f"{cluster} by cert-manager", "mesh").pem
    return set_secret(cluster, "cacerts", secret({"tls.crt": chain, "ca.crt": authorities.root("mesh").pem}))


def expired(*clusters: str) -> Change:
    """Their bundles also have a root that has expired."""
    old = authorities.Authority("old", None, end=datetime(2025, 6, 1, tzinfo=UTC))

    def change(site: Site) -> None:
        site.time = NOW
        for cluster in clusters:
            found = site.one(cluster, "ConfigMap", "istio-ca-root-cert")
            found["data"] = {"root-cert.pem": f"# former\n{old.pem}\n{authorities.root('mesh').pem}"}

    return change


def history(created: str, written: str, secret_: str = "", pod: str = "09:00", istiod_: str = "08:00") -> Change:
    """Times of c2 on the same day: ConfigMap with the root, its last write, Secret cacerts, reviews' Pod, istiod's Pod.

    "-24:00" etc. count hours from midnight of that day.
    """

    def at(clock: str) -> str:
        hours, minutes = clock.split(":")
        time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=int(hours), minutes=int(minutes))
        return time.strftime("%Y-%m-%dT%H:%M:%SZ")

    def change(site: Site) -> None:
        site.time = NOW
        entry = {"manager": "pilot-discovery", "time": at(written), "fieldsV1": {"f:data": {}}}
        site.one("c2", "ConfigMap", "istio-ca-root-cert")["metadata"].update(
            creationTimestamp=at(created), managedFields=[entry]
        )
        if secret_ and site.secrets["c2"]["cacerts"]:
            site.secrets["c2"]["cacerts"]["created"] = at(secret_)
        site.one("c2", "Pod", "reviews-1")["metadata"]["creationTimestamp"] = at(pod)
        site.one("c2", "Pod", "istiod-gloo-1")["metadata"]["creationTimestamp"] = at(istiod_)

    return change


SELF_SIGNED_BEFORE = set_secret("c2", "istio-ca-secret", secret({"ca-cert.pem": authorities.root("before").pem}))

CERTIFICATES = (
    Variant("cacerts renewed with the same root", history("08:00", "08:00", secret_="11:00")),
    Variant(
        "ConfigMap written by a newer istiod, long after cacerts",
        both(SELF_SIGNED_BEFORE, history("-72:00", "10:00", secret_="-71:00")),
    ),
    Variant(
        "Pods newer than istiod, which distributed the root later",
        both(SELF_SIGNED_BEFORE, history("08:00", "09:10", secret_="08:30", pod="09:00", istiod_="08:55")),
    ),
    Variant(
        "Pods older than the shared root",
        both(SELF_SIGNED_BEFORE, history("08:00", "10:00", secret_="09:50")),
        ("certificates-fresh c2: failed",),
    ),
    Variant(
        "Pods older than the shared root, which have renewed their certificates",
        both(SELF_SIGNED_BEFORE, history("-48:00", "-13:00", secret_="-13:00", pod="-40:00")),
    ),
    Variant(
        "Pods older than the last change of a root in rotation",
        both(everywhere(lambda c: signs(c, "mesh", "mesh", "next")), history("08:00", "10:00", secret_="09:50")),
    ),
    Variant(
        "Pods older than a root that replaced an unknown one",
        history("08:00", "10:00", secret_="09:50"),
        ("certificates-fresh c2: warning",),
    ),
    Variant("own PKI without RootTrustPolicy", both(NO_POLICY, everywhere(lambda c: signs(c, "corporate")))),
    Variant("cert-manager's keys", both(NO_POLICY, everywhere(cert_manager))),
    Variant(
        "cacerts that may not be read",
        lambda s: [
            s.unreadable[c].update(cacerts="Secret istio-system/cacerts cannot be read: Forbidden") for c in FAR
        ],
        ("cacerts c1: skipped", "cacerts c2: skipped"),
    ),
    Variant(
        "rotation: one cluster trusts the new root as well",
        signs("c1", "mesh", "mesh", "next"),
        ("root-shared c1: warning", "root-shared c2: warning"),
    ),
    Variant("rotation: both trust both", everywhere(lambda c: signs(c, "mesh", "next", "mesh"))),
    Variant(
        "rotation: one signs with the new root",
        both(signs("c1", "next", "mesh", "next"), signs("c2", "mesh", "mesh", "next")),
    ),
    Variant("rotation: both sign with the new root", everywhere(lambda c: signs(c, "next", "mesh", "next"))),
    Variant(
        "rotation: one has removed the former root",
        both(signs("c1", "next"), signs("c2", "next", "mesh", "next")),
        ("root-shared c1: warning", "root-shared c2: warning"),
    ),
    Variant("rotation: finished", everywhere(lambda c: signs(c, "next"))),
    Variant(
        "rotation: one signs with a root that the other does not trust yet",
        both(signs("c1", "next", "mesh", "next"), signs("c2", "mesh")),
        ("root-shared c2: failed",),
    ),
    Variant(
        "rotation: one has removed the root that the other signs with",
        both(signs("c1", "next"), signs("c2", "mesh", "mesh", "next")),
        ("root-shared c2: failed",),
    ),
    Variant(
        "rotation: Secret not loaded yet",
        set_secret("c1", "cacerts", cacerts("c1", "mesh", "mesh", "next")),
        ("root-shared c1: warning", "root-shared c2: warning"),
    ),
    Variant(
        "rotation without overlap, not loaded yet",
        set_secret("c2", "cacerts", cacerts("c2", "next")),
        ("root-shared c2: failed",),
    ),
    Variant("an expired root beside the current one", expired("c1")),
    Variant(
        "a signer whose CA another cluster trusts directly",
        both(
            NO_POLICY,
            signs("c1", "mesh"),
            signs("c2", "mesh"),
            lambda s: s.one("c2", "ConfigMap", "istio-ca-root-cert").update(
                data={"root-cert.pem": authorities.issued("c1 of mesh", "mesh").pem + authorities.root("mesh").pem}
            ),
        ),
        ("root-shared c1: warning", "root-shared c2: warning"),
    ),
    Variant(
        "self-signed roots that differ",
        both(NO_POLICY, self_signed("c1", "one"), self_signed("c2", "two")),
        ("root-shared c2: failed",),
    ),
    Variant(
        "self-signed roots that each cluster trusts",
        both(
            NO_POLICY,
            self_signed("c1", "one"),
            self_signed("c2", "two"),
            trusts("c1", "one", "two"),
            trusts("c2", "two", "one"),
        ),
    ),
    Variant(
        "cacerts issued after istiod was started",
        both(self_signed("c2", "two"), set_secret("c2", "cacerts", cacerts("c2", "mesh"))),
        ("root-shared c2: failed",),
    ),
)

VARIANTS = (*GLOO_MESH, *WORKSPACES, *ISTIO, *ADDRESSES, *CERTIFICATES)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_site_is_judged_by_what_works(variant: Variant) -> None:
    site = Site()
    variant.change(site)
    found = [
        f"{row['id']} {row['cluster']}: {row['verdict']}"
        for row in checked(site)["checks"]
        if row["verdict"] in ("warning", "failed") or row["message"].startswith("not evaluated")
    ]
    shown = [
        f"{r['id']} {r['cluster']}: {r['message']} | {r['hint']}"
        for r in checked(site)["checks"]
        if r["verdict"] != "ok"
    ]
    assert list(dict.fromkeys(found)) == list(variant.findings), "\n".join(shown)


def test_names_are_distinct() -> None:
    names = [variant.name for variant in VARIANTS]
    assert len(set(names)) == len(names)
