# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts that checks use: for each cluster lists by kind, read once, and digests instead of secret values.

Kinds that may not be listed are recorded; checks that use them raise NotReadable. Kinds that are not served are empty.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from ..gateway.parameter_kinds import PARAMETER_KINDS
from ..gateway.proxy_model import GATEWAY_LABEL, ROOT_CERT, Objects
from ..istiod import discovery, istiod_info
from ..k8s.client import Cluster
from ..k8s.errors import ClusterError, Forbidden, NotServed
from ..k8s.fields import Json, labels_of, mapping, mappings, meta, name_of, namespace_of, seconds, spec_of
from ..k8s.pods import has_sidecar
from ..k8s.readiness import judge
from ..k8s.verdict import Verdict
from ..mesh import parts
from ..mesh.certificates import public_part
from ..mesh.virtual_destination import is_translated
from ..traffic.gateway_target import Target
from .runner import Finding, NotReadable, failed, ok

MESH_NAMESPACE = "gloo-mesh"
ROOT_SECRET, TOKEN_SECRET, CLIENT_SECRET = (
    "relay-root-tls-secret",
    "relay-identity-token-secret",
    "relay-client-tls-secret",
)
#: arguments with another name or namespace for a Secret of the relay: these, with -name or -namespace
_SECRET_ARGUMENTS = {
    ROOT_SECRET: ("relay-root-cert-secret", "relay-root-tls-secret"),
    TOKEN_SECRET: ("relay-identity-token-secret",),
    CLIENT_SECRET: ("relay-client-cert-secret", "relay-client-tls-secret"),
}
#: the Secret with a signing certificate that istiod loads, and the one with the root that it otherwise creates
CACERTS, SELF_SIGNED = "cacerts", "istio-ca-secret"
BOOTSTRAP = "ConfigMap of a proxy"
ADMIN, NETWORKING = "admin.gloo.solo.io/v2", "networking.gloo.solo.io/v2"
GATEWAY_CRD = "gateways.gateway.networking.k8s.io"
GATEWAY_API, ISTIO_API = "gateway.networking.k8s.io/v1", "networking.istio.io/v1"


@dataclass(frozen=True)
class Listing:
    """One LIST of a kind, perhaps with a selector. ``name``: its key in the facts, by default the kind."""

    api_version: str
    kind: str
    labels: str | None = None
    fields: str | None = None
    name: str = ""

    @property
    def key(self) -> str:
        return self.name or self.kind


MANAGEMENT: tuple[Listing, ...] = (
    Listing("v1", "Namespace"),
    Listing("apps/v1", "Deployment"),
    Listing("v1", "Service"),
    Listing("v1", "Pod"),
    Listing(ADMIN, "KubernetesCluster"),
    Listing(ADMIN, "Workspace"),
    Listing(ADMIN, "WorkspaceSettings"),
    Listing(ADMIN, "RootTrustPolicy"),
    Listing(NETWORKING, "VirtualDestination"),
    Listing(NETWORKING, "RouteTable"),
)
#: in addition to those of istiod_info.read(): Services, Deployments, Namespaces, ConfigMaps, webhooks, EndpointSlices
WORKLOAD: tuple[Listing, ...] = (
    Listing("v1", "Pod"),
    Listing("apps/v1", "StatefulSet"),
    Listing("apps/v1", "ReplicaSet", labels=GATEWAY_LABEL),
    Listing("v1", "ConfigMap", fields=f"metadata.name={ROOT_CERT}"),
    Listing("v1", "ConfigMap", labels=GATEWAY_LABEL, name=BOOTSTRAP),
    Listing("operator.gloo.solo.io/v1", "ServiceMeshController"),
    Listing(NETWORKING, "VirtualDestination"),
    Listing(ISTIO_API, "ServiceEntry"),
    Listing(ISTIO_API, "WorkloadEntry"),
    Listing(ISTIO_API, "DestinationRule"),
    Listing(GATEWAY_API, "GatewayClass"),
    Listing(GATEWAY_API, "Gateway"),
    Listing(GATEWAY_API, "HTTPRoute"),
    Listing("apiextensions.k8s.io/v1", "CustomResourceDefinition", fields=f"metadata.name={GATEWAY_CRD}"),
    # two products have kinds of the same name: the key includes the group
    *(Listing(kind.api_version, kind.kind, name=kind.title) for kind in PARAMETER_KINDS),
)
_ISTIOD_KINDS = {"services": "Service", "deployments": "Deployment", "namespaces": "Namespace"}


@dataclass(frozen=True)
class Facts:
    """Facts of one cluster.

    ``lists``: objects by kind; ``unreadable``: why a kind or a Secret could not be read; ``absent``: kinds not served.
    ``secrets``: ``{created, written, type, keys: {key: digest}, certificates: {key: PEM}}`` by the Secret's usual name,
    None for one that does not exist. Certificates are public; nothing else of a value is kept.
    ``members``: in the management cluster, the names of the site's workload clusters.
    """

    name: str
    role: str
    gateway: bool = False
    server: str = ""
    version: str = ""
    uid: str = ""
    time: float | None = None
    unreachable: str = ""
    lists: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    istio_objects: Mapping[str, list[Json] | None] = field(default_factory=dict)
    secrets: Mapping[str, Json | None] = field(default_factory=dict)
    members: frozenset[str] = frozenset()

    def of(self, kind: str) -> Sequence[Json]:
        """All objects of the kind; raises NotReadable if listing failed."""
        if kind in self.unreadable:
            raise NotReadable(self.unreadable[kind])
        return self.lists.get(kind, ())

    def find(self, kind: str, name: str, namespace: str | None = None) -> Json | None:
        """The object of this name, in any namespace unless one is given."""
        for obj in self.of(kind):
            if name_of(obj) == name and namespace in (None, namespace_of(obj)):
                return obj
        return None

    def secret(self, name: str) -> Json | None:
        """The record of a Secret by its usual name, None when it does not exist."""
        if name in self.unreadable:
            raise NotReadable(self.unreadable[name])
        return self.secrets.get(name)

    @cached_property
    def management_servers(self) -> list[Json]:
        """Deployments of the management server, the one in use first."""
        return parts.servers(self.of("Deployment"), self.lists.get("KubernetesCluster") or (), self.members)

    @cached_property
    def agents(self) -> list[Json]:
        """Deployments of agents, the one in use first."""
        return parts.agents(self.of("Deployment"), self.name)

    @property
    def management_server(self) -> Json | None:
        return next(iter(self.management_servers), None)

    @property
    def agent(self) -> Json | None:
        return next(iter(self.agents), None)

    @property
    def mesh_program(self) -> Json | None:
        """The Deployment of Gloo Mesh in this cluster; None if there is none or Deployments cannot be listed."""
        if "Deployment" in self.unreadable:
            return None
        return self.management_server if self.role == "management" else self.agent

    @cached_property
    def mesh_namespace(self) -> str:
        """Namespace of Gloo Mesh in this cluster."""
        return str(namespace_of(self.mesh_program) or MESH_NAMESPACE)

    @cached_property
    def istio(self) -> Json:
        """Result of discovery.discover()."""
        return discovery.discover(self.istio_objects)

    @cached_property
    def injecting(self) -> dict[str, int]:
        """Place in the list of istiods of the one that injects the Pods of each namespace with an injection label."""
        found = {}
        for namespace in self.istio_objects.get("namespaces") or ():
            labels, name = labels_of(namespace), name_of(namespace)
            if "istio.io/rev" in labels or "istio-injection" in labels:
                try:
                    chosen = discovery.choose(self.istio, for_namespace=name, namespace_labels=labels)
                except discovery.ChoiceError:
                    continue
                found[name] = self.istio["istiods"].index(chosen)
        return found

    @cached_property
    def used(self) -> list[Json]:
        """The istiods that inject the Pods of some namespace, first those of namespaces with destinations of Gloo Mesh,
        then by their number of Pods; the only istiod whatever uses it."""
        istiods: list[Json] = self.istio["istiods"]
        if len(istiods) < 2:
            return list(istiods)
        destinations = {namespace_of(e) for e in self.lists.get("ServiceEntry", ()) if is_translated(e)}
        sidecars = Counter(namespace_of(p) for p in self.lists.get("Pod", ()) if has_sidecar(p))
        found: dict[int, tuple[int, int]] = {}
        for name, place in self.injecting.items():
            before = found.get(place, (0, 0))
            found[place] = before[0] + (name in destinations), before[1] + sidecars[name]
        return [istiods[place] for place in sorted(found, key=lambda place: found[place], reverse=True)]

    @cached_property
    def chosen(self) -> tuple[Json | None, str]:
        """The istiod that most proxies of this cluster use, or None and the reason."""
        if self.used:
            return self.used[0], ""
        try:
            return discovery.choose(self.istio), ""
        except discovery.ChoiceError as exc:
            return None, str(exc)

    @property
    def istiod(self) -> Json | None:
        return self.chosen[0]

    @property
    def workloads(self) -> list[Json]:
        """Deployments and, as far as they can be listed, StatefulSets."""
        return [*self.of("Deployment"), *self.lists.get("StatefulSet", ())]

    @cached_property
    def proxies(self) -> Objects:
        """The objects that the checks of a proxy use."""
        return Objects(
            gateways=self.of("Gateway"),
            classes=self.of("GatewayClass"),
            parameters={k: None if k.title in self.absent else self.of(k.title) for k in PARAMETER_KINDS},
            deployments=self.of("Deployment"),
            services=self.of("Service"),
            replica_sets=self.of("ReplicaSet"),
            pods=self.of("Pod"),
            config_maps=[*self.of("ConfigMap"), *self.of(BOOTSTRAP), *(self.istio_objects.get("configmaps") or ())],
            namespaces=self.of("Namespace"),
        )


class Probes(Protocol):
    """Facts that are read on demand. Every method raises NotReadable on failure."""

    def connected(self, server: Json) -> Mapping[str, bool]:
        """Whether the agent is connected to this Deployment of the management server, by registered name."""

    def log(self, cluster: str, namespace: str, pod: str, container: str) -> str:
        """The last lines of a container's log."""

    def send(self, cluster: str, proof: Json, expect: Sequence[Json], target: Target | None) -> Json:
        """Result of a proof: ``{complete, text, url, sent, answers, failures, missing}``.

        target: where its requests are sent, None for its ``from_pod``.
        """


@dataclass(frozen=True)
class SiteFacts:
    """Facts of all clusters and the site's data; without data (None) all objects found are checked."""

    clusters: Sequence[Facts]
    probes: Probes
    data: Json | None = None
    answers: list[Json] = field(default_factory=list)

    @property
    def management(self) -> Facts:
        return next(facts for facts in self.clusters if facts.role == "management")

    @property
    def workloads(self) -> list[Facts]:
        return [facts for facts in self.clusters if facts.role != "management"]

    @property
    def gateways(self) -> list[Facts]:
        return [facts for facts in self.clusters if facts.gateway]

    def wanted(self, key: str, cluster: str = "") -> list[Json] | None:
        """Entries of the site's data, those for the cluster if one is given; None without data."""
        if self.data is None:
            return None
        found = list(self.data.get(key) or ())
        return [each for each in found if not cluster or cluster in (each.get("clusters") or [cluster])]

    def is_connected(self, cluster: str) -> bool | None:
        """Whether the agent is connected to the management server in use; None when its metric cannot be read."""
        servers = self._servers()
        return self._is_connected_to(servers[0], cluster) if servers else None

    def other_server(self, cluster: str) -> Json | None:
        """Another management server in the management cluster that the agent is connected to, as far as is known."""
        return next((each for each in self._servers()[1:] if self._is_connected_to(each, cluster)), None)

    def _servers(self) -> list[Json]:
        try:
            return self.management.management_servers
        except NotReadable:
            return []

    def _is_connected_to(self, server: Json, cluster: str) -> bool | None:
        try:
            return self.probes.connected(server).get(cluster, False)
        except NotReadable:
            return None


# -- small readers -----------------------------------------------------------------------------------------------------


def relay_secret(facts: Facts, usual: str) -> tuple[str, str]:
    """(namespace, name) of a Secret of the relay, as the arguments of agent or management server name it."""
    names = _SECRET_ARGUMENTS[usual]
    namespace = parts.argument(facts.mesh_program, *(f"{name}-namespace" for name in names))
    return namespace or facts.mesh_namespace, parts.argument(
        facts.mesh_program, *(f"{name}-name" for name in names)
    ) or usual


def workload_ready(obj: Json | None, named: str) -> Finding:
    """Whether the object exists, is not scaled to 0 and is ready."""
    if obj is None:
        return failed(f"{named} does not exist", object=named)
    if spec_of(obj).get("replicas") == 0:
        return failed(f"{named} is scaled to 0 replicas", object=named)
    verdict = judge(obj)
    if not verdict.processed:
        return unprocessed(verdict, named)
    if not verdict.ready:
        return failed(f"{named} is not ready: {verdict.reason}", object=named)
    return ok(f"{named}: {verdict.reason}" if verdict.reason else f"{named} is ready", named)


UNPROCESSED = (
    "its controller has not processed its current generation; the object itself may be correct. If this persists, "
    "check that the controller is running, and read its log"
)


def unprocessed(verdict: Verdict, named: str) -> Finding:
    """The finding on an object whose controller has not processed it: it has no effect, but may be correct."""
    return failed(f"{named}: {verdict.reason}", UNPROCESSED, named)


# -- reading -----------------------------------------------------------------------------------------------------------


def read_facts(cluster: Cluster, role: str, gateway: bool, members: Iterable[str] = ()) -> Facts:
    """Read one cluster. An unreachable cluster is a fact, not an error. members: as in Facts."""
    try:
        version, uid = cluster.version(), _uid(cluster)
    except ClusterError as exc:
        return Facts(cluster.name, role, gateway, server=cluster.server, unreachable=exc.msg)
    lists: dict[str, Sequence[Json]] = {}
    unreadable: dict[str, str] = {}
    absent: set[str] = set()

    def fetch(listing: Listing) -> None:
        try:
            lists[listing.key] = cluster.list(
                listing.api_version, listing.kind, labels=listing.labels, fields=listing.fields
            )
        except NotServed:
            absent.add(listing.key)
        except ClusterError as exc:
            unreadable[listing.key] = f"{listing.kind} objects cannot be listed: {exc.facts.get('reason') or exc.msg}"

    istio_objects: dict[str, list[Json] | None] = {}

    def fetch_istio() -> None:
        found, reasons = istiod_info.read(cluster, None, None)
        istio_objects.update(found)
        for key, kind in _ISTIOD_KINDS.items():
            if found.get(key) is None:
                unreadable[kind] = f"{kind} objects cannot be listed" + "".join(f"; {reason}" for reason in reasons)
            else:
                lists[kind] = found[key] or ()

    with ThreadPoolExecutor(max_workers=4) as pool:
        jobs = [pool.submit(fetch, listing) for listing in (MANAGEMENT if role == "management" else WORKLOAD)]
        if role != "management":
            jobs.append(pool.submit(fetch_istio))
        for job in jobs:
            job.result()
    secrets: dict[str, Json | None] = {}  # filled below: namespaces depend on the facts
    facts = Facts(
        cluster.name, role, gateway, cluster.server, version, uid, cluster.server_time,
        lists=lists, unreadable=unreadable, absent=frozenset(absent), istio_objects=istio_objects, secrets=secrets,
        members=frozenset(members),
    )  # fmt: skip
    for usual, (namespace, name) in _secret_locations(facts).items():
        try:
            secrets[usual] = public_record(cluster.get("v1", "Secret", name, namespace))
        except ClusterError as exc:
            unreadable[usual] = f"Secret {namespace}/{name} cannot be read: {exc.facts.get('reason') or exc.msg}"
    return facts


def _uid(cluster: Cluster) -> str:
    """The cluster's UID, "" if this user may not read it. Raises Forbidden for invalid credentials (401)."""
    try:
        return cluster.uid()
    except Forbidden as exc:
        if exc.facts.get("code") == 401:
            raise
        return ""


def _secret_locations(facts: Facts) -> dict[str, tuple[str, str]]:
    """(namespace, name) by usual name."""
    relay = (ROOT_SECRET, TOKEN_SECRET) if facts.role == "management" else (ROOT_SECRET, TOKEN_SECRET, CLIENT_SECRET)
    found = {usual: relay_secret(facts, usual) for usual in relay}
    if facts.role != "management":
        found |= {name: (istio_namespace(facts), name) for name in (CACERTS, SELF_SIGNED)}
    return found


def istio_namespace(facts: Facts) -> str:
    """Namespace of istiod, or the one where it will be installed."""
    if facts.istiod:
        return str(facts.istiod["namespace"])
    controllers = facts.lists.get("ServiceMeshController") or ()
    return next(
        (str(spec_of(c)["installNamespace"]) for c in controllers if spec_of(c).get("installNamespace")), "istio-system"
    )


def public_record(secret: Json | None) -> Json | None:
    """What may be kept of a Secret: times, type, its certificates, and digests of values without a private key."""
    if secret is None:
        return None
    values = {key: base64.b64decode(value or "") for key, value in (secret.get("data") or {}).items()}
    certificates = {key: public_part(value.decode(errors="replace")) for key, value in values.items()}
    return {
        "created": meta(secret).get("creationTimestamp"),
        "written": written(secret),
        "type": secret.get("type"),
        "keys": {key: digest(value) if value else "" for key, value in values.items() if not _is_private(key, value)},
        "certificates": {key: text for key, text in certificates.items() if text},
    }


def _is_private(key: str, value: bytes) -> bool:
    return b"PRIVATE KEY" in value or key.endswith((".key", "key.pem"))


def written(obj: Json) -> float | None:
    """When the data of a Secret or ConfigMap were last written, by its managed fields; None without any."""
    entries = [each for each in mappings(meta(obj).get("managedFields")) if "f:data" in mapping(each.get("fieldsV1"))]
    return max((seconds(each.get("time")) or 0.0 for each in entries), default=None)


def digest(content: bytes) -> str:
    """Short hash of a content without surrounding white space."""
    return hashlib.sha256(content.strip()).hexdigest()[:16]
