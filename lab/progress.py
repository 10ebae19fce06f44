"""Progress of a command: step n of m, its text, its duration. One updated line on a terminal, plain lines otherwise."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.status import Status


class Progress:
    """Steps of one command, in order; the number of steps may increase while it runs."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.done = 0
        self._started = time.monotonic()
        self._console = Console(file=sys.stderr, highlight=False)
        self._status: Status | None = None
        self._text = ""

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """One step; its line has the text and the duration."""
        self.done += 1
        self._text = f"[{self.done}/{self.steps}] {text}"
        started = time.monotonic()
        if self.on_terminal:
            with self._console.status(escape(self._text)) as self._status:
                yield
            self._status = None
        else:
            self.print(f"{self._text} ...")
            yield
        self.print(f"{self._text}: {time.monotonic() - started:.1f} s")

    def detail(self, text: str) -> None:
        """Progress within the running step; shown on a terminal only."""
        if self._status is not None:
            self._status.update(escape(f"{self._text}: {text}, {self.elapsed:.0f} s"))

    @property
    def on_terminal(self) -> bool:
        """Whether the output is a terminal, where a line can be updated."""
        return self._console.is_terminal

    def print(self, text: str) -> None:
        """A line between the steps."""
        self._console.print(text, markup=False, soft_wrap=True)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started
