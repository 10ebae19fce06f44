# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module relay_secrets: copies the root certificate and the token that an agent needs.

The values are copied between the API servers within this process: no Ansible variable, file or result contains them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from ..apply.objects import converge
from ..k8s.client import CLUSTER_SPEC, Cluster, connect
from ..k8s.errors import Invalid, Timeout
from ..k8s.fields import Json
from ..k8s.progress import lines
from ..k8s.verdict import Verdict, together, waiting
from ..k8s.watch import Collection, View, Watcher

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTER_SPEC,
    "management_kubeconfig": {"type": "path", "required": True},
    "management_context": {"type": "str", "required": True},
    "management_cluster": {"type": "str"},
    "namespace": {"type": "str", "default": "gloo-mesh"},
    "management_namespace": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "on_conflict": {"type": "str", "choices": ["fail", "force"], "default": "fail"},
    "wait_timeout": {"type": "int", "default": 180},
}

# The only key of each Secret that is copied. The root's tls.key never leaves the management cluster.
COPIED: dict[str, str] = {"relay-root-tls-secret": "ca.crt", "relay-identity-token-secret": "token"}


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: that of the module objects. Raises Timeout when the management server has not created the Secrets."""
    namespace = params.get("namespace") or "gloo-mesh"
    source = params.get("management_namespace") or namespace
    timeout = float(params.get("wait_timeout") or 0)
    absent = params.get("state") == "absent"
    with connect(params, progress) as cluster:
        management_requests = 0
        values: dict[str, str] = dict.fromkeys(COPIED, "")
        if not absent:
            own = {name: params.get(f"management_{name}") for name in CLUSTER_SPEC}
            with connect({**own, "wait_timeout": timeout}, progress) as management:
                values, missing = _read(management, source, 0.0 if check else timeout, progress)
                management_requests = management.requests
            if missing and not check:
                entries = [f"Secret {source}/{name}: no key {COPIED[name]}" for name in missing]
                raise Timeout(
                    "\n".join(lines(management.name, entries, timeout))
                    + ". Check that the management server, which creates them, is ready. If the relay uses your own "
                    "certificates, set mesh_relay_secrets to own",
                    cluster=management.name,
                    kind="Secret",
                    namespace=source,
                    name=missing[0],
                )
        result = converge(
            cluster,
            [_secret(name, namespace, values[name]) for name in COPIED],
            check=check,
            progress=progress,
            absent=absent,
            force=params.get("on_conflict") == "force",
            timeout=timeout,
        )
        result["requests"] += management_requests
        return result


def _read(
    management: Cluster, namespace: str, timeout: float, progress: Callable[[str], None]
) -> tuple[dict[str, str], list[str]]:
    """(value by Secret name, names of Secrets without a value), after waiting for all of them."""
    places = {name: Collection("v1", "Secret", namespace, name=name) for name in COPIED}
    values: dict[str, str] = {}

    def look(view: View) -> Verdict:
        for name, place in places.items():
            values[name] = (((view.get(place, name) or {}).get("data")) or {}).get(COPIED[name], "")
        return together(
            {
                f"Secret {namespace}/{name}": waiting(f"no key {key}, which the management server creates")
                for name, key in COPIED.items()
                if not values[name]
            }
        )

    with Watcher(management, list(places.values())) as watcher:
        watcher.until(look, timeout, progress)
    _check_certificate(management.name, namespace, values["relay-root-tls-secret"])
    return values, [name for name in COPIED if not values[name]]


def _check_certificate(cluster: str, namespace: str, value: str) -> None:
    """Refuse a private key stored under the certificate's key."""
    text = base64.b64decode(value) if value else b""
    if b"PRIVATE KEY" in text:
        raise Invalid(
            f"{cluster}: Secret {namespace}/relay-root-tls-secret: its key ca.crt contains a private key, "
            "which must not leave the management cluster. Store only the root certificate there",
            cluster=cluster,
        )


def _secret(name: str, namespace: str, value: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": {COPIED[name]: value},
    }
