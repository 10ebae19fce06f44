"""Two runs at once on one site: the second is told who changes it; who only reads is not held back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from acceptance.audit import Mark
from acceptance.site import BIN, REPO, Site, missing, wait_until

Json = dict[str, Any]
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
LEASE = f"{LEASES}/multicluster.gloo"
AT_ONCE = {"site_lease_wait": 0}


def held(site: Site) -> Json | None:
    return site.get(site.management, LEASE)


@contextmanager
def of_others(site: Site) -> Iterator[None]:
    """Another run on another machine has just renewed the Lease."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    meta = {"name": "multicluster.gloo", "labels": {"app.kubernetes.io/managed-by": "multicluster.gloo"}}
    spec = {"holderIdentity": "bob on build8 (site.yml)", "leaseDurationSeconds": 600}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta}
    site.create(site.management, LEASES, {**body, "spec": {**spec, "acquireTime": now, "renewTime": now}})
    try:
        yield
    finally:
        site.delete(site.management, LEASE)


@contextmanager
def running(site: Site, playbook: str) -> Iterator[subprocess.Popen[str]]:
    """A playbook that has begun to write."""
    command = [str(BIN / "ansible-playbook"), f"playbooks/{playbook}.yml", "--inventory", str(site.inventory_file)]
    options: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    run = subprocess.Popen(command, cwd=REPO, env=site.environment(), **options)
    try:
        wait_until(lambda: run.poll() is not None or held(site) is not None, "the Lease", 120)
        assert run.poll() is None, run.communicate()[0]
        yield run
    finally:
        run.kill()
        run.communicate()


WRITING = [
    ("site", ()),
    ("cleanup", ()),
    ("failover", ("--extra-vars", "failover_confirm=true")),
    ("remove_cluster", ("--extra-vars", "remove_cluster=cluster2")),
]


@pytest.mark.share
@pytest.mark.parametrize(("playbook", "options"), WRITING, ids=[name for name, _options in WRITING])
def test_who_writes_is_refused_with_who_changes_the_site(deployed: Site, playbook: str, options: Any) -> None:
    with of_others(deployed):
        mark = Mark(deployed)
        run = deployed.play(playbook, *options, variables=AT_ONCE)
        assert [str(write) for write in mark.writes()] == []
    assert run.code != 0
    who = r"mgmt: Lease default/multicluster.gloo: bob on build8 \(site.yml\) "
    says = who + r"has been changing this site since 20\d\d-\S+Z\. "
    assert missing([says + ".*expires at 20"], " ".join(run.errors.split())) == []


@pytest.mark.share
def test_who_only_reads_is_not_held_back(deployed: Site) -> None:
    with of_others(deployed):
        mark = Mark(deployed)
        for playbook, options in (("doctor", ()), ("verify", ()), ("site", ("--check",)), ("cleanup", ("--check",))):
            deployed.play(playbook, *options, variables=AT_ONCE).ok()
        assert [str(write) for write in mark.writes()] == []


@pytest.mark.share
def test_a_run_holds_the_lease_while_it_writes_and_a_killed_one_does_not_keep_it(deployed: Site) -> None:
    site = deployed
    with running(site, "cleanup") as cleanup:
        site.deployed = True  # whatever is left of it
        lease = held(site)
        assert lease is not None and lease["spec"]["holderIdentity"].endswith("(cleanup.yml)")
        refused = site.play("site", variables=AT_ONCE)
        assert refused.code != 0 and missing([r"\(cleanup.yml\) has been changing this site since"], refused.text) == []
        output = cleanup.communicate(timeout=300)[0]
        assert cleanup.returncode == 0, output
    assert held(site) is None
    site.deployed = False
    with running(site, "site") as run:
        site.deployed = True
        run.kill()
    wait_until(lambda: held(site) is None, "the Lease of a killed run deleted", 60)
    site.play("site").ok()
    assert held(site) is None
    assert site.play("site").ok().changed == {}
