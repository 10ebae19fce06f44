"""Changes that break one thing of the healthy site, and the failure that the doctor reports first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import authorities
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import health_info, runner
from health_site import Site

Json = dict[str, Any]
Change = Callable[[Any], Any]


class Broken(NamedTuple):
    """What is broken; id, cluster and verdict of the first record; words of its object, message and hint."""

    id: str
    cluster: str
    verdict: str
    change: Change
    words: tuple[str, ...]


def checked(site: Any) -> Json:
    """The summary of all checks."""
    return runner.summary(runner.run_checks(health_info.CHECKS, site.facts(), "mgmt", health_info.PREREQUISITES))


def assert_first_problem(broken: Broken) -> None:
    """It and no other is the first to fail, and what depends on it is skipped."""
    site = Site()
    broken.change(site)
    found = checked(site)
    first = found["first"]
    assert (first["id"], first["cluster"], first["verdict"]) == (broken.id, broken.cluster, broken.verdict)
    text = f"{first['object']} {first['message']} {first['hint']}"
    assert [word for word in broken.words if word not in text] == [], text
    assert first["hint"]
    # One cause: whatever else failed is this check for another target.
    assert {row["id"] for row in found["checks"] if row["verdict"] == "failed"} <= {broken.id}
    needed = {id for check in health_info.CHECKS for id in (*check.needs, *check.needs_all)}
    if broken.verdict == "failed" and broken.id in needed | {*health_info.PREREQUISITES}:
        messages = {row["message"] for row in found["checks"]}
        assert f"because {broken.id} failed in {broken.cluster}" in messages


def set_field(cluster: str, kind: str, name: str, path: str, value: Any) -> Callable[[Any], None]:
    """Set a field of an object: ``spec.replicas``."""

    def change(site: Any) -> None:
        found, (*parents, last) = site.one(cluster, kind, name), path.split(".")
        for part in parents:
            found = found[int(part)] if isinstance(found, list) else found.setdefault(part, {})
        if value is None:
            del found[int(last) if isinstance(found, list) else last]
        else:
            found[int(last) if isinstance(found, list) else last] = value

    return change


def drop(cluster: str, kind: str, name: str) -> Callable[[Any], None]:
    return lambda site: site.drop(cluster, kind, name)


def set_secret(cluster: str, name: str, value: Json | None) -> Callable[[Any], None]:
    return lambda site: site.secrets[cluster].update({name: value})


def trusts(cluster: str, *roots: str) -> Callable[[Any], None]:
    """istiod of the cluster distributes these roots."""
    bundle = "".join(authorities.root(name).pem for name in roots)

    def change(site: Any) -> None:
        for found in site.clusters[cluster]["ConfigMap"]:
            if found["metadata"]["name"] == "istio-ca-root-cert":
                found["data"] = {"root-cert.pem": bundle}

    return change


def both(*changes: Change) -> Callable[[Any], None]:
    def change(site: Any) -> None:
        for each in changes:
            each(site)

    return change


def add(cluster: str, kind: str, found: Json) -> Callable[[Any], None]:
    return lambda site: site.clusters[cluster].setdefault(kind, []).append(found)


def disconnect(text: str = "") -> Callable[[Any], None]:
    def change(site: Any) -> None:
        site.connected = {"c1": True, "c2": False}
        site.logs["c2/gloo-mesh-agent"] = text

    return change


def set_state(kind: str, name: str, approval: str, message: str = "") -> Callable[[Any], None]:
    return set_field(
        "mgmt", kind, name, "status.common.State", {"approval": approval, "message": message, "observedGeneration": 1}
    )
