"""Certificates of HTTPS listeners, from the Secrets in their certificateRefs. Pure."""

from __future__ import annotations

import base64
from typing import NamedTuple

from lab.control_plane.objects import Object, Reader


class Certificate(NamedTuple):
    """Of one listener; hostname "" serves every server name."""

    hostname: str
    chain: str
    key: str


class Refused(ValueError):
    """Why a listener has no certificate; the text is the condition's message."""

    def __init__(self, message: str, reason: str = "InvalidCertificateRef") -> None:
        super().__init__(message)
        self.reason = reason


def certificate(cluster: Reader, gateway: Object, listener: Object) -> Certificate:
    """The first certificate of an HTTPS listener. Raises Refused. Secrets of other namespaces are not permitted."""
    namespace = gateway["metadata"]["namespace"]
    for ref in (listener.get("tls") or {}).get("certificateRefs") or []:
        if ref.get("namespace", namespace) != namespace:
            raise Refused("Reference not permitted by ReferenceGrant.", "RefNotPermitted")
        secret = cluster.get("Secret", ref["name"], namespace)
        if secret is None:
            raise Refused(f"Secret {namespace}/{ref['name']} not found.")
        data = secret.get("data") or {}
        if secret.get("type") != "kubernetes.io/tls" or not data.get("tls.crt") or not data.get("tls.key"):
            raise Refused(f"Secret {namespace}/{ref['name']} is not a valid TLS secret.")
        chain, key = (base64.b64decode(data[name]).decode() for name in ("tls.crt", "tls.key"))
        return Certificate(listener.get("hostname") or "", chain, key)
    raise Refused("no certificateRefs")


def by_port(cluster: Reader, gateway: Object) -> dict[int, list[Certificate]]:
    """Certificates of the HTTPS listeners by port; an empty list for a port whose listeners have none."""
    result: dict[int, list[Certificate]] = {}
    for listener in gateway["spec"].get("listeners") or []:
        if listener.get("protocol") == "HTTPS":
            found = result.setdefault(int(listener["port"]), [])
            try:
                found.append(certificate(cluster, gateway, listener))
            except Refused:
                continue
    return result
