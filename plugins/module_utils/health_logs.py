# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a line of a log means (pure). Logs are read where nothing else holds the cause; what is quoted is redacted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import redaction
from .health import Place, Unread
from .progress import one_line

Json = dict[str, Any]

#: lines read of a container at most
LINES = 200
#: characters shown of a line, and how many of them are its first
EXCERPT, HEAD = 300, 120


@dataclass(frozen=True)
class Pattern:
    """A regular expression and what to do where it is found; ``good``: all is well again after such a line."""

    text: str
    hint: str = ""
    good: bool = False


@dataclass(frozen=True)
class Cause:
    """The line that says it, redacted, and what to do."""

    line: str
    hint: str


#: a licence that is not in order; that there is one is written, too
_NO_LICENCE = (
    r"\b(no|missing|invalid|expired|empty|without)\b[^.;]{0,40}\blicen[cs]e|"
    r"\blicen[cs]e\b.{0,60}\b(expired|invalid|missing|required|empty|failed|not (found|set|valid))"
)

#: the agent's way to the relay; of the lines that match one, the last counts
RELAY: tuple[Pattern, ...] = (
    Pattern(r"\bconnected to (the )?relay|relay connection (is )?established", good=True),
    Pattern(
        r"no token data found in secret|no root certificate found in secret",
        "copy the relay Secrets with site.yml --tags mesh",
    ),
    Pattern(
        r"x509: certificate is (not )?valid for",
        "the certificate that answers is another's: correct glooAgent.relay.authority, or let the load balancer pass "
        "TCP through instead of ending TLS",
    ),
    Pattern(
        r"x509: certificate signed by unknown authority",
        "relay-root-tls-secret belongs to another management server: copy it anew with site.yml --tags mesh",
    ),
    Pattern(
        r"unknown certificate authority",
        "the agent shows a certificate of a former management server: delete relay-client-tls-secret and restart it",
    ),
    Pattern(r"x509: certificate has expired", "renew the relay's certificates"),
    Pattern(
        r"first record does not look like a TLS handshake",
        "what answers at the relay's address speaks no TLS: correct glooAgent.relay.serverAddress, or let the load "
        "balancer pass TCP through",
    ),
    Pattern(r"no route to host|network is unreachable", "the workload cluster has no way to the relay's address"),
    Pattern(
        r"Unauthenticated|identity token does not match",
        "relay-identity-token-secret is not the management server's: copy it anew with site.yml --tags mesh",
    ),
    Pattern(r"PermissionDenied|is not registered", "create the KubernetesCluster in the management cluster"),
    Pattern(r"AlreadyExists|connected already", "two agents use one cluster name: give each its own common.cluster"),
    Pattern(
        r"connection refused", "nobody listens at the relay's address: is the management server ready, the port right?"
    ),
    Pattern(
        r"i/o timeout|DeadlineExceeded|context deadline exceeded",
        "packets to the relay are lost: firewall, wrong address, or an egress proxy",
    ),
    Pattern(r"no such host", "the relay's host name is unknown to the workload cluster's DNS"),
    Pattern(r"\bUnavailable\b|transport: ", "the relay cannot be reached"),
)

#: istiod refusing a proxy: only its own log tells why
REFUSED: tuple[Pattern, ...] = (
    Pattern(
        r"client claims to be in cluster",
        "set istioMetaClusterId in the GatewayParameters to the cluster ID istiod knows",
    ),
)
#: the agent in a gateway's Pod that gets no certificate
CERTIFICATES: tuple[Pattern, ...] = (
    *REFUSED,
    Pattern(
        r"lookup \S+.*no such host|no such host",
        "the istiod address names no Service: set istioDiscoveryAddress in the GatewayParameters",
    ),
    Pattern(
        r"x509: certificate signed by unknown authority",
        "the proxy has an old root certificate: restart its Deployment",
    ),
    Pattern(
        r"request authenticate failure|Unauthenticated", "istiod refuses the proxy; the reason stands in istiod's log"
    ),
    Pattern(r"connection refused", "istiod does not listen at this address: is it ready, is the port 15012?"),
    Pattern(
        r"i/o timeout|DeadlineExceeded|context deadline exceeded",
        "istiod cannot be reached: is it ready, does a NetworkPolicy forbid it?",
    ),
)

#: the gateway controller that cannot write a proxy
CONTROLLER: tuple[Pattern, ...] = (
    Pattern(
        r"expected string, got|ValueString: expected string",
        "an ID in the GatewayParameters reads as a number: choose one with letters",
    ),
    Pattern(
        r"failed to (deploy|get helm values|render)|error deploying", "the controller cannot make the proxy's objects"
    ),
    Pattern(_NO_LICENCE, "renew the gateway's licence"),
)

#: the operator that cannot install Istio
OPERATOR: tuple[Pattern, ...] = (
    Pattern(_NO_LICENCE, "give the operator its licence: Helm values manager.env of gloo-operator"),
    Pattern(
        r"not found in .*repo|no chart|manifest unknown",
        "this version of Istio does not exist there: correct spec.version",
    ),
)


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def cause(text: str, patterns: Sequence[Pattern], since: str = "") -> Cause | None:
    """What the log says last that matters; None when that is good, or nothing.

    since: RFC 3339, whole seconds, of UTC; what a line with an earlier time at its start says is about something past.
    """
    for line in reversed(text.splitlines()[-LINES:]):
        if since and _TIME.match(line) and line < since.rstrip("Z"):
            return None
        for pattern in patterns:
            if re.search(pattern.text, line, re.IGNORECASE):
                return None if pattern.good else Cause(quote(line), pattern.hint)
    return None


def told(
    place: Place, pods: Iterable[Json], patterns: Sequence[Pattern], container: str = "", since: str = ""
) -> Cause | None:
    """What the first log with a cause says, of Pods of the place's cluster; of their first container unless named."""
    found = (cause(text, patterns, since) for text in texts(place, pods, container))
    return next(filter(None, found), None)


def texts(place: Place, pods: Iterable[Json], container: str = "") -> Iterator[str]:
    """The logs that can be read of these Pods."""
    for pod in pods:
        name = container or str(((pod.get("spec") or {}).get("containers") or [{}])[0].get("name"))
        try:
            yield place.world.probes.log(place.cluster, pod["metadata"]["namespace"], pod["metadata"]["name"], name)
        except Unread:
            continue


def quote(line: str) -> str:
    """A line as it may be shown: one line, without secrets, not too long."""
    text = redaction.text(one_line(line))
    # An error of Go ends with its root.
    return text if len(text) <= EXCERPT else f"{text[:HEAD]} ... {text[HEAD + 5 - EXCERPT :]}"
