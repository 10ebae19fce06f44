"""Credentials of a kubeconfig's user: credential plugins and what is wrong with them, expiry, nobody at all."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s import credentials
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.client import Cluster
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import BadKubeconfig, Forbidden

Json = dict[str, Any]
V1, BETA = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"


def answer(status: Json, version: str = V1, kind: str = "ExecCredential") -> str:
    return f"echo '{json.dumps({'apiVersion': version, 'kind': kind, 'status': status})}'"


def plugin(script: str, **settings: Any) -> Json:
    return {"exec": {"apiVersion": V1, "command": "sh", "args": ["-c", script], **settings}}


class Site:
    """A fake API server, and a kubeconfig for it with any user."""

    def __init__(self, fake: Any) -> None:
        self.api, self.kubeconfig = fake

    def cluster(self, user: Json | None) -> Cluster:
        content = json.loads(Path(self.kubeconfig).read_text())
        [context] = [each for each in content["contexts"] if each["name"] == "fake"]
        content["users"] = []
        if user is None:
            del context["context"]["user"]
        else:
            content["users"] = [{"name": "fake", "user": user}]
        path = Path(self.kubeconfig).with_name("of-the-user")
        path.write_text(json.dumps(content))
        return Cluster(str(path), "fake", "prod")


@pytest.fixture
def site(fake: Any) -> Site:
    return Site(fake)


SSO = "echo 'Error loading SSO Token: Token has expired' >&2; exit 255"
LATE = "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("user", "says"),
    [
        (plugin(SSO), "the credential plugin sh ended with 255: Error loading SSO Token: Token has expired. Log in"),
        (plugin(SSO, apiVersion=BETA), "ended with 255: Error loading SSO Token"),
        (plugin("kill -9 $$"), "was ended by SIGKILL"),
        (
            plugin("", command="no-such-aws", installHint="Install the AWS CLI"),
            "no-such-aws is not installed. Install the",
        ),
        (plugin("", command="/etc/passwd"), "passwd cannot be started"),
        (plugin("", command=""), "exec has no command"),
        (
            plugin("true", apiVersion="client.authentication.k8s.io/v1alpha1"),
            "is configured for apiVersion client.auth",
        ),
        (plugin("true", apiVersion=None), r"is configured for apiVersion \(none\)"),
        (plugin("true", interactiveMode="Always"), "requires a terminal"),
        (plugin("true"), "printed no ExecCredential"),
        (plugin("echo Please log in"), "printed no ExecCredential"),
        (plugin("echo '[]'"), "printed None None"),
        (plugin(answer({"token": "t"}, BETA)), f"printed {BETA} ExecCredential, but the kubeconfig expects {V1}"),
        (plugin(answer({"token": "t"}, V1, "Status")), f"printed {V1} Status"),
        (plugin(answer({})), "printed no token and no certificate"),
        (plugin(answer({"clientCertificateData": "x"})), "printed a certificate without its key"),
        (
            plugin(answer({"token": "t", "expirationTimestamp": "soon"})),
            "expirationTimestamp that is not an RFC 3339 time",
        ),
        (plugin("echo 'token: abcdefghijklmnopqrst' >&2; exit 1"), r"ended with 1: token: \(redacted\)"),
        (plugin("printf %100000s | tr ' ' '['"), "printed no ExecCredential"),
        (plugin(answer({"token": ["t"]})), "printed a token that is not text"),
        (plugin(answer({"clientCertificateData": 5, "clientKeyData": "k"})), "clientCertificateData that is not text"),
        (
            plugin("", command="no-such", installHint="get it with --token=abcdefghijk"),
            r"not installed. get it with --token=\(redacted\)",
        ),
        (plugin(answer({"token": "t"}, V1, "token=abcdefghijk")), r"token=\(redacted\), but the kubeconfig expects"),
        ({"password": 123456, "username": "a"}, "password of its user is not text. Put it in quotes"),
        ({"token": ["a"]}, "token of its user is not text"),
        ({"auth-provider": {"name": "gcp"}}, "kubectl no longer supports auth-provider gcp"),
        ({"auth-provider": {"name": "oidc", "config": {}}}, "has no id-token"),
    ],
)
def test_why_credentials_cannot_be_used_is_told_before_the_first_request(site: Site, user: Json, says: str) -> None:
    with pytest.raises(BadKubeconfig, match=says) as error:
        site.cluster(user)
    assert error.value.msg.startswith("prod: context 'fake' of the kubeconfig ") and site.api.log == []


UNSENDABLE = ["canary\nnext", "next\ncanary", "canary\x01", "canary\0", "canary\ud800"]


@pytest.mark.parametrize("text", UNSENDABLE)
@pytest.mark.parametrize(
    "user",
    [
        lambda text, path: {"token": text},
        lambda text, path: {"tokenFile": path},
        lambda text, path: plugin(answer({"token": text})),
        lambda text, path: {"token": "t", "as": text},
        lambda text, path: {"token": "t", "as": "a", "as-groups": ["b", text]},
        lambda text, path: {"token": "t", "as": "a", "as-user-extra": {"b": [text]}},
    ],
    ids=["token", "file", "plugin", "user", "group", "extra"],
)
def test_what_no_header_can_contain_is_refused_without_showing_it(
    site: Site, tmp_path: Path, text: str, user: Callable[[str, str], Json]
) -> None:
    path = tmp_path / "token"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    # Some of it is no text, no YAML or no JSON.
    says = r"several lines or control characters|it is not (text|valid YAML)|printed no ExecCredential"
    with pytest.raises(BadKubeconfig, match=says) as error:
        site.cluster(user(text, str(path))).uid()
    assert "canary" not in error.value.msg and site.api.log == []


@pytest.mark.parametrize("token", [None, "t"])
def test_a_token_that_cannot_be_read_from_its_file_is_told(site: Site, tmp_path: Path, token: str | None) -> None:
    """As for kubectl, ``token`` is used where the file has none."""
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, why in (("missing", "No such file"), ("", "Is a directory"), ("empty", "empty"), ("binary", "not text")):
        cluster = site.cluster({"tokenFile": str(tmp_path / name), **({"token": token} if token else {})})
        if token:
            assert cluster.uid()
            continue
        with pytest.raises(BadKubeconfig, match=f"tokenFile {tmp_path}.* cannot be read: .*{why}"):
            cluster.uid()
        assert site.api.log == []


def test_a_plugin_that_writes_without_end_takes_no_time(site: Site) -> None:
    noise = "yes 'I1128 token request body foo=bar url https://a/b' | head -c 3000000 >&2"
    begin = time.process_time()
    with pytest.raises(BadKubeconfig, match=r"ended with 3: .*the end"):
        site.cluster(plugin(f"{noise}; echo the end >&2; exit 3"))
    assert time.process_time() - begin < 2


def test_a_plugin_is_told_of_dates_in_the_cluster_s_extensions(site: Site, tmp_path: Path) -> None:
    """They are text: JSON has no dates."""
    seen = tmp_path / "seen"
    script = f'echo "$KUBERNETES_EXEC_INFO" > {seen}; {answer({"token": "t"})}'
    site.cluster(plugin(script, provideClusterInfo=True))
    path = Path(site.kubeconfig).with_name("of-the-user")
    extension = "extensions: [{name: client.authentication.k8s.io/exec, extension: {since: 2024-01-01}}]"
    path.write_text(path.read_text().replace('"server"', f'{extension}, "server"', 1))
    assert Cluster(str(path), "fake", "prod").uid()
    assert json.loads(seen.read_text())["spec"]["cluster"]["config"] == {"since": "2024-01-01"}


def test_a_plugin_that_waits_for_a_login_is_ended_with_its_words(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "PLUGIN_WITHIN", 2.0)
    number = tmp_path / "pid"
    script = f"echo 'To sign in, open https://login.example.com/device' >&2; sleep 900 & echo $! > {number}; wait"
    begin = time.monotonic()
    with pytest.raises(
        BadKubeconfig, match=r"did not end within .* s: To sign in, open https://login.example.com/device"
    ):
        site.cluster(plugin(script, apiVersion=BETA, interactiveMode="IfAvailable"))
    assert time.monotonic() - begin < 20
    status = Path(f"/proc/{number.read_text().strip()}/stat")
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_plugin_that_ignores_its_end_is_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "PLUGIN_WITHIN", 1.0)
    begin = time.monotonic()
    with pytest.raises(BadKubeconfig, match="did not end within"):
        site.cluster(plugin("trap '' TERM; while true; do sleep 1; done"))
    assert time.monotonic() - begin < 20


def test_a_plugin_has_no_terminal_and_knows_it(site: Site, tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f'printf %s "$KUBERNETES_EXEC_INFO" > {told}; read line; test -z "$line" && {answer({"token": "t"})}'
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "me"}}
    content = json.loads(Path(site.kubeconfig).read_text())
    content["clusters"][0]["cluster"]["extensions"] = [extension]
    Path(site.kubeconfig).write_text(json.dumps(content))
    site.cluster(plugin(script, provideClusterInfo=True))
    info = json.loads(told.read_text())
    assert info["apiVersion"] == V1 and info["spec"]["interactive"] is False
    assert info["spec"]["cluster"] == {
        "server": content["clusters"][0]["cluster"]["server"],
        "config": {"audience": "me"},
    }


def test_a_plugin_has_its_own_environment(site: Site) -> None:
    script = answer({"token": "TOKEN"}).replace("TOKEN", "'$WHO'")
    user = plugin(script, env=[{"name": "WHO", "value": "me"}])
    assert site.cluster(user)._access.headers() == [("Authorization", "Bearer me")]


def test_a_plugin_gets_no_licence_keys(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_MESH_LICENSE_KEY", "canary")
    monkeypatch.setenv("AWS_PROFILE", "prod")
    told = tmp_path / "told"
    site.cluster(plugin(f"env > {told}; {answer({'token': 't'})}"))
    written = told.read_text()
    assert "AWS_PROFILE=prod" in written and "canary" not in written


def test_a_plugin_ends_with_the_process_that_needs_it(tmp_path: Path) -> None:
    number = tmp_path / "pid"
    user = plugin(f"trap '' TERM; echo $$ > {number}.new; mv {number}.new {number}; while true; do sleep 1; done")
    needs_it = os.fork()
    if not needs_it:
        try:
            credentials.Credentials(user, {})
        finally:
            os._exit(1)
    deadline = time.monotonic() + 30
    while not number.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(needs_it, signal.SIGKILL)
    os.waitpid(needs_it, 0)
    status = Path(f"/proc/{number.read_text().strip()}/stat")
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, "the plugin lives on"
        time.sleep(0.05)


def counting(tmp_path: Path, expires: str = "") -> Json:
    """A plugin whose tokens have numbers."""
    count = tmp_path / "count"
    program = (
        f"import json, pathlib; path = pathlib.Path({str(count)!r})\n"
        "n = len(path.read_text()) if path.exists() else 0\n"
        f"path.write_text('x' * (n + 1)); status = {{'token': f't{{n}}', 'expirationTimestamp': {expires!r}}}\n"
        f"print(json.dumps({{'apiVersion': {V1!r}, 'kind': 'ExecCredential', 'status': status}}))"
    )
    return plugin("", command=sys.executable, args=["-c", program])


def test_credentials_are_renewed_when_they_expire(site: Site, tmp_path: Path) -> None:
    access = site.cluster(counting(tmp_path, LATE))._access
    assert [access.headers()[0][1] for _time in range(2)] == ["Bearer t1", "Bearer t2"]


def test_credentials_are_renewed_once_when_the_api_server_rejects_them(site: Site, tmp_path: Path) -> None:
    cluster = site.cluster(counting(tmp_path))
    site.api.refuse("GET", "kube-system", 401, {"reason": "Unauthorized", "message": "Unauthorized"})
    assert cluster.uid() and cluster._access.headers() == [("Authorization", "Bearer t1")]
    site.api.refuse("GET", "kube-system", 401, {"reason": "Unauthorized", "message": "Unauthorized"}, times=5)
    with pytest.raises(Forbidden, match="rejected the credentials"):
        cluster.uid()
    assert len(site.api.log) == 4


def test_a_plugin_that_fails_later_is_told_as_well(site: Site, tmp_path: Path) -> None:
    once = tmp_path / "once"
    cluster = site.cluster(plugin(f"test -e {once} && {{ {SSO}; }}; touch {once}; {answer({'token': 't'})}"))
    site.api.refuse("GET", "kube-system", 401, {"reason": "Unauthorized", "message": "Unauthorized"})
    with pytest.raises(BadKubeconfig, match="Error loading SSO Token"):
        cluster.uid()


def test_two_contexts_of_one_process_keep_their_credentials(site: Site) -> None:
    """Nothing is shared: not the environment, not files, not tokens."""
    before = dict(os.environ)
    clusters = [site.cluster(plugin(answer({"token": name}))) for name in ("one", "two")]
    assert [each._access.headers()[0][1] for each in clusters] == ["Bearer one", "Bearer two"]
    assert dict(os.environ) == before


def _jwt(expires: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return f"e30.{claims}.s"


def test_the_token_of_an_auth_provider_is_used_until_it_expires(site: Site) -> None:
    def user(expires: float) -> Json:
        return {"auth-provider": {"name": "oidc", "config": {"id-token": _jwt(expires), "refresh-token": "r"}}}

    good = user(time.time() + 600)
    token = good["auth-provider"]["config"]["id-token"]
    assert site.cluster(good)._access.headers() == [("Authorization", f"Bearer {token}")]
    with pytest.raises(BadKubeconfig, match="id-token of auth-provider oidc has expired"):
        site.cluster(user(time.time() - 1))


def test_user_and_password(site: Site) -> None:
    pair = base64.b64encode(b"u:p").decode()
    headers = site.cluster({"username": "u", "password": "p"})._access.headers()
    assert headers == [("Authorization", f"Basic {pair}")]


FORBIDDEN = {"reason": "Forbidden", "message": 'namespaces is forbidden: User "system:anonymous" cannot get resource'}


@pytest.mark.parametrize("user", [None, {}, {"token": ""}])
@pytest.mark.parametrize(("code", "status"), [(403, FORBIDDEN), (401, {"reason": "Unauthorized", "message": "no"})])
def test_nobody_gets_no_rights(site: Site, user: Json | None, code: int, status: Json) -> None:
    site.api.refuse("GET", "kube-system", code, status)
    with pytest.raises(Forbidden, match="received no credentials") as error:
        site.cluster(user).uid()
    assert "Add a user with credentials to this context" in error.value.msg and "Grant" not in error.value.msg


@pytest.mark.parametrize("missing", ["cluster", "user"])
def test_a_context_that_refers_to_nothing_is_refused(site: Site, missing: str) -> None:
    content = json.loads(Path(site.kubeconfig).read_text())
    content[f"{missing}s"] = []
    Path(site.kubeconfig).write_text(json.dumps(content))
    with pytest.raises(BadKubeconfig, match=f"it refers to {missing} 'fake', which does not exist"):
        Cluster(site.kubeconfig, "fake", "prod")
