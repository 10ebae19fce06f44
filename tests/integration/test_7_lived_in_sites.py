"""Sites that other people installed: what is there is used and kept, and cleanup gives it back.

Each row is a site of lab/sites on a lab of its own. On each of them:
- the doctor finds no fault that the site does not have;
- `--check --diff` shows everything that site.yml then writes;
- values, chart versions and objects of others stay, except for what the row names;
- requests of the site's users succeed throughout;
- a second run changes nothing and writes nothing;
- cleanup gives back values, versions and objects.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from acceptance import lived_in, snapshot
from acceptance.audit import Mark
from acceptance.site import Run, Site
from acceptance.stream import Stream

GUIDE_RUNS_IN = 900  # seconds for one run


# Without a management server, registrations, agents and istiod: true before the first run.
NO_MESH = "^(failed|warning) (management-server|relay-address|registered|agent|service-mesh-controller) "
# What the guide changes in a Gloo Gateway of others: the switches of the controller, the Gateway's parameters.
SWITCHES = r"Deployment gloo-system/gloo-gateway \.spec\.template\.spec\.containers: "
MESH_PROXY = r"Gateway gloo-system/http \.(spec\.infrastructure|field managers|metadata)"
# The inventory has a cluster for a gateway; nothing of one is there yet.
NO_GATEWAY = "^(failed|warning) gateway-(api|class)"
OWN_RELAY = "^warning relay-(root|token) "
NODE_PORTS = "^warning (relay|telemetry)-address "


@dataclass(frozen=True)
class Row:
    """A site and what is true of it; texts are regular expressions.

    users: paths that its users request through Gateway http; finds: what the doctor may rightly say before;
    after: what it may rightly say afterwards; changes: what site.yml may change in objects and values of others;
    own_data: site.yml runs with the owner's destinations, routes and proofs; doctor_only: nothing is installed on the
    site; pulls: namespaces whose Pods pull their images with Secret pull afterwards.
    """

    site: str
    users: tuple[str, ...] = ()
    finds: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    own_data: bool = False
    doctor_only: bool = False
    pulls: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.site


# Those that take long come first, so that no share of the rows has two of them.
ROWS = (
    Row(
        "gateway-only",
        users=("/productpage",),
        finds=(NO_MESH, "^warning gateway-integration "),
        changes=(SWITCHES, MESH_PROXY),
    ),
    Row(
        "helm-long-ago",
        users=("/productpage",),
        finds=("^warning gateway-integration ", "^failed gateway-switches "),
        changes=(SWITCHES, MESH_PROXY),
    ),
    # Its applications are in two namespaces of their own.
    # Before the first run, the owner's data name a route table and a gateway that do not exist yet.
    Row(
        "workshop-gloo-mesh",
        finds=(NO_GATEWAY, "^failed (gateway|route-table) "),
        own_data=True,
        options=("--skip-tags", "bookinfo"),
    ),
    Row("workshop-getting-started", finds=(NO_GATEWAY,)),
    Row("workshop-gloo-gateway", users=("/productpage",), changes=(MESH_PROXY,)),
    Row(
        "failed-upgrades",
        users=("/productpage",),
        finds=("^warning gateway-integration ",),
        changes=(SWITCHES, MESH_PROXY),
    ),
    Row("many-owners", users=("/productpage", "/reviews/0"), own_data=True, options=("--skip-tags", "bookinfo")),
    Row("private-registry", finds=(NO_MESH, NO_GATEWAY), pulls=("bookinfo", "kgateway-system")),
    Row("newer-operator", doctor_only=True),
    Row("other-names", finds=(NO_GATEWAY,), doctor_only=True),
    Row("istioctl", finds=(NO_GATEWAY,), doctor_only=True),
    Row("canary", finds=(NO_GATEWAY,), doctor_only=True),
    Row("argocd", doctor_only=True),
    Row("flux", doctor_only=True),
    Row("own-relay-certificates", finds=(NO_GATEWAY, OWN_RELAY), doctor_only=True),
    Row("node-ports", finds=(NO_GATEWAY, NODE_PORTS), doctor_only=True),
)


@dataclass
class Report:
    """What is wrong with a site, by phase; all phases run, so that one run shows everything."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, phase: str, lines: list[str], expected: tuple[str, ...] = ()) -> None:
        """Lines that none of the expected texts describes."""
        unexpected = [line for line in lines if not any(re.search(pattern, line) for pattern in expected)]
        if unexpected:
            self.found.setdefault(phase, []).extend(unexpected)
            print(f"{phase}: {unexpected}")

    def __str__(self) -> str:
        return "\n".join(f"{phase}\n" + "\n".join(f"  {line}" for line in lines) for phase, lines in self.found.items())


@pytest.mark.share
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_an_existing_site(row: Row, lived_in: Callable[[str], Site]) -> None:
    report = Report()
    site = lived_in(row.site)
    examine(site, row, report)
    assert not report.found, f"{row.site}\n{report}"


def examine(site: Site, row: Row, report: Report) -> None:
    report.add("doctor before", _findings(site, *lived_in.own_data(site)), row.finds)
    if row.doctor_only:
        return
    options = [*row.options, *(lived_in.own_data(site) if row.own_data else [])]
    before, releases = snapshot.at_rest(site), lived_in.releases(site)
    stream = Stream(site, *row.users) if row.users else None
    with stream or contextlib.nullcontext():
        mark = Mark(site)
        planned = site.play("site", "--check", "--diff", *options)
        report.add("check mode", _ended(planned))
        report.add("check mode writes", [str(write) for write in mark.writes()])

        mark = Mark(site)
        run = site.play("site", "--diff", *options, timeout=GUIDE_RUNS_IN)
        site.note(f"site.yml on {row.site}", run.seconds)
        report.add("site.yml", _ended(run))
        told = lived_in.said(planned)
        report.add("site.yml writes what check mode did not show", lived_in.unsaid(site, told, mark.writes()))
        after = snapshot.at_rest(site)
        lost = lived_in.lost_values(releases, lived_in.releases(site))
        report.add("site.yml changes", [*lost, *lived_in.changes(before, after)], row.changes)
        report.add("Pods without pull Secret", lived_in.without_pull_secret(site, "pull", row.pulls))
        report.add("doctor after", _findings(site, *options), row.after)

        mark = Mark(site)
        again = site.play("site", *options)
        report.add(
            "second run", [*_ended(again), *(f"{host}: changed={number}" for host, number in again.changed.items())]
        )
        report.add("second run writes", [str(write) for write in mark.writes()])

        cleaned = site.play("cleanup", "--extra-vars", "cleanup_vendor_crds=true", *options)
        report.add("cleanup", _ended(cleaned))
    if stream:
        assert stream.sent > 100
        failures = [f"{number} of {stream.sent}: {why}" for why, number in stream.failures.items()]
        report.add("requests of users", failures)
    given_back = snapshot.all_differences(lived_in.written(before), lived_in.written(snapshot.at_rest(site)))
    report.add("not given back", given_back)
    report.add("releases not given back", snapshot.differing(releases, lived_in.releases(site), ""))


def _findings(site: Site, *options: str) -> list[str]:
    return [lived_in.told(check) for check in lived_in.doctor(site, *options)]


def _ended(run: Run) -> list[str]:
    return [] if run.code == 0 else [run.errors or run.output[-2000:]]
