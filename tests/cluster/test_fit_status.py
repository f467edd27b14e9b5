"""The fit of a ladder on a cluster: in the status as a real API server keeps it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from simulated_runs import IsoFlopDesign, chinchilla_law, simulated
from testbed.cluster import Cluster, Refused
from testbed.documents import changed, experiment, played
from testbed.installation import Installation

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.policy import PolicySpec
from scaling_operator.api.status import CurvePoint, ExperimentStatus, ScaleStatus
from scaling_operator.core.fit_types import FitInput, TunedPoint, checked
from scaling_operator.core.ladder import Scale
from scaling_operator.law.fit_experiment import fit
from scaling_operator.sizing.run_plan import KnownMachines

H100 = {
    "name": "h100",
    "resource": "nvidia.com/gpu",
    "memory": "80Gi",
    "flops": 989e12,
    "pricePerHour": 4,
}
TARGETS = [{"flops": 1e21}, {"loss": 2.3, "inferenceTokens": 1e12}, {"cost": 100}]


def whole_status() -> ExperimentStatus:
    """Make a status with everything that a fit can say."""
    runs = simulated(
        chinchilla_law(), IsoFlopDesign(5, 7), noise=0.002, rng=np.random.default_rng(0)
    )
    assert runs.D is not None
    assert runs.C is not None
    rungs = [{"n": float(n), "d": float(d)} for n, d in zip(runs.N, runs.D, strict=True)]
    spec = ExperimentSpec.model_validate(
        {
            "objective": {"metric": "loss", "direction": "minimize"},
            "search": {
                "parameters": {"rate": {"type": "float", "low": 1e-5, "high": 1, "log": True}}
            },
            "trainer": {"container": {"command": ["true"]}},
            "scaling": {"rungs": rungs, "targets": TARGETS},
        }
    )
    points = tuple(
        TunedPoint(
            scale=Scale(at, rungs[at]),
            trial=f"{at}-0",
            value=float(runs.L[at]),
            parameters={"rate": float(runs.N[at]) ** -0.3},
            model_parameters=float(runs.N[at]),
            samples=float(runs.D[at]),
            flops=float(runs.C[at]),
            curve=tuple(
                CurvePoint(step=step, value=float(runs.L[at]) * (5 / step) ** 0.1, phase="stable")
                for step in range(1, 6)
            ),
        )
        for at in range(34)
    )
    machines = KnownMachines(PolicySpec.model_validate({"shapes": [H100]}))
    view = fit(FitInput(spec, points, untried=(Scale(34, rungs[34]),), machines=machines)).view
    assert view.status.envelope is not None
    assert view.recommendations[0].cost is not None
    predicted = checked(view.predictions[34], float(runs.L[34]))
    return ExperimentStatus(
        fit=view.status,
        recommendations=view.recommendations,
        scales=(ScaleStatus(index=34, predicted=predicted),),
    )


@pytest.mark.usefixtures("crds")
def test_the_api_server_keeps_every_word_of_a_fit(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=experiment("fitted"))
    status = whole_status().model_dump(mode="json", exclude_none=True)
    body = json.dumps({"status": status})
    patch = ("--subresource=status", "--type=merge", "-p", body)
    cluster.kubectl("-n", namespace, "patch", "sx", "fitted", *patch)
    kept: dict[str, Any] = cluster.read("-n", namespace, "sx", "fitted")["status"]
    assert ExperimentStatus.model_validate(kept) == whole_status()
    assert kept["fit"].keys() == status["fit"].keys()
    assert len(body) < 40_000


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        pytest.param({}, "set exactly one of flops", id="no aim"),
        pytest.param({"flops": 1e9, "cost": 1}, "set exactly one of flops", id="two aims"),
        pytest.param(
            {"parameters": 1e6, "inferenceTokens": 1e9}, "stands alone or beside", id="a size"
        ),
    ],
)
def test_a_target_that_makes_no_sense_is_refused(
    cluster: Cluster, namespace: str, target: dict[str, float], complaint: str
) -> None:
    document = changed(experiment("refused"), ("spec/scaling/targets", [target]))
    with pytest.raises(Refused, match=complaint):
        cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=document)


def test_the_operator_fits_and_says_truthfully_why_there_is_no_law(
    installation: Installation,
) -> None:
    site = installation.site
    ladder = {"parameter": "width", "sizes": [2, 4, 8], "refine": {"maxSizes": 1}}
    site.apply(
        played("fitted", ("spec/trials", {"max": 2, "parallel": 3}), ("spec/scaling", ladder))
    )

    status = site.wait_end("fitted")

    ready = site.condition("fitted", "FitReady")
    assert ready["status"] == "False"
    assert site.condition("fitted", "NotEnoughPoints")["status"] == "True"
    assert status["fit"]["points"] == len(status["scales"])
    assert [scale["index"] for scale in status["scales"]] in ([0, 1, 2], [0, 1, 2, 3])
    added = [scale["parameters"]["width"] for scale in status["scales"][3:]]
    assert added in ([], [1], [16])
    edge = [c for c in status["conditions"] if c["type"] == "EdgeOptimum"]
    assert bool(added) or not edge, "an edge makes the ladder grow"


def test_what_is_recommended_has_its_machine_and_cost_by_the_experiments_policy(
    installation: Installation,
) -> None:
    site = installation.site
    name = f"{site.namespace}-priced"  # policies are cluster-wide
    shape = {"name": "cores", "flops": 1e12, "utilization": 0.5, "pricePerHour": 36}
    policy = {"kind": "ResourcePolicy", "metadata": {"name": name}, "spec": {"shapes": [shape]}}
    site.apply({"apiVersion": "scaling-operator.dev/v1alpha1", **policy})
    # The played loss is 0.16 + 1/width, and a run of width w has w x 1e12 FLOPs.
    ladder = {
        "parameter": "width",
        "sizes": [2, 4, 8, 16, 32, 64],
        "targets": [{"parameters": 100}, {"cost": 5}],
        "fit": {"hyperparameterEdge": "keep"},
    }
    x = {"x": {"type": "float", "low": 0.7, "high": 0.7}}
    needs = {"flops": "double(width) * 1e12", "hostMemory": "1Gi"}
    site.apply(
        played(
            "priced",
            ("spec/search/parameters", x),
            ("spec/trials", {"max": 1, "parallel": 6}),
            ("spec/scaling", ladder),
            ("spec/resources", {"policy": name, "estimate": needs}),
        )
    )

    status = site.wait_end("priced")
    site.kubectl("delete", "rsp", name, "--ignore-not-found", "--wait=false")

    by_size, by_cost = status["recommendations"]
    assert by_size["loss"] == pytest.approx(0.17, rel=0.01)
    assert (by_size["shape"], by_size["count"], by_size["gpuHours"]) == ("cores", 0, 0)
    # 1e14 FLOPs at half of 1e12 FLOP/s, and 10 s to start.
    assert by_size["hours"] == pytest.approx(210 / 3600, rel=0.02)
    assert by_size["cost"] == pytest.approx(2.1, rel=0.02)
    assert by_cost["reason"] == "UnknownFlops", "the played trainer counts no compute"
