"""What a person sees: the report page and optuna-dashboard in a headless Chromium."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed.browser import Browser

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


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs chromium (Debian package chromium)")
    return Browser(program, tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result folder."""
    folder = tmp_path_factory.mktemp("seen")
    (folder / "seen.yaml").write_text(EXPERIMENT)
    command = [str(SCALING), "run", str(folder / "seen.yaml"), "--out", str(folder / "run")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder / "run"


def test_the_report_page_draws_its_plots_without_a_network(browser: Browser, run: Path) -> None:
    page = (run / "report.html").as_uri()
    text = browser.text(page)

    assert "seen" in text
    # Plotly has put its drawings into the page.
    assert "main-svg" in text
    browser.picture(page)


@pytest.fixture
def dashboard(run: Path) -> Iterator[str]:
    command = [str(SCALING), "dashboard", str(run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[0]
        process.terminate()


def test_optuna_dashboard_shows_the_study_of_a_result_folder(
    browser: Browser, dashboard: str
) -> None:
    page = f"{dashboard}dashboard/studies/0"
    text = browser.text(page)

    for words in ("seen 0", "History", "Hyperparameter Importance"):
        assert words in text
    assert "main-svg" in text
    browser.picture(page)
