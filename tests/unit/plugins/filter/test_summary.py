"""Records of the proofs of a run."""

from __future__ import annotations

from ansible_collections.multicluster.gloo.plugins.filter import summary


def test_proofs_that_were_left_out_are_no_answers() -> None:
    item = {"name": "page", "path": "/productpage"}
    results = [
        {"item": item, "answers": [{"instance": "x"}], "requests_sent": 2},
        {"item": item, "skipped": True},
    ]
    assert summary.proof_records({"results": results}) == [
        {"proof": "page", "path": "/productpage", "sent": 2, "answers": [{"instance": "x"}]}
    ]
    assert summary.proof_records({"skipped": True}) == []
