"""Certificates of the simulated Gloo Mesh."""

from __future__ import annotations

from typing import Any

from cryptography import x509

from lab.vendor.gloo_mesh.certificates import cacerts, client_secret, mesh_root, relay_secrets


def load(text: Any) -> Any:
    return x509.load_pem_x509_certificates(text)


def test_relay_secrets_hold_a_chain_and_a_server_name() -> None:
    made = relay_secrets("gloo-mesh")
    assert {name: set(data) for name, data in made.items()} == {
        "relay-root-tls-secret": {"ca.crt", "tls.crt", "tls.key"},
        "relay-tls-signing-secret": {"ca.crt", "tls.crt", "tls.key"},
        "relay-server-tls-secret": {"ca.crt", "tls.crt", "tls.key"},
        "relay-identity-token-secret": {"token"},
    }
    (root,) = load(made["relay-root-tls-secret"]["ca.crt"])
    (leaf,) = load(made["relay-server-tls-secret"]["tls.crt"])
    leaf.verify_directly_issued_by(root)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "gloo-mesh-mgmt-server.gloo-mesh" in names.get_values_for_type(x509.DNSName)
    client = client_secret("cluster1", made["relay-tls-signing-secret"])
    leaf, signing = load(client["tls.crt"])
    leaf.verify_directly_issued_by(signing)
    signing.verify_directly_issued_by(root)


def test_cacerts_of_two_clusters_share_the_root() -> None:
    root = mesh_root("org", 10)
    one, two = cacerts("cluster1", root), cacerts("cluster2", root)
    assert set(one) == {"ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"}
    assert one["root-cert.pem"] == two["root-cert.pem"]
    assert one["ca-cert.pem"] != two["ca-cert.pem"]
    (top,) = load(root["tls.crt"])
    for result in (one, two):
        (intermediate,) = load(result["ca-cert.pem"])
        intermediate.verify_directly_issued_by(top)
        assert intermediate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert load(result["cert-chain.pem"])[0] == intermediate
