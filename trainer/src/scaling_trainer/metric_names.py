"""Names of metrics: the rule for them, and a plain word for systems with fewer characters.

Training scripts write `val/acc` as often as `val_acc`, so a name has the characters that MLflow and
TensorBoard accept. A name is data. It stays unchanged wherever people read it: in results, reports,
objectives, tables and pages. The module needs the standard library alone, as all of the contract.
"""

from __future__ import annotations

import re

# The letters are written out: \w matches more in Python and pydantic than in a CRD.
METRIC_NAME_PATTERN = (
    r"^([A-Za-z0-9_][-A-Za-z0-9_.: ]*/)*[A-Za-z0-9_]([-A-Za-z0-9_.: ]*[-A-Za-z0-9_.:])?$"
)
"""Parts joined by `/`. So `..`, `a//b`, `/a` and `-a` are no names."""
METRIC_NAME_LENGTH = 250
METRIC_NAME_CHARACTERS = (
    "letters, digits and _, with - . : / or spaces inside, such as val_loss or val/acc"
)
METRIC_NAME_RULE = f"a name has {METRIC_NAME_CHARACTERS}; at most {METRIC_NAME_LENGTH} characters"

_NAME = re.compile(METRIC_NAME_PATTERN)
_UNFIT = re.compile(r"[^A-Za-z0-9_]+")
_SHOWN = 60


def is_metric_name(name: str) -> bool:
    """Whether a text is a metric's name."""
    return len(name) <= METRIC_NAME_LENGTH and _NAME.fullmatch(name) is not None


def shown_name(name: str) -> str:
    """Shorten an untrusted name for a message, and escape characters that cannot be printed."""
    return repr(name[:_SHOWN])[1:-1][:_SHOWN]


def word_of(name: str) -> str:
    """Make a word of letters, digits and _: each run of other characters becomes one _.

    `val/acc` → `val_acc`. Different texts may give the same word. A caller that needs unique words
    has to number them.
    """
    return _UNFIT.sub("_", name)
