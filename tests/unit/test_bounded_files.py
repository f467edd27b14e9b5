"""One bounded reader and one writer: nobody opens a file by other means without a stated reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "operator" / "src", ROOT / "trainer" / "src")

ALLOWED = {
    "scaling_trainer/reading.py": "it is the reader",
    "scaling_trainer/writing.py": "it is the writer",
    "scaling_trainer/data": "data sets: large by nature, each format with bounds of its own",
    "scaling_trainer/preprocess/pixels.py": "images of a data set",
    "scaling_trainer/worker.py": "the copy of its own standard output",
    "scaling_operator/cli/run.py": "the null device in place of a closed terminal",
    "scaling_operator/local/orphan_guard.py": "the kernel's files of processes",
    "scaling_operator/processes/child.py": "the kernel's files of itself, and its own pipe",
    "scaling_operator/report/page.py": "files of this package",
    "scaling_operator/generate.py": "writes this repository's own files",
    "scaling_operator/kube/report_service/certificate.py": "its own files in a temporary folder",
}
FUNCTIONS = {"open", "fdopen", "mkstemp", "NamedTemporaryFile", "TemporaryFile"}
METHODS = {
    *("open", "fdopen", "read_text", "read_bytes", "write_text", "write_bytes"),
    *("copy2", "copyfile", "copytree", "rmtree", "make_archive", "unpack_archive"),
    *("fromfile", "tofile", "loadtxt", "genfromtxt", "memmap"),
    *("read_csv", "read_parquet", "read_json", "read_pickle", "to_csv", "to_parquet"),
}
OF_A_MODULE = {
    *(("json", "load"), ("np", "load"), ("np", "save"), ("torch", "load"), ("torch", "save")),
    *(("pickle", "load"), ("shutil", "copy"), ("shutil", "move")),
}
# The reader and the writer by name, and methods of other things.
OTHERS = {"reading", "writing", "webbrowser", "loader", "self"}


def opened(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Calls that read or write a file by other means than the reader and the writer."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Name(id=name) if name in FUNCTIONS:
                yield node.lineno, name
            case ast.Attribute(value=value, attr=name):
                owner = ast.unparse(value).rsplit(".", 1)[-1]
                is_text = name == "to_csv" and not node.args  # without a path it gives the text
                named = name in METHODS and owner not in OTHERS and not is_text
                if named or (owner, name) in OF_A_MODULE:
                    yield node.lineno, f"{owner}.{name}"
            case _:
                pass


def modules() -> Iterator[tuple[str, Path]]:
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            yield str(path.relative_to(source)), path


def is_allowed(name: str) -> bool:
    return any(name == allowed or name.startswith(f"{allowed}/") for allowed in ALLOWED)


def test_no_module_opens_a_file_by_itself() -> None:
    calls = [
        f"{name}:{line}: {call}"
        for name, path in modules()
        if not is_allowed(name)
        for line, call in opened(ast.parse(path.read_text()))
    ]
    assert not calls, "read by scaling_trainer.reading, write by scaling_trainer.writing"


@pytest.mark.slow
def test_every_exception_is_needed() -> None:
    used = {name for name, path in modules() if any(opened(ast.parse(path.read_text())))}
    assert [
        allowed
        for allowed in ALLOWED
        if not any(name == allowed or name.startswith(f"{allowed}/") for name in used)
    ] == []


@pytest.mark.parametrize(
    "call",
    [
        "open('a')",
        "io.open('a')",
        "path.open()",
        "Path('a').read_text()",
        "(root / 'a').read_bytes()",
        "json.load(stream)",
        "path.write_text('')",
        "shutil.copytree(a, b)",
        "shutil.rmtree(a)",
        "torch.load(path)",
        "os.fdopen(3)",
    ],
)
def test_the_test_sees(call: str) -> None:
    assert list(opened(ast.parse(call)))


@pytest.mark.parametrize("call", ["copy.copy(a)", "json.loads(a)", "read_json(a, 1)"])
def test_the_test_does_not_see(call: str) -> None:
    assert not list(opened(ast.parse(call)))
