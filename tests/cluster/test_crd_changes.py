"""What may change once an experiment is accepted, and what may not; a trial never changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testbed.cluster import Cluster, Refused
from testbed.documents import Change, changed, experiment, trial

pytestmark = pytest.mark.usefixtures("crds")
FIXED: tuple[tuple[str, Any, str], ...] = (
    ("spec/objective/direction", "maximize", "spec.objective"),
    ("spec/objective/goal", 0.5, "spec.objective"),
    ("spec/search/algorithm/seed", 8, "spec.search"),
    ("spec/search/parameters/model.dropout", {"type": "float", "low": 0, "high": 1}, "spec.search"),
    ("spec/search/pruner", {"name": "median"}, "spec.search"),
    ("spec/search", None, "spec.search"),
    ("spec/scaling/sizes", [16, 32, 128], "spec.scaling"),
    ("spec/scaling/transfer", {"topK": 2}, "spec.scaling"),
    ("spec/scaling", None, "spec.scaling"),
    ("spec/trainer/builtIn/epochs", 3, "spec.trainer"),
    ("spec/trainer/builtIn/dataset/name", "breast-cancer", "spec.trainer"),
)
FREE: tuple[Change, ...] = (
    ("spec/trials/max", 80),
    ("spec/trials/parallel", 1),
    ("spec/suspend", True),
    ("spec/trainer/pod", {"nodeSelector": {"zone": "a"}}),
    ("spec/budget", {"duration": "8h", "onExceeded": "suspend"}),
    ("spec/resources", {"fixed": {"cpu": 2}}),
    ("spec/scaling/targets", [{"flops": 1e15}]),
    ("spec/scaling/fit", {"bootstrap": 500}),
    ("spec/scaling/refine", {"maxSizes": 1}),
    ("metadata/labels", {"team": "a"}),
)


def patch(cluster: Cluster, namespace: str, target: str, change: Change, *options: str) -> str:
    body = json.dumps(changed({}, change))
    return cluster.kubectl(
        *("-n", namespace, "patch", *target.split("/"), "--type=merge", "-p", body, *options)
    )


def accept(cluster: Cluster, namespace: str, name: str, status: str) -> None:
    condition = {"type": "Accepted", "status": status, "reason": "Test"}
    change = ("status", {"conditions": [condition]})
    patch(cluster, namespace, f"sx/{name}", change, "--subresource=status")


@pytest.fixture(scope="module")
def accepted(cluster: Cluster, namespace: str) -> str:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=experiment("accepted"))
    accept(cluster, namespace, "accepted", "True")
    return "sx/accepted"


@pytest.mark.parametrize(("path", "value", "field"), FIXED, ids=[f"{row[0]}" for row in FIXED])
def test_the_question_cannot_change_once_accepted(
    cluster: Cluster, namespace: str, accepted: str, path: str, value: Any, field: str
) -> None:
    with pytest.raises(Refused) as refusal:
        patch(cluster, namespace, accepted, (path, value))

    assert f"* {field}: " in f"* {str(refusal.value).partition('is invalid: ')[2]}"
    assert "once the experiment is accepted" in str(refusal.value)


@pytest.mark.parametrize("change", FREE, ids=[path for path, _ in FREE])
def test_the_bounds_may_change_while_it_runs(
    cluster: Cluster, namespace: str, accepted: str, change: Change
) -> None:
    before = cluster.read("-n", namespace, *accepted.split("/"))["metadata"]["generation"]

    assert "patched" in patch(cluster, namespace, accepted, change)

    after = cluster.read("-n", namespace, *accepted.split("/"))["metadata"]["generation"]
    assert after == before + change[0].startswith("spec")


@pytest.mark.parametrize("verdict", [None, "False"])
@pytest.mark.parametrize(("path", "value", "field"), FIXED, ids=[f"{row[0]}" for row in FIXED])
def test_a_spec_that_is_not_accepted_may_be_repaired(
    cluster: Cluster, namespace: str, verdict: str | None, path: str, value: Any, field: str
) -> None:
    name = f"repaired-{field.rpartition('.')[2]}"
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=experiment(name))
    if verdict is not None:
        accept(cluster, namespace, name, verdict)

    assert "patched" in patch(cluster, namespace, f"sx/{name}", (path, value))

    cluster.kubectl("-n", namespace, "delete", "sx", name)


def test_applying_the_accepted_file_again_changes_nothing(cluster: Cluster, namespace: str) -> None:
    document = experiment("again")
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=document)
    accept(cluster, namespace, "again", "True")

    assert "unchanged" in cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=document)


def test_a_status_in_the_file_is_not_taken(cluster: Cluster, namespace: str) -> None:
    document = experiment("with-status", ("status", {"phase": "Succeeded"}))

    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=document)

    assert "status" not in cluster.read("-n", namespace, "sx", "with-status")


def test_a_trial_runs_from_its_creation_on(cluster: Cluster, namespace: str) -> None:
    made = cluster.kubectl(
        *("-n", namespace, "create", "-o", "json", "-f", "-"), stdin=trial("fresh-0-3")
    )

    assert json.loads(made)["status"] == {"state": "Running"}
    assert cluster.read("-n", namespace, "sxt", "fresh-0-3")["status"] == {"state": "Running"}


@pytest.mark.parametrize(
    "change",
    [
        ("spec/seed", 8),
        ("spec/samplerAttributes", {"nsga2:parents": [1, 3]}),
        ("spec/parameters", {"optimizer.learning_rate": 0.02}),
        ("spec/samples", 100),
    ],
    ids=["seed", "sampler attributes", "parameters", "a field more"],
)
def test_a_trials_spec_never_changes(cluster: Cluster, namespace: str, change: Change) -> None:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=trial("fixed-0-3"))

    with pytest.raises(Refused, match=r"spec: .*a trial's spec never changes"):
        patch(cluster, namespace, "sxt/fixed-0-3", change)


def test_a_trials_status_is_written_by_its_subresource_alone(
    cluster: Cluster, namespace: str
) -> None:
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=trial("ended-0-3"))
    ended = ("status", {"state": "Succeeded", "values": [0.25]})

    patch(cluster, namespace, "sxt/ended-0-3", ended)
    assert cluster.read("-n", namespace, "sxt", "ended-0-3")["status"] == {"state": "Running"}

    patch(cluster, namespace, "sxt/ended-0-3", ended, "--subresource=status")
    assert cluster.read("-n", namespace, "sxt", "ended-0-3")["status"] == ended[1]


@pytest.mark.parametrize(
    ("status", "field"),
    [({"state": "Done"}, "status.state"), ({"attempts": [{"number": 100}]}, "status.attempts[0]")],
    ids=["a state that is none", "an attempt too many"],
)
def test_a_status_that_the_models_do_not_know_is_refused(
    cluster: Cluster, namespace: str, status: dict[str, Any], field: str
) -> None:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=trial("odd-0-3"))

    with pytest.raises(Refused) as refusal:
        patch(cluster, namespace, "sxt/odd-0-3", ("status", status), "--subresource=status")

    assert field in str(refusal.value)
