"""What a person sees: the report page and optuna-dashboard in a headless Chromium."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SCALING = Path(sys.executable).with_name("scaling")
EXPERIMENT = """
apiVersion: scaling-operator.dev/v1alpha1
kind: ScalingExperiment
metadata: {name: seen}
spec:
  objective: {metric: loss, direction: minimize}
  search:
    parameters: {x: {type: float, low: -1, high: 1}}
    algorithm: {name: random, seed: 7}
  trials: {max: 8, parallel: 2}
  trainer:
    container:
      command:
        - sh
        - -c
        - printf "{\\"v\\":1,\\"value\\":%s}" "${0#-}" > "$SCALING_RESULT_FILE"
        - $(SCALING_PARAM_X)
"""
# A picture of nothing is smaller by far.
LEAST_BYTES = 15_000


@pytest.fixture(scope="module")
def browser() -> str:
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("needs chromium (Debian package chromium)")
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result folder."""
    folder = tmp_path_factory.mktemp("seen")
    (folder / "seen.yaml").write_text(EXPERIMENT)
    command = [str(SCALING), "run", str(folder / "seen.yaml"), "--out", str(folder / "run")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder / "run"


def looked_at(browser: str, address: str, folder: Path) -> tuple[str, Path]:
    """Open a page; return what stands in it once its scripts have run, and a picture of it."""
    picture = folder / "picture.png"
    fixed = [
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *(f"--user-data-dir={folder / 'profile'}", "--window-size=1400,1000"),
        "--virtual-time-budget=20000",
    ]
    seen = subprocess.run(
        [*fixed, "--dump-dom", address], capture_output=True, text=True, timeout=120, check=True
    )
    subprocess.run(
        [*fixed, f"--screenshot={picture}", address], capture_output=True, timeout=120, check=True
    )
    return seen.stdout, picture


def test_the_report_page_draws_its_plots_without_a_network(
    browser: str, run: Path, tmp_path: Path
) -> None:
    text, picture = looked_at(browser, (run / "report.html").as_uri(), tmp_path)

    assert "seen" in text
    # Plotly has put its drawings into the page.
    assert "main-svg" in text
    assert picture.stat().st_size > LEAST_BYTES


@pytest.fixture
def dashboard(run: Path) -> Iterator[str]:
    command = [str(SCALING), "dashboard", str(run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[0]
        process.terminate()


def test_optuna_dashboard_shows_the_study_of_a_result_folder(
    browser: str, dashboard: str, tmp_path: Path
) -> None:
    time.sleep(0.5)
    text, picture = looked_at(browser, f"{dashboard}dashboard/studies/0", tmp_path)

    for words in ("seen 0", "History", "Hyperparameter Importance"):
        assert words in text
    assert "main-svg" in text
    assert picture.stat().st_size > LEAST_BYTES
