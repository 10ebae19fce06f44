"""Reserved addresses and ports."""

from __future__ import annotations

from pathlib import Path

from lab.control_plane.reservations import Reservations


def test_reservations_are_kept_and_distinct(tmp_path: Path) -> None:
    first = Reservations(tmp_path / "reservations.json")
    ports = [first.port(f"p{number}") for number in range(20)]
    assert len(set(ports)) == 20
    address = first.address("cluster1 bookinfo/http", [8080])
    assert address.startswith("127.") and address != "127.0.0.1"
    again = Reservations(tmp_path / "reservations.json")
    assert [again.port(f"p{number}") for number in range(20)] == ports
    assert again.address("cluster1 bookinfo/http", [8080]) == address
    again.drop("address cluster1 bookinfo/http")
    assert "cluster1" not in (tmp_path / "reservations.json").read_text()


def test_two_labs_get_different_ports(tmp_path: Path) -> None:
    one, two = (Reservations(tmp_path / name / "reservations.json") for name in ("one", "two"))
    one.path.parent.mkdir()
    two.path.parent.mkdir()
    # One and the same port once in 11000 times, three of them never.
    names = ("mgmt", "cluster1", "cluster2")
    assert [one.port(name) for name in names] != [two.port(name) for name in names]
