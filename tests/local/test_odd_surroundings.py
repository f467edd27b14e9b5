"""What programs, shells and machines do to a run, and a run bears."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaling_operator.api.container import Container
from scaling_operator.local.orphan_guard import OrphanGuard
from scaling_operator.local.workers import CommandRunner

MAIN = "from scaling_operator.cli.main import main; main()"
DONE = 'echo "{\\"value\\": 0.5}" > "$SCALING_RESULT_FILE"'
LOUD_BYTES = 5_000_000
REPORTS = f"""
{sys.executable} -c "
from scaling_trainer import report
for step in (1, 2, 3):
    report(step=step, loss=1 / step)
"
"""
# By the word that the trial gets: what its program does before it writes its result.
PROGRAMS = {
    "prints megabytes": f"head -c {LOUD_BYTES} /dev/zero | tr '\\\\0' x; {DONE}",
    "prints no text": f"head -c 10000 /dev/urandom; {DONE}",
    "asks": f"read answer; {DONE}",
    "leaves a child that keeps its output": f"(sleep 300) & {DONE}",
    "closes its output": f"exec >&- 2>&-; {DONE}",
    "reports by HTTP": REPORTS,
}
# Nobody listens there: whoever asked a proxy for this machine's own port would hear nothing.
PROXIES = {
    name: "http://127.0.0.1:9"
    for variable in ("http_proxy", "https_proxy", "all_proxy")
    for name in (variable, variable.upper())
}
FOLDER = "a b'c\"$(x) [red]é\n--out"


def experiment(folder: Path, scripts: dict[str, str]) -> Path:
    """Write an experiment with a trial for each program."""
    for name, script in scripts.items():
        (folder / f"{name}.sh").write_text(script)
    kinds = {"type": "categorical", "choices": list(scripts)}
    command = ["sh", "-c", 'exec sh "$0.sh"', "$(SCALING_PARAM_KIND)"]
    document = {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ScalingExperiment",
        "metadata": {"name": "test"},
        "spec": {
            "objective": {"metric": "loss", "direction": "minimize"},
            "search": {"parameters": {"kind": kinds}, "algorithm": {"name": "grid"}},
            "trials": {"parallel": 3},
            "trainer": {"container": {"command": command}},
        },
    }
    path = folder / "experiment.json"
    path.write_text(json.dumps(document))
    return path


def scaling(
    *words: str | Path, before: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", before + MAIN, *map(str, words)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )


def by_kind(out: Path) -> dict[str, tuple[dict[str, Any], Path]]:
    """Give each program's trial with its folder."""
    trials: dict[str, tuple[dict[str, Any], Path]] = {}
    for path in (out / "trials").glob("*/trial.json"):
        trial = json.loads(path.read_text())
        trials[trial["spec"]["parameters"]["kind"]] = (trial["status"], path.parent)
    return trials


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], Path]]:
    """Run all programs once, behind proxies, into a folder of an odd name."""
    place = tmp_path_factory.mktemp("odd")
    out = place / FOLDER
    ended = scaling("run", experiment(place, PROGRAMS), "--out", out, **PROXIES)
    assert ended.returncode == 0, ended.stderr
    assert f"{len(PROGRAMS)} succeeded, 0 pruned, 0 failed" in ended.stdout
    assert (out / "report.html").exists()
    return by_kind(out)


@pytest.mark.parametrize("kind", PROGRAMS)
def test_whatever_a_program_does_its_result_counts(
    trials: dict[str, tuple[dict[str, Any], Path]], kind: str
) -> None:
    status, _ = trials[kind]
    assert (status["state"], status["values"][0] < 1) == ("Succeeded", True)
    assert len(status["attempts"]) <= 1


def test_all_that_was_printed_stands_in_the_log(
    trials: dict[str, tuple[dict[str, Any], Path]],
) -> None:
    _, folder = trials["prints megabytes"]
    assert (folder / "attempt-0.log").stat().st_size == LOUD_BYTES


def test_reports_go_to_this_machine_past_any_proxy(
    trials: dict[str, tuple[dict[str, Any], Path]],
) -> None:
    status, _ = trials["reports by HTTP"]
    assert [point["step"] for point in status["curve"]] == [1, 2, 3]


def test_a_clock_that_jumps_ends_no_trial_and_no_run(tmp_path: Path) -> None:
    """It goes an hour ahead, and an hour back, with each look at it."""
    jumping = (
        "import itertools, time; real, jumps = time.time, itertools.cycle((0.0, 3600.0, -3600.0));"
        "time.time = lambda: real() + next(jumps);"
    )
    scripts = {name: f"sleep 0.3; {DONE}" for name in ("one", "two", "three", "four")}
    out = tmp_path / "out"

    ended = scaling("run", experiment(tmp_path, scripts), "--out", out, before=jumping)

    assert ended.returncode == 0, ended.stderr
    assert "4 succeeded, 0 pruned, 0 failed" in ended.stdout
    assert {status["state"] for status, _ in by_kind(out).values()} == {"Succeeded"}


def named(command: str) -> Callable[[Path], str]:
    return lambda _: command


def not_executable(folder: Path) -> str:
    (folder / "program").write_text("#!/bin/sh\n")
    return str(folder / "program")


def no_program(folder: Path) -> str:
    (folder / "program").write_bytes(b"\x00\x01")
    (folder / "program").chmod(0o755)
    return str(folder / "program")


def without_its_interpreter(folder: Path) -> str:
    (folder / "program").write_text("#!/no/such/shell\n")
    (folder / "program").chmod(0o755)
    return str(folder / "program")


@pytest.mark.parametrize(
    ("lay", "words"),
    [
        pytest.param(named("/no/such/program"), "No such file", id="there is none"),
        pytest.param(named("no-such-program"), "No such file", id="none on the path"),
        pytest.param(str, "Permission denied", id="a folder"),
        pytest.param(not_executable, "Permission denied", id="not executable"),
        pytest.param(no_program, "Exec format error", id="no program"),
        pytest.param(without_its_interpreter, "No such file", id="its interpreter is missing"),
    ],
)
def test_a_command_that_cannot_be_started_is_told_by_its_trial(
    tmp_path: Path, lay: Callable[[Path], str], words: str
) -> None:
    command = lay(tmp_path)
    container = Container.model_validate({"command": [command]})
    guard = OrphanGuard()

    ending = asyncio.run(CommandRunner(container, tmp_path, guard).run({}, tmp_path / "log"))
    guard.close()

    assert ending.exit_code == 127
    assert ending.message.startswith(f"{command} cannot be started: {words}")
