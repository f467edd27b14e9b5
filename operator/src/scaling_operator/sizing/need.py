"""What a trial is, in the numbers that decide its memory and its time."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_operator.api.estimate import Ability
from scaling_operator.sizing.memory import States

NO_STATES = States(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Rows:
    """Bytes that each row of a micro-batch adds on an accelerator.

    `kept` lives from the forward to the backward pass; with recomputation `recomputed` does, and
    `block` once more while a block is computed again. `outputs` are logits and what the loss makes
    of them, `passing` lives for a moment.
    """

    kept: float = 0.0
    recomputed: float = 0.0
    block: float = 0.0
    outputs: float = 0.0
    passing: float = 0.0


@dataclass(frozen=True, slots=True)
class Need:
    """One trial before any machine is chosen.

    `parameters` are those that are stored, `counted` is N by the convention of the laws. `flops` is
    C of the whole trial, `steps` how many there are, None where nothing tells. `whole_device_bytes`
    and `whole_host_bytes` stand instead of all parts. `evaluated_bytes` lives in an evaluation,
    beside the states.
    """

    parameters: float = 0.0
    counted: float | None = None
    flops: float | None = None
    steps: float | None = None
    states: States = NO_STATES
    batch: int = 1
    rows: Rows = Rows()
    evaluated_bytes: float = 0.0
    largest_unit: float = 0.0
    data_bytes: float = 0.0
    shared_bytes: float = 0.0
    cores: float = 1.0
    whole_device_bytes: float | None = None
    whole_host_bytes: float | None = None
    abilities: frozenset[Ability] = frozenset()
    runs_on_cpu: bool = True
    runs_on_devices: bool = True
    family: str = ""
    """Of what kind the trainer is: only alike ones calibrate each other."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why a need cannot be computed: the field at fault and a sentence."""

    path: str
    message: str

    def __str__(self) -> str:
        """Render as `path: message`."""
        return f"{self.path}: {self.message}"
