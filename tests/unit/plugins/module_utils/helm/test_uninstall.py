"""An uninstallation ends when the objects of the release are gone; against an API server, with a simulated helm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import helm_records
import pytest

import fake_api
from ansible_collections.multicluster.gloo.plugins.module_utils.apply.wait import NotDeleted
from ansible_collections.multicluster.gloo.plugins.module_utils.helm import helm_release, program

Json = dict[str, Any]
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: edge}
---
apiVersion: v1
kind: Service
metadata: {name: edge}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, annotations: {helm.sh/resource-policy: keep}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: edges.example.org, annotations: {helm.sh/resource-policy: keep}}
"""
CRD = {
    "metadata": {"name": "edges.example.org", "annotations": {"helm.sh/resource-policy": "keep"}},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"kind": "Edge", "plural": "edges"},
        "versions": [],
    },
}
DEPLOYMENT = ("apps/v1", "deployments", "team", "edge")
SERVICE = ("v1", "services", "team", "edge")
KEPT = ("v1", "configmaps", "team", "kept")


class Site:
    """A cluster with our release, and a simulated helm that deletes without waiting."""

    def __init__(self, api: fake_api.FakeApi, kubeconfig: str, history: bool) -> None:
        self.api, self.kubeconfig, self.history = api, kubeconfig, history
        self.commands: list[list[str]] = []
        #: objects that a finalizer holds
        self.held: tuple[fake_api.Place, ...] = ()
        self.asked_before = 0
        api.write("v1", "namespaces", "", {"metadata": {"name": "team"}})
        for api_version, plural, namespace, name in (DEPLOYMENT, SERVICE, KEPT):
            api.write(api_version, plural, namespace, {"metadata": {"name": name}})
        api.write("apiextensions.k8s.io/v1", "customresourcedefinitions", "", CRD)
        if history:
            old = {"status": "uninstalled", "deleted": "2026-01-02T03:04:05Z", "created": "2026-01-01T00:00:00Z"}
            self.record(1, **old)
        self.record(2 if history else 1)
        note = {
            "name": "multicluster.gloo.edge",
            "labels": {"multicluster.gloo/release": "edge"},
            "annotations": {"multicluster.gloo/former-revision": ""},
            "creationTimestamp": "2026-01-02T00:00:00Z",
        }
        api.write("v1", "configmaps", "team", {"metadata": note})

    def record(self, revision: int, status: str = "deployed", **more: Any) -> None:
        found = helm_records.record(revision=revision, status=status, manifest=MANIFEST, **more)
        self.api.write("v1", "secrets", "team", found)

    def hold(self, *places: fake_api.Place) -> None:
        """A finalizer keeps the objects until release()."""
        self.held = places
        for place in places:
            obj = dict(self.api.objects[place])
            obj["metadata"] = {**obj["metadata"], "finalizers": ["example.org/hold"]}
            self.api.store(place, obj)

    def release(self) -> None:
        for place in self.held:
            obj = dict(self.api.objects[place])
            obj["metadata"] = {**obj["metadata"], "finalizers": []}
            self.api.store(place, obj)

    def uninstall(self, keep_history: bool) -> None:
        self.asked_before = len(self.api.log)
        revision = 2 if self.history else 1
        for place in (DEPLOYMENT, SERVICE):
            self.api.remove(place)
        self.api.remove(("v1", "secrets", "team", f"sh.helm.release.v1.edge.v{revision}"))
        if keep_history:
            self.record(revision, "uninstalled", deleted="2026-01-03T00:00:00Z")

    def run(self, **options: Any) -> Json:
        params = {name: spec.get("default") for name, spec in helm_release.ARGUMENT_SPEC.items()}
        params |= {"kubeconfig": self.kubeconfig, "context": "fake", "cluster": "c1", "state": "absent"}
        params |= {"name": "edge", "namespace": "team", "timeout": "20s", **options}
        return helm_release.run(params, False, lambda line: None)

    def is_awaited(self, place: fake_api.Place) -> bool:
        """Whether the object was asked for since helm ended."""
        asked = self.api.log[self.asked_before :] if self.commands else []
        return any(f"/{place[1]}" in path for _method, path, _dry in asked)


@pytest.fixture(params=[False, True], ids=["without former history", "with kept history"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with fake_api.serving(tmp_path) as (api, kubeconfig):
        found = Site(api, kubeconfig, request.param)

        class Helm:
            def __init__(self, *_given: Any) -> None:
                pass

            def check(self) -> None:
                pass

            def run(self, _release: str, _purpose: str, arguments: list[str], *_more: Any) -> str:
                found.commands.append(list(arguments))
                found.uninstall("--keep-history" in arguments)
                return ""

        monkeypatch.setattr(program, "Helm", Helm)
        yield found


@pytest.mark.parametrize("held", [(DEPLOYMENT,), (SERVICE,), (DEPLOYMENT, SERVICE)])
def test_it_waits_until_every_object_is_gone(site: Site, held: tuple[fake_api.Place, ...]) -> None:
    site.hold(*held)
    ended, released = threading.Event(), threading.Event()

    def release() -> None:
        while not all(map(site.is_awaited, held)):
            if ended.wait(0.01):
                return
        released.set()
        site.release()

    thread = threading.Thread(target=release)
    thread.start()
    try:
        result = site.run()
    finally:
        ended.set()
        thread.join()
    assert released.is_set()
    assert result["actions"] == ["uninstall"]
    assert [("--keep-history" in each) for each in site.commands] == [site.history]
    assert [place for place in (DEPLOYMENT, SERVICE) if place in site.api.objects] == []
    assert KEPT in site.api.objects


def test_what_is_not_gone_in_time_is_named_and_awaited_by_the_next_run(site: Site) -> None:
    site.hold(SERVICE)
    with pytest.raises(NotDeleted, match=r"Service team/edge.*finalizers example\.org/hold"):
        site.run(timeout="1s")
    if not site.history:
        return  # Helm has no record of it any more
    with pytest.raises(NotDeleted, match="Service team/edge"):
        site.run(timeout="1s")
    site.release()
    assert site.run()["changed"] is True
    assert len(site.commands) == 1
    assert site.run()["changed"] is False


def test_an_object_of_the_same_name_that_was_created_since_is_not_awaited(site: Site) -> None:
    uninstall: Callable[[bool], None] = site.uninstall

    def again(keep_history: bool) -> None:
        uninstall(keep_history)
        site.api.write("v1", "services", "team", {"metadata": {"name": "edge"}})

    site.uninstall = again  # type: ignore[method-assign]
    assert site.run()["actions"] == ["uninstall"]
    assert SERVICE in site.api.objects
