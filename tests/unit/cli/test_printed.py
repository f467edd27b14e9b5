"""What others wrote is printed as it is: neither markup, nor control sequences, nor formulas."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from printed_text import ACTIVE
from rich.table import Table

from scaling_operator.api.experiment import ScalingExperiment
from scaling_operator.api.problems import Problem
from scaling_operator.api.status import BestTrial, Condition, Counts, ExperimentStatus, TrialStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.cli import console as console_module
from scaling_operator.cli.console import plain_console, styled
from scaling_operator.cli.get import print_experiment
from scaling_operator.cli.progress import open_display
from scaling_operator.cli.summary import print_findings, print_head
from scaling_operator.core.reports import AttemptKey, Report
from scaling_operator.runtime.record import ExperimentRecord, table
from scaling_trainer.csv_cells import as_written, disarmed

HOSTILE = [
    pytest.param("[/red]", id="markup that ends what never began"),
    pytest.param("[link=https://evil.example]x[/link]", id="a link"),
    pytest.param("[bold", id="half of a mark"),
    pytest.param(":warning:", id="a name of a picture"),
    pytest.param("\x1b[31mred\x1b]0;owned\x07", id="escapes"),
    pytest.param("\x9b31m\x00\x7f", id="control characters"),
    pytest.param("a\u202eb\u200b", id="directions and no width"),
    pytest.param("a\r\nb\n", id="lines"),
]


def experiment(text: str) -> ScalingExperiment:
    return ScalingExperiment.model_validate(
        {
            "metadata": {"name": "study"},
            "spec": {
                "objective": {"metric": "val/acc", "direction": "maximize"},
                "search": {"parameters": {"act": {"type": "categorical", "choices": [text, "b"]}}},
                "trainer": {"container": {"image": "i", "command": ["train"]}},
            },
        }
    )


def trial(text: str, state: str = "Failed") -> ScalingTrial:
    spec = TrialSpec(
        experiment=ExperimentReference(name="study", uid="u"),
        scale=0,
        number=1,
        parameters={"act": text},
        seed=7,
    )
    status = TrialStatus.model_validate(
        {"state": state, "reason": "TrainerFailed", "message": text, "values": [0.5]}
    )
    return ScalingTrial(spec=spec, status=status)


def status(text: str) -> ExperimentStatus:
    best = BestTrial(trial="0-1", scale=0, number=1, parameters={"act": text}, values=(0.5,))
    condition = Condition(type="Accepted", status="False", reason="InvalidSpec", message=text)
    ended = Condition(type="Failed", status="True", reason="TooManyFailures", message=text)
    return ExperimentStatus(
        counts=Counts(failed=1, max=1), best=best, front=(best, best), conditions=(condition, ended)
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_every_table_and_line_shows_what_others_wrote_as_text(text: str) -> None:
    written = io.StringIO()
    console = plain_console(file=written, columns=400)
    spec = experiment(text).spec
    with open_display(console, experiment(text)) as display:
        display.on_end(trial(text))
    print_head(console, text, status(text), "Failed")
    print_findings(console, spec, status(text))
    record = ExperimentRecord("study", "u", spec, status(text), (trial(text),))
    print_experiment(console, record)
    problem = Problem(f"spec.{text}", text)
    console.print(styled((problem.path, "bold"), f": {problem.message}"))
    shown = written.getvalue()
    assert not ACTIVE.search(shown)
    if text.isprintable():
        assert shown.count(text) >= 6


@pytest.mark.parametrize("text", HOSTILE)
def test_a_terminal_obeys_its_own_styles_alone(text: str) -> None:
    written = io.StringIO()
    console = console_module.PlainConsole(
        file=written, force_terminal=True, width=200, markup=False, emoji=False, highlight=False
    )
    with open_display(console, experiment(text)) as display:
        display.on_status(status(text))
        display.on_report(AttemptKey(0, 1, 0), Report(1, 1, {"val/acc": 0.5}))
        display.on_end(trial(text))
    head = Table(title=text)
    head.add_column(text)
    head.add_row(text)
    console.print(head)
    ours = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
    shown = ours.sub("", written.getvalue().replace("\r", ""))
    assert not ACTIVE.search(shown)
    assert "owned\x07" not in shown


def test_consoles_are_made_in_one_place_and_none_reads_markup() -> None:
    folder = Path(console_module.__file__).parent
    for path in folder.glob("*.py"):
        source = path.read_text()
        assert "rich.markup" not in source, path
        if path.name != "console.py":
            assert not re.search(r"(?<!\w)Console\(", source), path
        columns = re.findall(r"TextColumn\([^)]*\)", source)
        assert all("markup=False" in column for column in columns), path
    assert not plain_console().render_str("[bold]x[/bold]").spans


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ('=HYPERLINK("x")', '\'=HYPERLINK("x")'),
        ("@SUM(1)", "'@SUM(1)"),
        ("+cmd|x", "'+cmd|x"),
        ("-cmd", "'-cmd"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("＝1", "'＝1"),  # noqa: RUF001 - as wide as a Chinese letter
        ("'=1", "''=1"),
        ("-1.5", "-1.5"),
        ("+1e-3", "+1e-3"),
        ("it's", "it's"),
        ("'quoted'", "'quoted'"),
        ("relu", "relu"),
    ],
)
def test_a_text_that_looks_like_a_formula_is_disarmed(text: str, cell: str) -> None:
    assert disarmed(text) == cell
    assert as_written(cell) == text


@given(st.text(st.sampled_from("'=+-@\t\r\n1.ea"), max_size=6) | st.text(max_size=6))
def test_what_is_disarmed_reads_back(text: str) -> None:
    assert as_written(disarmed(text)) == text


def test_no_cell_of_the_table_of_trials_is_a_formula_and_no_column_hides_another() -> None:
    odd = trial("=1+1", "Succeeded")
    metrics = {"val/acc": 0.5, "trial": 9.0, "samples": 8.0, "act": 7.0}
    odd = odd.model_copy(update={"status": odd.status.model_copy(update={"metrics": metrics})})
    (row,) = csv.DictReader(io.StringIO(table([odd])))
    assert (row["act"], row["message"]) == ("'=1+1", "'=1+1")
    assert (row["trial"], row["val/acc"], row["samples"]) == ("0-1", "0.5", "")
    assert [row[f"metrics.{name}"] for name in ("trial", "samples", "act")] == ["9.0", "8.0", "7.0"]
