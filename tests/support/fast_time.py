"""Replacements of the modules time and threading with a clock that runs faster."""

from __future__ import annotations

import sys
import threading
import time
from types import ModuleType
from typing import Any

FACTOR = 5


class _Time(ModuleType):
    """Module time, but seconds pass FACTOR times as fast."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    @staticmethod
    def monotonic() -> float:
        return time.monotonic() * FACTOR

    @staticmethod
    def sleep(seconds: float) -> None:
        time.sleep(seconds / FACTOR)


class _Event(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(None if timeout is None else timeout / FACTOR)


class _Condition(threading.Condition):
    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(None if timeout is None else timeout / FACTOR)


class _Threading(ModuleType):
    """Module threading, whose waits are as much shorter."""

    Event, Condition = _Event, _Condition

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)


def of_modules(prefix: str) -> list[tuple[ModuleType, str, ModuleType]]:
    """(module, name of the attribute, what to put there) for every loaded module below a package that has a clock."""
    clocks: dict[str, ModuleType] = {"time": _Time("time"), "threading": _Threading("threading")}
    real = {"time": time, "threading": threading}
    return [
        (module, name, clock)
        for path, module in list(sys.modules.items())
        if path.startswith(prefix)
        for name, clock in clocks.items()
        if getattr(module, name, None) is real[name]
    ]
