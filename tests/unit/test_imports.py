"""Who may import what: total, so that a new module or a new package needs a decision here.

Which of our packages may know each other is the contract in pyproject.toml (`make imports`).
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (ROOT / "operator" / "src", ROOT / "trainer" / "src")
OURS = ("scaling_operator", "scaling_trainer")
TRAINING = (
    *("scaling_trainer.__main__", "scaling_trainer.attempt", "scaling_trainer.batches"),
    *("scaling_trainer.checkpoint", "scaling_trainer.data", "scaling_trainer.evaluate"),
    *("scaling_trainer.export", "scaling_trainer.models", "scaling_trainer.optimization"),
    *("scaling_trainer.predict", "scaling_trainer.preprocess", "scaling_trainer.seeding"),
    *("scaling_trainer.tensors", "scaling_trainer.train", "scaling_trainer.trained_model"),
    *("scaling_trainer.training_state", "scaling_trainer.trial", "scaling_trainer.worker"),
)
"""What trains, and nobody imports who only reports, counts or configures."""

IMPORTERS: dict[str, tuple[str, ...]] = {
    "PIL": ("scaling_trainer.preprocess.pixels",),
    "aiohttp": (
        *("scaling_operator.kube.client.connection", "scaling_operator.kube.health"),
        *("scaling_operator.kube.metrics_port", "scaling_operator.report_endpoint"),
        *("scaling_operator.search.dashboard", "scaling_operator.server"),
    ),
    "cel": ("scaling_operator.api.expressions",),
    "cryptography": ("scaling_operator.kube.report_service.certificate",),
    "jinja2": ("scaling_operator.report.page",),
    "kopf": ("scaling_operator.kube.client.watch",),
    "kubernetes": ("scaling_operator.kube.client.connection",),
    "markupsafe": ("scaling_operator.report.page",),
    "numpy": (
        *("scaling_operator.cli.fit_csv", "scaling_operator.law", "scaling_operator.report"),
        *("scaling_operator.sizing.calibration", *TRAINING),
    ),
    "optuna": ("scaling_operator.search",),
    "pandas": TRAINING,
    "plotly": ("scaling_operator.report.plots",),
    "prometheus_client": ("scaling_operator.metrics",),
    "pydantic": ("scaling_operator", "scaling_trainer.config", *TRAINING),
    "pydantic_core": ("scaling_operator.processes.messages", "scaling_operator.validation"),
    "pythonjsonlogger": ("scaling_operator.kube.logs",),
    "rich": ("scaling_operator.cli",),
    "ruamel": (
        *("scaling_operator.generate", "scaling_operator.report.record_sections"),
        "scaling_operator.validation",
    ),
    "safetensors": ("scaling_trainer.checkpoint",),
    "scipy": ("scaling_operator.law", "scaling_operator.sizing.calibration"),
    "sklearn": ("scaling_trainer.data", "scaling_trainer.evaluate", "scaling_trainer.preprocess"),
    "torch": ("scaling_operator.search.samplers", *TRAINING),
    "typer": ("scaling_operator.cli", "scaling_operator.kube.main"),
    "yaml": ("scaling_operator.kube.client.connection",),
}
"""Each outside package, and who may import it: modules, or packages with all that is in them."""

KNOWN_OF_THE_TRAINER = frozenset(
    f"scaling_trainer.{name}"
    for name in (
        *("config", "contract", "counting", "csv_cells", "footprint", "foreign_text"),
        *("metric_names", "reading", "results", "strict_json", "writing"),
    )
)
"""What the operator may import of the trainer: the contract, the configuration, the counting."""

PURE = ("api", "validation", "sizing", "core")
OF_THE_STANDARD_LIBRARY = frozenset(
    {
        *("__future__", "bisect", "collections", "dataclasses", "datetime", "decimal", "difflib"),
        *("enum", "fractions", "functools", "io", "itertools", "json", "math", "operator", "re"),
        *("statistics", "types", "typing"),
    }
)
"""All that a pure package needs of it: no clock, no files, no tasks, no log."""
READS_FILES = frozenset(f"scaling_operator.validation.{name}" for name in ("guide_tables", "load"))
"""The modules of pure packages that may name files: those that people hand us, and our own."""


def _name_of(path: Path, source: Path) -> str:
    return ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")


FILES = {_name_of(path, source): path for source in SOURCES for path in source.rglob("*.py")}


def _imports() -> Iterator[tuple[str, str]]:
    """Give each import of both packages: the module that has it, and the module it imports."""
    for module, path in FILES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((module, name.name) for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                for name in node.names:
                    whole = f"{node.module}.{name.name}"
                    yield module, whole if whole in FILES else node.module


IMPORTS = sorted(set(_imports()))


def _top(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def _is_within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_every_outside_package_has_its_importers_and_no_others() -> None:
    outside = {_top(name) for _, name in IMPORTS} - set(sys.stdlib_module_names) - set(OURS)
    assert outside == set(IMPORTERS), "name who may import it, or drop what nobody imports"
    strangers = [
        f"{module} imports {name}"
        for module, name in IMPORTS
        if _top(name) in IMPORTERS and not _is_within(module, IMPORTERS[_top(name)])
    ]
    assert not strangers


@pytest.mark.parametrize("outside", sorted(IMPORTERS))
def test_whoever_may_import_a_package_exists(outside: str) -> None:
    modules = {module for module, _ in IMPORTS}
    for importer in IMPORTERS[outside]:
        assert any(_is_within(module, (importer,)) for module in modules), importer


def test_the_operator_knows_the_trainers_contract_and_configuration_alone() -> None:
    forbidden = [
        f"{module} imports {name}"
        for module, name in IMPORTS
        if _top(module) == "scaling_operator"
        and _top(name) == "scaling_trainer"
        and not _is_within(name, tuple(KNOWN_OF_THE_TRAINER))
    ]
    assert not forbidden


STANDARD_LIBRARY_ALONE = tuple(
    f"scaling_trainer.{name}"
    for name in (
        *("contract", "counting", "csv_cells", "endpoint", "foreign_text", "metric_names"),
        *("reading", "report", "results", "strict_json", "writing"),
    )
)
"""What a program that trains with anything may use: it brings no package along."""


def test_what_reports_and_counts_needs_the_standard_library_alone() -> None:
    needed, waiting = set[str](), list(STANDARD_LIBRARY_ALONE)
    while waiting:
        module = waiting.pop()
        needed.add(module)
        waiting += [name for importer, name in IMPORTS if importer == module and name not in needed]
    outside = {_top(name) for name in needed} - set(sys.stdlib_module_names)
    assert outside == {"scaling_trainer"}


def test_the_trainer_knows_nothing_of_the_operator() -> None:
    assert not [
        f"{module} imports {name}"
        for module, name in IMPORTS
        if _top(module) == "scaling_trainer" and _top(name) == "scaling_operator"
    ]


def test_pure_packages_have_no_clock_no_files_and_no_tasks() -> None:
    packages = tuple(f"scaling_operator.{name}" for name in PURE)
    impure = [
        f"{module} imports {name}"
        for module, name in IMPORTS
        if _is_within(module, packages)
        and _top(name) in sys.stdlib_module_names
        and _top(name) not in OF_THE_STANDARD_LIBRARY
        and not (module in READS_FILES and name == "pathlib")
    ]
    assert not impure


OF_THE_REPORT = frozenset(
    f"scaling_operator.report.{name}" for name in ("build", "formatting", "law_page", "words")
)
"""What shells may import of the report: how to draw a page, and the words that they share."""


def test_shells_import_of_the_report_how_to_draw_it_and_its_words() -> None:
    shells = tuple(f"scaling_operator.{name}" for name in ("cli", "kube", "local"))
    strangers = [
        f"{module} imports {name}"
        for module, name in IMPORTS
        if _is_within(module, shells)
        and _is_within(name, ("scaling_operator.report",))
        and name not in OF_THE_REPORT
    ]
    assert strangers == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    order = TopologicalSorter[str]()
    for module, name in IMPORTS:
        if name in FILES:
            order.add(module, name)
    order.prepare()  # raises CycleError, which names the modules of a cycle
