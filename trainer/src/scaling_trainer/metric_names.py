"""Names of metrics: which there are, and the word for one where a system takes fewer characters.

Training scripts write `val/acc` as often as `val_acc`, so the characters are those that MLflow and
TensorBoard take. A name is data and stays as it is wherever people read it: results, reports,
objectives, tables, pages. The standard library alone, as all of the contract.
"""

from __future__ import annotations

import re

# Written out letter by letter: \w means more in Python and pydantic than in a CRD.
METRIC_NAME_PATTERN = (
    r"^([A-Za-z0-9_][-A-Za-z0-9_.: ]*/)*[A-Za-z0-9_]([-A-Za-z0-9_.: ]*[-A-Za-z0-9_.:])?$"
)
"""Parts joined by `/`; so `..`, `a//b`, `/a` and `-a` are none."""
METRIC_NAME_LENGTH = 250
METRIC_NAME_CHARACTERS = (
    "letters, digits and _, with - . : / or spaces inside, such as val_loss or val/acc"
)
METRIC_NAME_RULE = f"a name has {METRIC_NAME_CHARACTERS}; at most {METRIC_NAME_LENGTH} characters"

_NAME = re.compile(METRIC_NAME_PATTERN)
_UNFIT = re.compile(r"[^A-Za-z0-9_]+")
_SHOWN = 60


def is_metric_name(name: str) -> bool:
    """Whether a metric can be called so."""
    return len(name) <= METRIC_NAME_LENGTH and _NAME.fullmatch(name) is not None


def shown_name(name: str) -> str:
    """Show a name of anybody's in a message: short, with nothing that cannot be printed."""
    return repr(name[:_SHOWN])[1:-1][:_SHOWN]


def word_of(name: str) -> str:
    """Make a word of letters, digits and _ from a text: every run of other characters is one _.

    `val/acc` → `val_acc`. Different texts may give the same word; whoever needs them apart counts.
    """
    return _UNFIT.sub("_", name)
