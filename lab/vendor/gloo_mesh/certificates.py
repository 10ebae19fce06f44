"""Real certificates of the simulated Gloo Mesh. Functions return Secret data (bytes by key)."""

from __future__ import annotations

import functools
import secrets
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from lab.vendor.gloo_mesh.secrets import ROOT_SECRET, SERVER, SERVER_SECRET, SIGNING_SECRET, TOKEN_SECRET

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@functools.lru_cache(maxsize=32)
def names_of(certificate_pem: bytes) -> tuple[str, ...]:
    """DNS names a certificate is valid for; () when it cannot be read."""
    try:
        leaf = x509.load_pem_x509_certificate(certificate_pem)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return ()
    return tuple(names.get_values_for_type(x509.DNSName))


@functools.lru_cache(maxsize=64)
def trusted(chain_pem: bytes, authorities_pem: bytes) -> bool:
    """Whether the first certificate of a chain leads to one of the authorities, through the others of the chain."""
    try:
        chain = x509.load_pem_x509_certificates(chain_pem)
        authorities = x509.load_pem_x509_certificates(authorities_pem)
    except ValueError:
        return False
    leaf, *others = chain
    for _ in chain:
        if any(_issued(leaf, authority) for authority in authorities):
            return True
        above = next((other for other in others if _issued(leaf, other)), None)
        if above is None:
            return False
        leaf = above
    return False


def relay_secrets(namespace: str, token_key: str = "token") -> dict[str, dict[str, bytes]]:
    """The Secrets that the management server creates at its first start, by name."""
    root, signing, leaf = ec_key(), ec_key(), ec_key()
    name = f"{SERVER}.{namespace}"
    root_cert = certificate("gloo-mesh relay root", root, None, authority=True)
    signing_cert = certificate("gloo-mesh relay signing", signing, (root_cert, root), authority=True)
    leaf_cert = certificate(name, leaf, (root_cert, root), names=[name, f"*.{namespace}", SERVER])
    ca = pem(root_cert)
    return {
        ROOT_SECRET: {"ca.crt": ca, "tls.crt": ca, "tls.key": key_pem(root)},
        SIGNING_SECRET: {"ca.crt": ca, "tls.crt": pem(signing_cert), "tls.key": key_pem(signing)},
        SERVER_SECRET: {"ca.crt": ca, "tls.crt": pem(leaf_cert), "tls.key": key_pem(leaf)},
        TOKEN_SECRET: {token_key: secrets.token_urlsafe(48).encode()},
    }


def client_secret(cluster: str, signing: dict[str, bytes]) -> dict[str, bytes]:
    """The Secret that an agent stores when its certificate request was signed."""
    key = ec_key()
    issuer = x509.load_pem_x509_certificate(signing["tls.crt"]), load_key(signing["tls.key"])
    cert = certificate(cluster, key, issuer, names=[cluster])
    return {"ca.crt": signing["ca.crt"], "tls.crt": pem(cert) + signing["tls.crt"], "tls.key": key_pem(key)}


def mesh_root(organisation: str, days: int) -> dict[str, bytes]:
    """A root for the meshes: keys tls.crt, tls.key."""
    key = rsa_key()
    cert = certificate("gloo-mesh root", key, None, authority=True, days=days, organisation=organisation)
    return {"tls.crt": pem(cert), "tls.key": key_pem(key)}


def cacerts(cluster: str, root: dict[str, bytes], days: int = 365) -> dict[str, bytes]:
    """istiod's Secret cacerts: an intermediate certificate of this cluster signed by the shared root."""
    key = rsa_key()
    issuer = x509.load_pem_x509_certificate(root["tls.crt"]), load_key(root["tls.key"])
    cert = certificate(f"{cluster} intermediate", key, issuer, authority=True, days=days, organisation="gloo-mesh")
    return {
        "ca-cert.pem": pem(cert),
        "ca-key.pem": key_pem(key),
        "root-cert.pem": root["tls.crt"],
        "cert-chain.pem": pem(cert) + root["tls.crt"],
    }


def certificate(
    name: str,
    key: Key,
    issuer: tuple[x509.Certificate, Key] | None,
    authority: bool = False,
    names: list[str] | None = None,
    days: int = 365,
    organisation: str = "gloo-mesh",
) -> x509.Certificate:
    """A certificate, self-signed without an issuer."""
    attributes = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
        x509.NameAttribute(NameOID.COMMON_NAME, name),
    ]
    subject, now = x509.Name(attributes), datetime.now(UTC)
    signer = issuer[1] if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(_usage(authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def ec_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key() -> Key:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(serialization.Encoding.PEM)


def key_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def load_key(text: bytes) -> Key:
    key = serialization.load_pem_private_key(text, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("only EC and RSA keys are supported")
    return key


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
