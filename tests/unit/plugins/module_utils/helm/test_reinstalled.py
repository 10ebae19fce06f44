"""A release that its owner uninstalled and installed again belongs to its owner: with a simulated helm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_records
import pytest

import fake_api
from ansible_collections.multicluster.gloo.plugins.module_utils.helm import helm_release, program
from ansible_collections.multicluster.gloo.plugins.module_utils.helm.releases import (
    Note,
    Record,
    ReleaseHistory,
    without_stale_note,
)

Json = dict[str, Any]
FIRST, SECOND, THIRD = "2026-01-02T03:00:00.1Z", "2026-01-05T03:00:00.2Z", "2026-01-07T03:00:00.3Z"
OURS, THEIRS = {"a": 1}, {"b": 2}
GONE = "2026-01-04T00:00:00Z"


@pytest.mark.parametrize(
    ("noted", "rows", "is_stale"),
    [
        (FIRST, [(1, "deployed", FIRST)], False),
        (FIRST, [(1, "superseded", FIRST), (2, "deployed", FIRST)], False),
        (FIRST, [(7, "failed", FIRST)], False),
        (FIRST, [(1, "deployed", SECOND)], True),
        (FIRST, [(1, "superseded", SECOND), (2, "deployed", SECOND)], True),
        (FIRST, [(1, "failed", SECOND)], True),
        (FIRST, [(1, "pending-install", SECOND)], True),
        (FIRST, [(1, "uninstalled", FIRST), (2, "deployed", SECOND)], True),
        (FIRST, [(1, "uninstalled", SECOND)], False),
        (FIRST, [], False),
        # Our own installation was interrupted, or the note is older than this rule.
        ("", [(1, "deployed", SECOND)], False),
        (FIRST, [(1, "deployed", "")], False),
    ],
)
@pytest.mark.parametrize("former_revision", [0, 3])
def test_a_note_is_about_one_installation(
    noted: str, rows: list[tuple[int, str, str]], is_stale: bool, former_revision: int
) -> None:
    records = [helm_records.record("edge", number, status, installed=time) for number, status, time in rows]
    note = Note("edge", "team", former_revision=former_revision, installed=noted)
    history = ReleaseHistory("edge", "team", "secret", note, tuple(Record("c", each) for each in records))
    found = without_stale_note(history)
    assert (found.note is None, found.reinstalled) == (is_stale, is_stale)


class Site:
    """A cluster, and a helm that writes records as the program does."""

    def __init__(self, api: fake_api.FakeApi, kubeconfig: str) -> None:
        self.api, self.kubeconfig = api, kubeconfig
        self.now = FIRST
        self.fails = False
        api.write("v1", "namespaces", "", {"metadata": {"name": "team"}})

    # -- helm, for us and for others

    def records(self) -> dict[int, Json]:
        found = [obj for place, obj in self.api.objects.items() if place[1] == "secrets" and "sh.helm" in place[3]]
        return {int(obj["metadata"]["labels"]["version"]): obj for obj in found}

    def upgrade(self, values: Json) -> None:
        """helm upgrade --install"""
        before = self.records()
        newest = before[max(before)] if before else None
        installed = self.now
        if newest is not None and newest["metadata"]["labels"]["status"] != "uninstalled":
            installed = Record("c", newest).release.installed
        number = max(before, default=0) + 1
        if newest is not None:
            newest["metadata"]["labels"]["status"] = "superseded"
        self._write(helm_records.record(revision=number, values=values, installed=installed))

    def uninstall(self, keep_history: bool = False) -> None:
        before = self.records()
        for number in before:
            self.api.remove(("v1", "secrets", "team", f"sh.helm.release.v1.edge.v{number}"))
        if keep_history:
            number = max(before)
            installed = Record("c", before[number]).release.installed
            self._write(helm_records.record(revision=number, status="uninstalled", installed=installed, deleted=GONE))

    def _write(self, record: Json) -> None:
        self.api.write("v1", "secrets", "team", record)

    def values(self) -> Json:
        found = self.records()
        return Record("c", found[max(found)]).release.values if found else {}

    # -- the module

    def note(self) -> Note | None:
        found = self.api.get("v1", "configmaps", "team", "multicluster.gloo.edge")
        return Note.from_object(found) if found else None

    def run(self, **options: Any) -> Json:
        params = {name: spec.get("default") for name, spec in helm_release.ARGUMENT_SPEC.items()}
        params |= {"kubeconfig": self.kubeconfig, "context": "fake", "cluster": "c1", "chart": "edge", "values": OURS}
        params |= {"repo_url": "https://charts.example.com"}
        params |= {"name": "edge", "namespace": "team", "timeout": "5s", **options}
        return helm_release.run(params, False, lambda line: None)


class Stopped(Exception):
    """The run ended while helm ran."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with fake_api.serving(tmp_path) as (api, kubeconfig):
        found = Site(api, kubeconfig)

        class Helm:
            def __init__(self, *_given: Any) -> None:
                pass

            def check(self) -> None:
                pass

            def run(
                self, _release: str, _purpose: str, arguments: list[str], values: Json | None = None, *_more: Any
            ) -> str:
                if arguments[0] == "upgrade":
                    found.upgrade(values or {})
                elif arguments[0] == "rollback":
                    found.upgrade(Record("c", found.records()[int(arguments[2])]).release.values)
                elif arguments[0] == "uninstall":
                    found.uninstall("--keep-history" in arguments)
                if found.fails and arguments[0] == "upgrade":
                    raise Stopped
                return ""

        monkeypatch.setattr(program, "Helm", Helm)
        yield found


def reinstall(site: Site, values: Json, keep_history: bool) -> None:
    """What the owner does, days later."""
    site.uninstall(keep_history)
    site.now = SECOND
    site.upgrade(values)


@pytest.mark.parametrize("keep_history", [False, True])
def test_a_release_that_its_owner_installed_again_is_not_uninstalled(site: Site, keep_history: bool) -> None:
    assert site.run()["release"]["whose"] == "ours"
    reinstall(site, THEIRS, keep_history)
    before = site.records()
    result = site.run(state="absent")
    assert (result["actions"], result["release"]["whose"]) == ([], "foreign")
    assert site.records() == before
    # The note about our installation is of no use any more.
    assert site.note() is None


@pytest.mark.parametrize("keep_history", [False, True])
@pytest.mark.parametrize("existed", [False, True], ids=["ours", "adopted"])
def test_it_is_adopted_with_the_values_of_its_owner_and_given_back(
    site: Site, existed: bool, keep_history: bool
) -> None:
    if existed:
        site.upgrade({"old": 0})
    site.run()
    former = site.note()
    reinstall(site, THEIRS, keep_history)
    result = site.run()
    assert (result["actions"], result["release"]["whose"]) == (["upgrade to chart version 1.0.0"], "adopted")
    assert site.values() == {**THEIRS, **OURS}
    note = site.note()
    assert former and note and not note.ours
    assert note.installed == SECOND
    assert site.run()["changed"] is False
    assert site.run(state="absent")["release"]["whose"] == "adopted"
    assert site.values() == THEIRS


def test_one_that_needs_nothing_stays_as_it_is(site: Site) -> None:
    site.run()
    reinstall(site, OURS, False)
    result = site.run()
    assert (result["changed"], result["release"]["whose"]) == (False, "adopted")
    assert site.run(state="absent")["actions"] == []
    assert site.values() == OURS


def test_a_release_that_we_install_again_is_ours(site: Site) -> None:
    """Its owner removed it; a note written then separates what the release creates from what is older."""
    site.upgrade({"old": 0})
    site.run()
    former = site.api.get("v1", "configmaps", "team", "multicluster.gloo.edge")
    site.uninstall()
    site.now = THIRD
    assert site.run()["release"]["whose"] == "ours"
    note, live = site.note(), site.api.get("v1", "configmaps", "team", "multicluster.gloo.edge")
    assert note and note.ours and note.installed == THIRD
    assert former and live and live["metadata"]["uid"] != former["metadata"]["uid"]
    assert site.run()["changed"] is False
    assert site.run(state="absent")["actions"] == ["uninstall"]


def test_an_installation_of_ours_that_was_interrupted_is_ours(site: Site) -> None:
    site.fails = True
    with pytest.raises(Stopped):
        site.run()
    site.fails = False
    note = site.note()
    assert note and note.installed == ""
    assert site.run()["release"]["whose"] == "ours"
    note = site.note()
    assert note and note.installed == FIRST
    assert site.run()["changed"] is False


def test_upgrades_of_the_owner_do_not_make_it_his(site: Site) -> None:
    site.run()
    site.now = SECOND
    site.upgrade({**OURS, **THEIRS})
    assert site.run()["release"]["whose"] == "ours"
    assert site.run(state="absent")["actions"] == ["uninstall"]
