# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small readers of the objects around a proxy; what is absent reads as empty (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from .proxy_settings import SETTINGS
from .reading import Json, meta, name_of, spec_of, status_of


def by_name(objects: Sequence[Json], namespace: str | None, name: str) -> Json | None:
    for obj in objects:
        if name_of(obj) == name and (namespace is None or meta(obj).get("namespace") == namespace):
            return obj
    return None


def condition(obj: Json | None, kind: str) -> Json:
    """The condition of that type, {} when there is none."""
    return next((c for c in status_of(obj).get("conditions") or () if c.get("type") == kind), {})


def is_ready(pod: Json) -> bool:
    return condition(pod, "Ready").get("status") == "True" and not meta(pod).get("deletionTimestamp")


def containers(workload: Json | None) -> list[Json]:
    """Containers of a workload's template."""
    return (spec_of(workload).get("template") or {}).get("spec", {}).get("containers") or []


def container_names(workload: Json | None) -> list[str]:
    return [str(c.get("name")) for c in containers(workload)]


def container_status(pod: Json, name: str) -> Json | None:
    return next((c for c in status_of(pod).get("containerStatuses") or () if c.get("name") == name), None)


def mesh_env(listed: Sequence[Json]) -> dict[str, str]:
    """CA_ADDR, cluster ID and mesh ID that the container istio-proxy among those listed carries."""
    proxy: Json = next((c for c in listed if c.get("name") == "istio-proxy"), {})
    env = {str(e.get("name")): str(e.get("value") or "") for e in proxy.get("env") or () if "valueFrom" not in e}
    return {name: env[name] for name, _default in SETTINGS.values() if name in env}


def owners_of(obj: Json) -> list[Json]:
    return meta(obj).get("ownerReferences") or []


def revision_of(obj: Json | None) -> str | None:
    return (meta(obj).get("annotations") or {}).get("deployment.kubernetes.io/revision")
