"""failover.yml: backends of one cluster are scaled down and restored, also after an interrupted or killed run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from acceptance.eyes import healthy
from acceptance.site import REPO, Site, wait_until

Json = dict[str, Any]

DEPLOYMENTS = "/apis/apps/v1/namespaces/bookinfo/deployments?labelSelector=app%3Dreviews"
CONFIRMED = ("--extra-vars", "failover_confirm=true")


def reviews(site: Site) -> dict[str, Json]:
    """Of each reviews Deployment in the gateway's cluster what has to be as before: spec, annotations, owners."""
    found = site.get(site.gateway_cluster, DEPLOYMENTS)
    assert found is not None
    return {
        each["metadata"]["name"]: {
            "spec": each["spec"],
            "annotations": each["metadata"].get("annotations"),
            "owners": [
                (entry["manager"], entry["operation"], entry["fieldsV1"])
                for entry in each["metadata"]["managedFields"]
                if entry.get("subresource") != "status"
            ],
        }
        for each in found["items"]
    }


def away(site: Site) -> bool:
    return all(each["spec"]["replicas"] == 0 for each in reviews(site).values())


@contextmanager
def in_the_middle(site: Site) -> Iterator[subprocess.Popen[str]]:
    """ansible-playbook with the backends away. It wants more answers than it can get, so it stays there."""
    command = ["ansible-playbook", "playbooks/failover.yml", "--inventory", str(site.inventory_file), *CONFIRMED]
    command += ["--extra-vars", "failover_patience=300 failover_min_requests=1000000"]
    run = subprocess.Popen(
        command,
        cwd=REPO,
        env=site.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: run.poll() is not None or away(site), "the backends taken away", 90)
        assert run.poll() is None, run.communicate()[0]
        yield run
    finally:
        run.kill()
        run.communicate()


def test_nothing_goes_without_the_word(deployed: Site) -> None:
    before = reviews(deployed)
    run = deployed.play("failover")
    assert run.code != 0
    assert "failover_confirm=true" in run.errors
    deployed.play("failover", "--check").ok()
    assert reviews(deployed) == before


def test_traffic_goes_on_and_all_come_back_as_they_were(deployed: Site) -> None:
    deployed.play("site", "--tags", "bookinfo").ok()  # fields that the faults of other tests took
    wait_until(lambda: healthy(deployed), "the site at rest", 90)
    before = reviews(deployed)
    run = deployed.play("failover", *CONFIRMED).ok()
    assert reviews(deployed) == before
    told = " ".join(run.output.split())
    assert re.search(r"the other clusters responded: \d+ requests, \d+ failed, longest gap [\d.]+ s", told)
    deployed.note("failover.yml", run.seconds)
    deployed.play("verify").ok()
    # Nobody has to write anything for it: to the owners of fields all is as site.yml left it.
    assert deployed.play("site", "--tags", "bookinfo").ok().changed == {}


@pytest.mark.share
def test_an_interrupted_run_brings_all_back_before_it_ends(deployed: Site) -> None:
    wait_until(lambda: healthy(deployed), "the site at rest", 90)
    before = reviews(deployed)
    with in_the_middle(deployed) as run:
        run.send_signal(signal.SIGINT)
        wait_until(lambda: reviews(deployed) == before, "the backends back after Ctrl-C", 60)
    wait_until(lambda: healthy(deployed), "the site at rest again", 120)


@pytest.mark.share
def test_what_a_killed_run_left_away_is_brought_back(deployed: Site) -> None:
    wait_until(lambda: healthy(deployed), "the site at rest", 90)
    before = reviews(deployed)
    with in_the_middle(deployed) as run:
        for pid in workers(run.pid):
            os.kill(pid, signal.SIGKILL)
    assert away(deployed)
    deployed.play("failover", "--extra-vars", "failover_restore=true").ok()
    assert reviews(deployed) == before
    wait_until(lambda: healthy(deployed), "the site at rest again", 120)


def workers(pid: int) -> list[int]:
    """The process and those it has started."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    parents = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return [pid, *(child for child, parent in parents if parent == pid)]
