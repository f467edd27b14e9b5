"""`scaling plan`: tables, JSON, exit codes; no cluster."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaling_operator.cli.main import main
from scaling_operator.cli.plan import amount_text, bytes_text, count_text

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples"
POLICY = SAMPLES / "policy.yaml"
DEFAULT_POLICY = SAMPLES.parent / "default-policy.yaml"


@dataclass(frozen=True, slots=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


def plan(*words: str | Path) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["scaling", "plan", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())


EXPERIMENTS = sorted(path for path in SAMPLES.glob("*.yaml") if path != POLICY)


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_sample_has_a_plan(file: Path) -> None:
    ended = plan(file, "--policy", POLICY)

    assert ended.returncode == 0, ended.stdout
    assert "Machines" in ended.stdout
    assert "In all at most: GPU-hours 0" in ended.stdout


def test_without_a_policy_it_plans_for_cpus_and_says_so() -> None:
    ended = plan(SAMPLES / "case-study.yaml")

    assert ended.returncode == 0
    assert "no --policy: planned for CPUs alone" in ended.stderr


LADDER = """
apiVersion: scaling-operator.dev/v1alpha1
kind: ScalingExperiment
metadata: {name: gpt}
spec:
  objective: {metric: loss, direction: minimize}
  scaling: {parameter: width, sizes: [768, 1600, 12288]}
  trials: {max: 4, timeout: 999h}
  resources:
    estimate:
      parameters: 12.0 * 24.0 * width * width
      samples: 1e9
      precision: bf16
      batchSize: 64
      layers: 24
      width: width
      heads: 16
      context: 1024
      vocabulary: 50257
      hostMemory: 16Gi
      honours: [microBatch]
  trainer: {container: {image: mine}}
"""


@pytest.fixture
def ladder(tmp_path: Path) -> Path:
    path = tmp_path / "gpt.yaml"
    path.write_text(LADDER)
    return path


def test_what_fits_nowhere_is_said_for_each_shape(ladder: Path) -> None:
    ended = plan(ladder, "--policy", POLICY)

    assert ended.returncode == 3
    assert "Would be refused: NothingFits" in ended.stdout
    assert "scale 2:" in ended.stdout
    for shape in ("cpu", "mig-1g x 1", "a100 x 1", "h100 x 1"):
        assert f"  {shape}" in ended.stdout


def test_json_has_the_keys_of_a_status_and_the_parts(ladder: Path) -> None:
    ended = plan(ladder, "--policy", POLICY, "--json")
    document = json.loads(ended.stdout)
    first, *_, last = document["scales"]

    assert ended.returncode == 3
    assert (document["accepted"], document["reason"]) == (False, "NothingFits")
    assert first["sizing"]["shape"] == "h100"
    assert first["deviceBytes"]["total"] == pytest.approx(
        sum(value for name, value in first["deviceBytes"].items() if name != "total")
    )
    assert first["hostBytes"]["process"] == 16 * 2**30
    assert "shape" not in last["sizing"]


def test_an_accepted_plan_sums_up(ladder: Path) -> None:
    ladder.write_text(LADDER.replace(", 12288]", "]"))
    document = json.loads(plan(ladder, "--policy", POLICY, "--json").stdout)

    assert document["accepted"]
    assert document["plannedCost"] == pytest.approx(
        sum(scale["sizing"]["plannedCost"] for scale in document["scales"])
    )


def test_a_batch_is_written_without_factors_of_one(ladder: Path) -> None:
    ladder.write_text(LADDER.replace(", 12288]", "]").replace("batchSize: 64", "batchSize: 1"))
    rows = plan(ladder, "--policy", POLICY).stdout.splitlines()
    machine_row = next(row for row in rows if "width 1600" in row)

    assert machine_row.split("h100")[1].split()[:2] == ["1", "4"], "rows, and then trials"


def test_fixed_resources_have_no_estimate(ladder: Path) -> None:
    text = (
        LADDER.split("  resources:", maxsplit=1)[0]
        + "  resources: {fixed: {gpus: 2, memory: 4Gi}}\n"
    )
    ladder.write_text(text + "  trainer: {container: {image: mine}}\n")

    ended = plan(ladder, "--policy", POLICY)

    assert ended.returncode == 0
    assert "fixed: 2 x nvidia.com/gpu" in ended.stdout


def test_without_a_policy_it_plans_as_the_charts_default_policy_does() -> None:
    plain = SAMPLES / "text-ladder.yaml"

    assert plan(plain, "--json") == plan(plain, "--policy", DEFAULT_POLICY, "--json")


NO_FLOPS = """
apiVersion: scaling-operator.dev/v1alpha1
kind: ResourcePolicy
metadata: {name: default}
spec: {shapes: [{name: plain}]}
"""


@pytest.mark.parametrize(
    ("sample", "policy", "words"),
    [
        pytest.param("own-script", None, "spec.resources.estimate has neither flops", id="script"),
        pytest.param("case-study", NO_FLOPS, "shape plain of the policy has no flops", id="shape"),
    ],
)
def test_hours_that_are_not_known_say_what_is_missing(
    tmp_path: Path, sample: str, policy: str | None, words: str
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(policy or POLICY.read_text())

    ended = plan(SAMPLES / f"{sample}.yaml", "--policy", file)

    assert ended.returncode == 0
    assert ended.stdout.count("?: ") == 1
    assert f"?: {words}" in ended.stdout


@pytest.mark.parametrize("text", ["kind: ResourcePolicy\n", "", "- 1\n"])
def test_a_bad_policy_is_wrong_input(tmp_path: Path, ladder: Path, text: str) -> None:
    (tmp_path / "policy.yaml").write_text(text)

    ended = plan(ladder, "--policy", tmp_path / "policy.yaml")

    assert ended.returncode == 2
    assert ended.stdout == ""


def test_a_policy_that_is_not_there_is_wrong_input(ladder: Path) -> None:
    assert plan(ladder, "--policy", "nowhere.yaml").returncode == 2


def test_numbers_are_written_for_people() -> None:
    assert [count_text(number) for number in (None, 17, 1234, 5.6e9, 1e21)] == [
        "?", "17", "1.23k", "5.6G", "1.00e+21"
    ]  # fmt: skip
    assert [amount_text(number) for number in (None, 0.0, 0.00123, 1.234, 123456)] == [
        "?", "0", "0.0012", "1.23", "123,456"
    ]  # fmt: skip
    assert [bytes_text(number, 1) for number in (None, 0.5, 12.34, 1234)] == [
        "",
        "0.50",
        "12.3",
        "1,234",
    ]
