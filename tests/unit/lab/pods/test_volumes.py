"""A Pod's volumes as folders: their content, missing sources, updates."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from lab.control_plane.api import ApiError
from lab.pods import volumes

TOKEN = {"serviceAccountToken": {"audience": "istio-ca", "expirationSeconds": 43200, "path": "istio-token"}}


def token(audience: str, seconds: int) -> str:
    return f"token for {audience} of {seconds} s"


def pod(made: Any, *volume_specs: Any) -> Any:
    proxy = made.pod("http-1", namespace="gloo-system", sidecar=False, containers=[{"name": "kgateway-proxy"}])
    proxy["spec"]["volumes"] = list(volume_specs)
    return proxy


def cluster(made: Any, root: str = "ROOT") -> Any:
    config = made.obj("ConfigMap", "istio-ca-root-cert", "gloo-system", data={"root-cert.pem": root, "other": "x"})
    secret = made.obj("Secret", "keys", "gloo-system", data={"key": base64.b64encode(b"K").decode()})
    return made.Cluster("cluster1", config, secret)


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ({"configMap": {"name": "istio-ca-root-cert"}}, {"root-cert.pem": b"ROOT", "other": b"x"}),
        (
            {"configMap": {"name": "istio-ca-root-cert", "items": [{"key": "root-cert.pem", "path": "ca/root"}]}},
            {"ca/root": b"ROOT"},
        ),
        ({"configMap": {"name": "none", "optional": True}}, {}),
        ({"secret": {"secretName": "keys"}}, {"key": b"K"}),
        ({"projected": {"sources": [TOKEN]}}, {"istio-token": b"token for istio-ca of 43200 s"}),
        ({"projected": {"sources": [{"secret": {"name": "keys"}}, TOKEN]}}, {"key", "istio-token"}),
        (
            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {"name": b"http-1"},
        ),
        ({"emptyDir": {"medium": "Memory"}}, None),
    ],
)
def test_contents(made: Any, source: Any, files: Any) -> None:
    found = volumes.contents(cluster(made), pod(made), {"name": "v", **source}, token)
    assert (set(found or {}) if isinstance(files, set) else found) == files


def test_a_missing_trust_root_is_reported_in_a_kubelets_words_and_nothing_is_written(made: Any, tmp_path: Path) -> None:
    certs = {"name": "istio-certs", "emptyDir": {}}
    root = {"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}}
    result = pod(made, certs, root)
    empty = made.Cluster("cluster1")
    with pytest.raises(volumes.NotMounted) as refused:
        volumes.lay_out(tmp_path, empty, result, {"istio-certs", "istiod-ca-cert"}, token)
    text = 'MountVolume.SetUp failed for volume "istiod-ca-cert" : configmap "istio-ca-root-cert" not found'
    assert str(refused.value) == text
    assert not list(tmp_path.iterdir())
    volumes.lay_out(tmp_path, empty, result, {"istio-certs"}, token)  # no container mounts the other one
    assert [place.name for place in tmp_path.iterdir()] == ["istio-certs"]


def test_a_folder_follows_its_object_and_leaves_the_containers_files_alone(made: Any, tmp_path: Path) -> None:
    result = pod(
        made,
        {"name": "certs", "emptyDir": {}},
        {"name": "root", "configMap": {"name": "istio-ca-root-cert"}},
    )
    names = {"certs", "root"}
    volumes.lay_out(tmp_path, cluster(made), result, names, token)
    (tmp_path / "certs" / "key.pem").write_text("issued")
    changed = made.obj("ConfigMap", "istio-ca-root-cert", "gloo-system", data={"root-cert.pem": "NEW"})
    volumes.lay_out(tmp_path, made.Cluster("cluster1", changed), result, names, token)
    assert {str(f.relative_to(tmp_path)): f.read_text() for f in tmp_path.rglob("*") if f.is_file()} == {
        "certs/key.pem": "issued",
        "root/root-cert.pem": "NEW",
    }


def test_containers_see_their_volumes_at_their_mount_paths(made: Any, tmp_path: Path) -> None:
    result = {"volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/tokens/"}]}
    (tmp_path / "volumes" / "token").mkdir(parents=True)
    (tmp_path / "volumes" / "token" / "istio-token").write_text("T")
    for _ in range(2):  # a container that is started again finds them there
        volumes.mount(tmp_path / "root", tmp_path / "volumes", result)
    assert (tmp_path / "root/var/run/secrets/tokens/istio-token").read_text() == "T"


class Server:
    """Answers TokenRequests."""

    def __init__(self) -> None:
        self.requested: list[Any] = []

    def request(self, method: str, path: str, body: Any) -> Any:
        self.requested.append((method, path, body["spec"]))
        result = {"token": f"token {len(self.requested)}", "expirationTimestamp": "2100-01-01T00:00:00Z"}
        return {"status": result}


def test_a_token_is_requested_once_for_the_pods_account_and_bound_to_the_pod(made: Any) -> None:
    where, result = cluster(made), pod(made)
    result["spec"]["serviceAccountName"] = "http"
    where.api = Server()
    tokens = volumes.Tokens()
    assert [tokens.of(where, result)("istio-ca", 43200) for _ in range(2)] == ["token 1", "token 1"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "http-1", "uid": "uid-http-1"}
    assert where.api.requested == [
        (
            "POST",
            "/api/v1/namespaces/gloo-system/serviceaccounts/http/token",
            {"expirationSeconds": 43200, "boundObjectRef": bound, "audiences": ["istio-ca"]},
        )
    ]
    tokens.drop("uid-http-1")
    assert tokens.of(where, result)("istio-ca", 43200) == "token 2"


def test_a_deleted_account_is_reported_in_a_kubelets_words(made: Any) -> None:
    class Refusing:
        def request(self, *requested: Any) -> Any:
            raise ApiError("cluster1", 404, "NotFound", 'serviceaccounts "http" not found')

    where = cluster(made)
    where.api = Refusing()
    result = {"name": "istio-token", "projected": {"sources": [TOKEN]}}
    with pytest.raises(volumes.NotMounted) as refused:
        volumes.contents(where, pod(made), result, volumes.Tokens().of(where, pod(made)))
    text = 'volume "istio-token" : failed to fetch token: serviceaccounts "http" not found'
    assert str(refused.value).endswith(text)


def test_an_expired_token_is_requested_again(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    where, tokens = cluster(made), volumes.Tokens()
    where.api = Server()
    fresh = tokens.of(where, pod(made))
    fresh("istio-ca", 600)
    monkeypatch.setattr(volumes.time, "time", lambda: 4_102_444_799.0)  # a second before it ends
    assert fresh("istio-ca", 600) == "token 2"
