"""Write the dashboards into the chart: `make dashboards`."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from boards.experiment import experiment
from boards.platform import platform

FOLDER = Path(__file__).parents[3] / "charts" / "scaling-operator" / "dashboards"
MAKERS = {"platform.json": platform, "experiment.json": experiment}


def files() -> dict[str, str]:
    """Render the dashboards, by file name."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return {name: encoder.encode(make().build()) + "\n" for name, make in MAKERS.items()}


def main() -> None:
    """Write them."""
    for name, text in files().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
