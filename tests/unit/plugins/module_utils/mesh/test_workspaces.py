"""Which clusters and namespaces a Workspace includes."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.mesh.workspaces import (
    includes_cluster,
    includes_namespace,
)

Json = dict[str, Any]


def workspace(*entries: Json) -> Json:
    return {"spec": {"workloadClusters": list(entries)}}


@pytest.mark.parametrize(
    ("entries", "clusters"),
    [
        ([{"name": "*"}], {"c1", "c2", "east-1"}),
        ([{}], {"c1", "c2", "east-1"}),
        ([{"name": "c1"}, {"name": "c1"}], {"c1"}),
        ([{"name": "c*"}], {"c1", "c2"}),
        ([{"name": "*-1"}, {"name": "c2"}], {"c2", "east-1"}),
        ([{"selector": {"region": "eu"}}], {"c2"}),
        ([{"name": "c1", "selector": {"region": "eu"}}], set()),
        ([{"name": "c."}], set()),
        ([], set()),
    ],
)
def test_clusters(entries: list[Json], clusters: set[str]) -> None:
    labels = {"c1": {}, "c2": {"region": "eu"}, "east-1": {"region": "us"}}
    assert {name for name, own in labels.items() if includes_cluster(workspace(*entries), name, own)} == clusters


@pytest.mark.parametrize(
    ("entry", "included", "config"),
    [
        ({"name": "*", "namespaces": [{"name": "*"}]}, True, True),
        ({"name": "*", "namespaces": [{"name": "app*"}]}, True, True),
        ({"name": "*", "namespaces": [{"labels": {"team": "a"}}]}, True, True),
        ({"name": "*", "namespaces": [{"name": "app", "labels": {"team": "b"}}]}, False, False),
        ({"name": "*", "namespaces": [{"name": "app", "configEnabled": False}]}, True, False),
        ({"name": "*", "configEnabled": False, "namespaces": [{"name": "app"}]}, True, False),
        ({"name": "c2", "namespaces": [{"name": "app"}]}, False, False),
        ({"name": "*"}, False, False),
    ],
)
def test_namespaces(entry: Json, included: bool, config: bool) -> None:
    for only_config, expected in ((False, included), (True, config)):
        assert includes_namespace(workspace(entry), "c1", {}, "app", {"team": "a"}, only_config) is expected
