"""Files of tensors: the checkpoints of a trial, and its final weights.

No pickle is used. Tensors are stored as safetensors, everything else as JSON in the file's header.
So one file, replaced atomically, holds a whole checkpoint.
"""

from __future__ import annotations

import json
import logging
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType] # any path
from torch import nn

from scaling_trainer.foreign_text import one_line
from scaling_trainer.reading import MissingFile, UnreadableFile, open_regular, parse_json
from scaling_trainer.writing import temporary_name, whole_file

CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = "weights.safetensors"
MOST_HEADER_BYTES = 16 * 1024 * 1024
"""Names and shapes of some 100,000 tensors, and the document beside them."""
MOST_REASON = 300
"""Characters of the reason why a file is not used."""

_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")

_log = logging.getLogger(__name__)

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by name, and a JSON document."""

    tensors: Mapping[str, torch.Tensor]
    document: Mapping[str, Any]


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically, also across a power failure. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
    with whole_file(path, durable=True):
        try:
            save_file(
                tensors,
                path.with_name(temporary_name(path)),
                metadata={"document": json.dumps(checkpoint.document)},
            )
        except SafetensorError as error:
            raise _system_error(error, path) from error


def _system_error(error: SafetensorError, path: Path) -> OSError | SafetensorError:
    """Give the system's error whose number stands in the library's message."""
    match = _SYSTEM_ERROR.search(str(error))
    if match is None:
        return error
    code = int(match.group(1))
    return OSError(code, os.strerror(code), str(path))


def read(path: Path) -> Checkpoint | None:
    """Read what `write` wrote. Gives None where there is no file, or no readable one."""
    try:
        _check_header(path)
        opened: Any = safe_open(path, framework="pt")
        with opened as file:
            document = _object(parse_json(str(file.metadata()["document"]), path), path)
            tensors: Tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 # no dict
    except MissingFile:
        return None
    except (SafetensorError, UnreadableFile, OSError, KeyError, TypeError, ValueError) as error:
        # The disk may be faulty. Training anew is slower than an error, and still right.
        _log.warning("%s cannot be read and is not used: %s", path, reason_of(error))
        return None
    return Checkpoint(tensors, document)


def _object(document: object, path: Path) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise UnreadableFile(path, "has a document that is no JSON object")
    return cast("dict[str, Any]", document)


def reason_of(error: Exception) -> str:
    """Write an error in one short line: the library quotes unreadable content of any length."""
    return one_line(str(error)[:MOST_REASON])


def _check_header(path: Path) -> None:
    """Raise UnreadableFile for a link, a pipe, or a header longer than any that `write` makes."""
    with open_regular(path, below=path.parent) as file:
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
        if not 0 < length <= min(MOST_HEADER_BYTES, os.fstat(file.fileno()).st_size):
            raise UnreadableFile(path, f"has a header of {length} bytes")


def with_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Put a prefix before each tensor's name."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Give the tensors whose names have the prefix, and take the prefix off."""
    start = f"{prefix}."
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def weights_of(model: nn.Module) -> Tensors:
    """Copy a model's weights: further training does not change the copy."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """Give the optimizer's state: tensors by the number of the parameter and their name."""
    state: Mapping[int, Mapping[str, torch.Tensor | None]] = optimizer.state_dict()["state"]
    return {
        f"{parameter}.{name}": tensor
        for parameter, moments in state.items()
        for name, tensor in moments.items()
        if tensor is not None
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Load the state that `optimizer_tensors` gave."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for path, tensor in tensors.items():
        parameter, name = path.split(".", 1)
        state.setdefault(int(parameter), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
