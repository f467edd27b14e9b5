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
    path = subprocess.run(
        [sys.executable, "-S", "-c", "import operator; print(operator.__file__)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert not path.startswith(str(ROOT))


def test_no_test_folder_is_a_package_or_called_like_a_standard_module() -> None:
    assert not (ROOT / "tests" / "operator").exists()
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert not [folder for folder in folders if (folder / "__init__.py").exists()]


TRAINING = ("torch", "sklearn", "pandas", "pyarrow", "safetensors")
WITHOUT = """
import importlib, pkgutil, sys
missing, left_out = sys.argv[1].split(","), tuple(sys.argv[2].split(","))
for package in missing:
    sys.modules[package] = None  # its import fails, as where it is not installed
import scaling_operator
for module in pkgutil.walk_packages(scaling_operator.__path__, "scaling_operator."):
    if not module.name.startswith(left_out):
        importlib.import_module(module.name)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "left_out"),
    [
        pytest.param(TRAINING, "nothing", id="the extra operator needs nothing to train with"),
        pytest.param(
            (
                *(*TRAINING, "kopf", "kubernetes", "cryptography", "prometheus_client"),
                *("pythonjsonlogger", "optuna_dashboard", "bottle"),
            ),
            "scaling_operator.kube,scaling_operator.metrics",
            id="all but the cluster shell needs no extra",
        ),
    ],
)
def test_the_operator_imports_without(missing: tuple[str, ...], left_out: str) -> None:
    command = [sys.executable, "-c", WITHOUT, ",".join(missing), left_out]
    subprocess.run(command, check=True, timeout=120)


def test_the_contract_client_loads_nothing_beyond_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import scaling_trainer, scaling_trainer.counting;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new - set(sys.stdlib_module_names) - {'scaling_trainer'}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert loaded.strip() == "[]"
