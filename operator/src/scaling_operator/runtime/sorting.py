"""The actions of one plan, by how they are applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from scaling_operator.core.actions import (
    Action,
    AddScales,
    Ask,
    Discard,
    EndAttempt,
    Finish,
    Launch,
    OpenScale,
    SetState,
)
from scaling_operator.core.reports import AttemptKey
from scaling_operator.sizing.admission import Slot

Change = SetState | EndAttempt | Finish


@dataclass(slots=True)
class Grouped:
    """The actions of a plan, by how they are applied."""

    scales: list[AddScales | OpenScale] = field(default_factory=list["AddScales | OpenScale"])
    changes: list[Change] = field(default_factory=list["Change"])
    asks: list[Ask] = field(default_factory=list[Ask])
    launches: dict[Slot, Launch] = field(default_factory=dict[Slot, Launch])
    """Of trials that were there before: a new one's launch belongs to its ask."""
    discards: tuple[AttemptKey, ...] = ()


def grouped(actions: Sequence[Action]) -> Grouped:
    """Sort the actions of a plan."""
    result = Grouped()
    for action in actions:
        match action:
            case AddScales() | OpenScale():
                result.scales.append(action)
            case SetState() | EndAttempt() | Finish():
                result.changes.append(action)
            case Ask():
                result.asks.append(action)
            case Launch():
                result.launches[(action.scale, action.number)] = action
            case Discard():
                key = AttemptKey(action.scale, action.number, action.attempt)
                result.discards = (*result.discards, key)
            case _:
                assert_never(action)
    for ask in result.asks:
        result.launches.pop((ask.scale, ask.number), None)
    return result
