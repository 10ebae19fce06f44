# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of Gloo Mesh in a cluster, found by what they run, not by release, namespace or name (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from ..istiod.objects import flag, selects_pods_of, template_labels
from ..k8s.fields import Json, dig, key_of, mappings, name_of, number, status_of
from ..k8s.readiness import replicas_wanted

SERVER, AGENT, OPERATOR = "gloo-mesh-mgmt-server", "gloo-mesh-agent", "gloo-operator"
#: other programs of Gloo Mesh that routing uses
_OTHERS = ("gloo-telemetry-gateway", "gloo-telemetry-collector-agent", "gloo-otel-collector")
#: ConfigMap with values that the operator adds to the charts it installs
EXTENSIONS = "gloo-extensions-config"
#: arguments that only an agent has; a mirrored image may have another name
_AGENT_ARGUMENTS = ("cluster", "relay-address")


def servers(
    deployments: Iterable[Json], registrations: Iterable[Json] = (), members: Collection[str] = ()
) -> list[Json]:
    """Deployments of the management server. First the one in use.

    Those not scaled to 0, of these the ones with the most registrations (KubernetesClusters) of *members* in their
    namespace, then those with any, then those that are ready, then by name.
    """
    names: dict[str, set[str]] = {}
    for namespace, name in map(key_of, registrations):
        names.setdefault(namespace, set()).add(name)

    def rank(server: Json) -> tuple[int, bool]:
        registered = names.get(key_of(server)[0], set())
        return len(registered.intersection(members)), bool(registered)

    return sorted(filter(_is_server, deployments), key=lambda each: _order(each, *rank(each)))


def agents(deployments: Iterable[Json], cluster: str = "") -> list[Json]:
    """Deployments of agents, in the same order; preferred are those that use the name *cluster*."""
    return sorted(
        filter(_is_agent, deployments),
        key=lambda each: _order(each, bool(cluster) and argument(each, "cluster") == cluster),
    )


def operators(deployments: Iterable[Json]) -> list[Json]:
    """Deployments of the Gloo Operator, in the same order."""
    return sorted(filter(_is_operator, deployments), key=_order)


def is_part(workload: Json) -> bool:
    """Whether a workload runs a program of Gloo Mesh that routing uses."""
    return _is_agent(workload) or any(_runs(workload, program) for program in (SERVER, OPERATOR, *_OTHERS))


def services_of(workload: Json | None, services: Iterable[Json], port: str = "") -> list[Json]:
    """Services that select the workload's Pods, with a port of that name if one is given; those named like it first."""
    if workload is None:
        return []
    found = [s for s in services if selects_pods_of(s, workload) and (not port or port in _port_names(s))]
    return sorted(found, key=lambda service: (name_of(service) != name_of(workload), key_of(service)))


def argument(workload: Json | None, *names: str) -> str:
    """Value of ``--name=value`` or ``--name value`` in any container; "" when it is not given or not readable.

    names: spellings of different versions; the first that is given counts.
    """
    for name in names:
        for container in _containers(workload):
            is_set, value = flag(container, name)
            if is_set:
                return value or ""
    return ""


def _is_server(deployment: Json) -> bool:
    return _runs(deployment, SERVER)


def _is_agent(deployment: Json) -> bool:
    return _runs(deployment, AGENT) or all(argument(deployment, name) for name in _AGENT_ARGUMENTS)


def _is_operator(deployment: Json) -> bool:
    return _runs(deployment, OPERATOR)


def _runs(deployment: Json, program: str) -> bool:
    """Whether name, label, container or image is the program's; charts set all four, users change some."""
    labels = template_labels(deployment)
    names = [name_of(deployment), labels.get("app"), labels.get("app.kubernetes.io/name")]
    for container in _containers(deployment):
        names += [container.get("name"), _image_name(str(container.get("image") or ""))]
    return program in names


def _image_name(image: str) -> str:
    """The last part of an image reference, without tag, digest and the suffix of FIPS builds."""
    return image.split("@")[0].rsplit("/", 1)[-1].split(":")[0].removesuffix("-fips")


def _containers(workload: Json | None) -> Sequence[Json]:
    return mappings(dig(workload, "spec", "template", "spec", "containers"))


def _port_names(service: Json) -> set[str]:
    return {str(port.get("name") or "") for port in mappings(dig(service, "spec", "ports"))}


def _order(deployment: Json, *preference: int) -> tuple[Any, ...]:
    return (
        replicas_wanted(deployment) == 0,
        *(-each for each in preference),
        number(status_of(deployment).get("readyReplicas")) == 0,
        key_of(deployment),
    )
