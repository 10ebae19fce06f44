"""Sites that other people installed (lab/sites): what the playbooks say about them, do to them and give back."""

from __future__ import annotations

import base64
import gzip
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from acceptance.audit import Write
from acceptance.site import Run, Site
from acceptance.snapshot import Snapshot, differing

Json = dict[str, Any]

NOTE = "multicluster.gloo."
# Of an object that controllers count up or write when something else was written.
COUNTED = {"deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation"}
# Releases of the operator, for a ServiceMeshController.
OPERATOR_INSTALLS = (("istio-system", "istio-base"), ("istio-system", "istiod-gloo"))


# -- the doctor


def doctor(site: Site, *options: str) -> list[Json]:
    """The checks of doctor.yml that found something: {verdict, cluster, id, message, hint}."""
    with tempfile.TemporaryDirectory() as folder:
        given = ["--extra-vars", f"report_path={folder}", "--extra-vars", "doctor_fail_on=never"]
        site.play("doctor", *given, *options).ok()
        report = json.loads(Path(folder, "report.json").read_text())
    return [check for check in report["checks"] if check["verdict"] in ("failed", "warning")]


def told(check: Json) -> str:
    """A check on one line."""
    return (
        f"{check['verdict']} {check['id']} {check['cluster']}: {check['object']}: {check['message']} [{check['hint']}]"
    )


def own_data(site: Site) -> list[str]:
    """Options with the data of the site's owner: destinations, routes and proofs that he has himself."""
    return ["--extra-vars", f"site_data={site.home / 'site_data.yml'}"]


# -- what a run says that it changes


def said(run: Run) -> set[str]:
    """ "<cluster>: <Kind> [<namespace>/]<name>" of everything that the run's diffs show."""
    headers = re.findall(r"^(?:---|\+\+\+) (?:before|after): (\S+: .+)$", run.output, re.MULTILINE)
    return {re.sub(r" \(.*\)$", "", header.strip()) for header in headers}


def unsaid(site: Site, told: set[str], writes: list[Write]) -> list[str]:
    """The writes of objects that no diff showed, neither by themselves nor as part of a Helm release."""
    named: set[tuple[str, str]] = set()
    for line in told:
        cluster, _, rest = line.partition(": ")
        kind, _, name = rest.rpartition(" ")
        namespace, _, short = name.rpartition("/")
        named.add((cluster, short))
        parts = {"ServiceMeshController": OPERATOR_INSTALLS, "Helm release": ((namespace, short),)}.get(kind, ())
        named |= {(cluster, each) for part in parts for each in _of_release(site, cluster, *part)}
    return sorted({str(write) for write in writes if not _covered(write, named)})


def _covered(write: Write, named: set[tuple[str, str]]) -> bool:
    if write.name.startswith(("sh.helm.release.v1.", NOTE)) or write.resource.startswith("events"):
        return True
    if write.resource == "leases" and write.namespace == "default":  # of the run, not of the site
        return True
    return (write.cluster, write.name) in named


def _of_release(site: Site, cluster: str, namespace: str, release: str) -> Iterator[str]:
    """Names of the objects in a release's manifest, and of its namespace."""
    yield namespace
    record = _records(site, cluster).get(f"{namespace}/{release}")
    if record:
        yield from (obj["metadata"]["name"] for obj in yaml.safe_load_all(record["manifest"]) if obj)


# -- Helm releases


def releases(site: Site) -> dict[str, Json]:
    """ "<cluster> <namespace>/<release>" -> chart with version, status, values of its users."""
    return {
        f"{cluster} {name}": {
            "chart": "{name}-{version}".format(**record["chart"]["metadata"]),
            "status": record["info"]["status"],
            "values": record.get("config") or {},
        }
        for cluster in site.clusters
        for name, record in _records(site, cluster).items()
    }


def _records(site: Site, cluster: str) -> dict[str, Json]:
    """ "<namespace>/<release>" -> Helm's record of what is deployed, else the newest: JSON, by gzip and base64."""
    secrets = (site.get(cluster, "/api/v1/secrets?labelSelector=owner%3Dhelm") or {})["items"]
    found = {}

    def place(secret: Json) -> tuple[bool, int]:
        labels = secret["metadata"]["labels"]
        return labels["status"] == "deployed", int(labels["version"])

    for secret in sorted(secrets, key=place):
        record = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
        found[f"{record['namespace']}/{record['name']}"] = record
    return found


def lost_values(before: dict[str, Json], after: dict[str, Json]) -> list[str]:
    """What others had set and is not so any more: values, charts, releases. Added values are none."""
    lines = []
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            lines.append(f"{name}: gone")
            continue
        if new["chart"] != old["chart"]:
            lines.append(f"{name}: chart {old['chart']} -> {new['chart']}")
        lines += [f"{name}: values{line}" for line in _lost(old["values"], new["values"], "")]
    return lines


def _lost(old: Any, new: Any, path: str) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [line for key in old for line in _lost(old[key], new.get(key), f"{path}.{key}")]
    return [] if old == new else [f"{path}: {old!r} -> {new!r}"]


# -- objects


def without_pull_secret(site: Site, secret: str, namespaces: tuple[str, ...]) -> list[str]:
    """Pods of the namespaces that do not name the pull Secret; a namespace without any Pod."""
    lines = []
    for namespace in namespaces:
        found = [
            (cluster, pod)
            for cluster in site.group("workload")
            for pod in (site.get(cluster, f"/api/v1/namespaces/{namespace}/pods") or {"items": []})["items"]
        ]
        lines += [] if found else [f"{namespace}: no Pod"]
        lines += [
            f"{cluster}: {namespace}/{pod['metadata']['name']}"
            for cluster, pod in found
            if {"name": secret} not in (pod["spec"].get("imagePullSecrets") or [])
        ]
    return lines


def written(snapshot: dict[str, Snapshot]) -> dict[str, Snapshot]:
    """What people and their tools wrote: without status, objects of controllers, Helm's records and counters."""
    return {
        cluster: {key: _content(obj) for key, obj in objects.items() if not _made(key, obj)}
        for cluster, objects in snapshot.items()
    }


def _made(key: str, obj: Json) -> bool:
    return bool(obj["metadata"].get("ownerReferences")) or "/sh.helm.release.v1." in key or "core/Endpoints " in key


def _content(obj: Json) -> Json:
    metadata = dict(obj["metadata"])
    kept = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in COUNTED}
    metadata.pop("annotations", None)
    if kept:
        metadata["annotations"] = kept
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": metadata}


def changes(before: dict[str, Snapshot], after: dict[str, Snapshot]) -> list[str]:
    """One line per object of others that went or has other content; new objects are not listed."""
    lines = []
    for cluster, objects in written(before).items():
        now = written(after)[cluster]
        for key, old in objects.items():
            if key not in now:
                lines.append(f"{cluster}: - {key}")
            else:
                lines += [f"{cluster}: ~ {key} {path}" for path in differing(old, now[key], "")]
    return lines
