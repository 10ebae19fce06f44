"""What differs between the lines of kgateway that the lab simulates: one column per line. Pure.

Line 2.1 is after recordings of a 2.1 controller, 2.3 of 2.3.0. The vendor's products are built on these lines: Gloo
Gateway 2.0 on 2.1, enterprise-kgateway on the line of the same version.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from lab.control_plane.objects import Object

LONGEST_LABEL = 63  # characters


@dataclass(frozen=True)
class Line:
    """The differences. Texts with {braces} are completed where they are used."""

    name: str

    # Status of Gateways and listeners
    gateway_conditions: tuple[str, ...]
    reserved_port: str  # message of a listener whose port the proxy uses itself
    partly_programmed: str  # reason of the Gateway's Programmed=True while some of its listeners are rejected
    counts_listeners: bool  # whether every listener that is not valid shows in the Gateway's Accepted
    some_route_kinds_suffice: bool  # whether a listener is valid with one supported kind among its allowed kinds
    accepts_without_certificate: bool  # whether an HTTPS listener without a certificate is Accepted

    # Parameters
    values_error: str
    parameters_missing: str
    render_error: str
    parse_error: str

    # Routes
    backend_missing: str
    reads_service_entries_always: bool  # otherwise only with KGW_ENABLE_ISTIO_INTEGRATION

    # Rendered objects
    longest_name: int | None  # of a Gateway, in characters; None: longer names are hashed
    full_name_annotation: bool  # on Pods
    managed_by: dict[str, str]
    class_name_unquoted: bool
    copies_infrastructure: bool  # labels and annotations of spec.infrastructure
    applies_zero_replicas: bool
    node_port_types: tuple[str, ...]
    load_balancer_fields: tuple[str, ...]
    extra_args: bool
    pod_fields: tuple[str, ...]
    overlays: bool

    # Controllers
    agentgateway: bool  # whether the open-source controller also serves class agentgateway

    def proxy_name(self, gateway: Object) -> str:
        """Name of a Gateway's objects, and the value of their labels."""
        name = str(gateway["metadata"]["name"])
        if self.longest_name is not None or len(name) <= LONGEST_LABEL:
            return name
        return f"{name[:50].removesuffix('-')}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


LINES = {
    line.name: line
    for line in (
        Line(
            name="2.1",
            gateway_conditions=("AttachedListenerSets", "Accepted", "Programmed"),
            reserved_port="invalid port {port} in listener Gateway/{namespace}/{gateway}/{listener}: port is reserved",
            partly_programmed="ListenersNotValid",
            counts_listeners=False,
            some_route_kinds_suffice=False,
            accepts_without_certificate=True,
            values_error="failed to get helm values {namespace}.{gateway}: {problem}",
            parameters_missing='{kind}.{group} "{name}" not found',
            render_error=(
                "failed to get objects to deploy {namespace}.{gateway}: "
                "failed to render helm chart for {namespace}.{gateway}: {problem}"
            ),
            parse_error=(
                "YAML parse error on kgateway-proxy/templates/gateway/{template}.yaml: "
                "error converting YAML to JSON: yaml: {problem}"
            ),
            backend_missing='{kind} "{name}" not found',
            reads_service_entries_always=True,
            longest_name=53,  # of a Helm release
            full_name_annotation=False,
            managed_by={"app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "kgateway-proxy"},
            class_name_unquoted=True,
            copies_infrastructure=False,
            applies_zero_replicas=False,
            node_port_types=("NodePort",),
            load_balancer_fields=(),
            extra_args=False,
            pod_fields=(),
            overlays=False,
            agentgateway=True,
        ),
        Line(
            name="2.3",
            gateway_conditions=("Accepted", "Programmed", "ResolvedRefs"),
            reserved_port="invalid port {port} in listener: port is reserved",
            partly_programmed="Programmed",
            counts_listeners=True,
            some_route_kinds_suffice=True,
            accepts_without_certificate=False,
            values_error="failed to get helm values for object /, Kind= {namespace}/{gateway}: {problem}",
            parameters_missing="resource not found",
            render_error=(
                "failed to get objects to deploy {namespace}.{gateway}: "
                "failed to render helm chart for {namespace}.release-name-placeholder: {problem}"
            ),
            parse_error=(
                "YAML parse error on kgateway-proxy/templates/{template}.yaml: "
                "error converting YAML to JSON: yaml: {problem}"
            ),
            backend_missing="{kind} {namespace}/{name} not found",
            reads_service_entries_always=False,
            longest_name=None,
            full_name_annotation=True,
            managed_by={"app.kubernetes.io/managed-by": "kgateway"},
            class_name_unquoted=False,
            copies_infrastructure=True,
            applies_zero_replicas=True,
            node_port_types=("NodePort", "LoadBalancer"),
            load_balancer_fields=("loadBalancerClass", "loadBalancerSourceRanges"),
            extra_args=True,
            pod_fields=("priorityClassName",),
            overlays=True,
            agentgateway=False,
        ),
    )
}
OLDEST = LINES["2.1"]


def line_of(version: str) -> Line:
    """The line of a chart's version, for example v2.3.1 or 2.0.0: the newest that is not newer than it."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    numbers = (int(found[1]), int(found[2])) if found else (0, 0)
    known = [line for line in LINES.values() if tuple(map(int, line.name.split("."))) <= numbers]
    return known[-1] if known else OLDEST
