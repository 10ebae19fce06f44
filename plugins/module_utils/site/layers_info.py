# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module layers_info: reads all clusters once and decides on each layer of the site.

One call for all clusters, because decisions depend on several: a RootTrustPolicy of the management cluster on the roots
of all workload clusters, an agent on the management server's addresses.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from ..helm.charts import chart_source
from ..helm.releases import ReleaseHistory, read_releases
from ..istiod import istiod_info
from ..istiod.discovery import discover
from ..k8s.client import Cluster
from ..k8s.errors import ClusterError, Forbidden, Invalid, NotServed
from ..k8s.fields import Json, dig, key_of, mapping, meta, texts
from ..mesh.parts import EXTENSIONS, agents, operators, servers
from .layers import LAYERS, LICENCE_KEYS, MAIN, MESH_CRDS, PlannedWorkspace, could_be_east_west, problems, site_layers
from .records import MODES, ClusterObjects, Planned

ARGUMENT_SPEC: dict[str, Any] = {
    "clusters": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "host": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "kubeconfig": {"type": "path", "required": True},
            "context": {"type": "str", "required": True},
            "role": {"type": "str", "choices": ["management", "workload"], "default": "workload"},
            "layers": {"type": "dict", "default": {}},
            "required": {"type": "bool", "default": True},
            "operator_values": {"type": "dict", "default": {}},
        },
    },
    "planned": {"type": "dict", "default": {}},
    "workspace": {
        "type": "dict",
        "default": {},
        "options": {
            "spec": {"type": "dict", "default": {}},
            "namespaces": {"type": "list", "elements": "str", "default": []},
            "more": {"type": "list", "elements": "str", "default": []},
        },
    },
    "license_secrets": {"type": "list", "elements": "str", "default": ["license-keys"], "no_log": False},
    "strict": {"type": "bool", "default": True},
}

ADMIN = "admin.gloo.solo.io/v2"
CACERTS, ROOT_CERT = "cacerts", "istio-ca-root-cert"
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: layers, decisions, problems, unread, msg, requests. Raises Invalid for contradictions when strict."""
    _check_modes(params["clusters"])
    planned = {layer: _planned(layer, mapping(row)) for layer, row in mapping(params.get("planned")).items()}
    with ThreadPoolExecutor(max_workers=8) as pool:
        rows = [(row, pool.submit(_read, row, planned, params["license_secrets"])) for row in params["clusters"]]
        clusters: list[ClusterObjects] = []
        unread: list[str] = []
        requests = 0
        for row, job in rows:
            try:
                found, count = job.result()
            except ClusterError as exc:
                if row.get("required", True):
                    raise
                unread.append(exc.msg)
                clusters.append(_unreachable(row, exc.msg))
                continue
            clusters.append(found)
            unread += found.unread
            requests += count
    given = {key: value for key, value in mapping(params.get("workspace")).items() if value is not None}
    layers = site_layers(clusters, planned, PlannedWorkspace(**given))
    contradictions = problems(layers)
    result = {
        "changed": False,
        "layers": layers,
        "decisions": {
            host: [f"{layer}: {row['reason']}" for layer, row in rows.items()] for host, rows in layers.items()
        },
        "problems": contradictions,
        "unread": unread,
        "requests": requests,
    }
    if contradictions and params.get("strict", True):
        raise Invalid("; ".join(contradictions), **result)
    return {**result, "msg": f"{len(layers)} cluster{'' if len(layers) == 1 else 's'} read"}


def _check_modes(clusters: Iterable[Json]) -> None:
    """Raises Invalid for names of layers and modes that do not exist."""
    wrong = []
    for row in clusters:
        for layer, mode in mapping(row.get("layers")).items():
            if layer not in LAYERS:
                wrong.append(f"{row['name']}: mesh_layers has {layer}: no such layer. Use {', '.join(LAYERS)}")
            elif mode not in MODES:
                wrong.append(f"{row['name']}: mesh_layers.{layer} is {mode!r}. Use {', '.join(MODES)}")
    if wrong:
        raise Invalid("; ".join(wrong))


def _planned(layer: str, row: Json) -> Planned:
    """The planned release, with its chart's name where the chart is known."""
    chart = ""
    if row.get("chart"):
        with contextlib.suppress(ValueError):  # reported by helm_release
            chart = chart_source(str(row["chart"]), str(row.get("repo_url") or "")).name
    name = str(row.get("name") or "")
    return Planned(name, str(row.get("namespace") or ""), chart, MAIN.get(layer, name))


def _read(row: Json, planned: dict[str, Planned], licences: list[str]) -> tuple[ClusterObjects, int]:
    """The objects of one cluster, and the number of requests."""
    with Cluster(row["kubeconfig"], row["context"], row["name"]) as cluster:
        reader = _Reader(cluster)
        management = row.get("role") == "management"
        found = reader.management(planned, licences) if management else reader.workload(planned)
        objects = ClusterObjects(
            row["host"],
            row["name"],
            "management" if management else "workload",
            texts(row.get("layers")),
            bool(row.get("required", True)),
            crds=reader.crds,
            operator_values=mapping(row.get("operator_values")),
            unread=reader.unread,
            **found,
        )
        return objects, cluster.requests


def _unreachable(row: Json, why: str) -> ClusterObjects:
    return ClusterObjects(row["host"], row["name"], str(row.get("role") or "workload"), in_run=False, unreachable=why)


class _Reader:
    """Reads one cluster; ``unread``: what is forbidden."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.unread: list[str] = []

    def management(self, planned: dict[str, Planned], licences: list[str]) -> dict[str, Any]:
        deployments, services = self._list("apps/v1", "Deployment"), self._list("v1", "Service")
        found = servers(deployments)
        namespaces = {*map(_namespace, found), planned.get("platform", Planned()).namespace}
        return {
            "deployments": deployments,
            "services": services,
            "workspaces": self._list(ADMIN, "Workspace"),
            "settings": self._list(ADMIN, "WorkspaceSettings"),
            "registrations": self._list(ADMIN, "KubernetesCluster"),
            "policies": self._list(ADMIN, "RootTrustPolicy"),
            "releases": self._releases(found, planned, ("crds", "platform")),
            "licences": [
                secret
                for name in dict.fromkeys(licences)
                for where in sorted(filter(None, namespaces))
                for secret in self._secret(name, where, LICENCE_KEYS)
            ],
        }

    def workload(self, planned: dict[str, Planned]) -> dict[str, Any]:
        listed, forbidden = istiod_info.read(self.cluster, None, None)
        self.unread += [f"{self.cluster.name}: {each}" for each in forbidden]
        deployments, services = listed["deployments"] or [], listed["services"] or []
        istio = discover(listed)
        keys = {key for key in istio["deployments"] if key}
        homes = {str(each["namespace"]) for each in istio["istiods"]} | {planned.get("istio", Planned()).namespace}
        managers = operators(deployments)
        found = [*agents(deployments), *managers, *filter(could_be_east_west, services)]
        usual = planned.get("operator", Planned()).namespace
        homes_of_operators = [_namespace(each) for each in managers]
        operator = usual if usual in homes_of_operators else next(iter(homes_of_operators), usual)
        before = len(self.unread)
        cacerts = [secret for home in sorted(filter(None, homes)) for secret in self._secret(CACERTS, home, ())]
        roots = frozenset(root for home in sorted(filter(None, homes)) for root in self._roots(home))
        trust_unread = tuple(self.unread[before:])
        return {
            "deployments": deployments,
            "services": services,
            "namespaces": listed.get("namespaces"),
            "controllers": self._list("operator.gloo.solo.io/v1", "ServiceMeshController"),
            "releases": self._releases(found, planned, ("crds", "agent", "operator", "eastwest")),
            "istiods": istio["istiods"],
            "istiod_deployments": [each for each in deployments if key_of(each) in keys],
            "cacerts": cacerts,
            "extensions": self._get("ConfigMap", EXTENSIONS, operator),
            "roots": roots,
            "trust_unread": trust_unread,
            "uid": self._uid(),
        }

    def _uid(self) -> str:
        try:
            return self.cluster.uid()
        except Forbidden as exc:
            self._note(exc)
            return ""

    @cached_property
    def crds(self) -> list[Json]:
        """The CRDs of Gloo Mesh that exist, without their schemas."""
        found = []
        for name in MESH_CRDS:
            try:
                crd = self.cluster.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
            except Forbidden as exc:
                self._note(exc)
                return []
            found += [{**crd, "spec": {}}] if crd else []
        return found

    def _list(self, api_version: str, kind: str) -> list[Json]:
        try:
            return self.cluster.list(api_version, kind)
        except NotServed:
            return []

    def _releases(
        self, objects: Iterable[Json], planned: dict[str, Planned], layers: Iterable[str]
    ) -> list[ReleaseHistory]:
        """Releases of the namespaces that the objects and their annotations name, and of the planned ones."""
        names = {planned[layer].namespace for layer in layers if layer in planned}
        for obj in [*objects, *self.crds]:
            annotated = texts(meta(obj).get("annotations")).get("meta.helm.sh/release-namespace")
            names |= {_namespace(obj), annotated or ""}
        try:
            return read_releases(self.cluster, filter(None, names))
        except Forbidden as exc:
            self._note(exc)
            return []

    def _get(self, kind: str, name: str, namespace: str) -> Json | None:
        try:
            return self.cluster.get("v1", kind, name, namespace) if namespace else None
        except Forbidden as exc:
            self._note(exc)
            return None

    def _secret(self, name: str, namespace: str, keys: Iterable[str]) -> list[Json]:
        """The Secret without values, as a list of one or none; of the keys those that are not empty."""
        secret = self._get("Secret", name, namespace)
        if secret is None:
            return []
        kept = {key: "" for key in keys if mapping(secret.get("data")).get(key)}
        return [{"kind": "Secret", "metadata": secret["metadata"], "type": secret.get("type"), "data": kept}]

    def _roots(self, namespace: str) -> set[str]:
        """Digests of the certificates that Istio distributes to proxies."""
        text = dig(self._get("ConfigMap", ROOT_CERT, namespace), "data", "root-cert.pem")
        found = _CERTIFICATE.findall(str(text or ""))
        return {hashlib.sha256("".join(each.split()).encode()).hexdigest()[:16] for each in found}

    def _note(self, exc: ClusterError) -> None:
        self.unread.append(exc.msg)


def _namespace(obj: Json) -> str:
    return str(meta(obj).get("namespace") or "")
