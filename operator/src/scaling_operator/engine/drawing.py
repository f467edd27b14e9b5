"""From an experiment and its trials to the report page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from scaling_operator.engine.ladder import fit_of, law_input
from scaling_operator.engine.outcome import Outcome
from scaling_operator.engine.rules import search_of
from scaling_operator.fitting.fit import FitOutcome
from scaling_operator.report.data import Confusion, ReportInput
from scaling_operator.report.page import render
from scaling_operator.search.lanes import record_of
from scaling_operator.search.study import Study, StudySettings


def draw(outcome: Outcome, best: Path | None = None, fitted: FitOutcome | None = None) -> str:
    """Draw report.html; `best` is the folder that the best trial was exported to, if it was.

    A ladder is fitted anew, unless `fitted` is its fit already.
    """
    confusion, removed = _evaluation(best)
    return render(
        ReportInput(
            name=outcome.name,
            spec=outcome.spec,
            status=outcome.status,
            trials=outcome.trials,
            importances=importances(outcome),
            confusion=confusion,
            removed=removed,
            law=law_input(fitted or fit_of(outcome)),
        )
    )


def importances(outcome: Outcome) -> Mapping[int, Mapping[str, float]]:
    """Work out the parameters' importances for each scale that has trials."""
    return {scale: study.importances() for scale, study in studies_of(outcome).items()}


def studies_of(outcome: Outcome) -> Mapping[int, Study]:
    """Rebuild the study of each scale that has trials."""
    spec = outcome.spec
    by_scale: dict[int, Study] = {}
    for trial in outcome.trials:
        scale = trial.spec.scale
        if scale not in by_scale:
            by_scale[scale] = Study(
                StudySettings(
                    name=f"{outcome.name}-{scale}",
                    search=search_of(spec),
                    directions=tuple(goal.direction for goal in spec.all_objectives),
                    base_seed=outcome.uid,
                    scale=scale,
                    ranges={},
                )
            )
        by_scale[scale].add(record_of(trial, spec.search))
    return by_scale


def _evaluation(best: Path | None) -> tuple[Confusion | None, Mapping[str, int]]:
    """Read what the best trial's evaluation left beside its weights."""
    path = None if best is None else best / "metrics.json"
    if path is None or not path.exists():
        return None, {}
    document = json.loads(path.read_text())
    counts, classes = document.get("confusion"), document.get("classes")
    confusion = Confusion(tuple(classes), tuple(tuple(row) for row in counts)) if counts else None
    return confusion, document.get("removed", {})
