# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PEM texts as sets of certificates, and chains of trust with verified signatures (pure).

Signatures are verified with the Python package cryptography, which ansible-core requires as well. Names and key
identifiers alone would not do: every self-signed root of Istio has the same subject.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import cached_property, lru_cache
from typing import Any

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    MISSING = ""
except ImportError as exc:
    MISSING = f"the Python package cryptography cannot be imported: {exc}"

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


class CannotVerify(Exception):
    """Signatures cannot be verified on this machine; the text has the reason."""


@dataclass(frozen=True)
class Certificate:
    """One certificate. ``text``: its base64 without white space, which identifies it."""

    text: str

    @cached_property
    def parsed(self) -> Any:
        """The cryptography object; None where the content is not a certificate."""
        if MISSING:
            raise CannotVerify(MISSING)
        try:
            return x509.load_der_x509_certificate(base64.b64decode(self.text, validate=True))
        except (ValueError, binascii.Error):
            return None

    @cached_property
    def digest(self) -> str:
        """The first 8 hex digits of its SHA-256 fingerprint."""
        try:
            content = base64.b64decode(self.text, validate=True)
        except (ValueError, binascii.Error):
            content = self.text.encode()
        return hashlib.sha256(content).hexdigest()[:8]

    @property
    def title(self) -> str:
        """Subject and fingerprint: ``CN=root (1a2b3c4d)``."""
        try:
            subject = self.parsed.subject.rfc4514_string() if self.parsed is not None else ""
        except (CannotVerify, ValueError):
            subject = ""
        return f"{subject or 'certificate'} ({self.digest})"

    def is_expired(self, time: float | None) -> bool:
        """Whether it is no longer valid at that time (seconds since the epoch); False when either is unknown."""
        if time is None or MISSING or self.parsed is None:
            return False
        end = getattr(self.parsed, "not_valid_after_utc", None) or self.parsed.not_valid_after.replace(tzinfo=UTC)
        return bool(end.timestamp() < time)


def certificates_in(text: str) -> tuple[Certificate, ...]:
    """The distinct certificates of a PEM text in order. Comments, white space and other blocks are ignored."""
    found = (Certificate("".join(block.split())) for block in _BLOCK.findall(text))
    return tuple(dict.fromkeys(each for each in found if each.text))


def public_part(text: str) -> str:
    """Only the certificates of a PEM text, which may have private keys beside them; "" when there are none."""
    return "".join(
        f"-----BEGIN CERTIFICATE-----\n{each.text}\n-----END CERTIFICATE-----\n" for each in certificates_in(text)
    )


def anchor_of(
    chain: Sequence[Certificate], anchors: Iterable[Certificate], time: float | None = None
) -> Certificate | None:
    """The trusted certificate to which the first certificate of the chain leads, else None.

    The others of the chain are possible intermediates, in any order. An intermediate may be an anchor, as for Envoy.
    Certificates expired at *time* are not used. Raises CannotVerify when the answer depends on a signature that
    cannot be verified.
    """
    trusted = [each for each in dict.fromkeys(anchors) if not each.is_expired(time)]
    left = [each for each in dict.fromkeys(chain) if not each.is_expired(time)]
    if not left or left[0] != chain[0]:
        return None
    level, unknown = [left.pop(0)], ""
    while level:
        following: list[Certificate] = []
        for current in level:
            if current in trusted:
                return current
            try:
                for anchor in trusted:
                    if _issued(current, anchor):
                        return anchor
                following += [each for each in left if each not in following and _issued(current, each)]
            except CannotVerify as exc:
                unknown = str(exc)
        left = [each for each in left if each not in following]
        level = following
    if unknown:
        raise CannotVerify(unknown)
    return None


@lru_cache(maxsize=1024)
def _issued(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether the issuer is a CA that signed the certificate."""
    subject, by = certificate.parsed, issuer.parsed
    if subject is None or by is None or certificate == issuer or not _is_authority(by):
        return False
    try:
        subject.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    except AttributeError:
        raise CannotVerify("the Python package cryptography is older than version 40") from None
    return True


def _is_authority(parsed: Any) -> bool:
    try:
        return bool(parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return bool(parsed.version == x509.Version.v1)  # roots of that version have no extensions
