"""Points to try first: the user's own, and the best of earlier result folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.core.observed import Point
from scaling_operator.local.store import Store, StoreError
from scaling_operator.search.warmstart import Other, best_points


def warm_points(
    spec: ExperimentSpec, beside: Path, data_folder: Path, tell: Callable[[str], None]
) -> tuple[Point, ...]:
    """Collect `warmStart.points`, then the best `topK` of each folder in `warmStart.from`.

    A name is a folder beside the result folder, or a path from the experiment file; what is damaged
    in it is told and left out. Raises StoreError where it is neither.
    """
    warm = spec.search.warm_start
    points: list[Point] = [dict(point) for point in warm.points]
    for name in warm.from_:
        folder = next((path for path in (beside / name, data_folder / name) if path.is_dir()), None)
        if folder is None:
            message = (
                f"spec.search.warmStart.from: {name} is neither a result folder beside --out"
                f" ({beside}) nor a path from the experiment file"
            )
            raise StoreError(message)
        contents = Store(folder).contents()
        for damage in contents.damaged:
            tell(f"{damage}; left out")
        other = Other(str(folder), contents.identity.spec, contents.trials)
        try:
            points += best_points(other, spec)[: warm.top_k]
        except ValueError as error:
            raise StoreError(str(error)) from error
    return tuple(points)
