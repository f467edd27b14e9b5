"""What is asked of a study, as plain data: the same in a thread and in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from scaling_operator.api.fields import Scalar
from scaling_operator.search.study import Proposal, Study, StudySettings
from scaling_operator.search.trials import Record


class StudyClosed(RuntimeError):
    """The study is not open where it was asked for: open it there, and ask again."""


@dataclass(frozen=True, slots=True)
class OpenCall:
    """Build a study from the records of its trials, in order of number."""

    settings: StudySettings
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class AskCall:
    """Sample a slot, at an enqueued point where there is one."""

    number: int
    point: Mapping[str, Scalar] | None = None


@dataclass(frozen=True, slots=True)
class ReportCall:
    """Hand over an intermediate value, and hear whether the trial should be pruned."""

    number: int
    step: int
    value: float


@dataclass(frozen=True, slots=True)
class TellCall:
    """Tell how a trial ended."""

    record: Record


@dataclass(frozen=True, slots=True)
class CloseCall:
    """Forget a study."""


Call = OpenCall | AskCall | ReportCall | TellCall | CloseCall
Answer = Proposal | bool | None


@dataclass(slots=True)
class OpenStudies:
    """The studies that one thread or process has open, by name. Not safe across threads."""

    _studies: dict[str, Study] = field(default_factory=dict[str, Study])

    def perform(self, name: str, call: Call) -> Answer:
        """Do what is asked of a study.

        Raises StudyClosed for one that is not open, AskFailed where the sampler raises.
        """
        match call:
            case OpenCall(settings, records):
                self._studies[name] = built(settings, records)
                return None
            case AskCall(number, point):
                return self._study(name).ask(number, point)
            case ReportCall(number, step, value):
                return self._study(name).report(number, step, value)
            case TellCall(record):
                return self._study(name).tell(record)
            case CloseCall():
                self._studies.pop(name, None)
                return None
            case _:
                assert_never(call)

    def _study(self, name: str) -> Study:
        study = self._studies.get(name)
        if study is None:
            message = f"study {name} is not open here"
            raise StudyClosed(message)
        return study


def built(settings: StudySettings, records: tuple[Record, ...]) -> Study:
    """Build a study from what is stored of its trials, in order of number."""
    study = Study(settings)
    for record in records:
        study.add(record)
    return study
