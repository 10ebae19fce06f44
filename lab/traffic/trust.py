"""What proxies trust: the root that signed their certificate, and the roots whose certificates they accept.

Both are fixed when a Pod starts, as long as its certificate lasts: a Pod that is older than a new root keeps the old
one until it is restarted.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import NamedTuple

from lab.control_plane.objects import Reader
from lab.vendor.gloo_mesh.certificates import trusted

_END = re.compile(r"(?<=-----END CERTIFICATE-----)")


class Trust(NamedTuple):
    """signer: digest of a root; roots: digests of all accepted ones."""

    signer: str
    roots: frozenset[str]

    def accepts(self, other: Trust) -> bool:
        """Whether both sides of a connection accept each other."""
        return self.signer in other.roots and other.signer in self.roots

    @property
    def header(self) -> str:
        return " ".join([self.signer, *sorted(self.roots)])


def from_header(text: str) -> Trust | None:
    signer, *roots = text.split() or [""]
    return Trust(signer, frozenset(roots)) if roots else None


def from_certificates(roots: str, chain: str = "") -> Trust | None:
    """From PEM: the accepted roots, and the certificate's chain; without a chain the first root has signed it."""
    found = [text for text in _END.split(roots) if text.strip()]
    if not found:
        return None
    signer = next((root for root in found if chain and trusted(chain.encode(), root.encode())), found[0])
    return Trust(_digest(signer), frozenset(map(_digest, found)))


def of_namespace(cluster: Reader, namespace: str) -> Trust | None:
    """What a Pod gets that starts in this namespace now: istiod's roots, signed by way of Secret cacerts if any."""
    config = cluster.get("ConfigMap", "istio-ca-root-cert", namespace) or {}
    roots = (config.get("data") or {}).get("root-cert.pem", "")
    return from_certificates(roots, _authority(cluster) if len(_END.split(roots)) > 2 else "")


def _authority(cluster: Reader) -> str:
    """The certificates of istiod's own authority."""
    for secret in cluster.list("Secret"):
        if secret["metadata"]["name"] == "cacerts":
            data = secret.get("data") or {}
            parts = (base64.b64decode(data.get(key) or "").decode() for key in ("ca-cert.pem", "cert-chain.pem"))
            return "\n".join(parts)
    return ""


def _digest(pem: str) -> str:
    """White space is ignored."""
    return hashlib.sha256("".join(pem.split()).encode()).hexdigest()
