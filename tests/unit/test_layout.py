"""The folder called operator/ must never shadow Python's own module of that name."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("folder", ["operator", "trainer"])
def test_source_roots_are_no_packages(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()


def test_the_standard_operator_module_wins_at_the_root() -> None:
    found = subprocess.run(
        [sys.executable, "-S", "-c", "import operator; print(operator.__file__)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert not found.startswith(str(ROOT))


def test_no_test_folder_is_called_like_a_standard_module() -> None:
    assert not (ROOT / "tests" / "operator").exists()
    assert not list((ROOT / "tests").rglob("__init__.py"))
