"""The failures this chain is known for, numbered as docs/doctor.md lists them."""

from __future__ import annotations

KNOWN = {
    1: "gateway Pod has one container: auto mTLS is off in the controller",
    2: "gateway Pod 2/3, sds restarts: istio-proxy gets no certificate",
    3: "istio-proxy looks up the default istiod, which a revisioned Istio does not have",
    4: "istio-proxy claims another cluster ID than istiod's",
    5: "a pre-release of the controller ignores Istio settings",
    6: "ConfigMap istio-ca-root-cert is missing in the gateway's namespace",
    7: "an image of the gateway Pod cannot be pulled",
    8: "Gateway refused: InvalidParameters",
    9: "changed parameters do not reach the Pod",
    10: "nobody serves the Gateway's class",
    11: "HTTPRoute's Hostname is not found",
    12: "unknown backend kind",
    13: "a Hostname reference with a namespace wants a ReferenceGrant",
    14: "ServiceEntry without endpoints the gateway can use",
    15: "instances of other clusters are never reached: east-west gateways",
    16: "clusters have different roots of trust",
    17: "east-west gateway does not know the VirtualDestination",
    18: "VirtualDestination stays PENDING or belongs to no workspace",
    19: "VirtualDestination selects several Services in one cluster",
    20: "VirtualDestination lacks a Service in some cluster",
    21: "relay token was not copied",
    22: "relay server's certificate is not valid for the agent's authority",
    23: "relay address cannot be reached",
    24: "relay root belongs to another installation",
    25: "agent has a certificate of a former installation",
    26: "cluster name with an underscore",
    27: "Gloo Mesh's own Pods get sidecars",
    28: "ServiceMeshController FAILED",
    29: "ServiceEntry resolves by DNS",
    30: "Gateway API CRDs older than the gateway needs",
    31: "Service istiod as an alias beside a revisioned istiod",
    32: "wrong port of a host with several ports",
    33: "Pods that are not ready get requests of a VirtualDestination",
    34: "attached HTTPRoute answers 404",
}

# What no cluster can hold, so that no reader of clusters can find it.
NOT_IN_A_CLUSTER = {26: "the API server refuses the name of the KubernetesCluster"}
