"""Counts writes in the audit logs of the API servers, without those of the control planes and the lab."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acceptance.site import AGENT, Site

WRITING = frozenset({"create", "update", "patch", "delete", "deletecollection"})

# Names at the start of the user agent: programs of the control planes, the lab's simulated parts, the tests themselves.
# All others count.
OWN_PARTS = frozenset(
    {
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kwok",
        "kwok-controller",
        "kwokctl",
        "pilot-discovery",
        "pilot-agent",
        "lab",
        "lab-simulated-parts",
        AGENT,
    }
)

# Questions and streams that are asked with the verb "create" and store nothing.
STORES_NOTHING = frozenset(
    {
        "pods/exec",
        "pods/attach",
        "pods/portforward",
        "services/proxy",
        "pods/proxy",
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
        "selfsubjectreviews",
        "subjectaccessreviews",
        "localsubjectaccessreviews",
        "tokenreviews",
        "serviceaccounts/token",
    }
)


@dataclass(frozen=True)
class Write:
    """One request that would store something."""

    cluster: str
    verb: str
    resource: str
    namespace: str
    name: str
    user_agent: str
    code: int

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.cluster}: {self.verb} {self.resource} {where} -> {self.code} ({self.user_agent})"


class Mark:
    """A point in the audit logs; `writes()` are those since then."""

    def __init__(self, site: Site) -> None:
        self._logs = {cluster: site.home / "audit" / f"{cluster}.log" for cluster in site.clusters}
        missing = [str(log) for log in self._logs.values() if not log.is_file()]
        assert not missing, f"no audit log: {missing}"
        self._sizes = {cluster: log.stat().st_size for cluster, log in self._logs.items()}

    def writes(self) -> list[Write]:
        found = []
        for cluster, log in self._logs.items():
            for event in _events(log, self._sizes[cluster]):
                write = as_write(cluster, event)
                if write:
                    found.append(write)
        return found


def as_write(cluster: str, event: dict[str, Any]) -> Write | None:
    """The audit event as a write by Ansible, Helm or a person; None for reads, dry runs, refusals and own parts."""
    agent = event.get("userAgent") or ""
    target = event.get("objectRef") or {}
    resource = "/".join(filter(None, (target.get("resource"), target.get("subresource"))))
    code = int((event.get("responseStatus") or {}).get("code") or 0)
    if (
        event.get("stage") != "ResponseComplete"
        or event.get("verb") not in WRITING
        or "dryRun=All" in (event.get("requestURI") or "")
        or resource in STORES_NOTHING
        or agent.split(" ")[0].split("/")[0] in OWN_PARTS
        or code >= 400
    ):
        return None
    return Write(cluster, event["verb"], resource, target.get("namespace") or "", target.get("name") or "", agent, code)


def _events(log: Path, offset: int) -> Iterator[dict[str, Any]]:
    if log.stat().st_size < offset:  # rotated or started anew
        offset = 0
    with log.open() as lines:
        lines.seek(offset)
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)
