"""The result as a table."""

from __future__ import annotations

import re

from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import table
from health_changes import checked, disconnect
from health_site import Site


def test_the_table_folds_what_is_skipped_and_ends_with_the_cause() -> None:
    site = Site()
    site.secrets["c2"]["relay-identity-token-secret"] = None
    disconnect()(site)
    found = checked(site)
    clusters = [
        {"cluster": n, "role": "management" if n == "mgmt" else "workload", "gateway": n == "c1", "version": "v1"}
        for n in site.clusters
    ]
    told = {**found, "clusters": clusters, "seconds": 0.5}
    lines = [line.text for line in table.lines(told, table.ASCII_MARKS)]
    assert lines[0] == "mgmt (management), Kubernetes v1"
    assert "c1 (workload with gateway), Kubernetes v1" in lines
    skipped = [line for line in lines if "skipped because" in line]
    folded = [int(match[1]) for line in skipped if (match := re.search(r"(\d+) checks skipped because", line))]
    assert sum(folded) + len(skipped) - len(folded) == found["counts"]["skipped"]
    assert len(folded) > 1 and min(folded) > 1 and any("relay-token failed in c2" in line for line in skipped)
    assert lines[-1] == "  docs/doctor.md#relay-token"
    assert lines[-3].startswith("first failure: c2: Secret gloo-mesh/relay-identity-token-secret does not exist")
    assert all(ord(character) < 128 for line in lines for character in line)
    assert table.sentence(told).startswith("c2: Secret gloo-mesh/relay-identity-token-secret")
