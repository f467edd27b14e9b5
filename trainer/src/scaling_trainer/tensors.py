"""Typed wrappers of untyped functions of PyTorch, and bytes of tensors."""

from __future__ import annotations

import zlib
from typing import Any, cast

import torch


def row_chunks(tensor: torch.Tensor, rows: int) -> tuple[torch.Tensor, ...]:
    """Split a tensor into views of `rows` rows. The last view may be shorter."""
    return cast("tuple[torch.Tensor, ...]", tensor.split(rows))  # pyright: ignore[reportUnknownMemberType] # untyped in torch


def seed_draws(seed: int) -> None:
    """Seed the generators of dropout and initial weights, on every device."""
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType] # untyped in torch


def aligned(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Move a tensor to a device, to an address that is a multiple of 64.

    NumPy's memory may begin at any address, and the order of a vectorised sum depends on the
    address. A new process and a warm worker must compute the same sums.
    """
    moved = tensor.to(device)
    return moved if moved.data_ptr() % 64 == 0 else moved.clone()


def backward(loss: torch.Tensor) -> None:
    """Add the loss's gradient to the gradient of each weight."""
    loss.backward()  # pyright: ignore[reportUnknownMemberType] # untyped in torch


def checksum(tensor: torch.Tensor) -> int:
    """Compute the CRC-32 of a tensor's bytes, to tell tensors apart."""
    flat = tensor.contiguous().view(-1).view(torch.uint8)
    return zlib.crc32(cast("Any", flat.numpy()))
