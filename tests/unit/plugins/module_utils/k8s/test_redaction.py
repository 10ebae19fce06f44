"""What may leave a cluster: by place, by shape, by value."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import time
import tracemalloc
import zlib
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.redaction import (
    REDACTED,
    Redaction,
    fingerprint,
    helm_release,
    redact,
    scrub,
    text,
)

Json = dict[str, Any]

CANARY = "Canary-4tune8te-Cookie"
BLOB = base64.b64encode(b"nobody may ever read what is written in here, 2026").decode()
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQifQ.c2lnbmF0dXJl"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BLOB}\nMIIEowIBAAKC\n-----END RSA PRIVATE KEY-----"

# (text, what of it must not be seen)
SHAPES = [
    (f"key is {PEM} and more", BLOB),
    (f"cut off: -----BEGIN CERTIFICATE-----\n{BLOB}\nabcd", "abcd"),
    (f"{BLOB}\nMIIEowIBAAKCAQEA\nqwer1234==\n-----END RSA PRIVATE KEY-----\nlater", "qwer1234"),
    (f"got token {JWT} from agent", JWT),
    (f"Authorization: Bearer {CANARY}", CANARY),
    (f"authorization=Basic%20{CANARY}", CANARY),
    (f"GET https://admin:{CANARY}@example.org/path", CANARY),
    (f"GET /x?access_token={CANARY}&y=1", CANARY),
    (f"GET /x?y=1&key={CANARY}", CANARY),
    (f'{{"level":"info","licenseKey":"{CANARY}"}}', CANARY),
    (f'{{"msg":"{{\\"password\\":\\"{CANARY}\\"}}"}}', CANARY),
    (f"password: '{CANARY} with blanks'", "with blanks"),
    (f"--license-key {CANARY} --other", CANARY),
    (f"--glooGatewayLicenseKey={CANARY}", CANARY),
    (f"SOLO_ISTIO_LICENSE_KEY={CANARY};", CANARY),
    ("licensed to A1B2-C3D4-E5F6-G7H8", "C3D4"),
    (f"data {BLOB} end", BLOB[:20]),
    ("data " + "a1b2c3d4" * 6, "a1b2c3d4"),
    ("data QUJDabc/ab12/" + BLOB.lower() + "A9", BLOB.lower()),
    ("digest " + "0123456789abcdef" * 2, "0123456789abcdef"),
    (f"GET https://admin:p@{CANARY}@example.org/path", CANARY),
    (f"redis_pass={CANARY} pwd={CANARY}", CANARY),
    (f"Cookie: a=b; session={CANARY}", CANARY),
    (f"Authorization: Token {CANARY}", CANARY),
    (f'Authorization: Digest username="x", response="{CANARY}"', CANARY),
    ("found AKIAIOSFODNN7EXAMPLE here", "AKIAIOSFODNN7EXAMPLE"),
    (f"GET /x?next=access_token%3D{CANARY}", CANARY),
    (f"password => {CANARY}", CANARY),
    (f"password: |\n  {CANARY}\n", CANARY),
    (f'{{"tokens":["{CANARY}"]}}', CANARY),
    (f"env:\n- name: MY_PASSWORD\n  value: {CANARY}\n", CANARY),
    (f'{{"name":"MY_PASSWORD","value":"{CANARY}"}}', CANARY),
    (f"EnvVar{{Name:MY_PASSWORD,Value:{CANARY},}}", CANARY),
    (f"license key: {CANARY}", CANARY),
    (f"license key '{CANARY}' has expired", CANARY),
    (f"invalid license key {CANARY}", CANARY),
    (f"the token is {CANARY}", CANARY),
    (f"'x-api-key', '{CANARY}'\n'cookie', 'a=b'", CANARY),
    (f'"args":["--token","{CANARY}"]', CANARY),
    (f'{{\\"args\\":[\\"--token\\", \\"{CANARY}\\"]}}', CANARY),
    (f'{{"auths":{{"registry.example":{{"auth":"{base64.b64encode(CANARY.encode()).decode()}"}}}}}}', "Q2FuYXJ5"),
    (f"curl -u admin:{CANARY} http://example.org", CANARY),
    (f'Bearer "{CANARY}"', CANARY),
    ("GET https://example.org/c?sv=2&sig=Xy1aB2cD3eF%2FgH4iJ5kL6mN%2BoP7q", "gH4iJ5kL6mN"),
    (f"%22password%22%3A%22{CANARY}%22", CANARY),
    ("found glpat-AbCd1234efGH5678ijkl here", "AbCd1234"),
    ("found dckr_pat_AbCd1234efGH5678ijkl_mnopq here", "AbCd1234"),
    (f"passwords:\n  - first-one\n  - {CANARY}\n", CANARY),
    (f'{{"password":"ab\\"{CANARY}"}}', CANARY),
    (f'cut off: {{"password":"{CANARY}', CANARY),
    (f"cut off: password: '{CANARY}", CANARY),
]

# What a reader needs and no rule may take.
KEPT = [
    "no token data found in secret gloo-mesh/relay-identity-token-secret with key token",
    'client claims to be in cluster "Kubernetes", but we only know about local cluster "cluster1"',
    "x509: certificate is valid for other.example, not gloo-mesh-mgmt-server.gloo-mesh",
    "secret gloo-mesh/relay-identity-token-secret: not found",
    "could not find file '/etc/istio-certs/key.pem'",
    "/var/run/secrets/kubernetes.io/serviceaccount/namespace",
    "image gloo@sha256:" + "0123456789abcdef" * 4,
    "2902ddb8-246e-4230-8eb2-85bf9fe89255",
    "istio-eastwestgateway-6f7b9c8d4-x2x7p.istio-eastwest.svc.cluster.local:15443",
    '"secretName": "istio-ca-secret"',
    "config ServiceEntry/bookinfo/vd-reviews-mesh-internal-com-mgmt-2 and more",
    "dial tcp 192.0.2.10:9900: connect: connection refused",
    'secrets "relay-root-tls-secret-2" is forbidden: User "x" cannot get resource',
    "license is valid until 2027-01-01",
    "license expired at 2026-01-01T00:00:00Z",
    "the token has expired",
    "set env PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES on istiod",
    "Workspace gloo-mesh/ws: UNLICENSED: expired",
    "oci://registry.example:5000/a/b@sha256:0a",
    '{"level":"info","msg":"relay-token","error":"none"}',
    "{'kind': 'secret', 'name': 'relay'}",
    '"--token-file", "/var/run/token"',
]


@pytest.mark.parametrize(("content", "secret"), SHAPES)
def test_what_looks_like_a_secret_is_not_shown(content: str, secret: str) -> None:
    assert secret in content
    assert secret not in text(content)
    assert REDACTED in text(content)


@pytest.mark.parametrize("content", KEPT)
def test_what_tells_of_faults_stays(content: str) -> None:
    assert text(content) == content


def test_what_follows_a_secret_stays() -> None:
    assert text(f"{PEM}\nnext line").endswith("\nnext line")
    assert text(f"a=1 password={CANARY} b=2") == f"a=1 password={REDACTED} b=2"


def obj(kind: str, api_version: str = "v1", **fields: Any) -> Json:
    meta = {"name": "x", "namespace": "ns", "managedFields": [{"manager": CANARY}], **fields.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **fields}


def pod(**container: Any) -> Json:
    return obj("Pod", spec={"containers": [{"name": "c", **container}]})


B64 = base64.b64encode(CANARY.encode()).decode()
PLANTED = [
    obj("Secret", type="Opaque", data={"token": B64}),
    obj("Secret", stringData={"token": CANARY}),
    obj("ConfigMap", data={"values": f"global:\n  licenseKey: {CANARY}\n"}),
    obj("ConfigMap", binaryData={"values": B64}),
    obj("ConfigMap", metadata={"name": "istio-gloo"}, data={"mesh": f"x: {CANARY}\ntrustDomain: cluster1"}),
    obj("ConfigMap", metadata={"name": "istio"}, data={"mesh": f"{{{CANARY}"}),
    obj(
        "Deployment", "apps/v1", metadata={"annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY}}
    ),
    obj("Deployment", "apps/v1", spec={"template": {"metadata": {"annotations": {"any/thing": CANARY}}}}),
    obj("Service", metadata={"annotations": {"istio.io/rev": f"token={CANARY}"}}),
    pod(env=[{"name": "PLAIN", "value": CANARY}]),
    pod(env=[{"name": "CA_ADDR", "value": f"https://u:{CANARY}@istiod:15012"}]),
    pod(args=["--verbose", "--api-key", CANARY]),
    pod(args=[f"--password={CANARY}"]),
    pod(command=["sh", "-c", f"LICENSE_KEY={CANARY} run"]),
    pod(livenessProbe={"exec": {"command": ["curl", "-u", f"admin:{CANARY}", "localhost"]}}),
    obj("EnvoyFilter", "networking.istio.io/v1", spec={"typed_config": {"client_secret": CANARY, "token": [CANARY]}}),
    obj(
        "HTTPRoute",
        "gateway.networking.k8s.io/v1",
        spec={"rules": [{"filters": [{"requestHeaderModifier": {"set": [{"name": "X-A", "value": CANARY}]}}]}]},
    ),
    obj(
        "VirtualService", "networking.istio.io/v1", spec={"http": [{"headers": {"request": {"set": {"x-a": CANARY}}}}]}
    ),
    obj("Pod", status={"containerStatuses": [{"state": {"terminated": {"message": f"token: {CANARY}"}}}]}),
    obj("Event", message=f"failed with --token {CANARY}"),
    obj("ProxyConfig", "networking.istio.io/v1beta1", spec={"environmentVariables": {"PLAIN": CANARY, "name": "x"}}),
    obj(
        "AuthorizationPolicy",
        "security.istio.io/v1",
        spec={
            "rules": [
                {"when": [{"key": f"request.headers[{name}]", field: [CANARY]}]}
                for name, field in (("x-api-key", "values"), ("x-any", "notValues"))
            ]
        },
    ),
    obj(
        "VirtualService",
        "networking.istio.io/v1",
        spec={"http": [{"match": [{"queryParams": {"sid": {"exact": CANARY}}}]}]},
    ),
    obj("AnyKind", "gloo.solo.io/v1", spec={"credentials": [{"user": "x", "key": CANARY}]}),
    obj("AnyKind", "gloo.solo.io/v1", spec={"licence": {"value": {"plain": CANARY}}}),
    obj("AnyKind", "gloo.solo.io/v1", spec={"options": [{"key": "password", "value": CANARY}]}),
    obj(
        "GatewayParameters",
        "gateway.kgateway.dev/v1alpha1",
        spec={"kube": {"podTemplate": {"extraAnnotations": {"any/thing": CANARY}}}},
    ),
]


def forms(secret: str) -> list[str]:
    raw = secret.encode()
    return [secret, quote(secret, safe=""), base64.b64encode(raw).decode().rstrip("="), base64.b32encode(raw).decode()]


@pytest.mark.parametrize("planted", PLANTED, ids=lambda o: o["kind"])
def test_no_secret_of_an_object_is_shown(planted: Json) -> None:
    assert any(form in json.dumps(planted) for form in forms(CANARY))
    before = copy.deepcopy(planted)
    shown = json.dumps(Redaction().object(planted))
    assert [form for form in forms(CANARY) if form in shown] == []
    assert planted == before


def test_names_stay_and_so_do_harmless_values() -> None:
    redaction = Redaction()
    env = [
        {"name": "CA_ADDR", "value": "istiod-gloo.istio-system.svc:15012"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "relay", "key": "token"}}},
        {"name": "OTHER", "value": "x"},
    ]
    [container] = redaction.object(pod(env=env, args=["--log-level", "debug"]))["spec"]["containers"]
    assert container["env"][0] == env[0]
    assert container["env"][1]["valueFrom"]["secretKeyRef"]["name"] == "relay"
    assert container["env"][2] == {"name": "OTHER", "value": REDACTED}
    assert container["args"] == ["--log-level", "debug"]
    assert redaction.object(PLANTED[0])["keys"] == ["token"]
    assert redaction.object(PLANTED[0])["type"] == "Opaque"
    [row] = redaction.object(PLANTED[4])["keys"]
    assert row["mesh"] == {"trustDomain": "cluster1"}
    assert "managedFields" not in redaction.object(PLANTED[0])["metadata"]


def test_two_clusters_with_the_same_root_are_seen_to_have_it() -> None:
    one, same, other = (
        Redaction().object(obj("ConfigMap", data={"root-cert.pem": value}))["keys"][0]["sha256"]
        for value in ("a", "a\n", "b")
    )
    assert one == same != other


@given(st.text(min_size=8).filter(lambda s: len(s.strip()) >= 8 and "\n" not in s.strip()))
def test_what_was_hidden_once_is_found_everywhere(value: str) -> None:
    redaction = Redaction()
    redaction.object(obj("Secret", data={"any": base64.b64encode(value.encode()).decode()}))
    found = value.strip()
    for form in [found, quote(found, safe=""), base64.b64encode(found.encode()).decode().rstrip("=")]:
        if text(found) != REDACTED:
            assert form not in redaction.scrub(f"before {form} after")


def test_public_words_and_lines_of_files_are_no_secrets() -> None:
    redaction = Redaction()
    redaction.publish(["bookinfo-cluster"])
    content = f"replicas: 1\napiKey: {CANARY}\nnamespace: bookinfo-cluster\n"
    data = {"a": base64.b64encode(b"bookinfo-cluster").decode(), "b": base64.b64encode(content.encode()).decode()}
    redaction.object(obj("Secret", data=data))
    assert redaction.scrub("replicas: 1 in bookinfo-cluster") == "replicas: 1 in bookinfo-cluster"
    assert redaction.scrub(f"seen {CANARY}") == f"seen {REDACTED}"


def test_the_password_of_a_connection_string_is_found_alone() -> None:
    redaction = Redaction()
    data = {"url": f"redis://:{CANARY}@redis:6379", "config": f'{{"password":"{CANARY}2"}}'}
    redaction.object(obj("Secret", data={key: base64.b64encode(v.encode()).decode() for key, v in data.items()}))
    assert redaction.scrub(f"seen {CANARY}2 and {CANARY}") == f"seen {REDACTED} and {REDACTED}"


def test_volumes_stay_as_they_are() -> None:
    token = {"serviceAccountToken": {"audience": "istio-ca", "expirationSeconds": 43200, "path": "istio-token"}}
    items = {"secret": {"name": "certs", "items": [{"key": "token", "path": "token"}]}}
    volumes = [{"projected": {"sources": [token, items]}}, {"secret": {"secretName": "x", "defaultMode": 420}}]
    assert Redaction().object(obj("Pod", spec={"volumes": volumes}))["spec"]["volumes"] == volumes


def test_a_helm_release_is_its_chart_and_state_alone() -> None:
    release = {
        "chart": {"metadata": {"name": "gloo-platform", "version": "2.9.0"}, "values": {"key": CANARY}},
        "config": {"licensing": {"glooMeshLicenseKey": CANARY}},
    }
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()
    labels = {"owner": "helm", "name": "platform", "version": "3", "status": "deployed"}
    found = helm_release(obj("Secret", metadata={"labels": labels}, data={"release": packed}))
    assert found == {
        "namespace": "ns",
        "name": "platform",
        "revision": "3",
        "status": "deployed",
        "chart": "gloo-platform",
        "version": "2.9.0",
    }


def test_secrets_among_helm_values_are_found_in_logs() -> None:
    release = {"chart": {"metadata": {"name": "x"}}, "config": {"licensing": {"glooMeshLicenseKey": CANARY}}}
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()
    redaction = Redaction()
    assert redaction.release(obj("Secret", data={"release": packed}))["chart"] == "x"
    assert redaction.scrub(f"seen {CANARY}") == f"seen {REDACTED}"


def _packed(release: bytes) -> Json:
    return {"release": base64.b64encode(base64.b64encode(gzip.compress(release))).decode()}


@pytest.mark.parametrize(
    "data",
    [None, {}, {"release": "%%%"}, {"release": B64}, _packed(b"[" * 100_000), _packed(b'{"chart": {"metadata": [1]}}')],
)
def test_a_release_that_cannot_be_read_is_named_all_the_same(data: Any) -> None:
    found = helm_release(obj("Secret", metadata={"labels": {"name": "platform"}}, data=data))
    assert (found["name"], found["chart"]) == ("platform", "")


def test_a_release_that_unpacks_to_a_huge_text_is_not_unpacked() -> None:
    pack = zlib.compressobj(1, wbits=31)
    small = b"".join(pack.compress(bytes(1 << 24)) for _ in range(24)) + pack.flush()
    twice = base64.b64encode(base64.b64encode(small)).decode()
    tracemalloc.start()
    assert helm_release(obj("Secret", data={"release": twice}))["chart"] == ""
    assert tracemalloc.get_traced_memory()[1] < 1 << 28
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("canary-7f3c9a51d2e4", True),
        ("Zm9vYmFyYmF6cXV4MTIz", True),
        ("cluster1", False),  # a word of everybody
        ("http://reviews.bookinfo:9080", False),
    ],
)
def test_a_value_of_no_known_name_is_found_elsewhere_where_it_is_no_word(value: str, found: bool) -> None:
    redaction = Redaction()
    redaction.object(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "x", "annotations": {"example.com/note": value}},
            "spec": {"containers": [{"name": "c", "env": [{"name": "GREETING", "value": value}]}]},
        }
    )
    assert (value not in redaction.scrub(f"hello {value}")) is found


@pytest.mark.parametrize(
    "planted",
    [
        obj("ConfigMap", data={"license-key": CANARY}),
        obj("ConfigMap", data={"any": CANARY}),
        obj("ConfigMap", data={"values.yaml": f"global:\n  licenseKey: {CANARY}\n"}),
        obj("ConfigMap", data={"kubeconfig": f"users:\n- name: a\n  user:\n    token: {CANARY}\n"}),
        obj("ConfigMap", binaryData={"any": B64}),
        obj("Service", metadata={"annotations": {"any": json.dumps({"password": CANARY, "a": "b c"})}}),
        pod(env=[{"name": "DB", "value": f"postgres://u:{CANARY}@db/x"}]),
        pod(args=[f"--set=licenseKey={CANARY}"]),
        obj("HTTPRoute", spec={"requestHeaderModifier": {"set": [{"name": "X-A", "value": CANARY}]}}),
        obj("Secret", data={"file": base64.b64encode(f"user one\n{CANARY}\n".encode()).decode()}),
        obj("Secret", data={"users": base64.b64encode(f"admin:{CANARY}".encode()).decode()}),
    ],
)
def test_what_is_hidden_in_one_place_is_hidden_in_a_log(planted: Json) -> None:
    redaction = Redaction()
    redaction.object(planted)
    assert redaction.scrub(f"hello {CANARY}") == f"hello {REDACTED}"


@pytest.mark.parametrize("before", ["", "u", "ad", "u:x", "admin"])
def test_what_was_hidden_is_found_inside_base64(before: str) -> None:
    redaction = Redaction()
    redaction.hide(CANARY)
    packed = base64.b64encode(f"{before}{CANARY}and more".encode()).decode()
    left = redaction.scrub(packed)
    assert REDACTED in left
    assert len(left) - len(REDACTED) <= len(packed) - len(B64.rstrip("=")) + 2


def test_texts_of_odd_shape_take_no_time() -> None:
    begin = time.monotonic()
    for piece in ("\\", "'token", '"--token", ', "'token', ", "- a\n", "-u a", 'token="', "token\\"):
        text(f"token:\n{piece * (100_000 // len(piece))}")
    assert time.monotonic() - begin < 10


SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    "planted",
    [
        obj("Secret", data={"k": SECRET}, stringData={"k": SECRET}),
        obj("Deployment", "apps/v1", spec={"containers": [{"env": [{"name": "LICENSE_KEY", "value": SECRET}]}]}),
        obj("Deployment", "apps/v1", spec={"env": [{"name": "RELAY_TOKEN", "value": SECRET}]}),
        obj("Deployment", "apps/v1", spec={"env": [{"name": "DB_PASSWORD", "value": SECRET}]}),
        obj("Deployment", "apps/v1", spec={"env": [{"name": "SIGNER_CA_KEY", "value": SECRET}]}),
        obj("Thing", spec={"licenseKey": SECRET, "deep": [{"token": SECRET}]}),
    ],
)
def test_results_and_diffs_show_no_secret_value(planted: Json) -> None:
    for name in ("kubectl.kubernetes.io/last-applied-configuration", "multicluster.gloo/former"):
        planted["metadata"].setdefault("annotations", {})[name] = SECRET
    before = copy.deepcopy(planted)
    assert SECRET not in json.dumps(redact(planted))
    assert planted == before


def test_values_of_config_maps_are_redacted_where_asked() -> None:
    values = obj("ConfigMap", data={"values": SECRET})
    assert SECRET in json.dumps(redact(values))
    assert SECRET not in json.dumps(redact(values, config_maps=True))


def test_other_values_are_shown_in_results_and_diffs() -> None:
    env = [{"name": "CLUSTER_NAME", "value": "cluster1"}]
    shown = obj("Deployment", "apps/v1", spec={"env": env, "topologyKey": "zone", "secretName": "relay-root"})
    assert redact(shown) == shown


@given(st.text(min_size=1), st.text(min_size=1))
def test_fingerprints_are_equal_when_the_values_are(one: str, other: str) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


@given(st.text(min_size=1, max_size=20).filter(str.strip))
def test_known_secrets_are_scrubbed_in_every_form(secret: str) -> None:
    plain = secret.strip()
    for form in (
        secret,
        plain,
        json.dumps(plain)[1:-1],
        quote(plain, safe=""),
        base64.b64encode(plain.encode()).decode(),
    ):
        if form.rstrip("=") not in REDACTED:
            assert form not in scrub(f"helm: {form}: refused", [secret])


def test_users_of_urls_are_redacted() -> None:
    assert text("see https://me:pw@x@example.org/a@b") == f"see https://{REDACTED}@example.org/a@b"
