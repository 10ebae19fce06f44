# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Causes in the logs of a gateway controller, of istiod and of a proxy's agent when a proxy does not start (pure)."""

from __future__ import annotations

from ..k8s.log_causes import NO_LICENCE, Pattern

#: istiod rejects a proxy; only its log has the reason
REFUSED: tuple[Pattern, ...] = (
    Pattern(
        r"client claims to be in cluster",
        "set istioMetaClusterId in the GatewayParameters to istiod's cluster ID",
    ),
)
#: the agent in a gateway's Pod gets no certificate
CERTIFICATES: tuple[Pattern, ...] = (
    *REFUSED,
    Pattern(
        r"lookup \S+.*no such host|no such host",
        "the istiod address is not a Service. Set istioDiscoveryAddress in the GatewayParameters",
    ),
    Pattern(
        r"x509: certificate signed by unknown authority",
        "the proxy has an old root certificate. Restart its Deployment",
    ),
    Pattern(r"request authenticate failure|Unauthenticated", "istiod rejects the proxy; the reason is in istiod's log"),
    Pattern(
        r"connection refused",
        "istiod does not listen at this address. Check that it is ready and that the port is 15012",
    ),
    Pattern(
        r"i/o timeout|DeadlineExceeded|context deadline exceeded",
        "istiod is not reachable. Check that it is ready and that no NetworkPolicy blocks it",
    ),
)

#: the gateway controller cannot create a proxy
CONTROLLER: tuple[Pattern, ...] = (
    Pattern(
        r"expected string, got|ValueString: expected string",
        "an ID in the GatewayParameters is not read as a string. Set one such as cluster-1",
    ),
    Pattern(
        r"failed to (deploy|get helm values|render)|error deploying", "the controller cannot create the proxy's objects"
    ),
    Pattern(NO_LICENCE, "renew the gateway's licence"),
)
