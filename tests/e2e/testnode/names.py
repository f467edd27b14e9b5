"""Names of the images as pods use them, and the chart's values that go with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from testbed.session import is_external

from testnode.components import REPORTS


@dataclass(frozen=True, slots=True)
class ImageNames:
    """References of the project's images, and of one that has Python and nothing of ours.

    `pull` is the pull policy that fits them.
    """

    operator: str
    trainer: str
    python: str
    pull: str


def chart_values(images: ImageNames) -> dict[str, Any]:
    """Values of the chart for these images. A node of the tests' own has no DNS."""
    repository, _, tag = images.operator.rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag, "pullPolicy": images.pull},
        "trainerImage": images.trainer,
        "trials": {"imagePullPolicy": images.pull},
        "reports": {} if is_external() else {"clusterIP": REPORTS},
    }
