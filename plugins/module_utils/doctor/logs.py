# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Known errors in the logs of agents and the operator, and a search for them in the logs of Pods."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ..k8s.fields import Json, mappings, name_of, namespace_of, spec_of
from ..k8s.log_causes import NO_LICENCE, Cause, Pattern, cause
from .runner import CheckTarget, NotReadable

#: the agent's connection to the relay; the last line that matches a pattern counts
RELAY: tuple[Pattern, ...] = (
    Pattern(r"\bconnected to (the )?relay|relay connection (is )?established", good=True),
    Pattern(
        r"no token data found in secret|no root certificate found in secret",
        "unless certificates are user-supplied, copy the relay Secrets with site.yml --tags mesh",
    ),
    Pattern(
        r"x509: certificate is (not )?valid for",
        "the certificate is for another name. Correct glooAgent.relay.authority, or let the load balancer pass TCP "
        "through instead of terminating TLS",
    ),
    Pattern(
        r"x509: certificate signed by unknown authority",
        "the agent does not trust the relay's CA. Unless certificates are user-supplied, copy relay-root-tls-secret "
        "again with site.yml --tags mesh",
    ),
    Pattern(
        r"unknown certificate authority",
        "the relay does not trust the agent's certificate. Unless you supply that certificate yourself, delete "
        "relay-client-tls-secret and restart the agent, which requests a new one",
    ),
    Pattern(r"x509: certificate has expired", "renew the relay's certificates"),
    Pattern(
        r"first record does not look like a TLS handshake",
        "the server at the relay's address does not use TLS. Correct glooAgent.relay.serverAddress, or let the load "
        "balancer pass TCP through",
    ),
    Pattern(
        r"no route to host|network is unreachable",
        "the workload cluster has no route to the relay's address. Check routes and firewalls",
    ),
    Pattern(
        r"Unauthenticated|identity token does not match",
        "the agent's token differs from the management server's. Unless you supply it yourself, copy "
        "relay-identity-token-secret again with site.yml --tags mesh",
    ),
    Pattern(
        r"PermissionDenied|is not registered",
        "unless this cluster is to be left out, create the KubernetesCluster in the management cluster, for example "
        "with site.yml --tags mesh",
    ),
    Pattern(
        r"AlreadyExists|connected already",
        "two agents use the same cluster name. If both are needed, set a unique Helm value common.cluster for each",
    ),
    Pattern(
        r"connection refused",
        "nothing listens at the relay's address. Check its port and that the management server is ready",
    ),
    Pattern(
        r"i/o timeout|DeadlineExceeded|context deadline exceeded",
        "connections to the relay time out. Check firewalls, the address and egress proxies",
    ),
    Pattern(r"no such host", "the workload cluster cannot resolve the relay's host name. Check its DNS"),
    Pattern(r"\bUnavailable\b|transport: ", "the relay cannot be reached. Check the network between the clusters"),
)

#: errors of the operator when it installs Istio
OPERATOR: tuple[Pattern, ...] = (
    Pattern(
        r"not found in .*repo|no chart|manifest unknown",
        "the repository does not have this Istio version. Correct spec.version",
    ),
)
#: without a licence only some features are off, so that it counts where nothing else explains a failure
OPERATOR_LICENCE: tuple[Pattern, ...] = (
    Pattern(
        NO_LICENCE,
        "if its conditions name the licence too, give the operator one (variable SOLO_ISTIO_LICENSE_KEY in Helm value "
        "manager.env): Istio also runs without, with fewer features",
    ),
)


def first_cause(
    target: CheckTarget, pods: Iterable[Json], patterns: Sequence[Pattern], container: str = "", since: str = ""
) -> Cause | None:
    """The first known error in the logs of Pods of the target's cluster; by default of their first container."""
    found = (cause(text, patterns, since) for text in texts(target, pods, container))
    return next(filter(None, found), None)


def operator_cause(target: CheckTarget, pods: Iterable[Json], message: str) -> Cause | None:
    """Why the operator did not install Istio; a missing licence only if nothing else does, or *message* names it."""
    found = list(pods)
    first, second = (OPERATOR, OPERATOR_LICENCE) if not re.search(NO_LICENCE, message) else (OPERATOR_LICENCE, OPERATOR)
    return first_cause(target, found, first) or first_cause(target, found, second)


def texts(target: CheckTarget, pods: Iterable[Json], container: str = "") -> Iterator[str]:
    """The readable logs of these Pods."""
    for pod in pods:
        name = container or str(next(iter(mappings(spec_of(pod).get("containers"))), {}).get("name"))
        try:
            yield target.site.probes.log(target.cluster, namespace_of(pod), name_of(pod), name)
        except NotReadable:
            continue
