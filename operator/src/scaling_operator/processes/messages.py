"""Messages between the processes: JSON, each with its length in four bytes before it.

Numbers that are not finite are kept.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, BinaryIO, Generic, TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_json

from scaling_operator.api.problems import Problem
from scaling_operator.api.status_fit import FitStatus, Recommendation, ScalePrediction
from scaling_operator.core.fit_types import FitCondition, FitInput
from scaling_operator.search.study import Proposal
from scaling_operator.search.study_worker import (
    Answer,
    AskCall,
    Call,
    CloseCall,
    OpenCall,
    ReportCall,
    TellCall,
)

_LENGTH = struct.Struct(">I")


def frame(message: bytes) -> bytes:
    """Put the length of a message before it."""
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


T = TypeVar("T")


class Codec(Generic[T]):
    """Encodes one type as JSON. The schema is built at the first use: some are large."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._adapter: TypeAdapter[T] | None = None

    def encode(self, value: T) -> bytes:
        """Write a value as JSON."""
        return to_json(self._built.dump_python(value, by_alias=True), inf_nan_mode="constants")

    def decode(self, text: bytes) -> T:
        """Read a value back."""
        return self._built.validate_json(text)

    @property
    def _built(self) -> TypeAdapter[T]:
        if self._adapter is None:
            self._adapter = TypeAdapter(self._kind)
        return self._adapter


class Task(StrEnum):
    """The tasks of a worker process."""

    CHECK = "check"
    STUDY = "study"
    FIT = "fit"


class WorkOutcome(StrEnum):
    """How a piece of work ended."""

    DONE = "done"
    OUT_OF_MEMORY = "outOfMemory"
    STUDY_CLOSED = "studyClosed"
    ASK_FAILED = "askFailed"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class WorkRequest:
    """The head of a request; the payload follows as a message of its own."""

    task: Task
    cpu_seconds: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class WorkAnswer:
    """The head of an answer; after DONE, the answer itself follows."""

    outcome: WorkOutcome
    message: str = ""


@dataclass(frozen=True, slots=True)
class FitAnswer:
    """The result of a fit, without its input."""

    status: FitStatus
    conditions: tuple[FitCondition, ...]
    recommendations: tuple[Recommendation, ...] = ()
    predictions: Mapping[int, ScalePrediction] = field(default_factory=dict[int, ScalePrediction])


WORK_REQUEST: Codec[WorkRequest] = Codec(WorkRequest)
WORK_ANSWER: Codec[WorkAnswer] = Codec(WorkAnswer)
DOCUMENT: Codec[dict[str, Any]] = Codec(dict[str, Any])
PROBLEMS: Codec[tuple[Problem, ...]] = Codec(tuple[Problem, ...])
FIT_INPUT: Codec[FitInput] = Codec(FitInput)
FIT_ANSWER: Codec[FitAnswer] = Codec(FitAnswer)
STUDY_ANSWER: Codec[Answer] = Codec(Proposal | bool | None)
_CALLS: dict[str, Codec[Any]] = {
    call_type.__name__: Codec(call_type)
    for call_type in (OpenCall, AskCall, ReportCall, TellCall, CloseCall)
}


def encode_call(study: str, call: Call) -> bytes:
    """Write a call of a study: the study's name, the kind of call, the call."""
    kind = type(call).__name__
    return b"\n".join((study.encode(), kind.encode(), _CALLS[kind].encode(call)))


def decode_call(text: bytes) -> tuple[str, Call]:
    """Read the study's name and the call."""
    study, kind, call = text.split(b"\n", 2)
    return study.decode(), _CALLS[kind.decode()].decode(call)
