"""The program of the supervisor process, `python -m lab.supervise`: the list of all simulated parts."""

from __future__ import annotations

import importlib
import logging
import sys

from lab import paths
from lab.control_plane import supervisor
from lab.control_plane.lab import Part

# Module and class; imported when the supervisor starts.
PARTS = (
    ("lab.vendor.cloud_load_balancers", "CloudLoadBalancers"),
    ("lab.vendor.gloo_mesh.gloo_mesh", "GlooMesh"),
    ("lab.vendor.gloo_operator.gloo_operator", "GlooOperator"),
    ("lab.vendor.gloo_gateway.gloo_gateway", "GlooGateway"),
    ("lab.vendor.istiod", "Istiod"),
    ("lab.pods.kubelet", "Kubelet"),
    ("lab.traffic.data_plane", "DataPlane"),
)

log = logging.getLogger("lab.supervisor")


def load_parts() -> tuple[list[Part], dict[str, str]]:
    """The parts, and the import errors by name of those that cannot be loaded."""
    parts: list[Part] = []
    errors = {}
    for module, name in PARTS:
        try:
            parts.append(getattr(importlib.import_module(module), name)())
        except Exception as error:  # the other parts still work; `lab status` shows this one
            log.exception("%s.%s", module, name)
            errors[module.rpartition(".")[2]] = f"cannot be loaded: {type(error).__name__}: {error}"
    return parts, errors


if __name__ == "__main__":
    sys.exit(supervisor.run(paths.home(), load_parts))
