"""The API server takes the workloads that we write, and what becomes of them is read rightly."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from types import ModuleType
from typing import Any, cast

import pytest
from testbed.attempt_specs import A100, EVERYTHING, REPORTS, attempt_spec
from testbed.cluster import Cluster, Refused
from testbed.documents import trial as trial_document

from scaling_operator.api.names import Reason
from scaling_operator.api.trial import ScalingTrial
from scaling_operator.core.observed import AttemptPhase, AttemptView
from scaling_operator.kube.workloads import job, pod
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec, GracePeriods

KINDS = {"pod": pod, "job": job}
AT_ONCE = GracePeriods(image_pull_grace_seconds=0, config_error_grace_seconds=0)
of_each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
ACCOUNT, PRIORITY = "trainer", "scaling-test"


@pytest.fixture(scope="module")
def restricted(cluster: Cluster, namespace: str) -> Iterator[str]:
    """The module's namespace, where only pods of the restricted profile are admitted."""
    label = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("label", "namespace", namespace, label)
    cluster.kubectl("-n", namespace, "create", "serviceaccount", ACCOUNT)
    cluster.kubectl("create", "priorityclass", PRIORITY, "--value=-1")
    yield namespace
    cluster.kubectl("delete", "priorityclass", PRIORITY)


def everything() -> AttemptSpec:
    trainer = {**EVERYTHING, "pod": {**EVERYTHING["pod"], "serviceAccountName": ACCOUNT}}
    settings = replace(
        REPORTS, allowed_service_accounts=(ACCOUNT,), priority_class=PRIORITY, queue="research"
    )
    return attempt_spec(trainer, settings=settings, resources=A100)


ORDERS = {
    "built-in, as small as can be": attempt_spec(),
    "built-in, with reports and a machine": attempt_spec(settings=REPORTS, resources=A100),
    "own image with every field": everything(),
}


def dry_run(cluster: Cluster, namespace: str, document: dict[str, Any]) -> Any:
    """Create without creating; unknown fields are refused too."""
    options = ("--dry-run=server", "--validate=strict", "-o", "json")
    created = cluster.kubectl("-n", namespace, "create", *options, "-f", "-", stdin=document)
    return json.loads(created)


@of_each_kind
@pytest.mark.parametrize("attempt", ORDERS.values(), ids=ORDERS)
def test_a_restricted_namespace_takes_the_manifest_with_every_field(
    cluster: Cluster, restricted: str, kind: ModuleType, attempt: AttemptSpec
) -> None:
    document = kind.manifest(replace(attempt, namespace=restricted))

    taken = dry_run(cluster, restricted, document)

    assert lost(document["spec"], taken["spec"]) == []
    assert taken["metadata"]["name"] == "digits-2-17-1"


def lost(sent: Any, kept: Any, path: str = "spec") -> list[str]:
    """Name what was sent and is not there: the API server may add, not change."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        fields = cast("dict[str, Any]", sent)
        kept_fields = cast("dict[str, Any]", kept)
        return [
            loss
            for key in fields
            for loss in lost(fields[key], kept_fields.get(key), f"{path}.{key}")
        ]
    if isinstance(sent, list) and isinstance(kept, list):
        items, there = cast("list[Any]", sent), cast("list[Any]", kept)
        pairs = zip_longest(items, there[: len(items)])
        return [loss for at, pair in enumerate(pairs) for loss in lost(*pair, f"{path}[{at}]")]
    if path.endswith("sizeLimit"):  # 1073741824 comes back as 1Gi
        return []
    return [] if sent == kept else [f"{path}: {sent!r} became {kept!r}"]


def test_the_namespace_is_indeed_restricted(cluster: Cluster, restricted: str) -> None:
    document = pod.manifest(attempt_spec(namespace=restricted))
    document["spec"]["securityContext"]["runAsNonRoot"] = False

    with pytest.raises(Refused, match="violates PodSecurity"):
        dry_run(cluster, restricted, document)


def played(
    cluster: Cluster, namespace: str, kind: ModuleType, name: str, word: str, **changes: Any
) -> AttemptSpec:
    """Create a trial and its workload, whose pod plays a word."""
    experiment = f"{kind.__name__.rpartition('.')[2]}-{name}"
    body = trial_document(f"{experiment}-0-3", ("spec/parameters", {"x": 0.8, "width": 16}))
    command = ("-n", namespace, "create", "-o", "json", "-f", "-")
    stored = cluster.kubectl(*command, stdin=body)
    container = {"image": "played", "env": [{"name": "PLAY", "value": word}]}
    attempt = attempt_spec({"container": container, **changes}, experiment=experiment, attempt=0)
    document = json.loads(stored)
    trial = ScalingTrial.model_validate(
        {"metadata": document["metadata"], "spec": document["spec"]}
    )
    attempt = replace(attempt, namespace=namespace, trial=trial)
    if name.startswith("queue"):
        attempt = replace(attempt, settings=replace(attempt.settings, queue="research"))
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=kind.manifest(attempt))
    return attempt


def objects(cluster: Cluster, attempt: AttemptSpec) -> list[dict[str, Any]]:
    selector = f"scaling-operator.dev/trial={attempt.trial_name}"
    return cluster.read("-n", attempt.namespace, "pods,jobs", "-l", selector)["items"]


def awaited(
    cluster: Cluster,
    attempt: AttemptSpec,
    kind: ModuleType,
    wanted: Callable[[AttemptView], bool],
    seconds: float = 20,
) -> AttemptView:
    """Look until the view is as wanted, and return the last one."""
    deadline = time.monotonic() + seconds
    while True:
        view = kind.observe(objects(cluster, attempt), AT_ONCE, time.time())
        if wanted(view) or time.monotonic() > deadline:
            return view
        time.sleep(0.2)


ENDS: tuple[tuple[str, AttemptPhase, Reason | None, int | None], ...] = (
    ("succeed", AttemptPhase.EXITED, None, 0),
    ("silent", AttemptPhase.EXITED, None, 0),
    ("exit-87", AttemptPhase.EXITED, None, 87),
    ("oom", AttemptPhase.EXITED, Reason.OOM_KILLED, 137),
    ("evict", AttemptPhase.LOST, Reason.EVICTED, 137),
    ("image", AttemptPhase.WAITING, Reason.IMAGE_PULL_FAILED, None),
    ("config", AttemptPhase.WAITING, Reason.CONFIG_ERROR, None),
    ("hang", AttemptPhase.RUNNING, None, None),
)


@pytest.mark.usefixtures("crds", "nodes")
@of_each_kind
@pytest.mark.parametrize(("word", "phase", "reason", "code"), ENDS, ids=[row[0] for row in ENDS])
def test_what_becomes_of_an_attempt_is_seen(
    cluster: Cluster,
    restricted: str,
    kind: ModuleType,
    word: str,
    phase: AttemptPhase,
    reason: Reason | None,
    code: int | None,
) -> None:
    attempt = played(cluster, restricted, kind, word, word)

    view = awaited(
        cluster, attempt, kind, lambda view: (view.phase, view.reason) == (phase, reason)
    )

    assert (view.phase, view.reason, view.exit_code) == (phase, reason, code)
    assert abs(view.since_seconds - time.time()) < 60
    if word == "succeed":
        assert view.result is not None
        assert view.result.metrics == {"loss": pytest.approx(0.3125)}
    pods = [document for document in objects(cluster, attempt) if is_pod(document)]
    assert len(pods) == 1, "the operator owns attempts: nobody makes a second pod"


@pytest.mark.usefixtures("crds", "nodes")
@of_each_kind
def test_a_pod_that_no_node_may_take_is_unschedulable(
    cluster: Cluster, restricted: str, kind: ModuleType
) -> None:
    attempt = played(
        cluster, restricted, kind, "nowhere", "hang", pod={"nodeSelector": {"gpu": "none"}}
    )

    view = awaited(cluster, attempt, kind, lambda view: view.reason is not None)

    assert (view.phase, view.reason) == (AttemptPhase.WAITING, Reason.UNSCHEDULABLE)
    assert "didn't match Pod's node affinity/selector" in view.message


@pytest.mark.usefixtures("crds", "nodes")
@of_each_kind
def test_a_workload_goes_with_its_trial(
    cluster: Cluster, restricted: str, kind: ModuleType
) -> None:
    attempt = played(cluster, restricted, kind, "orphan", "hang")
    awaited(cluster, attempt, kind, lambda view: view.phase is AttemptPhase.RUNNING)

    cluster.kubectl("-n", restricted, "delete", "sxt", attempt.trial_name)
    # The garbage collector looks for new kinds every 30 seconds, and ours are seconds old.
    gone = awaited(
        cluster, attempt, kind, lambda view: view.phase is AttemptPhase.ABSENT, seconds=60
    )

    assert gone.phase is AttemptPhase.ABSENT


@pytest.mark.usefixtures("crds", "nodes")
@of_each_kind
def test_a_pod_that_is_deleted_by_hand_is_lost(
    cluster: Cluster, restricted: str, kind: ModuleType
) -> None:
    attempt = played(cluster, restricted, kind, "by-hand", "hang")
    running = awaited(cluster, attempt, kind, lambda view: view.phase is AttemptPhase.RUNNING)
    (name,) = [
        document["metadata"]["name"] for document in objects(cluster, attempt) if is_pod(document)
    ]

    # KWOK removes a pod at once; a kubelet says first how its container ended.
    set_finalizers(cluster, restricted, name, lambda before: [*before, "testbed/keep"])
    cluster.kubectl("-n", restricted, "delete", "pod", name, "--wait=false")
    deleted = kind.observe(objects(cluster, attempt), AT_ONCE, time.time())
    end_by_kubelet(cluster, restricted, name)
    view = awaited(cluster, attempt, kind, lambda view: view.phase is not AttemptPhase.RUNNING)
    set_finalizers(
        cluster,
        restricted,
        name,
        lambda before: [finalizer for finalizer in before if finalizer != "testbed/keep"],
    )
    cluster.kubectl("-n", restricted, "wait", "--for=delete", f"pod/{name}", "--timeout=30s")
    gone = kind.observe(objects(cluster, attempt), AT_ONCE, time.time())

    assert running.phase is AttemptPhase.RUNNING
    still = replace(deleted, changes_at_seconds=None)
    assert still == running, "it may still end well within its grace"
    assert (view.phase, view.reason) == (AttemptPhase.LOST, Reason.POD_DELETED)
    if kind is job:
        assert (gone.phase, gone.reason) == (AttemptPhase.LOST, Reason.POD_DELETED)
    else:  # its shell knows that it was there
        assert gone.phase is AttemptPhase.ABSENT


def set_finalizers(
    cluster: Cluster, namespace: str, name: str, change: Callable[[list[str]], list[str]]
) -> None:
    """Change a pod's finalizers; again where a controller has changed the pod meanwhile."""
    while True:
        metadata = cluster.read("-n", namespace, "pod", name)["metadata"]
        finalizers = change(metadata.get("finalizers", []))
        version = metadata["resourceVersion"]
        body = {"metadata": {"resourceVersion": version, "finalizers": finalizers}}
        patch = ("--type=merge", "-p", json.dumps(body))
        try:
            cluster.kubectl("-n", namespace, "patch", "pod", name, *patch)
        except Refused as refused:
            if "the object has been modified" not in str(refused):
                raise
        else:
            return


def end_by_kubelet(cluster: Cluster, namespace: str, name: str) -> None:
    # A program takes a moment to end, and the wall clock may be set back meanwhile.
    now = (datetime.now(UTC) + timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    pod_before = cluster.read("-n", namespace, "pod", name)
    (status,) = pod_before["status"]["containerStatuses"]
    ended = {"exitCode": 143, "reason": "Error", "startedAt": now, "finishedAt": now}
    status |= {"ready": False, "started": False, "state": {"terminated": ended}}
    body = json.dumps({"status": {"phase": "Failed", "containerStatuses": [status]}})
    patch = ("--subresource=status", "--type=strategic", "-p", body)
    cluster.kubectl("-n", namespace, "patch", "pod", name, *patch)


def is_pod(document: dict[str, Any]) -> bool:
    return document["kind"] == "Pod"


@pytest.mark.usefixtures("crds", "nodes")
def test_a_job_waits_for_its_queue_runs_and_may_lose_its_machine_again(
    cluster: Cluster, restricted: str
) -> None:
    attempt = played(cluster, restricted, job, "queue", "hang")

    def suspend(value: str) -> None:
        body = f'{{"spec": {{"suspend": {value}}}}}'
        cluster.kubectl("-n", restricted, "patch", "job", attempt.name, "--type=merge", "-p", body)

    queued = awaited(cluster, attempt, job, lambda view: view.reason is not None)
    time.sleep(1.5)  # the Job controller, which batches for a second, has looked at it
    still = job.observe(objects(cluster, attempt), AT_ONCE, time.time())
    suspend("false")
    running = awaited(cluster, attempt, job, lambda view: view.phase is AttemptPhase.RUNNING)
    suspend("true")
    taken = job.observe(objects(cluster, attempt), AT_ONCE, time.time())
    awaited(
        cluster,
        attempt,
        job,
        lambda _: not any(is_pod(document) for document in objects(cluster, attempt)),
    )
    later = job.observe(objects(cluster, attempt), AT_ONCE, time.time())

    assert (queued.phase, queued.reason) == (AttemptPhase.WAITING, Reason.QUOTA_EXCEEDED)
    assert "research has not admitted it" in queued.message
    assert still == queued
    assert running.phase is AttemptPhase.RUNNING
    assert (taken.phase, taken.reason) == (AttemptPhase.LOST, Reason.PREEMPTED)
    assert (later.phase, later.reason) == (AttemptPhase.LOST, Reason.PREEMPTED)
