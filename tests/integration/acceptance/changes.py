"""Ways to change one thing of a site and to revert the change.

Clusters are named by role: management, gateway (the gateway's cluster), remote (the other workload cluster).
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from typing import Any

from acceptance.breakages import SERVER_MADE, Undo, patched, void
from acceptance.site import Site

Json = dict[str, Any]
Path = str | Callable[[Site], str]
Make = Callable[[Site], Undo]

SECRETS = "/api/v1/namespaces/{}/secrets"


def named(site: Site, role: str) -> str:
    """The cluster that has this role."""
    return {"management": site.management, "gateway": site.gateway_cluster, "remote": site.remote_cluster}[role]


def there(site: Site, cluster: str, path: str) -> Json:
    """The object at an API path; there has to be one."""
    obj = site.get(cluster, path)
    assert obj is not None, f"{cluster}: nothing at {path}"
    return obj


def at(site: Site, path: Path) -> str:
    """An API path; some hold the name of a cluster."""
    return path if isinstance(path, str) else path(site)


def changed(cluster: str, path: Path, change: Json) -> Make:
    """A merge patch in the cluster of this role."""

    def make(site: Site) -> Undo:
        return patched(site, named(site, cluster), at(site, path), change)

    return make


def rewritten(cluster: str, path: Path, change: Callable[[Json], Json]) -> Make:
    """A merge patch made of the object's own spec, for what lies in lists."""

    def make(site: Site) -> Undo:
        name, where = named(site, cluster), at(site, path)
        spec = copy.deepcopy(there(site, name, where)["spec"])
        return patched(site, name, where, {"spec": change(spec)})

    return make


def removed(cluster: str, path: Path) -> Make:
    """Deleted; created again from what it was."""

    def make(site: Site) -> Undo:
        name, where = named(site, cluster), at(site, path)
        obj = there(site, name, where)
        site.delete(name, where)
        for key in SERVER_MADE:
            obj["metadata"].pop(key, None)
        obj.pop("status", None)
        return lambda: void(site.create(name, where.rpartition("/")[0], obj))

    return make


def added(cluster: str, path: str, obj: Json) -> Make:
    """Created; deleted again."""

    def make(site: Site) -> Undo:
        name = named(site, cluster)
        site.create(name, path, obj)
        return lambda: site.delete(name, f"{path}/{obj['metadata']['name']}")

    return make


def secret_data(cluster: str, namespace: str, name: str, data: Callable[[Site], dict[str, bytes]]) -> Make:
    """Other data in a Secret of this name; its metadata and type stay."""

    def make(site: Site) -> Undo:
        told = {key: base64.b64encode(value).decode() for key, value in data(site).items()}
        return patched(site, named(site, cluster), f"{SECRETS.format(namespace)}/{name}", {"data": told})

    return make


def scaled_to_0(cluster: str, path: str) -> Make:
    return changed(cluster, path, {"spec": {"replicas": 0}})


def argument(cluster: str, path: str, name: str, value: str) -> Make:
    """Another value of an argument of a Deployment's program."""

    def change(spec: Json) -> Json:
        containers = spec["template"]["spec"]["containers"]
        args = containers[0]["args"]
        assert any(arg.startswith(f"--{name}=") for arg in args), args
        containers[0]["args"] = [f"--{name}={value}" if arg.startswith(f"--{name}=") else arg for arg in args]
        return {"template": {"spec": {"containers": containers}}}

    return rewritten(cluster, path, change)


def environment(cluster: str, path: str, name: str, value: str) -> Make:
    """Another value of an environment variable of a Deployment's program."""

    def change(spec: Json) -> Json:
        containers = spec["template"]["spec"]["containers"]
        next(entry for entry in containers[0]["env"] if entry["name"] == name)["value"] = value
        return {"template": {"spec": {"containers": containers}}}

    return rewritten(cluster, path, change)
