"""Copies of studies in one storage, for optuna-dashboard to show; the studies stay apart.

A study here has the same number for as long as it is shown, so that its page may be reloaded.
"""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from scaling_trainer.csv_cells import disarmed

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI application."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
EXTRA = "optuna-dashboard is not installed: pip install 'scaling-operator[dashboard]'"
_TABLES = "/csv/"


class DashboardMissing(RuntimeError):
    """The extra `dashboard` is not installed."""


@dataclass(slots=True)
class _Shown:
    """A study that is shown: its number, and its trials' by theirs."""

    study_id: int
    trials: dict[int, int] = field(default_factory=dict[int, int])
    ended: set[int] = field(default_factory=set[int])


class Mirror:
    """Shows studies. Safe across threads as far as its storage is: one writer, many readers."""

    def __init__(self) -> None:
        self._storage = InMemoryStorage()
        self._shown: dict[str, _Shown] = {}

    def show(
        self,
        name: str,
        directions: Sequence[Literal["minimize", "maximize"]],
        trials: Iterable[FrozenTrial],
    ) -> None:
        """Bring the copy of a study up to date."""
        shown = self._shown.get(name)
        if shown is None:
            whole = [StudyDirection[direction.upper()] for direction in directions]
            shown = self._shown[name] = _Shown(self._storage.create_new_study(whole, name))
        for trial in trials:
            if trial.number not in shown.ended:
                self._take(shown, trial)

    def keep_only(self, names: Iterable[str]) -> None:
        """Drop the copies of all other studies."""
        for name in set(self._shown) - set(names):
            self._storage.delete_study(self._shown.pop(name).study_id)

    def application(self) -> Application:
        """Make the web application, which only reads. Raises DashboardMissing."""
        try:
            dashboard: Any = importlib.import_module("optuna_dashboard")
        except ModuleNotFoundError as error:
            raise DashboardMissing(EXTRA) from error
        return read_only(without_formulas(dashboard.wsgi(self._storage)))

    def _take(self, shown: _Shown, trial: FrozenTrial) -> None:
        shown_trial = shown.trials.get(trial.number)
        if shown_trial is None:
            shown.trials[trial.number] = self._storage.create_new_trial(shown.study_id, trial)
        else:
            for step, value in trial.intermediate_values.items():
                self._storage.set_trial_intermediate_value(shown_trial, step, value)
            if trial.state.is_finished():
                self._storage.set_trial_state_values(shown_trial, trial.state, trial.values)
        if trial.state.is_finished():
            shown.ended.add(trial.number)


def read_only(application: Application) -> Application:
    """Let only those requests through that change nothing."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in READING:
            return application(environ, start_response)
        headers = [("Content-Type", "application/json"), ("Allow", ", ".join(sorted(READING)))]
        start_response("405 Method Not Allowed", headers)
        return [b'{"reason": "this dashboard only shows: studies are changed by their experiment"}']

    return guarded


def without_formulas(application: Application) -> Application:
    """Disarm what a spreadsheet would compute in the tables that are given out."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not environ["PATH_INFO"].startswith(_TABLES):
            return application(environ, start_response)
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def started(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
            begun.append((status, headers))

        body = b"".join(application(environ, started))
        status, headers = begun[-1]
        if any("csv" in value for name, value in headers if name.lower() == "content-type"):
            body = _disarmed_table(body.decode()).encode()
            headers = [header for header in headers if header[0].lower() != "content-length"]
        start_response(status, headers)
        return [body]

    return guarded


def _disarmed_table(table: str) -> str:
    written = io.StringIO()
    rows = csv.reader(io.StringIO(table, newline=""))
    csv.writer(written).writerows([disarmed(cell) for cell in row] for row in rows)
    return written.getvalue()
