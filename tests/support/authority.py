"""A certificate authority for tests with TLS."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """A CA for one test. plain: its certificates have none of the extensions that strict clients require."""

    def __init__(self, name: str, plain: bool = False) -> None:
        self.name, self.key, self.plain = name, ec.generate_private_key(ec.SECP256R1()), plain
        self.certificate, _key = self._sign(name, self.key, ca=True)

    def issue(self, name: str, *names: x509.GeneralName) -> tuple[bytes, bytes]:
        """(certificate, key) as PEM."""
        return self._sign(name, ec.generate_private_key(ec.SECP256R1()), names)

    def _sign(
        self, name: str, key: ec.EllipticCurvePrivateKey, names: tuple[x509.GeneralName, ...] = (), ca: bool = False
    ) -> tuple[bytes, bytes]:
        now = datetime.datetime.now(datetime.UTC)
        usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
        built = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca, None), critical=not self.plain)
        )
        if not self.plain:
            built = (
                built.add_extension(usage, critical=True)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            )
        if names:
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        pem = built.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return pem, pem_of(key)


def pem_of(
    key: ec.EllipticCurvePrivateKey,
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption(),  # noqa: B008
) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
