"""Result folders of others: a trial's file, and the status of the experiment."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from targets import CORPUS, check_words, of_files

from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.observed import AttemptPhase, AttemptView, Rules
from scaling_operator.core.plan import plan
from scaling_operator.core.reports import AttemptKey
from scaling_operator.local.contents import RESULT, TRIAL, Contents, trial_folder
from scaling_operator.local.store import Store, StoreError
from scaling_operator.report.build import draw
from scaling_operator.runtime.record import ExperimentRecord, table
from scaling_operator.runtime.state import read_state
from scaling_operator.validation.load import parse_experiment

NOW = 1_900_000_000.0
UID = "uid-of-e"
EXPERIMENT = (CORPUS / "experiments" / "of-a-result-folder.json").read_text()
"""Whose trial 0-0 and whose status are in the corpora."""


def check_a_trial(written: bytes) -> bool:
    """A trial's file is used and written again as it was, or named with what is wrong with it."""
    return _check(written, lambda root: trial_folder(root, 0, 0) / TRIAL)


def check_a_status(written: bytes) -> bool:
    """An experiment's status is used, or named with what is wrong with it."""
    return _check(written, lambda root: root / RESULT)


def _check(written: bytes, place: Callable[[Path], Path]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.write_experiment(parse_experiment(EXPERIMENT, "e.json"), UID)
        trial = trial_folder(store.root, 0, 0) / TRIAL
        trial.parent.mkdir(parents=True)
        trial.write_bytes(A_TRIAL)
        place(store.root).write_bytes(written)
        try:
            contents = store.contents()
        except StoreError as error:
            check_words(str(error))
            return False
        for damage in contents.damaged:
            check_words(damage.reason)
        _check_use(store, contents)
        return not contents.damaged


def _check_use(store: Store, contents: Contents) -> None:
    """Draw it, go on from it, and write it again."""
    identity, status, trials = contents.identity, contents.status, contents.trials
    table(trials)
    draw(ExperimentRecord(identity.name, identity.uid, identity.spec, status, trials))
    book = read_state(identity.spec, Rules(max_trials=2, fits=True), status, trials)
    planned = plan(book.observe(_waits, (), NOW))
    store.write_status(identity.name, planned.status)
    for trial in trials:
        store.write_trial(trial)
    again = store.contents()
    assert not [damage for damage in again.damaged if damage.path.name == RESULT]
    assert again.status == planned.status
    assert again.trials == trials


def _waits(trial: ScalingTrial, key: AttemptKey) -> AttemptView:
    del trial, key
    return AttemptView(AttemptPhase.WAITING)


A_TRIAL = (CORPUS / "trials-of-folders" / "succeeded.json").read_bytes()

TARGETS = (
    of_files("trials-of-folders", check_a_trial, 40),
    of_files("statuses-of-folders", check_a_status, 40),
)
