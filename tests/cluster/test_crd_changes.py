"""What may change once an experiment is accepted, and what may not; a trial never changes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from changes_of_a_spec import FIXED, FREE, SPELLED_OUT, Row, body
from testbed.cluster import Cluster, Refused
from testbed.documents import Change, experiment, trial

pytestmark = pytest.mark.usefixtures("crds")
LABELS: Change = ("metadata/labels", {"team": "a"})


def patch(cluster: Cluster, namespace: str, target: str, change: Change, *options: str) -> str:
    return patch_all(cluster, namespace, target, (change,), *options)


def patch_all(
    cluster: Cluster, namespace: str, target: str, changes: tuple[Change, ...], *options: str
) -> str:
    written = json.dumps(body(changes))
    command = ("-n", namespace, "patch", *target.split("/"), "--type=merge", "-p", written)
    return cluster.kubectl(*command, *options)


def forbidden(cluster: Cluster, namespace: str, target: str, row: Row) -> tuple[str, ...]:
    """Name the parts of a spec whose change is refused."""
    with pytest.raises(Refused) as refusal:
        patch_all(cluster, namespace, target, row.changes)
    return tuple(
        sorted(set(re.findall(r"(spec\.\w+): [^\n]*? cannot change once", str(refusal.value))))
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


@pytest.mark.parametrize("row", [*FIXED, *SPELLED_OUT], ids=lambda row: row.why)
def test_the_question_cannot_change_once_accepted(
    cluster: Cluster, namespace: str, accepted: str, row: Row
) -> None:
    assert forbidden(cluster, namespace, accepted, row) == tuple(sorted(row.parts))


@pytest.mark.parametrize("row", FREE, ids=lambda row: row.why)
def test_the_bounds_may_change_while_it_runs(
    cluster: Cluster, namespace: str, accepted: str, row: Row
) -> None:
    before = cluster.read("-n", namespace, *accepted.split("/"))["metadata"]["generation"]

    assert "patched" in patch_all(cluster, namespace, accepted, row.changes)

    after = cluster.read("-n", namespace, *accepted.split("/"))["metadata"]["generation"]
    assert after == before + 1


def test_labels_may_change_and_are_no_other_spec(
    cluster: Cluster, namespace: str, accepted: str
) -> None:
    before = cluster.read("-n", namespace, *accepted.split("/"))["metadata"]["generation"]

    assert "patched" in patch(cluster, namespace, accepted, LABELS)

    after = cluster.read("-n", namespace, *accepted.split("/"))["metadata"]["generation"]
    assert after == before


@pytest.mark.parametrize("verdict", [None, "False"])
@pytest.mark.parametrize("row", FIXED, ids=lambda row: row.why)
def test_a_spec_that_is_not_accepted_may_be_repaired(
    cluster: Cluster, namespace: str, verdict: str | None, row: Row
) -> None:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=experiment("repaired"))
    if verdict is not None:
        accept(cluster, namespace, "repaired", verdict)

    assert "patched" in patch_all(cluster, namespace, "sx/repaired", row.changes)

    cluster.kubectl("-n", namespace, "delete", "sx", "repaired")


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
    command = ("-n", namespace, "create", "-o", "json", "-f", "-")
    created = cluster.kubectl(*command, stdin=trial("fresh-0-3"))

    assert json.loads(created)["status"] == {"state": "Running"}
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
