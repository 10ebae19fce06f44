"""Downloads of official releases. An unreachable one is skipped within two seconds; nothing unverified is kept."""

from __future__ import annotations

import hashlib
import queue
import re
import shutil
import tarfile
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import urllib3

REACHABLE_WITHIN = 1.8  # seconds


class DownloadError(Exception):
    """The release cannot be downloaded, or does not match its checksum."""


@dataclass(frozen=True)
class Release:
    """A released file: its URL, the URL of its SHA-256 (alone or in a list), the member of the archive."""

    url: str
    checksum: str
    member: str = ""

    def at(self, **names: str) -> Release:
        """With {os} and {arch} replaced."""
        return replace(
            self,
            url=self.url.format(**names),
            checksum=self.checksum.format(**names),
            member=self.member.format(**names),
        )


def checksums(releases: Mapping[str, Release]) -> dict[str, str]:
    """SHA-256 by name, of the releases whose checksum file arrives in time. Also ends when a name lookup hangs."""
    results: queue.Queue[tuple[str, str]] = queue.Queue()
    pool = urllib3.PoolManager()

    def request(name: str, release: Release) -> None:
        try:
            response = pool.request(
                "GET", release.checksum, timeout=urllib3.Timeout(REACHABLE_WITHIN), retries=urllib3.Retry(0, redirect=3)
            )
            text = response.data.decode(errors="replace") if response.status == 200 else ""
        except urllib3.exceptions.HTTPError:
            text = ""
        results.put((name, find_checksum(text, release.url.rpartition("/")[2])))

    for name, release in releases.items():
        threading.Thread(target=request, args=(name, release), daemon=True).start()
    deadline = time.monotonic() + REACHABLE_WITHIN
    found = {}
    for _ in releases:
        try:
            name, checksum = results.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if checksum:
            found[name] = checksum
    return found


def find_checksum(text: str, file: str) -> str:
    """The SHA-256 of `file` in a checksum file: a single sum, or lines of sum and name. Empty without one."""
    for line in text.splitlines():
        words = line.split()
        if (
            words
            and re.fullmatch(r"[0-9a-fA-F]{64}", words[0])
            and (len(words) == 1 or words[-1].lstrip("*").rpartition("/")[2] == file)
        ):
            return words[0].lower()
    return ""


def fetch(release: Release, checksum: str, target: Path) -> None:
    """Download, verify, unpack, and move to the target in one step. Raises DownloadError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as folder:
        archive = Path(folder, "file")
        digest = hashlib.sha256()
        try:
            response = urllib3.PoolManager().request(
                "GET",
                release.url,
                preload_content=False,
                timeout=urllib3.Timeout(connect=5.0, read=20.0),
                retries=urllib3.Retry(2, redirect=5),
            )
            if response.status != 200:
                raise DownloadError(f"{release.url}: HTTP {response.status}")
            with archive.open("wb") as out:
                for chunk in response.stream(1 << 20):
                    digest.update(chunk)
                    out.write(chunk)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise DownloadError(f"{release.url}: {error}") from error
        if digest.hexdigest() != checksum:
            raise DownloadError(f"{release.url}: SHA-256 is {digest.hexdigest()}, the release has {checksum}")
        fresh = Path(folder, target.name)
        if release.member:
            _unpack(archive, release.member, fresh)
        else:
            archive.replace(fresh)
        fresh.chmod(0o755)
        fresh.replace(target)


def _unpack(archive: Path, member: str, target: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            source = tar.extractfile(member)
            if source is None:
                raise DownloadError(f"{member} is not a file in the archive")
            with source, target.open("wb") as out:
                shutil.copyfileobj(source, out)
    except (KeyError, tarfile.TarError) as error:
        raise DownloadError(f"{member}: {error}") from error
