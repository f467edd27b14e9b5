"""What can be known of the data before the first trial."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from scaling_trainer.config.builtin import BuiltIn
from scaling_trainer.data.load import prepare, read_source
from scaling_trainer.data.recipe import Recipe

# What of a model decides whether data suffice for it.
_OF_MODELS = frozenset(("model.name", "model.context"))


def decides_about_data(parameters: Iterable[str]) -> bool:
    """Whether parameters decide what the data are: other values of them may do better."""
    names = frozenset(parameters)
    return bool(names & _OF_MODELS or _sections(names) & {"task", "dataset", "preprocessing"})


def check_data(config: BuiltIn, data_dir: Path, varied: Iterable[str]) -> tuple[str, ...]:
    """Read the data as a trial would, and give what is to be told of them.

    `varied` are the parameters that differ between trials: what depends on them is left to these.
    Raises DataError for what no trial could use.
    """
    names = frozenset(varied)
    if _sections(names) & {"task", "dataset"}:
        return ()
    if decides_about_data(names):
        recipe = Recipe(config.task, config.dataset, config.preprocessing)
        return read_source(recipe, data_dir).provenance.notes
    return prepare(config, data_dir).notes


def _sections(names: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}
