"""`scaling run` as a person uses it: the real command, real processes, a real folder."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

PARABOLA = (
    'echo "{\\"v\\":1,\\"value\\":$(awk "BEGIN {print ($1 - 0.3) ^ 2}")}" > "$SCALING_RESULT_FILE"'
)
SCALING = [sys.executable, "-c", "from scaling_operator.cli.main import main; main()"]


def experiment(script: str, *args: str, **sections: Any) -> dict[str, Any]:
    """An experiment whose trainer is a shell script; its first argument is x."""
    spec: dict[str, Any] = {
        "objective": {"metric": "loss", "direction": "minimize"},
        "search": {
            "parameters": {"x": {"type": "float", "low": -1, "high": 1}},
            "algorithm": {"name": "tpe", "seed": 7, "startupTrials": 3},
        },
        "trials": {"max": 8, "parallel": 2},
        "trainer": {
            "container": {
                "command": ["sh", "-c", script, "trainer"],
                "args": ["$(SCALING_PARAM_X)", *args],
            }
        },
    }
    return {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ScalingExperiment",
        "metadata": {"name": "test"},
        "spec": spec | sections,
    }


def write(folder: Path, document: dict[str, Any]) -> Path:
    path = folder / "experiment.yaml"
    with path.open("w") as stream:
        YAML().dump(document, stream)  # pyright: ignore[reportUnknownMemberType] - untyped library
    return path


def scaling(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*SCALING, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def run(folder: Path, document: dict[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
    return scaling("run", write(folder, document), "--out", folder / "out", *words)


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out" / "result.json").read_text())


def trials(folder: Path) -> dict[str, Any]:
    paths = sorted((folder / "out" / "trials").glob("*/trial.json"))
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


def proposals(folder: Path) -> dict[str, Any]:
    return {name: trial["spec"]["parameters"] for name, trial in trials(folder).items()}


def test_a_run_leaves_a_result_a_table_and_a_report(tmp_path: Path) -> None:
    ended = run(tmp_path, experiment(PARABOLA))
    assert ended.returncode == 0, ended.stderr
    status = result(tmp_path)
    assert status["experiment"] == "test"
    assert status["counts"]["succeeded"] == 8
    best = status["best"]
    assert best["values"][0] == pytest.approx((best["parameters"]["x"] - 0.3) ** 2, rel=1e-4)
    with (tmp_path / "out" / "trials.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [row["state"] for row in rows] == ["Succeeded"] * 8
    assert min(float(row["value"]) for row in rows) == best["values"][0]
    assert "<html" in (tmp_path / "out" / "report.html").read_text()
    assert f"trial {best['trial']}" in ended.stdout


def test_a_killed_run_goes_on_where_it_was_and_proposes_the_same(tmp_path: Path) -> None:
    document = experiment(f"sleep 0.1; {PARABOLA}", trials={"max": 8, "parallel": 1})
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    undisturbed.mkdir()
    killed.mkdir()
    assert run(undisturbed, document).returncode == 0
    command = [*SCALING, "run", str(write(killed, document)), "--out", str(killed / "out")]
    for _ in range(3):
        before = len(trials(killed))
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(trials(killed)) < min(before + 2, 8) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.wait()
    ended = run(killed, document)
    assert ended.returncode == 0, ended.stderr
    assert proposals(killed) == proposals(undisturbed)
    assert {name: t["status"]["values"] for name, t in trials(killed).items()} == {
        name: t["status"]["values"] for name, t in trials(undisturbed).items()
    }


def test_an_interrupted_run_ends_its_processes_and_says_how_to_go_on(tmp_path: Path) -> None:
    marker = f"scaling-test-{os.getpid()}"
    path = write(tmp_path, experiment(f": {marker}; sleep 60"))
    command = [*SCALING, "run", str(path), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("out/trials/*/attempt-0.log"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from here" in output
    running = subprocess.run(["pgrep", "-f", marker], capture_output=True, text=True, check=False)
    assert running.stdout == ""
    assert [t["status"]["attempts"][0]["reason"] for t in trials(tmp_path).values()] == [
        "Suspended",
        "Suspended",
    ]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param("exit 3", "TrainerFailed", id="an exit code other than 0"),
        pytest.param("exit 0", "NoResult", id="no result"),
        pytest.param('echo "{" > "$SCALING_RESULT_FILE"', "InvalidResult", id="no JSON"),
        pytest.param(
            'echo "{\\"v\\":1,\\"value\\":NaN}" > "$SCALING_RESULT_FILE"',
            "InvalidResult",
            id="a value that is not finite",
        ),
        pytest.param("exit 87", "Diverged", id="divergence"),
        pytest.param("sleep 60", "TimedOut", id="an attempt that takes too long"),
    ],
)
def test_a_failing_trial_has_a_named_reason_and_never_ends_the_run(
    tmp_path: Path, script: str, reason: str
) -> None:
    first_fails = f'if [ "$SCALING_TRIAL" = 0 ]; then {script}; exit $?; fi; {PARABOLA}'
    limits = {"max": 3, "parallel": 1, "timeout": "1s", "maxFailed": 1}
    ended = run(tmp_path, experiment(first_fails, trials=limits))
    assert ended.returncode == 0, ended.stderr
    assert trials(tmp_path)["0-0"]["status"]["reason"] == reason
    assert result(tmp_path)["counts"]["succeeded"] == 2


def test_more_failures_than_allowed_end_the_run_with_the_reason(tmp_path: Path) -> None:
    limits = {"max": 20, "parallel": 2, "maxFailed": 2}
    ended = run(tmp_path, experiment("exit 1", trials=limits))
    assert ended.returncode == 1
    assert "TooManyFailures" in ended.stdout
    assert result(tmp_path)["counts"]["failed"] in (3, 4), "two run at once"


def test_a_run_without_a_single_value_fails_and_says_so(tmp_path: Path) -> None:
    ended = run(tmp_path, experiment("exit 1", trials={"max": 2, "parallel": 1}))
    assert ended.returncode == 1
    assert "NoTrialSucceeded" in ended.stdout
    assert result(tmp_path)["phase"] == "Failed"


def test_what_a_trial_leaves_running_ends_with_it(tmp_path: Path) -> None:
    marker = f"scaling-child-{os.getpid()}"
    script = f"(sh -c ': {marker}; sleep 300' &) ; {PARABOLA}"
    ended = run(tmp_path, experiment(script, trials={"max": 3, "parallel": 1}))
    assert ended.returncode == 0, ended.stderr
    left = subprocess.run(["pgrep", "-f", marker], capture_output=True, text=True, check=False)
    assert left.stdout == ""


def test_gp_needs_no_second_try_while_the_report_loads(tmp_path: Path) -> None:
    search = {
        "parameters": {"x": {"type": "float", "low": -1, "high": 1}},
        "algorithm": {"name": "gp", "seed": 1, "startupTrials": 3},
    }
    ended = run(tmp_path, experiment(PARABOLA, search=search, trials={"max": 6, "parallel": 2}))
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""


def test_reports_reach_the_curve_and_a_pruned_trial_ends_early(tmp_path: Path) -> None:
    script = (
        f'{sys.executable} -c "'
        "import sys, time\n"
        "from scaling_trainer import report\n"
        "x = float(sys.argv[1])\n"
        "for step in range(1, 38):\n"
        "    if report(step=step, loss=(x - 0.3) ** 2 + 1 / step):\n"
        "        break\n"
        '" "$1"'
    )
    search = {
        "parameters": {"x": {"type": "float", "low": -1, "high": 1}},
        "algorithm": {"name": "random", "seed": 3},
        "pruner": {"name": "asha", "minSteps": 2, "reductionFactor": 2},
    }
    ended = run(tmp_path, experiment(script, search=search, trials={"max": 10, "parallel": 2}))
    assert ended.returncode == 0, ended.stderr
    counts = result(tmp_path)["counts"]
    assert counts["pruned"] > 0
    assert counts["succeeded"] + counts["pruned"] == 10
    states = {name: trial["status"] for name, trial in trials(tmp_path).items()}
    for status in states.values():
        steps = [point["step"] for point in status["curve"]]
        assert steps == sorted(set(steps))
        if status["state"] == "Succeeded":
            assert steps[-1] == 37, "the last point is kept"
        if status["state"] == "Pruned":
            assert steps[-1] < 37
            assert status["values"] == [status["curve"][-1]["value"]]


def test_the_same_folder_refuses_another_search(tmp_path: Path) -> None:
    document = experiment(PARABOLA, trials={"max": 2, "parallel": 1})
    assert run(tmp_path, document).returncode == 0
    more = experiment(PARABOLA, trials={"max": 4, "parallel": 1})
    assert run(tmp_path, more).returncode == 0
    assert result(tmp_path)["counts"]["succeeded"] == 4, "trials.max may be raised"
    document["spec"]["search"]["parameters"]["x"]["high"] = 2
    refused = run(tmp_path, document)
    assert refused.returncode == 2
    assert "spec.search" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    refused = run(tmp_path, experiment(PARABOLA))
    assert refused.returncode == 2
    assert "other files" in refused.stderr


def test_warm_start_tries_the_best_points_of_another_run_first(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    assert run(first, experiment(PARABOLA)).returncode == 0
    second.mkdir()
    search = {
        "parameters": {"x": {"type": "float", "low": -1, "high": 1}},
        "algorithm": {"name": "random", "seed": 1},
        "warmStart": {"from": [str(first / "out")], "topK": 1, "points": [{"x": 0.25}]},
    }
    document = experiment(PARABOLA, search=search, trials={"max": 3, "parallel": 1})
    assert run(second, document).returncode == 0
    second_points = proposals(second)
    assert second_points["0-0"] == {"x": 0.25}
    assert second_points["0-1"] == result(first)["best"]["parameters"]


def test_several_objectives_end_with_a_front(tmp_path: Path) -> None:
    script = (
        'echo "{\\"v\\":1,\\"values\\":[$(awk "BEGIN {print $1 ^ 2, \\",\\", ($1 - 1) ^ 2}")]}"'
        ' > "$SCALING_RESULT_FILE"'
    )
    document = experiment(
        script,
        objectives=[
            {"metric": "a", "direction": "minimize"},
            {"metric": "b", "direction": "minimize"},
        ],
        search={
            "parameters": {"x": {"type": "float", "low": -1, "high": 1}},
            "algorithm": {"name": "genetic", "seed": 7, "populationSize": 4},
        },
        trials={"max": 12, "parallel": 2},
    )
    del document["spec"]["objective"]
    ended = run(tmp_path, document)
    assert ended.returncode == 0, ended.stderr
    front = result(tmp_path)["front"]
    assert front
    assert "best" not in result(tmp_path)
    for member in front:
        assert not any(
            rival["values"][0] < member["values"][0] and rival["values"][1] < member["values"][1]
            for rival in front
        )


def test_the_report_can_be_drawn_again(tmp_path: Path) -> None:
    assert run(tmp_path, experiment(PARABOLA)).returncode == 0
    (tmp_path / "out" / "report.html").unlink()
    assert scaling("report", tmp_path / "out").returncode == 0
    assert (tmp_path / "out" / "report.html").exists()


def test_what_is_missing_on_this_machine_is_said_before_anything_starts(tmp_path: Path) -> None:
    document = experiment(PARABOLA, trainer={"container": {"image": "somebody/trainer:1"}})
    refused = run(tmp_path, document)
    assert refused.returncode == 2
    assert "spec.trainer.container.command" in refused.stderr
    built_in = {
        "task": "regression",
        "dataset": {"name": "csv", "path": "none.csv", "target": "y"},
        "model": {"name": "mlp"},
    }
    search = {"parameters": {"model.width": {"type": "int", "low": 2, "high": 8}}}
    objective = {"metric": "val_mse", "direction": "minimize"}
    document = experiment(
        PARABOLA, trainer={"builtIn": built_in}, search=search, objective=objective
    )
    assert "spec.trainer.builtIn.dataset.path: none.csv" in run(tmp_path, document).stderr
    assert not (tmp_path / "out").exists()
    valid = scaling("validate", tmp_path / "experiment.yaml")
    assert valid.returncode == 0, "it may be on the cluster's claim"
    assert "warning: spec.trainer.builtIn.dataset.path" in valid.stderr


def test_wrong_folders_and_files_are_answered_without_a_traceback(tmp_path: Path) -> None:
    for words in (
        ("report", tmp_path / "nothing"),
        ("run", tmp_path / "nothing.yaml", "--out", tmp_path / "out"),
        ("validate", tmp_path),
        ("report", write(tmp_path, experiment(PARABOLA))),
    ):
        ended = scaling(*words)
        assert ended.returncode == 2, words
        assert "Traceback" not in ended.stderr
        assert ended.stderr.strip()
