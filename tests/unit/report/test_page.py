"""The page, drawn from experiments that are really run: Optuna over gradient descent in numpy."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from html.parser import HTMLParser
from typing import Any, cast

import numpy as np
import optuna
import plotly.graph_objects as go  # pyright: ignore[reportMissingTypeStubs]  # it ships no types
import pytest
from ruamel.yaml import YAML

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import Phase, Reason, TrialState
from scaling_operator.api.status import (
    Attempt,
    BestTrial,
    Condition,
    Counts,
    CurvePoint,
    ExperimentStatus,
    ScaleStatus,
    TrialStatus,
)
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.report import page
from scaling_operator.report.data import Confusion, ReportInput
from scaling_operator.report.headline import headline

optuna.logging.set_verbosity(optuna.logging.WARNING)
HOSTILE = "</script><img src=x onerror=alert(1)><!--"
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
PARAMETERS: dict[str, Any] = {
    "optimizer.learning_rate": {"type": "float", "low": 0.01, "high": 10.0, "log": True},
    "model.activation": {"type": "categorical", "choices": ["cosine", "tanh"]},
    "model.bandwidth": {
        "type": "float",
        "low": 0.1,
        "high": 3.0,
        "when": {"model.activation": ["cosine"]},
    },
    "steps": {"type": "int", "low": 10, "high": 60},
}
LOSS = {"metric": "val_loss", "direction": "minimize", "goal": 0.01}
ACCURACY = {"metric": "val_accuracy", "direction": "maximize"}
WORK = {"metric": "work", "direction": "minimize"}


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training run gave."""

    metrics: Mapping[str, float]
    curve: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]
    diverged: bool


@cache
def data() -> tuple[Any, Any]:
    """Three classes on two interleaved spirals and a disc, split in three parts of 150 rows."""
    random = np.random.default_rng(3)
    label = random.integers(0, 3, 450)
    angle = random.uniform(0, 3, 450) + 2.1 * label
    radius = 0.4 + angle - 2.1 * label + random.normal(0, 0.25, 450)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), label


def train(parameters: Mapping[str, Any], width: int, metric: str) -> Iterator[Trained]:
    """Fit random features by gradient descent on squared error; yields after every step."""
    points, label = data()
    random = np.random.default_rng(0)
    inner = points @ random.normal(0, parameters.get("model.bandwidth", 1.0), (2, width))
    inner += random.uniform(0, 6.28, width)
    features = np.cos(inner) if parameters.get("model.activation") == "cosine" else np.tanh(inner)
    features /= np.sqrt(width)
    target = np.eye(3)[label]
    weights = np.zeros((width, 3))
    curve: list[float] = []
    for _ in range(parameters.get("steps", 30)):
        rest = features[:150] @ weights - target[:150]
        weights -= parameters.get("optimizer.learning_rate", 1.0) * features[:150].T @ rest / 75
        guess = features @ weights
        if not np.isfinite(guess).all() or np.abs(guess).max() > 1e3:
            yield Trained({}, tuple(curve), (), diverged=True)
            return
        metrics: dict[str, float] = {}
        for place, part in enumerate(("train", "val", "test")):
            rows = slice(150 * place, 150 * place + 150)
            metrics[f"{part}_loss"] = float(((guess[rows] - target[rows]) ** 2).mean())
            hits = guess[rows].argmax(1) == label[rows]
            metrics[f"{part}_accuracy"] = float(hits.mean())
        metrics["work"] = float((len(curve) + 1) * width * 450)
        curve.append(metrics[metric])
        table = np.zeros((3, 3), int)
        np.add.at(table, (label[300:], guess[300:].argmax(1)), 1)
        counts = tuple(tuple(int(count) for count in row) for row in table)
        yield Trained(metrics, tuple(curve), counts, diverged=False)


def suggest(trial: optuna.Trial, spec: ExperimentSpec) -> dict[str, Any]:
    proposed: dict[str, Any] = {}
    for name, parameter in spec.search.parameters.items():
        if any(proposed.get(parent) not in wanted for parent, wanted in parameter.when.items()):
            continue
        match parameter.type:
            case "float":
                proposed[name] = trial.suggest_float(
                    name, parameter.low, parameter.high, log=parameter.log
                )
            case "int":
                proposed[name] = trial.suggest_int(name, parameter.low, parameter.high)
            case "categorical":
                proposed[name] = trial.suggest_categorical(name, list(parameter.choices))
    return proposed


def experiment(
    objectives: tuple[Mapping[str, Any], ...] = (LOSS,),
    parameters: Mapping[str, Any] = PARAMETERS,
    sizes: tuple[int, ...] = (),
) -> ExperimentSpec:
    objective: dict[str, Any] = (
        {"objective": objectives[0]} if len(objectives) == 1 else {"objectives": objectives}
    )
    ladder: dict[str, Any] = (
        {"scaling": {"parameter": "model.width", "sizes": sizes}} if sizes else {}
    )
    return ExperimentSpec.model_validate(
        {
            **objective,
            **ladder,
            "search": {"parameters": dict(parameters), "algorithm": {"name": "tpe", "seed": 1}},
            "trials": {"max": 40},
            "trainer": {"container": {"command": ["python", "train.py"]}},
        }
    )


def run_scale(spec: ExperimentSpec, scale: int, width: int, count: int) -> list[tuple[Any, Any]]:
    """Run trials of a scale; gives each as a ScalingTrial with its confusion matrix."""
    directions = [
        optuna.study.StudyDirection[objective.direction.upper()]
        for objective in spec.all_objectives
    ]
    study = optuna.create_study(
        directions=directions,
        sampler=optuna.samplers.NSGAIISampler(seed=scale, population_size=10)
        if spec.objectives
        else optuna.samplers.TPESampler(seed=scale, n_startup_trials=8),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=6, n_warmup_steps=5),
    )
    ladder = {"model.width": width} if spec.scaling else {}
    return [one_trial(spec, study, scale, ladder | {"_width": width}) for _ in range(count)]


def one_trial(
    spec: ExperimentSpec, study: optuna.Study, scale: int, fixed: Mapping[str, Any]
) -> tuple[ScalingTrial, Trained]:
    asked = study.ask()
    proposed = suggest(asked, spec)
    begun = time.perf_counter()
    metric = spec.all_objectives[0].metric
    last = Trained({}, (), (), diverged=True)
    state = TrialState.SUCCEEDED
    for step, trained in enumerate(train(proposed, fixed["_width"], metric), 1):
        last = trained
        if trained.diverged:
            state = TrialState.FAILED
            break
        if len(study.directions) == 1:
            asked.report(trained.curve[-1], step)
            if asked.should_prune():
                state = TrialState.PRUNED
                break
    values = tuple(last.metrics[o.metric] for o in spec.all_objectives) if last.metrics else ()
    if state is TrialState.SUCCEEDED:
        study.tell(asked, list(values))
    elif len(study.directions) == 1:
        study.tell(asked, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
    width = fixed["_width"]
    curve = tuple(CurvePoint(step=i, value=value) for i, value in enumerate(last.curve[:64], 1))
    failed = state is TrialState.FAILED
    status = TrialStatus(
        state=state,
        reason=Reason.DIVERGED if failed else None,
        message="the loss is not finite after step 7" if failed else "",
        attempts=(Attempt(number=0, reason=Reason.DIVERGED if failed else None),),
        completion_time=START + timedelta(seconds=asked.number),
        values=() if failed else values,
        metrics={k: v for k, v in last.metrics.items() if not k.startswith("test")},
        model_parameters=3 * width,
        flops=6.0 * 3 * width * 150 * len(last.curve),
        seconds=time.perf_counter() - begun,
        curve=() if failed else curve,
    )
    shown = {k: v for k, v in fixed.items() if not k.startswith("_")}
    return scaling_trial(scale, asked.number, proposed | shown, status), last


def scaling_trial(
    scale: int, number: int, parameters: Mapping[str, Any], status: TrialStatus
) -> ScalingTrial:
    spec = TrialSpec(
        experiment=ExperimentReference(name="spirals", uid="u"),
        scale=scale,
        number=number,
        parameters=dict(parameters),
        searched=tuple(parameters),
        seed=number,
    )
    return ScalingTrial(spec=spec, status=status)


def best_of(trial: ScalingTrial, *, test: Mapping[str, float] | None = None) -> BestTrial:
    return BestTrial(
        trial=f"{trial.spec.scale}-{trial.spec.number}",
        scale=trial.spec.scale,
        number=trial.spec.number,
        parameters=trial.spec.parameters,
        values=trial.status.values,
        metrics=trial.status.metrics,
        test_metrics=None if test is None else dict(test),
        model_parameters=trial.status.model_parameters,
        flops=trial.status.flops,
    )


def pareto(spec: ExperimentSpec, trials: list[ScalingTrial]) -> tuple[BestTrial, ...]:
    signs = np.array([1 if o.direction == "minimize" else -1 for o in spec.all_objectives])
    losses = np.array([t.status.values for t in trials]) * signs
    beaten = [bool(((losses <= row).all(1) & (losses < row).any(1)).any()) for row in losses]
    return tuple(best_of(trial) for trial, lost in zip(trials, beaten, strict=True) if not lost)


def run(spec: ExperimentSpec, count: int) -> ReportInput:
    """Run an experiment and sum it up as its status does."""
    widths = [int(size) for size in spec.scaling.sizes] if spec.scaling else [32]
    ladder = [run_scale(spec, scale, width, count) for scale, width in enumerate(widths)]
    everything = {f"{t.spec.scale}-{t.spec.number}": r for rung in ladder for t, r in rung}
    direction = 1 if spec.all_objectives[0].direction == "minimize" else -1
    trials = tuple(trial for rung in ladder for trial, _ in rung)
    scales: list[ScaleStatus] = []
    for index, width in enumerate(widths):
        rung = [trial for trial in trials if trial.spec.scale == index]
        done = [trial for trial in rung if trial.status.state is TrialState.SUCCEEDED]
        parameters: dict[str, Any] = {"model.width": width} if spec.scaling else {}
        winner = min(done, key=lambda t: direction * t.status.values[0], default=None)
        best = None if winner is None or spec.objectives else best_of(winner)
        counts = Counts(succeeded=len(done), pruned=len(rung) - len(done))
        scales.append(ScaleStatus(index=index, parameters=parameters, counts=counts, best=best))
    bests = [scale.best for scale in scales if scale.best is not None]
    best = min(bests, key=lambda b: direction * b.values[0], default=None)
    confusion = None
    if best is not None:
        result = everything[best.trial]
        test = {name: v for name, v in result.metrics.items() if name.startswith("test_")}
        best = best.model_copy(update={"test_metrics": test})
        confusion = Confusion(("inner", "outer", "disc"), result.confusion)
    done = [trial for trial in trials if trial.status.state is TrialState.SUCCEEDED]
    status = ExperimentStatus(
        phase=Phase.SUCCEEDED,
        conditions=(
            Condition(type="Accepted", status="True", reason="ValidSpec"),
            Condition(
                type="Complete",
                status="True",
                reason="AllTrialsDone",
                message=f"{len(trials)} trials have ended",
                last_transition_time=START + timedelta(minutes=2),
            ),
        ),
        start_time=START,
        completion_time=START + timedelta(minutes=2),
        counts=Counts(max=count * len(widths)),
        best=best,
        front=pareto(spec, done) if spec.objectives and done else (),
        scales=tuple(scales),
    )
    importances = {scale: importance(spec, trials, scale) for scale in range(len(widths))}
    removed = {"duplicates": 12, "outliers": 3, "missing": 0}
    return ReportInput("spirals", spec, status, trials, importances, confusion, removed)


def importance(
    spec: ExperimentSpec, trials: tuple[ScalingTrial, ...], scale: int
) -> dict[str, float]:
    """Squared rank correlation of each number with the objective, made to sum to one."""
    done = [t for t in trials if t.spec.scale == scale and t.status.state is TrialState.SUCCEEDED]
    names = [n for n, p in spec.search.parameters.items() if p.type != "categorical" and not p.when]
    if len(done) < 3 or not names:
        return {}
    ranks = np.argsort(np.argsort([trial.status.values[0] for trial in done]))
    shares = {
        name: float(
            np.corrcoef(ranks, np.argsort(np.argsort([t.spec.parameters[name] for t in done])))[
                0, 1
            ]
            ** 2
        )
        for name in names
    }
    total = sum(shares.values()) or 1.0
    return {name: share / total for name, share in shares.items()}


@cache
def searched() -> ReportInput:
    return run(experiment(), 40)


@cache
def laddered() -> ReportInput:
    return run(experiment(sizes=(4, 8, 16, 32, 64)), 24)


@cache
def traded() -> ReportInput:
    return run(experiment((LOSS, WORK)), 60)


@cache
def maximised() -> ReportInput:
    return run(experiment((ACCURACY,)), 30)


class Page(HTMLParser):
    """What a browser would see: tags, JSON by id, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.documents: dict[str, str] = {}
        self.headings: list[str] = []
        self.text = ""
        self._inside: tuple[str, str | None] = ("", None)
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._inside = (tag, dict(attrs).get("id"))

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002  # the parser gives it
        self._inside = ("", None)

    def handle_data(self, data: str) -> None:
        match self._inside:
            case ("script", str(key)):
                self.documents[key] = self.documents.get(key, "") + data
            case ("script" | "style", _):
                pass
            case ("h2", _):
                self.headings.append(data)
            case _:
                self.text += data

    def figures(self) -> dict[str, Any]:
        return {
            key: json.loads(text, parse_constant=pytest.fail)
            for key, text in self.documents.items()
            if key != "themes"
        }


def said(report: ReportInput) -> str:
    answer = headline(report)
    return answer.before + answer.strong + answer.after


def without_trials() -> ReportInput:
    return ReportInput("none", experiment(), ExperimentStatus(), (), {}, None, {})


def all_failed() -> ReportInput:
    failed = TrialStatus(
        state=TrialState.FAILED,
        reason=Reason.TRAINER_FAILED,
        message="ModuleNotFoundError: No module named 'numpyy'",
    )
    trials = tuple(scaling_trial(0, number, {"steps": 10 + number}, failed) for number in range(6))
    status = ExperimentStatus(
        phase=Phase.FAILED,
        conditions=(
            Condition(
                type="Failed",
                status="True",
                reason="TooManyFailures",
                message="6 trials failed; at most 5 may",
            ),
        ),
    )
    return replace(without_trials(), status=status, trials=trials)


def one_trial_alone() -> ReportInput:
    report = run(experiment(parameters={}), 1)
    assert report.status.best is not None
    return report


def mixed_choices() -> ReportInput:
    choices = [True, "true", 1.5, "a & b <i>", 7]
    spec = experiment(parameters={"kind": {"type": "categorical", "choices": choices}})
    trials = tuple(
        scaling_trial(
            0, i, {"kind": choice}, TrialStatus(state=TrialState.SUCCEEDED, values=(float(i),))
        )
        for i, choice in enumerate(choices)
    )
    status = ExperimentStatus(phase=Phase.SUCCEEDED, best=best_of(trials[0]))
    return ReportInput("mixed", spec, status, trials, {}, None, {})


def hostile() -> ReportInput:
    parameter = {"type": "categorical", "choices": [HOSTILE, "tame"]}
    spec = experiment(parameters={"kind": parameter})
    good = TrialStatus(state=TrialState.SUCCEEDED, values=(0.5,), metrics={"val_loss": 0.5})
    bad = TrialStatus(state=TrialState.FAILED, reason=Reason.TRAINER_FAILED, message=HOSTILE)
    trials = (
        scaling_trial(0, 0, {"kind": HOSTILE}, good),
        scaling_trial(0, 1, {"kind": "tame"}, bad),
    )
    condition = Condition(type="Complete", status="True", reason="Odd", message=HOSTILE)
    status = ExperimentStatus(
        best=best_of(trials[0]),
        conditions=(condition,),
        scales=(ScaleStatus(index=0, parameters={"kind": HOSTILE}),),
    )
    confusion = Confusion((HOSTILE, "b"), ((3, 1), (0, 2)))
    return ReportInput(HOSTILE, spec, status, trials, {0: {"kind": 1.0}}, confusion, {HOSTILE: 2})


CASES = {
    "a search with pruned and diverged trials": searched,
    "a ladder of five scales": laddered,
    "two objectives": traded,
    "an objective to maximise": maximised,
    "no trial at all": without_trials,
    "every trial failed": all_failed,
    "one trial and nothing to search": one_trial_alone,
    "choices of several types": mixed_choices,
    "names and messages that attack the page": hostile,
}


@pytest.mark.slow
@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
def test_every_figure_is_json_without_nan_that_plotly_accepts(make: Any) -> None:
    figures = Page(page.render(make())).figures()
    for figure in figures.values():
        cast("Any", go.Figure)(figure)


@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
def test_page_fetches_nothing(make: Any) -> None:
    parsed = Page(page.render(make()))
    links = [value for name, value in parsed.attributes if name in ("src", "href", "action")]
    assert links == ["data:,"]
    policy = next(value for name, value in parsed.attributes if name == "content" and value)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        pytest.param(without_trials, "No trial has run yet.", id="nothing was tried"),
        pytest.param(all_failed, "No trial succeeded; 6 of 6 failed.", id="nothing worked"),
        pytest.param(
            mixed_choices, "The best val_loss is 0, with kind true.", id="a value and its point"
        ),
    ],
)
def test_headline_says_what_is_true(make: Any, sentence: str) -> None:
    assert said(make()) == sentence


def test_headline_explains_why_nothing_succeeded() -> None:
    notes = headline(all_failed()).notes
    assert notes == (
        "TrainerFailed, 6 of 6 times: ModuleNotFoundError: No module named 'numpyy'",
        "The experiment failed: 6 trials failed; at most 5 may",
    )


def test_headline_of_a_ladder_names_the_scale_and_the_test_score() -> None:
    answer = headline(laddered())
    best = laddered().status.best
    assert best is not None
    assert f" at width {best.parameters['model.width']}, with " in answer.after
    assert any("which tuning never saw, it scores loss" in note for note in answer.notes)


def test_headline_of_an_unfinished_experiment_says_so() -> None:
    report = searched()
    status = report.status.model_copy(update={"phase": Phase.RUNNING})
    answer = headline(replace(report, status=status))
    assert answer.before == "The best val_loss so far is "
    assert "The goal of 0.01 is not reached yet." in answer.notes
    assert "It is not finished: 40 of 40 trials have ended." in answer.notes


def test_refused_experiment_shows_its_reason() -> None:
    refused = Condition(type="Accepted", status="False", reason="InvalidSpec", message="low > high")
    report = replace(without_trials(), status=ExperimentStatus(conditions=(refused,)))
    assert said(report) == "The experiment was not accepted: low > high"


@pytest.mark.parametrize(
    ("make", "slugs"),
    [
        pytest.param(
            searched,
            "history importance effects pair curves confusion overfitting removed failures trials "
            "conditions question",
            id="a search has no ladder and no front",
        ),
        pytest.param(
            laddered,
            "size history importance effects pair curves confusion overfitting removed failures "
            "trials conditions question",
            id="a ladder begins with performance against size",
        ),
        pytest.param(
            traded,
            "front history importance effects removed failures trials conditions question",
            id="two objectives have a front and no best",
        ),
        pytest.param(without_trials, "question", id="without trials only the question stands"),
        pytest.param(all_failed, "failures trials conditions question", id="failures alone"),
        pytest.param(
            one_trial_alone,
            "history curves confusion overfitting removed trials conditions question",
            id="without parameters no effect is shown",
        ),
    ],
)
def test_sections_with_nothing_to_say_are_left_out(make: Any, slugs: str) -> None:
    assert [section.slug for section in page.sections_of(make())] == slugs.split()


def test_hostile_text_never_becomes_markup() -> None:
    text = page.render(hostile())
    parsed = Page(text)
    assert "img" not in parsed.tags
    assert "onerror" not in [name for name, _ in parsed.attributes]
    assert text.count("</script>") == parsed.tags.count("script")
    assert HOSTILE in parsed.text
    # plotly reads tags in what it draws, so a figure holds entities.
    assert "<img" not in "".join(json.dumps(figure) for figure in parsed.figures().values())


def test_text_choice_that_reads_like_another_stands_in_quotes() -> None:
    axis = Page(page.render(mixed_choices())).figures()["effects-1-1"]["layout"]["xaxis"]
    assert axis["ticktext"] == ["true", '"true"', "1.5", "a &amp; b &lt;i&gt;", "7"]


def test_inactive_parameter_has_no_point() -> None:
    report = searched()
    figures = Page(page.render(report)).figures()
    drawn = sum(
        trace["name"] == "trials" and len(trace["x"])
        for key, figure in figures.items()
        if key.startswith("effects-1")
        for trace in figure["data"]
    )
    done = [t for t in report.trials if t.status.state is TrialState.SUCCEEDED]
    pruned = [t for t in report.trials if t.status.state is TrialState.PRUNED]
    searchable = sum(len(trial.spec.parameters) for trial in (*done, *pruned))
    assert drawn == searchable
    assert any("model.bandwidth" not in trial.spec.parameters for trial in done)


def test_running_best_never_gets_worse_when_maximising() -> None:
    figure = Page(page.render(maximised())).figures()["history-1"]
    line = next(trace for trace in figure["data"] if trace["name"] == "best so far")
    heights = [height for height in line["y"] if height is not None]
    assert heights == sorted(heights)
    best = maximised().status.best
    assert best is not None
    assert heights[-1] == pytest.approx(best.values[0], rel=1e-5)


def test_ladder_draws_the_best_of_each_scale_against_n_on_two_log_axes() -> None:
    report = laddered()
    figure = Page(page.render(report)).figures()["size-1"]
    line = next(trace for trace in figure["data"] if trace["name"] == "best of each size")
    bests = [scale.best for scale in report.status.scales]
    assert line["x"] == [best.model_parameters for best in bests if best]
    assert line["y"] == pytest.approx([best.values[0] for best in bests if best], rel=1e-5)
    assert figure["layout"]["xaxis"]["type"] == figure["layout"]["yaxis"]["type"] == "log"


def test_ladder_without_n_uses_the_size_itself() -> None:
    report = laddered()
    scales = tuple(
        scale.model_copy(update={"best": scale.best.model_copy(update={"model_parameters": None})})
        for scale in report.status.scales
        if scale.best is not None
    )
    status = report.status.model_copy(update={"scales": scales})
    figure = Page(page.render(replace(report, status=status))).figures()["size-1"]
    line = next(trace for trace in figure["data"] if trace["name"] == "best of each size")
    assert line["x"] == [4, 8, 16, 32, 64]
    assert figure["layout"]["xaxis"]["title"]["text"] == "width"


def test_spec_is_shown_as_yaml_that_reads_back() -> None:
    block = page.sections_of(searched())[-1].blocks[0]
    assert block.kind == "details"
    assert block.block.kind == "code"
    document: Any = YAML(typ="safe").load(block.block.text)  # pyright: ignore[reportUnknownMemberType]  # untyped
    assert ExperimentSpec.model_validate(document["spec"]) == searched().spec


def many(count: int) -> ReportInput:
    """Enlarge the search: its trials again and again, each moved a little."""
    report = searched()
    random = np.random.default_rng(0)
    shift = random.normal(0, 0.02, count)
    trials = tuple(
        scaling_trial(
            0,
            number,
            old.spec.parameters,
            old.status.model_copy(
                update={"values": tuple(v * (1 + shift[number]) for v in old.status.values)}
            ),
        )
        for number in range(count)
        for old in (report.trials[number % len(report.trials)],)
    )
    return replace(report, trials=trials)


@pytest.mark.slow
def test_ten_thousand_trials_make_a_page_of_bearable_size_soon() -> None:
    report = many(10_000)
    begun = time.process_time()
    text = page.render(report)
    assert time.process_time() - begun < 10
    assert len(text.encode()) < 12e6
    assert "an even sample of the others" in text
    assert "The first 100 of 10,000 trials; trials.csv has them all" in text
    assert re.search(r"Drawn are \d\d of \d,\d\d\d curves", text)


def test_same_report_gives_the_same_page() -> None:
    assert page.render(searched()) == page.render(searched())
