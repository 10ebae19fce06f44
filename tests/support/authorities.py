"""Certificate authorities for tests: real certificates, made once for each name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: validity of every certificate unless told otherwise
BEGIN, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)


class Authority:
    """A certificate with its key; ``issuer`` None: self-signed. ``subject``: by default the name."""

    def __init__(
        self, name: str, issuer: Authority | None, *, subject: str = "", end: datetime = END, ca: bool = True
    ) -> None:
        self.key = _key(name)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject or name)])
        signer = issuer.key if issuer else self.key
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(issuer.name if issuer else self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(BEGIN, end - timedelta(days=1)))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(signer, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


@cache
def _key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def root(name: str) -> Authority:
    return Authority(name, None)


@cache
def issued(name: str, by: str) -> Authority:
    """An intermediate, issued by the root of that name."""
    return Authority(name, root(by))


def private_key() -> str:
    """A private key, which must not be kept anywhere."""
    kind = serialization.PrivateFormat.PKCS8
    return _key("private").private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()
