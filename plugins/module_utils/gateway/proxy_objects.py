# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Readers of objects related to a proxy; absent fields read as empty (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from ..k8s.fields import Json, mapping, mappings, meta, name_of, namespace_of, spec_of, status_of, texts
from .proxy_settings import SETTINGS


def by_name(objects: Sequence[Json], namespace: str | None, name: str) -> Json | None:
    for obj in objects:
        if name_of(obj) == name and (namespace is None or namespace_of(obj) == namespace):
            return obj
    return None


def template_of(workload: Json | None) -> Json:
    return mapping(spec_of(workload).get("template"))


def init_containers(pod: Json) -> list[Json]:
    return mappings(spec_of(pod).get("initContainers"))


def running_containers(pod: Json) -> list[Json]:
    """The containers that run in parallel in a Pod or template: containers and native sidecars."""
    native = [c for c in init_containers(pod) if c.get("restartPolicy") == "Always"]
    return [*mappings(spec_of(pod).get("containers")), *native]


def containers(workload: Json | None) -> list[Json]:
    """Containers of a workload's template."""
    return running_containers(template_of(workload))


def container_names(workload: Json | None) -> list[str]:
    return [str(c.get("name")) for c in containers(workload)]


def container_status(pod: Json, name: str) -> Json | None:
    status = status_of(pod)
    statuses = [*mappings(status.get("containerStatuses")), *mappings(status.get("initContainerStatuses"))]
    return next((c for c in statuses if c.get("name") == name), None)


def env_of(container: Json) -> list[Json]:
    return mappings(container.get("env"))


def mesh_env(listed: Sequence[Json]) -> dict[str, str]:
    """CA_ADDR, cluster ID and mesh ID of the container istio-proxy in the list."""
    proxy: Json = next((c for c in listed if c.get("name") == "istio-proxy"), {})
    env = {str(e.get("name")): str(e.get("value") or "") for e in env_of(proxy) if "valueFrom" not in e}
    return {name: env[name] for name, _default in SETTINGS.values() if name in env}


def owners_of(obj: Json) -> list[Json]:
    return mappings(meta(obj).get("ownerReferences"))


def revision_of(obj: Json | None) -> str | None:
    return texts(meta(obj).get("annotations")).get("deployment.kubernetes.io/revision")
