"""Helm releases with a note."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.filter import releases
from ansible_collections.multicluster.gloo.plugins.module_utils.helm.releases import Note


def helm_secret(release: str, version: int) -> dict[str, Any]:
    labels = {"owner": "helm", "name": release, "version": str(version)}
    return {"kind": "Secret", "object": {"metadata": {"name": "x", "namespace": "gloo-mesh", "labels": labels}}}


def record(note: Note, created: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    """The note as objects_info returns it."""
    found = note.to_object()
    found["metadata"]["creationTimestamp"] = created
    return {"kind": found["kind"], "object": found}


@pytest.mark.parametrize(("former", "revision", "upgraded"), [(0, 1, False), (10, 10, False), (10, 11, True)])
def test_a_note_tells_whose_the_release_is(former: int, revision: int, upgraded: bool) -> None:
    found = [record(Note("gloo-platform", "gloo-mesh", former_revision=former)), helm_secret("gloo-platform", 9)]
    found += [helm_secret("gloo-platform", revision), helm_secret("other", 99)]
    [release] = releases.marked_releases(found)
    assert (release["former_revision"], release["revision"], release["upgraded"]) == (
        former,
        max(9, revision),
        upgraded,
    )


def test_a_note_tells_what_the_release_brings_and_when_it_was_written() -> None:
    note = Note("gloo-platform-crds", "gloo-mesh", brings_groups=("admin.gloo.solo.io",), only_crds=True)
    [release] = releases.marked_releases([record(note)])
    assert (release["groups"], release["only_crds"]) == (["admin.gloo.solo.io"], True)
    assert (release["created"], release["revision"]) == ("2026-01-01T00:00:00Z", 0)
