"""Requests through the gateway while something else happens."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections import Counter
from types import TracebackType

from acceptance.eyes import gateway_url
from acceptance.site import Site


class Stream:
    """Sends requests one after the other from enter to exit; `failures` are those without a response of status 200."""

    def __init__(self, site: Site, *paths: str) -> None:
        self._urls = [f"{gateway_url(site)}{path}" for path in paths]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0
        self.failures: Counter[str] = Counter()

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=60)

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            url = self._urls[self.sent % len(self._urls)]
            self.sent += 1
            try:
                with urllib.request.urlopen(url, timeout=15) as answer:
                    # The product page responds with 200 and this text when its request for reviews fails.
                    if b"product reviews are currently unavailable" in answer.read():
                        self.failures[f"{url}: no reviews"] += 1
            except urllib.error.HTTPError as error:
                self.failures[f"{url}: {error.code}"] += 1
            except OSError as error:
                self.failures[f"{url}: {error}"] += 1
