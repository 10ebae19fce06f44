"""The kubeconfig of a lab."""

from __future__ import annotations

from pathlib import Path

from lab.control_plane.control_plane import ControlPlane, write_kubeconfig


def test_kubeconfig_contexts_have_the_names_of_the_clusters(tmp_path: Path) -> None:
    planes = [ControlPlane(tmp_path, name, number) for number, name in enumerate(("mgmt", "cluster1"))]
    for plane in planes:
        (plane.folder / "pki").mkdir(parents=True)
        for file in ("ca.crt", "admin.crt", "admin.key"):
            (plane.folder / "pki" / file).write_text(f"{plane.name} {file}")
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, planes)
    assert path.stat().st_mode & 0o077 == 0
    written = path.stat().st_mtime_ns
    write_kubeconfig(path, planes)
    assert path.stat().st_mtime_ns == written
    text = path.read_text()
    assert "current-context: mgmt" in text and "name: cluster1" in text
    assert planes[0].server() != planes[1].server()
