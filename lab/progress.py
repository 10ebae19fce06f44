"""What the lab is doing: n of m, what, how long. A moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.status import Status


class Progress:
    """Steps of one command, in order; the number of steps may grow while it runs."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.done = 0
        self._began = time.monotonic()
        self._console = Console(file=sys.stderr, highlight=False)
        self._status: Status | None = None
        self._text = ""

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """One step; its line says what was done and how long it took."""
        self.done += 1
        self._text = f"[{self.done}/{self.steps}] {text}"
        began = time.monotonic()
        if self.moving:
            with self._console.status(escape(self._text)) as self._status:
                yield
            self._status = None
        else:
            self.say(f"{self._text} ...")
            yield
        self.say(f"{self._text}: {time.monotonic() - began:.1f} s")

    def detail(self, text: str) -> None:
        """How far the running step is; shown on a terminal only."""
        if self._status is not None:
            self._status.update(escape(f"{self._text}: {text}, {self.elapsed:.0f} s"))

    @property
    def moving(self) -> bool:
        """Whether there is a terminal on which a line can move."""
        return self._console.is_terminal

    def say(self, text: str) -> None:
        """A line in between."""
        self._console.print(text, markup=False, soft_wrap=True)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began
