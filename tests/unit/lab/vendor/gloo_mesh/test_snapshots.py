"""What the management server knows of clusters whose agent is gone."""

from __future__ import annotations

from typing import Any

from lab.vendor.gloo_mesh.snapshots import Snapshots


def test_a_cluster_is_known_until_both_its_agent_and_its_registration_are_gone(made: Any) -> None:
    one, two = made.Cluster("one", made.obj("Service", "reviews")), made.Cluster("two")
    for last in ("agent", "registration"):
        snapshots = Snapshots()
        assert snapshots.known({"one": one, "two": two}, {"one", "two"}) == {"one": one, "two": two}
        if last == "agent":
            assert set(snapshots.known({"one": one, "two": two}, {"two"})) == {"one", "two"}
        else:
            assert set(snapshots.known({"two": two}, {"one", "two"})) == {"one", "two"}
        assert set(snapshots.known({"two": two}, {"two"})) == {"two"}


def test_a_disconnected_cluster_is_as_it_was(made: Any) -> None:
    service = made.obj("Service", "reviews", labels={"app": "reviews"})
    one = made.Cluster("one", service, made.obj("Service", "other", "elsewhere"))
    snapshots = Snapshots()
    snapshots.known({"one": one}, {"one"})
    one.objects.clear()
    known = snapshots.known({}, {"one"})["one"]
    assert known.list("Service", "bookinfo") == [service]
    assert known.list("Service", labels={"app": "reviews"}) == [service]
    assert known.get("Service", "reviews", "bookinfo") is service
    assert known.get("Service", "reviews", "elsewhere") is None
    assert known.list("Deployment") == []


def test_a_restarted_server_has_no_former_state(made: Any) -> None:
    snapshots = Snapshots()
    snapshots.known({"one": made.Cluster("one")}, {"one"})
    snapshots.forget()
    assert snapshots.known({}, {"one"}) == {}
