# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the mesh role writes in one cluster of a site, for the layers that were found (pure).

The layers are those of the module layers_info: what is not managed is never in a step.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..helm.values import Json, merged
from ..k8s.fields import dig, mapping
from ..mesh.parts import EXTENSIONS
from .identity import UID
from .layers import DEBUG_NAMESPACES

#: environment variable of istiod that VirtualDestinations require: istiod must not add WorkloadEntries to Services
#: that select the same labels
SELECT_WORKLOAD_ENTRIES = "PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES"
_ISTIO_GROUPS = (
    "extensions.istio.io",
    "gateway.networking.k8s.io",
    "install.istio.io",
    "networking.istio.io",
    "security.istio.io",
    "telemetry.istio.io",
)
_OWN_CA = frozenset({"disableCa", "disableCaCertGeneration", "disableTokenGeneration", "tlsSecret"})
_OWN_CERTIFICATES = frozenset({"clientTlsSecret", "rootTlsSecret"})
#: values that are compared before the management server is installed; never written
_LATER = "known-after-installation"


@dataclass(frozen=True)
class Plan:
    """The part of the site that one host is.

    ``settings``: the role's variables of the host, without the prefix ``mesh_``. ``layers``: records by host and
    layer. ``platform``: the record of the management server, read again after it was installed. ``management``: the
    management cluster {host, kubeconfig, context, cluster, runs: whether its host is part of the run}.
    """

    host: str
    settings: Json = field(repr=False)
    layers: Mapping[str, Mapping[str, Json]] = field(repr=False)
    management: Json
    platform: Json

    @property
    def is_management(self) -> bool:
        return self.host == self.management["host"]

    @property
    def own(self) -> Mapping[str, Json]:
        """Records of the host's own layers."""
        return self.layers[self.host]

    @property
    def site(self) -> Mapping[str, Json]:
        """Records of the management cluster."""
        return self.layers[self.management["host"]]

    # -- what is required before the first write

    def problems(self) -> Iterator[str]:
        if self.is_management:
            if self.platform["install"] and not self._licensing and not self._user_licences:
                yield (
                    "mesh_license_key is empty and no Secret has a licence: Gloo Mesh does not start without one. Set "
                    "GLOO_MESH_LICENSE_KEY in the environment, the variable from a vault, or "
                    "mesh_management_values.licensing.licenseSecretName to an existing Secret in namespace "
                    f"{self.platform['namespace']}"
                )
            return
        name = self.management["host"]
        missing = [
            layer
            for layer in ("platform", "workspace", "trust")
            if self.site[layer]["manage"] and self.site[layer]["state"] == "absent"
        ]
        if missing and not self.management["runs"]:
            yield (
                f"{name} lacks {', '.join(missing)} (mesh_layers), but is not part of this run. Run without --limit, "
                f"or add {name} to it"
            )
        if self.own["agent"]["manage"] and not self.relay_address and not self.platform["install"]:
            yield (
                f"the relay address for the agent is not known: {self.platform['name']} of {name} has no Service with "
                "an external address. Set the type of its Service to LoadBalancer, or set mesh_relay_address"
            )
        istio = self.own["istio"]
        if not istio["manage"] and (self.settings["istiod_env"] or self.settings["operator_extensions"]):
            yield (
                f"mesh_istiod_env or mesh_operator_extensions is set, but {istio['reason']}. Set the values where it "
                "is managed, and remove the variables"
            )

    # -- addresses and names

    @property
    def published(self) -> Json:
        """The fact mesh_result, without the layers."""
        if self.is_management:
            return {
                "namespace": self.platform["namespace"],
                "relay_address": self.settings["relay_address"] or self.platform["facts"]["relay_address"],
                "telemetry_address": self.telemetry_address,
            }
        return {"istiod": self.istiod, "eastwest_address": self.own["eastwest"]["facts"]["address"]}

    @property
    def relay_address(self) -> str:
        """host:port of the relay. The agent's present one is kept if the server has none that can be read."""
        agent = mapping(mapping(self.own.get("agent")).get("facts"))
        return str(
            self.settings["relay_address"]
            or self.platform["facts"]["relay_address"]
            or agent.get("relay_address")
            or ""
        )

    @property
    def telemetry_address(self) -> str:
        return str(self.settings["telemetry_address"] or self.platform["facts"]["telemetry_address"])

    @property
    def istiod(self) -> Json:
        """The istiod that the operator installs, or the one that is used; {} without one."""
        istio, settings = self.own["istio"], self.settings
        if istio["manage"]:
            return {
                "namespace": settings["istio_namespace"],
                "revision": settings["istio_revision"],
                "address": f"istiod-{settings['istio_revision']}.{settings['istio_namespace']}.svc:15012",
                "cluster_id": settings["cluster_name"],
                "mesh_id": "cluster.local",
            }
        found = istio["facts"]["istiods"]
        wanted = [each for each in found if each["revision"] == settings["istio_revision"]]
        return next(iter([*wanted, *found]), {})

    # -- Helm releases

    @property
    def releases(self) -> dict[str, Json]:
        """Parameters of helm_release by layer, in order; of layers that are managed.

        A release that existed before gets only the values of the user, initial_values are for one that is installed.
        """
        names = ("crds", "platform") if self.is_management else ("crds", "agent", "operator", "eastwest")
        return {name: self._release(name) for name in names if self.own[name]["manage"]}

    def _release(self, layer: str) -> Json:
        chart = self.settings["platform_chart" if layer == "agent" else f"{layer}_chart"]
        record = self.own[layer]["release"]
        return {
            "name": record["name"],
            "namespace": record["namespace"],
            "chart": chart["ref"],
            "repo_url": chart.get("repo_url") or "",
            "version": chart.get("version") or "",
            "allow_downgrade": chart.get("allow_downgrade", False),
            "upgrade_adopted": chart.get("upgrade_adopted", False),
            "values": self.settings["management_values" if layer == "platform" else f"{layer}_values"],
            "on_conflict": self.settings["on_release_conflict"],
            **self._of_layer(layer),
        }

    def _of_layer(self, layer: str) -> Json:
        match layer:
            case "crds":  # existing CRDs are used unchanged
                return {"on_conflict": "keep", "owned_crds": self.settings["owned_crds"]}
            case "platform":
                return {"initial_values": self._server_values}
            case "agent":
                return {"initial_values": self._agent_values, "check_values": self._agent_check_values}
            case "operator":
                # It installs Istio, and with it Istio's CRDs; from 0.5 on it may bring those of Gateway API.
                return {"initial_values": self._operator_values, "brings_groups": list(_ISTIO_GROUPS)}
            case _:
                return {"initial_values": self._eastwest_values}

    @property
    def _user_licences(self) -> bool:
        licensing = mapping(self.settings["management_values"].get("licensing"))
        return any(value for key, value in licensing.items() if key.endswith("LicenseKey"))

    @property
    def _licensing(self) -> Json:
        secret, key = self.platform["facts"]["licence"], self.settings["license_key"]
        if self._user_licences:
            return {}
        if secret:
            return {"licenseSecretName": secret.rpartition("/")[2]}
        return {"glooMeshLicenseKey": key} if key else {}

    @property
    def _server_values(self) -> Json:
        return {
            "licensing": self._licensing,
            "common": {"cluster": self.settings["cluster_name"]},
            "glooMgmtServer": {"enabled": True, "ports": {"healthcheck": 8091}},
            "glooInsightsEngine": {"enabled": False},
            # It has no authentication, so it is not published.
            "glooUi": {"enabled": True, "serviceType": "ClusterIP"},
            "redis": {"deployment": {"enabled": True}},
            "prometheus": {"enabled": True},
            "telemetryGateway": {"enabled": True, "service": {"type": "LoadBalancer"}},
            "telemetryCollector": _collector("gloo-telemetry-gateway:4317"),
        }

    @property
    def _agent_values(self) -> Json:
        address = {"serverAddress": self.relay_address} if self.relay_address else {}
        authority = self.settings["relay_authority"] or self.platform["facts"]["authority"]
        return {
            "common": {"cluster": self.settings["cluster_name"]},
            "glooAgent": {"enabled": True, "relay": {"authority": authority, **address}},
            # Without a telemetry gateway there is nothing to collect for.
            "telemetryCollector": _collector(self.telemetry_address) if self.telemetry_address else {},
        }

    @property
    def _agent_check_values(self) -> Json:
        relay, telemetry = not self.relay_address, not self.telemetry_address and self.platform["install"]
        return {
            "glooAgent": {"relay": {"serverAddress": f"{_LATER}:9900"}} if relay else {},
            "telemetryCollector": _collector(f"{_LATER}:4317") if telemetry else {},
        }

    @property
    def _operator_values(self) -> Json:
        key = self.settings["istio_license_key"]
        return {"manager": {"env": {self.settings["operator_license_env"]: key} if key else {}}}

    @property
    def _eastwest_values(self) -> Json:
        name, cluster = self.settings["eastwest_name"], self.settings["cluster_name"]
        # The default revision has no label.
        revision = self.istiod.get("revision", "default")
        revision = "" if revision == "default" else revision
        labels = {"app": name, "istio": "eastwestgateway", "topology.istio.io/network": cluster}
        return {
            "revision": revision,
            "global": {"network": cluster, "multiCluster": {"clusterName": cluster}},
            "name": name,
            "labels": {**labels, **({"revision": revision} if revision else {})},
            "service": {
                "type": "LoadBalancer",
                "ports": [
                    # First, because some load balancers probe the first port.
                    {"name": "status-port", "port": 15021, "targetPort": 15021},
                    # Gloo finds the port by this name.
                    {"name": "tls", "port": 15443, "targetPort": 15443},
                ],
            },
        }

    # -- objects

    @property
    def namespaces(self) -> list[Json]:
        """Namespaces of what is installed."""
        settings = self.settings
        if self.is_management:
            names = [self.platform["namespace"]] if self.platform["install"] else []
            names += [settings["config_namespace"]] if self.site["workspace"]["install"] else []
        else:
            own = self.own
            names = [own["agent"]["namespace"]] if own["agent"]["install"] else []
            if own["istio"]["install"]:
                names += [own["operator"]["namespace"], settings["istio_namespace"]]
            names += [settings["eastwest_namespace"]] if own["eastwest"]["install"] else []
        return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in dict.fromkeys(names)]

    @property
    def registration(self) -> Json:
        uid = self.own["agent"]["facts"].get("uid")
        notes = {"annotations": {UID: uid}} if uid else {}
        return _gloo(
            "KubernetesCluster",
            self.settings["cluster_name"],
            self.platform["namespace"],
            {"clusterDomain": self.settings["cluster_domain"]},
            **notes,
        )

    @property
    def registers(self) -> bool:
        agent = self.own["agent"]
        return agent["manage"] and (agent["facts"]["registration_ours"] or not agent["facts"]["registered"])

    @property
    def copies_relay_secrets(self) -> bool:
        """An agent that existed before has its Secrets."""
        wanted = self.settings["relay_secrets"]
        return self.own["agent"]["install"] and (wanted == "copy" or (wanted == "auto" and not self._own_relay))

    @property
    def _own_relay(self) -> bool:
        """Whether the relay uses certificates of the user."""
        server = mapping(dig(self.settings["management_values"], "glooMgmtServer", "relay"))
        agent = mapping(dig(self.settings["agent_values"], "glooAgent", "relay"))
        return bool(
            self.platform["facts"]["own_relay_certificates"]
            or any(server.get(key) for key in _OWN_CA)
            or any(agent.get(key) for key in _OWN_CERTIFICATES)
        )

    @property
    def workspace(self) -> list[Json]:
        name = self.site["workspace"]["name"] or self.settings["workspace_name"]
        return [
            _gloo("Workspace", name, self.platform["namespace"], self.site["workspace"]["facts"]["spec"]),
            _gloo(
                "WorkspaceSettings",
                name,
                self.settings["config_namespace"],
                self.settings["workspace_settings_spec"],
            ),
        ]

    @property
    def root_trust_policy(self) -> Json:
        trust = self.site["trust"]
        return _gloo(
            "RootTrustPolicy",
            trust["name"] or self.settings["root_trust_policy_name"],
            trust["namespace"] or self.platform["namespace"],
            self.settings["root_trust_policy_spec"],
        )

    @property
    def extensions(self) -> Json:
        """ConfigMap with values for the charts that the operator installs."""
        operator = self.own["operator"]
        ours = sorted((self.platform["namespace"], self.own["agent"]["namespace"]))
        debug = list(dict.fromkeys([*operator["facts"]["debug_namespaces"], *ours]))
        env = {SELECT_WORKLOAD_ENTRIES: "false"}
        if debug != ["gloo-mesh"]:
            env[DEBUG_NAMESPACES] = ",".join(debug)
        charts = {"istiod": {"pilot": {"env": {**env, **self.settings["istiod_env"]}}}}
        charts = merged(charts, self.settings["operator_extensions"])
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": EXTENSIONS, "namespace": operator["namespace"]},
            "data": {f"values.{chart}": json.dumps(values) for chart, values in charts.items()},
        }

    @property
    def istio_controller(self) -> Json:
        settings = self.settings
        name = self.own["istio"]["name"] or settings["istio_controller_name"]
        spec = {
            "cluster": settings["cluster_name"],
            "dataplaneMode": "Sidecar",
            "installNamespace": settings["istio_namespace"],
            "version": settings["istio_version"],
        }
        return {
            "apiVersion": "operator.gloo.solo.io/v1",
            "kind": "ServiceMeshController",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name}},
            "spec": merged(spec, settings["istio_controller_spec"]),
        }

    # -- what is waited for

    @property
    def agent_parts(self) -> list[Json]:
        return [_deployment(self.own["agent"]["namespace"], self.own["agent"]["name"])]

    @property
    def istiod_parts(self) -> list[Json]:
        return [_deployment(self.istiod["namespace"], f"istiod-{self.settings['istio_revision']}")]

    @property
    def server_parts(self) -> list[Json]:
        """Ready before workload clusters register. Addresses that are given need no Service."""
        namespace, facts = self.platform["namespace"], self.platform["facts"]
        parts = [_deployment(namespace, self.platform["name"])]
        if self.platform["install"]:
            services = {"relay_address": facts["relay_service"], "telemetry_address": facts["telemetry_service"]}
            parts += [_service(namespace, name) for key, name in services.items() if not self.settings[key]]
        return parts

    @property
    def eastwest_parts(self) -> list[Json]:
        record = self.own["eastwest"]
        parts = [_service(record["namespace"], record["name"])]
        return [*parts, _deployment(record["namespace"], record["name"])] if record["install"] else parts

    @property
    def awaits_root(self) -> bool:
        """cacerts is issued for clusters with an istiod, an agent and a RootTrustPolicy that applies to them."""
        trust, istio, agent = self.site["trust"], self.own["istio"], self.own["agent"]
        return bool(
            (trust["manage"] or trust["facts"]["governs"])
            and (istio["manage"] or istio["facts"]["istiods"])
            and (agent["manage"] or agent["state"] != "absent")
        )

    @property
    def restarts(self) -> list[Json]:
        """Selections of workload_restart: only what the role manages, or what has to trust a new root of the role."""
        ours, istio, eastwest = self.site["trust"]["manage"], self.own["istio"], self.own["eastwest"]
        found = list(istio["facts"]["deployments"]) if ours else []
        if istio["manage"]:
            found = [f"{self.istiod['namespace']}/istiod-{self.settings['istio_revision']}"]
        if ours or eastwest["install"]:
            found += eastwest["facts"]["deployments"]
        rows: list[Json] = []
        for workload in found:
            namespace, _slash, name = workload.partition("/")
            rows.append({"namespace": namespace, "kinds": ["Deployment"], "names": [name]})
        if ours or istio["manage"]:
            rows += [{"namespace": each, "with_sidecar": True} for each in self.settings["restart_namespaces"]]
        return rows


def _collector(endpoint: str) -> Json:
    return {"enabled": True, "config": {"exporters": {"otlp": {"endpoint": endpoint}}}}


def _gloo(kind: str, name: str, namespace: str, spec: Any, **more: Any) -> Json:
    metadata = {"name": name, "namespace": namespace, **more}
    return {"apiVersion": "admin.gloo.solo.io/v2", "kind": kind, "metadata": metadata, "spec": spec}


def _deployment(namespace: str, name: str) -> Json:
    return {"api_version": "apps/v1", "kind": "Deployment", "namespace": namespace, "name": name}


def _service(namespace: str, name: str) -> Json:
    return {"api_version": "v1", "kind": "Service", "namespace": namespace, "name": name}
