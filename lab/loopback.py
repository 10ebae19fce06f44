"""One thread with one event loop for all listeners of the played programs; they bind loopback addresses only."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Target = Callable[[], "tuple[str, int] | None"]
Answer = TypeVar("Answer")

LINGER = 0.5  # seconds a listener nobody wants any more stays, so that proxies hear of it first
KEEP_ALIVE = 3600.0  # longer than Envoy keeps an idle connection: it must be the one to close

log = logging.getLogger("lab.dataplane")


@dataclass(frozen=True)
class Http:
    """A listener that answers HTTP; port 0 = any free one."""

    address: str
    port: int
    handler: Handler


@dataclass(frozen=True)
class Tcp:
    """A listener that passes bytes on to `target()`, or just accepts when that is None."""

    address: str
    port: int
    target: Target


class Loopback:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._open: dict[Hashable, tuple[int, Callable[[], Awaitable[None]]]] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, name="loopback", daemon=True)
        self._thread.start()

    def keep(self, wanted: dict[Hashable, Http | Tcp]) -> dict[Hashable, int]:
        """Open what is wanted and not open, close the rest; returns key -> port of what is open.

        A place that cannot be bound is logged and left out; the next call tries again.
        """
        return self.run(self._keep(wanted))

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run a coroutine on the loop from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self) -> None:
        if not self._loop.is_running():
            return
        self.run(self._close_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _keep(self, wanted: dict[Hashable, Http | Tcp]) -> dict[Hashable, int]:
        for key in self._open.keys() - wanted.keys():
            _, close = self._open.pop(key)
            self._loop.create_task(_later(close))
        for key in wanted.keys() - self._open.keys():
            place = wanted[key]
            if not ipaddress.ip_address(place.address).is_loopback:
                log.error("%s is not a loopback address: not served", place.address)
                continue
            try:
                self._open[key] = await (_http(place) if isinstance(place, Http) else _tcp(place))
            except OSError as error:
                log.error("cannot listen on %s:%s for %s: %s", place.address, place.port, key, error)
        return {key: port for key, (port, _) in self._open.items()}

    async def _close_all(self) -> None:
        for _, close in self._open.values():
            await close()
        self._open.clear()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _later(close: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(LINGER)
    await close()


async def _http(place: Http) -> tuple[int, Callable[[], Awaitable[None]]]:
    server = web.Server(place.handler, keepalive_timeout=KEEP_ALIVE, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, place.address, place.port)
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    return int(runner.addresses[0][1]), runner.cleanup


async def _tcp(place: Tcp) -> tuple[int, Callable[[], Awaitable[None]]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            target = place.target()
            if target is None:
                await reader.read()
                return
            await join(reader, writer, *await asyncio.open_connection(*target))

    server = await asyncio.start_server(serve, place.address, place.port)

    async def close() -> None:
        server.close()

    return int(server.sockets[0].getsockname()[1]), close


async def join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    """Pass bytes both ways between two connections until both are done; closes the far one."""
    with contextlib.closing(far_writer):
        await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
