"""All listeners of the simulated programs: one thread with one event loop. They bind loopback addresses only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from lab.control_plane.objects import is_loopback
from lab.pods.forwarding import join

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Target = Callable[[], "tuple[str, int] | None"]
Result = TypeVar("Result")

LINGER = 0.5  # seconds before a listener is closed, so that proxies are updated first
KEEP_ALIVE = 3600.0  # longer than Envoy keeps an idle connection: Envoy must be the one to close it

log = logging.getLogger("lab.dataplane")


@dataclass(frozen=True)
class Http:
    """A listener that serves HTTP; port 0 = any free one."""

    address: str
    port: int
    handler: Handler


@dataclass(frozen=True)
class Tcp:
    """A listener that forwards bytes to `target()`, or only accepts connections when that is None."""

    address: str
    port: int
    target: Target


class Listeners:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._open: dict[Hashable, tuple[int, Callable[[], Awaitable[None]]]] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, name="listeners", daemon=True)
        self._thread.start()

    def update(self, wanted: dict[Hashable, Http | Tcp]) -> dict[Hashable, int]:
        """Open listeners that are wanted and not open, close the others; returns key -> port of the open ones.

        An address that cannot be bound is logged and left out; the next call tries again.
        """
        return self.run(self._update(wanted))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine on the loop from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self) -> None:
        if not self._loop.is_running():
            return
        self.run(self._close_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _update(self, wanted: dict[Hashable, Http | Tcp]) -> dict[Hashable, int]:
        for key in self._open.keys() - wanted.keys():
            _, close = self._open.pop(key)
            self._loop.create_task(_close_later(close))
        for key in wanted.keys() - self._open.keys():
            listener = wanted[key]
            if not is_loopback(listener.address):
                log.error("%s is not a loopback address: not served", listener.address)
                continue
            try:
                self._open[key] = await (_http(listener) if isinstance(listener, Http) else _tcp(listener))
            except OSError as error:
                log.error("cannot listen on %s:%s for %s: %s", listener.address, listener.port, key, error)
        return {key: port for key, (port, _) in self._open.items()}

    async def _close_all(self) -> None:
        for _, close in self._open.values():
            await close()
        self._open.clear()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _close_later(close: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(LINGER)
    await close()


async def _http(listener: Http) -> tuple[int, Callable[[], Awaitable[None]]]:
    server = web.Server(listener.handler, keepalive_timeout=KEEP_ALIVE, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, listener.address, listener.port).start()
    except OSError:
        await runner.cleanup()
        raise
    return int(runner.addresses[0][1]), runner.cleanup


async def _tcp(listener: Tcp) -> tuple[int, Callable[[], Awaitable[None]]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            target = listener.target()
            if target is None:
                await reader.read()
                return
            await join(reader, writer, *await asyncio.open_connection(*target))

    server = await asyncio.start_server(serve, listener.address, listener.port)

    async def close() -> None:
        server.close()

    return int(server.sockets[0].getsockname()[1]), close
