"""How two processes talk: each message is four bytes of length, then so many bytes."""

from __future__ import annotations

import asyncio
import struct
from typing import BinaryIO

_LENGTH = struct.Struct(">I")


def frame(message: bytes) -> bytes:
    """Put its length before a message."""
    return _LENGTH.pack(len(message)) + message


async def read_frame(stream: asyncio.StreamReader) -> bytes:
    """Read the next message. Raises IncompleteReadError where the other side has ended."""
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    return await stream.readexactly(length)


def read_frame_from(file: BinaryIO) -> bytes | None:
    """Read the next message; None where the other side has ended."""
    header = file.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(header)
    message = file.read(length)
    return message if len(message) == length else None
