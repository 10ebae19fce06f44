# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the logs of agents and of the operator say, and the first cause that the logs of some Pods hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..k8s.fields import Json
from ..k8s.log_causes import NO_LICENCE, Cause, Pattern, cause
from .runner import Place, Unread

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

#: the operator that cannot install Istio
OPERATOR: tuple[Pattern, ...] = (
    Pattern(NO_LICENCE, "give the operator its licence: Helm values manager.env of gloo-operator"),
    Pattern(
        r"not found in .*repo|no chart|manifest unknown",
        "this version of Istio does not exist there: correct spec.version",
    ),
)


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
