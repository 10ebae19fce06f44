"""The support bundle against API servers that hold canaries: what is in it, what is not, and that it is always made."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import stat
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.bundle import archive as bundle_archive
from ansible_collections.multicluster.gloo.plugins.module_utils.bundle import content as bundle_content
from ansible_collections.multicluster.gloo.plugins.module_utils.bundle import support_bundle
from ansible_collections.multicluster.gloo.plugins.module_utils.bundle.content import File
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import Invalid

Json = dict[str, Any]

CANARY = "Canary-5wims-Where"
PASSWORD = "correct horse battery"  # an ordinary text: only its place in a Secret tells that it is none


def b64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def plant(api: Any) -> None:
    """A cluster with a part, an application beside it, and a canary in each place somebody may put a secret."""
    api.kinds["networking.gloo.solo.io/v2"] = {"virtualdestinations": ("VirtualDestination", True)}
    api.kinds["example.org/v1"] = {"others": ("Other", True)}
    for namespace in ("gloo-mesh", "bookinfo", "unrelated"):
        api.write("v1", "namespaces", "", {"metadata": {"name": namespace}})
    release = {"chart": {"metadata": {"name": "gloo-platform", "version": "2.9.0"}}, "config": {"license": CANARY}}
    packed = b64(base64.b64encode(gzip.compress(json.dumps(release).encode())).decode())
    labels = {"owner": "helm", "name": "gloo-platform", "version": "1", "status": "deployed"}
    secrets: list[Json] = [
        {"metadata": {"name": "token"}, "type": "Opaque", "data": {"token": b64(CANARY), "note": b64(PASSWORD)}},
        {"metadata": {"name": "r", "labels": labels}, "type": "helm.sh/release.v1", "data": {"release": packed}},
    ]
    for secret in secrets:
        api.write("v1", "secrets", "gloo-mesh", secret)
    values = {"metadata": {"name": "values"}, "data": {"values": f"global:\n  key: {CANARY}\n"}}
    api.write("v1", "configmaps", "gloo-mesh", values)
    for namespace, app in (("gloo-mesh", "gloo-mesh-agent"), ("bookinfo", "reviews"), ("unrelated", "shop")):
        containers = [
            {
                "name": name,
                "args": ["--licence-key", CANARY, "--level=debug"],
                "env": [{"name": "X", "value": CANARY}, {"name": "CA_ADDR", "value": "istiod:15012"}],
            }
            for name in ("main", "istio-proxy")
        ]
        meta = {"labels": {"app": app}, "annotations": {"last": CANARY}}
        spec = {
            "selector": {"matchLabels": {"app": app}},
            "template": {"metadata": meta, "spec": {"containers": containers}},
        }
        api.write("apps/v1", "deployments", namespace, {"metadata": {"name": app, **meta}, "spec": spec})
        status = {"phase": "Pending", "containerStatuses": [{"name": "main", "restartCount": 2, "state": {}}]}
        pod = {"metadata": {"name": f"{app}-1", **meta}, "spec": {"containers": containers}, "status": status}
        api.write("v1", "pods", namespace, pod)
        for container in ("main", "istio-proxy"):
            written = (
                f"{app} starts\ntoken={CANARY}\npassword was {PASSWORD}\nGET /?q={quote(PASSWORD)}\n{b64(PASSWORD)}\n"
                f"packed {b64('u:' + PASSWORD)} and {b64('me:' + PASSWORD)}\n"
            )
            api.logs[(namespace, f"{app}-1", container, False)] = written
            api.logs[(namespace, f"{app}-1", container, True)] = f"{app} before\n"
        event = {
            "metadata": {"name": "e"},
            "involvedObject": {"kind": "Pod", "name": f"{app}-1"},
            "type": "Warning",
            "reason": "BackOff",
            "message": f"restarting with token {PASSWORD}",
            "lastTimestamp": "2026-01-01T00:00:00Z",
            "count": 3,
        }
        api.write("v1", "events", namespace, event)
    destination = {"metadata": {"name": "vd"}, "spec": {"hosts": ["a.example"]}, "status": {}}
    api.write("networking.gloo.solo.io/v2", "virtualdestinations", "bookinfo", destination)
    account = {"metadata": {"name": "a"}, "data": {"namespace": b64("gloo-mesh"), "app": b64("gloo-mesh-agent")}}
    api.write("v1", "secrets", "gloo-mesh", account)
    api.write("example.org/v1", "others", "bookinfo", {"metadata": {"name": "o"}})


@pytest.fixture
def mgmt(fake: Any) -> Any:
    plant(fake[0])
    return fake


def params(tmp_path: Path, *kubeconfigs: str, **more: Any) -> Json:
    clusters = [
        {"name": f"c{number}", "kubeconfig": kubeconfig, "context": "fake", "role": "workload", "gateway": False}
        for number, kubeconfig in enumerate(kubeconfigs, 1)
    ]
    defaults = {"namespaces": [], "log_lines": 100, "max_size": 50, "max_file_size": 5}
    return {"clusters": clusters, "dest": str(tmp_path / "b.tar.gz"), **defaults, **more}


def made(tmp_path: Path, *kubeconfigs: str, **more: Any) -> tuple[Json, dict[str, bytes]]:
    """The result, and the content of the archive by path below its folder."""
    result = support_bundle.run(params(tmp_path, *kubeconfigs, **more), False, lambda line: None)
    with tarfile.open(result["archive"]) as archive:
        files = {}
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            files[member.name.partition("/")[2]] = file.read()
        return result, files


def test_no_secret_is_anywhere_in_the_archive(mgmt: Any, tmp_path: Path) -> None:
    _result, files = made(tmp_path, mgmt[1])
    everything = b"\n".join(files.values())
    for secret in (CANARY, PASSWORD):
        raw = secret.encode()
        alignments = [base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)]
        for form in (raw, quote(secret).encode(), quote(secret, safe="").encode(), *alignments):
            assert form not in everything, form


def test_what_diagnoses_is_in_the_archive(mgmt: Any, tmp_path: Path) -> None:
    result, files = made(tmp_path, mgmt[1])
    assert result["changed"] is True
    # names stay names although a Secret holds them
    assert b'"namespace": "gloo-mesh"' in files["c1/gloo-mesh/Pod.yaml"]
    assert b'"app": "gloo-mesh-agent"' in files["c1/gloo-mesh/Pod.yaml"]
    assert b"istiod:15012" in files["c1/gloo-mesh/Pod.yaml"]
    assert b'"keys": [\n    "note",\n    "token"\n  ]' in files["c1/gloo-mesh/Secret.yaml"]
    assert json.loads(files["c1/helm.json"])["version"] == "2.9.0"
    assert b"BackOff Pod/gloo-mesh-agent-1: restarting" in files["c1/gloo-mesh/events.txt"]
    assert b"(3 times)" in files["c1/gloo-mesh/events.txt"]
    assert files["c1/gloo-mesh/logs/gloo-mesh-agent-1/main.log"].startswith(b"gloo-mesh-agent starts")
    assert files["c1/gloo-mesh/logs/gloo-mesh-agent-1/main.previous.log"] == b"gloo-mesh-agent before\n"
    # of an application the sidecar alone, of what is not ours nothing
    assert "c1/bookinfo/logs/reviews-1/istio-proxy.log" in files
    assert "c1/bookinfo/logs/reviews-1/main.log" not in files
    assert "c1/bookinfo/VirtualDestination.networking.gloo.solo.io.yaml" in files
    assert [path for path in files if "unrelated" in path or "Other" in path] == []
    index = json.loads(files["index.json"])
    assert {row["path"] for row in index["files"]} == set(files) - {"index.json", "README.md"}
    assert "VirtualDestination bookinfo/vd" in {row["object"] for row in index["not_ready"]}


def test_a_namespace_may_be_asked_for(mgmt: Any, tmp_path: Path) -> None:
    _result, files = made(tmp_path, mgmt[1], namespaces=["unrelated", "not-there"])
    assert "c1/unrelated/Pod.yaml" in files


def test_a_cluster_that_does_not_answer_is_noted(mgmt: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9", Path(mgmt[1]).read_text()))
    result, files = made(tmp_path, mgmt[1], str(broken), str(tmp_path / "missing"))
    assert [each["reached"] for each in result["clusters"]] == [True, False, False]
    assert "unreachable: c2, c3" in result["msg"]
    assert "does not exist" in json.loads(files["index.json"])["clusters"][2]["error"]
    assert "c1/gloo-mesh/Pod.yaml" in files


def test_what_may_not_be_read_is_noted_and_the_rest_is_there(mgmt: Any, tmp_path: Path) -> None:
    refusal = {"reason": "Forbidden", "message": 'secrets is forbidden: User "u" cannot list'}
    mgmt[0].refuse("GET", "/secrets$", 403, refusal, times=9)
    mgmt[0].refuse("GET", "/log$", 500, {"reason": "InternalError", "message": "no log"}, times=1)
    result, files = made(tmp_path, mgmt[1])
    reasons = {row["what"]: row["reason"] for row in result["left_out"]}
    assert "is forbidden" in reasons["c1: Secret in gloo-mesh"]
    assert any("no log" in reason for what, reason in reasons.items() if what.startswith("c1/"))
    assert "c1/gloo-mesh/Secret.yaml" not in files
    assert "c1/gloo-mesh/Pod.yaml" in files


def test_only_its_owner_may_read_it_and_no_draft_is_left(mgmt: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.tar.gz").write_text("an older one, readable by all")
    result, _files = made(tmp_path, mgmt[1], dest=str(out / "b.tar.gz"))
    assert stat.S_IMODE(Path(result["archive"]).stat().st_mode) == 0o600
    assert [file.name for file in out.iterdir()] == ["b.tar.gz"]
    assert result["size"] == Path(result["archive"]).stat().st_size
    with tarfile.open(result["archive"]) as archive:
        assert {(m.mode, m.uid, m.uname) for m in archive.getmembers()} == {(0o600, 0, "")}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("c1/ns/Pod.yaml", "c1/ns/Pod.yaml"),
        ("c1/../../../etc/cron.d/x", "c1/etc/cron.d/x"),
        ("c1//root/.ssh/./authorized_keys", "c1/root/.ssh/authorized_keys"),
        ("c1/a\x1b[2Jb/x\u202e", "c1/ab/x\ufffd"),
    ],
)
def test_no_path_leaves_the_folder_of_the_archive(path: str, name: str) -> None:
    packed = bundle_archive.pack("bundle", {path: b"x"}, 0)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getnames() == [f"bundle/{name}"]


def test_check_mode_asks_nobody_and_writes_nothing(mgmt: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    before = len(mgmt[0].log)
    result = support_bundle.run(params(tmp_path, mgmt[1], dest=str(out)), True, lambda line: None)
    assert result["changed"] is True
    assert f"of c1 would be written to {out}/multicluster-gloo-bundle-" in result["msg"]
    assert (len(mgmt[0].log), list(out.iterdir())) == (before, [])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dest": "/nowhere/at/all/b.tar.gz"}, "folder /nowhere/at/all does not exist"),
        ({"clusters": []}, "'clusters' is empty"),
        ({"clusters": [{"name": "a"}, {"name": "a"}]}, "is not unique"),
        ({"clusters": [{"name": "../a"}]}, "not valid as a folder name"),
        ({"max_size": 0}, "Set 1 or more"),
    ],
)
def test_what_cannot_work_is_refused(change: Json, says: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=says):
        support_bundle.run({**params(tmp_path, "x"), **change}, False, lambda line: None)


# -- size

DOCUMENTS = File("c/a.yaml", "---\n{1111}\n---\n{2222}\n---\n{3333}\n")
LOG = File("c/b.log", "one\ntwo\nthree\n", newest_last=True)


@pytest.mark.parametrize(
    ("files", "max_file", "max_total", "kept", "left_out"),
    [
        ([DOCUMENTS, LOG], 99, 99, [DOCUMENTS.content, LOG.content], []),
        ([DOCUMENTS], 22, 99, ["---\n{1111}\n---\n{2222}\n"], ["the last 1 of 3 entries: larger than max_file_size"]),
        ([LOG], 10, 99, ["two\nthree\n"], ["the first 1 of 3 entries: larger than max_file_size"]),
        ([LOG], 3, 99, [], ["all entries: larger than max_file_size"]),
        ([DOCUMENTS, LOG], 99, 40, [DOCUMENTS.content, "three\n"], ["the first 2 of 3 entries: larger than max_size"]),
    ],
)
def test_a_bundle_is_bounded(files: list[File], max_file: int, max_total: int, kept: list[str], left_out: Any) -> None:
    content, missing = bundle_archive.bounded(files, max_file, max_total)
    assert [each.decode() for each in content.values()] == kept
    assert sum(map(len, content.values())) <= max_total
    assert len(missing) == len(left_out)
    for row, reason in zip(missing, left_out, strict=True):
        assert row["reason"].startswith(reason)


@pytest.mark.parametrize(
    ("obj", "found"),
    [
        ({"kind": "Namespace", "metadata": {"name": "istio-system"}}, {"istio-system"}),
        ({"kind": "Namespace", "metadata": {"name": "shop"}}, set()),
        ({"kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "shop"}}, {"shop"}),
        ({"kind": "Sidecar", "metadata": {"name": "s", "namespace": "shop"}}, set()),
        (
            {
                "kind": "ServiceEntry",
                "metadata": {"name": "s", "namespace": "shop", "labels": {"gloo.solo.io/parent_kind": "x"}},
            },
            {"shop"},
        ),
        (
            {"kind": "Deployment", "metadata": {"name": "i", "namespace": "mesh", "labels": {"app": "istiod"}}},
            {"mesh"},
        ),
    ],
)
def test_whose_namespace_belongs_to_the_chain(obj: Json, found: set[str]) -> None:
    assert bundle_content.related_namespaces([obj]) == found
