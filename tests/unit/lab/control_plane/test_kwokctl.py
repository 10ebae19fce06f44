"""Clusters as kwokctl creates them, with a simulated kwokctl, and what kwok is told to do with Pods."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.control_plane import kwokctl

KWOKCTL = """#!/bin/sh
umask >&2
mkdir -p "$KWOK_WORKDIR/clusters/mgmt/pki"
echo key > "$KWOK_WORKDIR/clusters/mgmt/pki/admin.key"
echo config > "$KWOK_WORKDIR/mgmt.kubeconfig"
"""


@pytest.fixture(params=[0o000, 0o022], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_keys_and_kubeconfigs_are_private(tmp_path: Path) -> None:
    program = tmp_path / "kwokctl"
    program.write_text(KWOKCTL)
    program.chmod(0o755)
    names = ["kubectl", "kwokctl", *kwokctl.BINARIES.values()]
    kwokctl.create(tmp_path / "home", "mgmt", 0, dict.fromkeys(names, program))
    clusters = tmp_path / "home" / "clusters"
    secret = [clusters / "clusters" / "mgmt" / "pki" / "admin.key", clusters / "mgmt.kubeconfig"]
    assert [stat.S_IMODE(each.stat().st_mode) for each in secret] == [0o600, 0o600]
    assert stat.S_IMODE(clusters.stat().st_mode) == 0o700


def stages(*programs: str) -> dict[str, Any]:
    return {stage["metadata"]["name"]: stage for stage in yaml.safe_load_all(kwokctl.stages(programs))}


def test_pods_of_a_real_controller_are_not_made_ready_at_once() -> None:
    simulated, real = stages("etcd"), stages("etcd", "kgateway")
    added = real["pod-ready"]["spec"]["selector"]["matchExpressions"].pop()
    assert added["operator"] == "DoesNotExist" and kwokctl.REAL_CONTROLLER in added["key"]
    assert real == simulated
