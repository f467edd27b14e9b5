"""Whatever a trial's container writes, its status can be stored, and read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_cluster import INVALID, Fault
from fake_kubelet import end, succeed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shell import TEAM, Shell
from stored_status import SPEC, check_kept, ended
from testbed.documents import played

from scaling_operator.api.experiment import Objective
from scaling_operator.api.names import Phase, Reason, TrialState
from scaling_operator.api.status import TrialStatus
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.actions import EndTrial
from scaling_operator.core.trial_status import finished
from scaling_operator.kube.client.errors import Invalid
from scaling_operator.kube.client.kinds import EXPERIMENTS, TRIALS
from scaling_operator.kube.workloads.pod_view import ended_view
from scaling_operator.local.attempt_processes import view_of
from scaling_operator.local.store import Store
from scaling_operator.local.workers import ProcessEnd
from scaling_operator.validation.load import experiment_of
from scaling_trainer.results import Result

KEYS = [
    *("v", "value", "values", "metrics", "points", "reason", "steps", "modelParameters"),
    *("samples", "flops", "seconds", "stepSeconds", "peakHostBytes", "peakDeviceBytes"),
]
NAMES = [
    "val/acc",
    "loss",
    "Loss/val step",
    "<img src=x onerror=y>",
    "\ud800",
    "a\x1b[31m",
    "",
    "x" * 300,
]
TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
NUMBERS = st.one_of(
    st.floats(),
    st.integers(),
    st.sampled_from([-1, 0, 1e300, 1.7e308, -1.7e308, 2**53, 2**53 + 1, 10**299, 10**400, 2**63]),
)
NAMED = st.dictionaries(st.sampled_from(NAMES) | TEXT, NUMBERS, max_size=4)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT | NAMED,
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(st.sampled_from(KEYS), ANYTHING).map(
    lambda document: json.dumps(document).encode()
)


def good_and_odd(more: dict[str, Any], metrics: dict[str, Any]) -> bytes:
    return json.dumps(more | {"metrics": {"val/acc": 0.9} | metrics}).encode()


GOOD_AND_ODD = st.builds(
    good_and_odd, st.dictionaries(st.sampled_from(KEYS), NUMBERS, max_size=3), NAMED
)
WRITTEN = st.one_of(st.binary(max_size=80), DOCUMENTS, GOOD_AND_ODD)
EXITS: st.SearchStrategy[int] = st.sampled_from([0, 0, 0, 1, 86, 87, 137, 255])


@pytest.mark.slow
@given(WRITTEN, EXITS)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_container_writes_can_be_stored(written: bytes, code: int) -> None:
    said = written.decode(errors="replace")
    # The API server's JSON: what is no UTF-8 never gets there, halves of characters may.
    check_kept(ended(ended_view({}, {"exitCode": code, "message": said}, 1e9)))


@pytest.mark.slow
@given(WRITTEN, EXITS, TEXT)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_a_process_writes_can_be_read_from_its_folder(
    tmp_path: Path, written: bytes, code: int, last: str
) -> None:
    (tmp_path / "said.json").write_bytes(written)
    status = ended(view_of(ProcessEnd(code, last), tmp_path / "said.json", 1e9))
    check_kept(status)
    store = Store(tmp_path / "run")
    store.root.mkdir(exist_ok=True)
    store.write_experiment(experiment_of(played("study")), "u")
    store.write_trial(ScalingTrial(spec=SPEC, status=status))
    contents = store.contents()
    assert not contents.damaged
    assert [trial.status for trial in contents.trials] == [status]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        pytest.param({"metrics": {"val/acc": 0.9, "b!": 1}}, "metrics.b!: a name has", id="a name"),
        pytest.param({"value": 1, "steps": 1e300}, "steps is 1e+300; it must be", id="steps"),
        pytest.param({"value": 1, "samples": -1}, "samples is -1; it must be from 0", id="a sign"),
    ],
)
def test_an_odd_result_ends_its_trial_by_the_field_s_name(
    written: dict[str, Any], message: str
) -> None:
    said = json.dumps(written)
    status = ended(ended_view({}, {"exitCode": 0, "message": said}, 1e9))
    assert (status.state, status.reason) == (TrialState.FAILED, Reason.INVALID_RESULT)
    assert status.message.startswith(message)


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(Result(metrics={"val acc!": 1.0}), id="a name"),
        pytest.param(Result(metrics={"\ud800": 1.0}), id="half a character"),
        pytest.param(Result(metrics={"a": float("nan")}), id="no number"),
        pytest.param(Result(samples=-1.0), id="a sign"),
        pytest.param(Result(metrics={f"m{n}": 1.0 for n in range(501)}), id="too many"),
    ],
)
def test_what_slips_past_the_reader_of_results_is_not_stored(result: Result) -> None:
    succeeded = EndTrial(0, 1, TrialState.SUCCEEDED, result=result, values=(0.5,))
    status = finished(TrialStatus(), succeeded, ((1, 0.5),), 1e9)
    assert (status.state, status.reason) == (TrialState.FAILED, Reason.INVALID_RESULT)
    assert status.message
    assert not status.values
    check_kept(status)


@pytest.mark.parametrize("code", [0, 1])
async def test_a_status_that_the_api_server_refuses_ends_its_trial(shell: Shell, code: int) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study", ("spec/trials", {"max": 1})))
    await shell.settle()
    shell.cluster.faults.append(Fault("patch", TRIALS, answer=INVALID))
    end(shell.cluster, TEAM, "study-0-0-0", code=code, message='{"metrics":{"loss":0.25}}')
    await shell.until(lambda: shell.status("study").phase is Phase.FAILED)

    (trial,) = shell.trials("study")
    assert (trial.status.state, trial.status.reason) == (TrialState.FAILED, Reason.INVALID_RESULT)
    assert trial.status.message.startswith("its status is refused: study-0-0 is invalid")


async def test_an_end_that_is_refused_too_is_not_repeated_at_once(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()
    shell.cluster.faults.append(Fault("patch", TRIALS, answer=INVALID, times=2))
    before = len(shell.cluster.requests)
    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.25)
    with pytest.raises(Invalid):
        await shell.settle()
    assert [request.split()[0] for request in shell.cluster.requests[before:]].count("patch") == 2
    await shell.settle()
    assert shell.trials("study")[0].status.values == (0.25,)


async def test_an_end_that_is_stored_already_stays_though_another_is_refused(shell: Shell) -> None:
    shell.cluster.add(EXPERIMENTS, TEAM, played("study"))
    await shell.settle()

    async def somebody_else_ends_it() -> None:
        stored = {"state": "Pruned", "values": [0.75]}
        shell.cluster.edit(TRIALS, TEAM, "study-0-0", lambda trial: trial.update(status=stored))

    fault = Fault("patch", TRIALS, answer=INVALID, before=somebody_else_ends_it)
    shell.cluster.faults.append(fault)
    succeed(shell.cluster, TEAM, "study-0-0-0", loss=0.25)
    await shell.settle()
    assert shell.trials("study")[0].status.state is TrialState.PRUNED


def test_an_objective_may_be_called_as_scripts_call_it() -> None:
    assert Objective(metric="val/acc", direction="maximize").metric == "val/acc"
