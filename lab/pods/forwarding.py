"""Forwarding bytes between two connections."""

from __future__ import annotations

import asyncio
import contextlib


async def join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    """Forward bytes both ways between two connections until both have ended; closes the far one."""
    with contextlib.closing(far_writer):
        await asyncio.gather(_forward(reader, far_writer), _forward(far_reader, writer))


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
