# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Lease in the management cluster that one run at a time holds while it writes to a site.

- It is taken before the first write of a run, so that a run without a change writes nothing at all.
- A process of its own renews it. The processes in which Ansible runs tasks cannot: each ends with its task, and there
  are long waits between two writes. It ends with Ansible, however that ends, and then deletes the Lease. Without it the
  Lease expires DURATION seconds later.
- An environment variable of the play says which Lease, so that engines have no option for it, and roles in playbooks
  without this variable need no Lease.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

from .child_process import without_licences
from .errors import ClusterError, Conflict, Forbidden, NotFound
from .fields import Json, labels_of, mapping, meta, seconds, spec_of
from .kinds import Kind
from .lease_run import DURATION, NAME, VARIABLE, Run
from .printable import one_line
from .processes import is_gone, is_here
from .transport import Transport

PROCESS = "multicluster.gloo/process"
_LABEL = ("app.kubernetes.io/managed-by", "multicluster.gloo")
_LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases", True)
_TRIES = 5
# Of the times that Python knows.
_LATEST = datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()


class Held(ClusterError):
    """Another run holds the Lease."""


def of_environment() -> Run | None:
    """The run that this process belongs to; None when it needs no Lease."""
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    try:
        given = json.loads(text)
        return Run(**{each.name: given[each.name] for each in fields(Run)})
    except (ValueError, KeyError, TypeError) as exc:
        raise ClusterError(
            f"{VARIABLE} is not valid ({exc!r}). Set it with lookup multicluster.gloo.site_lease"
        ) from None


# -- decisions (pure)


def holder_of(lease: Json) -> str:
    return one_line(str(spec_of(lease).get("holderIdentity") or "an unknown run"))[:200]


def is_held_by(lease: Json, run: Run) -> bool:
    return mapping(meta(lease).get("annotations")).get(PROCESS) == run.process


def expiry(lease: Json) -> float:
    """When it expires, in seconds since the epoch."""
    spec = spec_of(lease)
    length = spec.get("leaseDurationSeconds")
    return (seconds(spec.get("renewTime")) or 0.0) + (length if isinstance(length, int) else DURATION)


def is_free(lease: Json | None, run: Run, now: float) -> bool:
    """Whether the run may take it: there is none, it has expired, or its holder ran on this machine and has ended."""
    if lease is None or is_held_by(lease, run):
        return True
    return expiry(lease) <= now or is_gone(str(mapping(meta(lease).get("annotations")).get(PROCESS)))


def refusal(lease: Json, run: Run) -> str:
    """Who holds it since when, and what to do."""
    until = _time(expiry(lease))[:19] + "Z"
    return (
        f"{run.cluster}: {run.title}: {holder_of(lease)} has been changing this site since {_since(lease)}. "
        f"Wait until that run has ended. If it was killed, the Lease expires at {until}"
    )


def taken(lease: Json | None, run: Run, now: float) -> Json:
    """The Lease as the run writes it, when it takes or renews it."""
    renews = lease is not None and is_held_by(lease, run)
    acquired = spec_of(lease).get("acquireTime") if renews else _time(now)
    metadata: Json = {"name": NAME, "namespace": run.namespace, "labels": dict([_LABEL])}
    metadata["annotations"] = {PROCESS: run.process}
    if lease is not None:
        metadata |= {key: meta(lease)[key] for key in ("resourceVersion", "uid") if key in meta(lease)}
    spec = {"holderIdentity": run.holder, "leaseDurationSeconds": run.duration}
    times = {"acquireTime": acquired, "renewTime": _time(now)}
    return {"apiVersion": _LEASE.api_version, "kind": _LEASE.kind, "metadata": metadata, "spec": {**spec, **times}}


def _since(lease: Json) -> str:
    began = seconds(spec_of(lease).get("acquireTime"))
    return _time(began)[:19] + "Z" if began is not None else "an unknown time"


def _time(now: float) -> str:
    return datetime.fromtimestamp(min(now, _LATEST), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# -- before a write

_lock = threading.Lock()


class _Process:
    """``known``: when this process last read that its run holds the Lease."""

    known = float("-inf")
    finishing = False


@contextlib.contextmanager
def finishing() -> Iterator[None]:
    """Inside the context writes need no Lease: they bring back what this process has changed for a moment."""
    before, _Process.finishing = _Process.finishing, True
    try:
        yield
    finally:
        _Process.finishing = before


def before_write() -> None:
    """Take the Lease of this process's run, if it needs one. Raises Held when another run holds it.

    A task that outlives Ansible writes no more, because the Lease ends with Ansible.
    """
    run = of_environment()
    if run is None or _Process.finishing:
        return
    if is_gone(run.process):
        raise ClusterError(f"{run.cluster}: Ansible has ended, so nothing more is written. Run the playbook again")
    with _lock:
        if time.monotonic() - _Process.known < run.duration / 4:
            return
        if hold(run):
            _start_renewal(run)
        _Process.known = time.monotonic()


def hold(run: Run) -> bool:
    """Whether the Lease had to be written; afterwards the run holds it. Raises Held."""
    with contextlib.closing(_connection(run)) as cluster:
        for attempt in range(_TRIES):
            lease, now = read(cluster, run)
            if lease is not None and not is_free(lease, run, now):
                raise Held(refusal(lease, run), cluster=run.cluster, kind="Lease", holder=holder_of(lease))
            if lease is not None and is_held_by(lease, run) and expiry(lease) - now > run.duration / 2:
                return False
            try:
                _write(cluster, run, taken(lease, run, now))
                return True
            except ClusterError as exc:
                if not (isinstance(exc, Conflict) or exc.outcome_unknown) or attempt == _TRIES - 1:
                    raise
    raise AssertionError


def release(run: Run) -> bool:
    """Delete the Lease; False when the run does not hold it."""
    with contextlib.closing(_connection(run)) as cluster:
        lease, _now = read(cluster, run)
        if lease is None or not is_held_by(lease, run):
            return False
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": meta(lease).get("uid")}}
        try:
            cluster.request("DELETE", _LEASE.url(run.namespace, NAME), None, body, what=run.title, kind=_LEASE)
        except (NotFound, Conflict):
            return False
        return True


def read(cluster: Transport, run: Run) -> tuple[Json | None, float]:
    """(the Lease, the time of the API server). Raises ClusterError for one that is not of this collection."""
    try:
        lease = cluster.request("GET", _LEASE.url(run.namespace, NAME), what=run.title, kind=_LEASE)
    except NotFound:
        return None, cluster.server_time or time.time()
    except Forbidden as exc:
        raise _forbidden(exc, run) from exc
    if labels_of(lease).get(_LABEL[0]) != _LABEL[1]:
        raise ClusterError(
            f"{run.cluster}: {run.title} does not belong to this collection: label {_LABEL[0]}={_LABEL[1]} is missing. "
            "Set site_lease_namespace to another namespace, the same for all runs on this site",
            cluster=run.cluster,
        )
    return lease, cluster.server_time or time.time()


def _write(cluster: Transport, run: Run, lease: Json) -> None:
    name = NAME if "resourceVersion" in lease["metadata"] else None
    verb = "PUT" if name else "POST"
    try:
        cluster.request(verb, _LEASE.url(run.namespace, name), None, lease, what=run.title, kind=_LEASE)
    except Forbidden as exc:
        raise _forbidden(exc, run) from exc
    except NotFound as exc:
        if name:  # deleted meanwhile
            raise Conflict(exc.msg) from exc
        raise ClusterError(
            f"{exc.msg}. Set site_lease_namespace to a namespace of the management cluster", cluster=run.cluster
        ) from exc


def _forbidden(exc: Forbidden, run: Run) -> ClusterError:
    return Forbidden(
        f"{exc.msg}. A run needs get, create, update and delete on Leases in namespace {run.namespace}. Alternatively "
        "set site_lease_namespace to another namespace, the same for all runs on this site, or to an empty string to "
        "run without a Lease",
        **exc.facts,
    )


def _connection(run: Run) -> Transport:
    return Transport(run.kubeconfig, run.context, run.cluster)


# -- renewal

_RENEWAL = "import sys; sys.path.append(sys.argv[1]); from {package} import lease; lease.renew()"
# Seconds within which the end of Ansible is noticed.
_PACE = 0.5


def _start_renewal(run: Run) -> None:
    """Start the process that renews the Lease. Elsewhere than on Ansible's machine only writes renew it."""
    if not is_here(run.process):
        return
    package = __name__.rpartition(".")[0]
    root = Path(__file__).absolute().parents[len(package.split("."))]
    subprocess.Popen(
        [sys.executable, "-c", _RENEWAL.format(package=package), str(root)],
        env=without_licences(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def renew() -> None:
    """Renew the Lease until Ansible ends or the run no longer holds it; delete it at the end."""
    run = of_environment()
    if run is None:
        return
    begin = time.monotonic()
    while not is_gone(run.process):
        time.sleep(_PACE)
        if time.monotonic() - begin < run.duration / 4:
            continue
        begin = time.monotonic()
        try:
            with contextlib.closing(_connection(run)) as cluster:
                lease, now = read(cluster, run)
                if lease is None or not is_held_by(lease, run):
                    return
                _write(cluster, run, taken(lease, run, now))
        except ClusterError:
            continue  # the next attempt is soon, and the Lease expires if none succeeds
    release(run)
