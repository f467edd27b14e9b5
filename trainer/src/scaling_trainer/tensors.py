"""The parts of PyTorch that have no types, wrapped once."""

from __future__ import annotations

import zlib
from typing import Any, cast

import torch


def row_chunks(tensor: torch.Tensor, rows: int) -> tuple[torch.Tensor, ...]:
    """Cut a tensor into views of so many rows; the last may be shorter."""
    return cast("tuple[torch.Tensor, ...]", tensor.split(rows))  # pyright: ignore[reportUnknownMemberType] # untyped in torch


def seed_draws(seed: int) -> None:
    """Seed the generators that dropout and fresh weights draw from, on every device."""
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType] # untyped in torch


def aligned(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Move a tensor to a device, and off an odd address.

    Memory that came from NumPy begins anywhere, and the order of a vectorised sum depends on where:
    a fresh process must find the same place as a warm one.
    """
    moved = tensor.to(device)
    return moved if moved.data_ptr() % 64 == 0 else moved.clone()


def backward(loss: torch.Tensor) -> None:
    """Add the loss's gradient to that of every weight it depends on."""
    loss.backward()  # pyright: ignore[reportUnknownMemberType] # untyped in torch


def checksum(tensor: torch.Tensor) -> int:
    """Sum up a tensor's bytes, to tell it from another (CRC-32)."""
    flat = tensor.contiguous().view(-1).view(torch.uint8)
    return zlib.crc32(cast("Any", flat.numpy()))
