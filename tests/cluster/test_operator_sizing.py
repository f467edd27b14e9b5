"""Trials are sized by a policy: escalation, refusals, limits, budget, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from testbed.api_request import ApiRequest
from testbed.chart import rendered
from testbed.documents import Change, played
from testbed.effects import Kill, once
from testbed.installation import Installation, Installer
from testbed.site import Site

BOUND_SECONDS = 30.0
COLLECTION_SECONDS = 120.0
"""Kubernetes' garbage collector learns of new definitions every 30 seconds."""
Json = dict[str, Any]
GPU = "nvidia.com/gpu"
# What autograd keeps of 8 rows fills half of the small shape; the host asks for 2 GiB and a margin.
NEEDS: Json = {
    "parameters": 1e9,
    "samples": 1e6,
    "batchSize": 8,
    "activationBytes": 1e9,
    "hostMemory": "2Gi",
    "honours": ["microBatch", "recompute"],
}
SMALL: Json = {"name": "small", "resource": GPU, "memory": "40Gi", "flops": 1e14, "pricePerHour": 1}
LARGE: Json = {"name": "large", "resource": GPU, "memory": "80Gi", "flops": 1e14, "pricePerHour": 3}


def policy(name: str, *shapes: Json, **rest: Any) -> Json:
    return {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ResourcePolicy",
        "metadata": {"name": name},
        "spec": {"shapes": list(shapes or (SMALL, LARGE)), **rest},
    }


def sized(name: str, by: str, *changes: Change, needs: Json = NEEDS, **environment: str) -> Json:
    resources = {"policy": by, "estimate": needs}
    return played(name, ("spec/resources", resources), *changes, **environment)


@pytest.fixture(scope="module")
def site(installer: Installer) -> Iterator[Site]:
    with installer.installed() as installation:
        installation.site.apply(policy(own(installation), LARGE, SMALL))
        yield installation.site
        drop(installation)


def own(installation: Installation) -> str:
    """A policy's name of this installation's own: policies are cluster-wide."""
    return f"{installation.site.namespace}-policy"


def drop(installation: Installation) -> None:
    installation.site.kubectl(
        "delete", "rsp", own(installation), "--ignore-not-found", "--wait=false"
    )


def named(site: Site) -> str:
    return f"{site.namespace}-policy"


def attempts(site: Site, name: str, number: int = 0) -> list[Json]:
    return site.trial(name, number)["status"].get("attempts", [])


def machine(attempt: Json) -> tuple[Any, ...]:
    had = attempt["resources"]
    execution = had["execution"]
    return (
        had["shape"],
        execution.get("microBatch"),
        execution["accumulation"],
        execution["recompute"],
    )


def told_to(pod: Json) -> Json:
    variables = pod["spec"]["containers"][0]["env"]
    (execution,) = (
        variable["value"] for variable in variables if variable["name"] == "SCALING_EXECUTION"
    )
    return json.loads(execution)


def test_memory_of_an_accelerator_that_runs_out_is_escalated_within_three_attempts(
    site: Site,
) -> None:
    site.apply(sized("device", named(site), PLAY="exit-86,exit-86,succeed"))

    status = site.wait_end("device", BOUND_SECONDS)

    assert status["phase"] == "Succeeded"
    assert [attempt.get("reason") for attempt in attempts(site, "device")] == [
        "AcceleratorOOM", "AcceleratorOOM", None
    ]  # fmt: skip
    assert [machine(attempt) for attempt in attempts(site, "device")] == [
        ("small", None, 1, "none"),
        ("small", 4, 2, "none"),
        ("small", 4, 2, "full"),
    ]
    assert len(site.trials("device")) == 1


def test_what_the_trainer_is_told_keeps_the_global_batch(site: Site) -> None:
    site.apply(
        sized("batch", named(site), ("spec/trials/max", 1), PLAY="exit-86,exit-86,exit-86,hang")
    )

    def runs() -> bool:
        return bool(site.trial("batch", 0)) and len(attempts_or_none(site, "batch")) == 3

    site.wait(runs, BOUND_SECONDS, "three attempts have ended")

    def fourth() -> list[Json]:
        return [pod for pod in site.pods("batch") if pod["metadata"]["name"] == "batch-0-0-3"]

    site.wait(fourth, BOUND_SECONDS, "the fourth has a pod")
    (pod,) = fourth()
    execution = told_to(pod)

    assert [machine(attempt)[0] for attempt in attempts(site, "batch")] == ["small"] * 3
    assert (execution["micro_batch"] or 8) * execution["accumulation"] * execution["devices"] == 8
    assert (
        json.loads(pod["metadata"]["annotations"]["scaling-operator.dev/resources"])["shape"]
        == "large"
    )
    site.kubectl("delete", "sx", "batch")


def attempts_or_none(site: Site, name: str) -> list[Json]:
    return site.trial(name, 0).get("status", {}).get("attempts", [])


def test_siblings_do_not_run_out_a_second_time(site: Site) -> None:
    site.apply(
        sized(
            "siblings", named(site), ("spec/trials", {"max": 3, "parallel": 1}),
            PLAY="succeed", PLAY_0="exit-86,succeed",
        )
    )  # fmt: skip

    site.wait_end("siblings", BOUND_SECONDS)

    assert [machine(attempt) for attempt in attempts(site, "siblings", 0)] == [
        ("small", None, 1, "none"), ("small", 4, 2, "none")
    ]  # fmt: skip
    for number in (1, 2):
        assert [machine(attempt) for attempt in attempts(site, "siblings", number)] == [
            ("small", 4, 2, "none")
        ]


def test_host_memory_that_runs_out_is_raised_and_an_eviction_is_not(site: Site) -> None:
    site.apply(sized("host", named(site), PLAY="evict,oom,evict,succeed"))

    site.wait_end("host", BOUND_SECONDS)

    host_attempts = attempts(site, "host")
    reasons = [attempt.get("reason") for attempt in host_attempts]
    assert reasons == ["Evicted", "OOMKilled", "Evicted", None]
    assert [attempt["resources"]["memory"] for attempt in host_attempts] == [
        "2560Mi",
        "2560Mi",
        "3840Mi",
        "3840Mi",
    ]


def test_the_ledger_says_what_was_planned_and_used(site: Site) -> None:
    site.apply(
        sized("ledger", named(site), ("spec/trials", {"max": 2, "parallel": 2}), PLAY_SECONDS="3")
    )

    status = site.wait_end("ledger", BOUND_SECONDS)

    ledger, sizing = status["ledger"], status["scales"][0]["sizing"]
    used = [site.trial("ledger", number)["status"]["gpuHours"] * 3600 for number in (0, 1)]
    assert all(2 <= seconds <= 10 for seconds in used), used
    assert ledger["usedGpuHours"] * 3600 == pytest.approx(sum(used), rel=0.01)
    assert ledger["usedCost"] == pytest.approx(ledger["usedGpuHours"], rel=0.01)
    assert ledger["plannedGpuHours"] == pytest.approx(sizing["plannedGpuHours"])
    assert sizing["shape"] == "small"
    assert sizing["estimatedDeviceBytes"] > 20e9
    assert site.condition("ledger", "Sized")["reason"] == "Planned"


REFUSED: list[Any] = [
    pytest.param({"needs": {**NEEDS, "deviceMemory": "500Gi"}}, (), "NothingFits", "needs",
                 id="nowhere"),
    pytest.param({}, (("spec/budget", {"cost": 0.0001}),), "OverBudget", "largest ladder|not even",
                 id="budget"),
    pytest.param({"by": "nobody"}, (), "PolicyNotFound", "nobody", id="unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("how", "changes", "reason", "words"), REFUSED)
def test_what_cannot_start_says_why_and_starts_nothing(
    site: Site, how: Json, changes: tuple[Change, ...], reason: str, words: str
) -> None:
    name = f"refused-{reason.lower()}"
    site.apply(sized(name, how.get("by", named(site)), *changes, needs=how.get("needs", NEEDS)))

    site.wait(lambda: site.condition(name, "Sized"), BOUND_SECONDS, "a verdict")
    condition = site.condition(name, "Sized")

    assert (condition["status"], condition["reason"]) == ("False", reason)
    assert any(word in condition["message"] for word in words.split("|"))
    assert site.trials(name) == []
    assert site.status(name)["phase"] == "Pending"
    site.kubectl("delete", "sx", name)


def test_a_policy_is_for_the_namespaces_that_it_selects(installer: Installer) -> None:
    with installer.installed() as installation:
        site = installation.site
        research = {"matchLabels": {"team": "research"}}
        site.apply(policy(own(installation), namespaceSelector=research))
        site.apply(sized("tenant", own(installation)))
        site.wait(lambda: site.condition("tenant", "Sized"), BOUND_SECONDS, "a verdict")
        refused = site.condition("tenant", "Sized")
        before = site.trials("tenant")

        site.kubectl("label", "namespace", site.namespace, "team=research")
        status = site.wait_end("tenant", BOUND_SECONDS)
        drop(installation)

    assert (refused["status"], refused["reason"]) == ("False", "PolicyNotAllowed")
    assert "team=research" in refused["message"]
    assert before == []
    assert status["phase"] == "Succeeded"


def test_fixed_accelerators_start_on_a_policy_that_does_not_know_them(installer: Installer) -> None:
    """As after the chart's installation, whose default policy has CPUs alone."""
    with installer.installed() as installation:
        site, fixed = (
            installation.site,
            {"policy": own(installation), "fixed": {"gpus": 1, "memory": "64Mi"}},
        )
        site.apply(policy(own(installation), {"name": "cpu"}))
        site.apply(played("fixed", ("spec/resources", fixed), PLAY_SECONDS="2"))
        status = site.wait_end("fixed", BOUND_SECONDS)
        condition = site.condition("fixed", "Sized")

        site.apply(policy(own(installation), {"name": "cpu"}, limits={"trial": {"gpus": 0}}))
        site.apply(played("barred", ("spec/resources", fixed)))
        site.wait(lambda: site.condition("barred", "Sized"), BOUND_SECONDS, "a verdict")
        barred = site.condition("barred", "Sized")
        drop(installation)

    assert status["phase"] == "Succeeded"
    assert (condition["status"], condition["reason"]) == ("True", "FixedResources")
    assert "spec.resources.fixed.resource nvidia.com/gpu" in condition["message"]
    assert status["ledger"]["usedGpuHours"] > 0
    assert status["ledger"]["usedCost"] == 0
    assert (barred["status"], barred["reason"]) == ("False", "AboveLimits")
    assert "spec.resources.fixed.gpus 1 exceeds limits.trial.gpus" in barred["message"]


def test_a_budget_that_is_raised_lets_the_experiment_start(site: Site) -> None:
    site.apply(sized("raised", named(site), ("spec/budget", {"cost": 0.0001})))
    site.wait(lambda: site.condition("raised", "Sized"), BOUND_SECONDS, "a verdict")

    site.apply(sized("raised", named(site), ("spec/budget", {"cost": 1000})))

    assert site.wait_end("raised", BOUND_SECONDS)["phase"] == "Succeeded"


def test_a_policy_that_comes_later_is_followed_at_once(installer: Installer) -> None:
    with installer.installed() as installation:
        site = installation.site
        site.apply(sized("early", own(installation)))
        site.wait(lambda: site.condition("early", "Sized"), BOUND_SECONDS, "a verdict")

        site.apply(policy(own(installation)))
        status = site.wait_end("early", BOUND_SECONDS)
        ready = json.loads(site.kubectl("get", "rsp", own(installation), "-o", "json"))
        drop(installation)

    assert status["phase"] == "Succeeded"
    conditions = ready["status"]["conditions"]
    statuses = {condition["type"]: condition["status"] for condition in conditions}
    assert statuses == {"Ready": "True", "Offered": "True"}


def test_no_more_pods_are_made_than_the_limits_allow(installer: Installer) -> None:
    with installer.installed() as installation:
        site, most = installation.site, 0
        site.apply(policy(own(installation), SMALL, limits={"experiment": {"gpus": 2}}))
        four = ("spec/trials", {"max": 6, "parallel": 4})
        site.apply(sized("limited", own(installation), four, PLAY_SECONDS="1"))

        def over() -> bool:
            nonlocal most
            most = max(most, sum(is_active(pod) for pod in site.pods("limited")))
            return site.status("limited").get("phase") == "Succeeded"

        site.wait(over, BOUND_SECONDS, "all have ended")
        drop(installation)

    assert most == 2


def is_active(pod: Json) -> bool:
    return pod["status"]["phase"] in ("Pending", "Running")


def test_two_experiments_share_the_limit_of_a_namespace(installer: Installer) -> None:
    with installer.installed() as installation:
        site = installation.site
        site.apply(policy(own(installation), SMALL, limits={"namespace": {"gpus": 2}}))
        many = ("spec/trials", {"max": 50, "parallel": 4})
        site.apply(sized("first", own(installation), many, PLAY_SECONDS="1"))
        site.wait(lambda: len(site.pods("first")) >= 2, BOUND_SECONDS, "the first takes all")
        site.apply(sized("second", own(installation), many, PLAY_SECONDS="1"))

        shares: list[tuple[int, int]] = []

        def both_have_some() -> bool:
            held = [sum(map(is_active, site.pods(name))) for name in ("first", "second")]
            shares.append((held[0], held[1]))
            return shares[-5:] == [(1, 1)] * 5

        site.wait(both_have_some, BOUND_SECONDS, "each holds one")
        drop(installation)

    assert max(first + second for first, second in shares) <= 2


def test_an_impossible_request_waits_and_no_more_pods_follow(installer: Installer) -> None:
    with installer.installed() as installation:
        site = installation.site
        nowhere = {**SMALL, "resource": "example.com/nowhere"}
        site.apply(policy(own(installation), nowhere))
        four = ("spec/trials", {"max": 8, "parallel": 4, "maxFailed": 0, "pendingTimeout": "12s"})
        site.apply(sized("nowhere", own(installation), four))
        pods: set[str] = set()

        def queued() -> bool:
            pods.update(pod["metadata"]["name"] for pod in site.pods("nowhere"))
            return site.trial("nowhere", 0).get("status", {}).get("state") == "Queued"

        site.wait(queued, BOUND_SECONDS, "a trial is queued")
        waiting = site.trial("nowhere", 0)["status"]
        said = json.loads(site.kubectl("get", "rsp", own(installation), "-o", "json"))["status"]
        status = site.wait_end("nowhere", BOUND_SECONDS)
        drop(installation)

    assert (waiting["state"], waiting["reason"]) == ("Queued", "Unschedulable")
    assert "example.com/nowhere" in waiting["message"]
    offered = next(condition for condition in said["conditions"] if condition["type"] == "Offered")
    assert (offered["status"], offered["reason"]) == ("False", "ShapeNotOffered")
    assert "small" in offered["message"]
    assert len(pods) <= 4, "what is asked for at once, and no more"
    assert status["phase"] == "Failed"


def test_a_budget_of_gpu_hours_stops_what_runs(installer: Installer) -> None:
    with installer.installed() as installation:
        site = installation.site
        # Hours that nobody can plan: a shape without its peak.
        site.apply(policy(own(installation), {key: SMALL[key] for key in SMALL if key != "flops"}))
        budget = ("spec/budget", {"gpuHours": 6 / 3600})
        two = ("spec/trials", {"max": 4, "parallel": 2})
        site.apply(sized("spent", own(installation), two, budget, PLAY="hang"))

        status = site.wait_end("spent", BOUND_SECONDS)
        complete = site.condition("spent", "Complete")
        drop(installation)

    # Nothing has a value, so the experiment has failed; but what ran was stopped by the budget.
    assert complete["status"] == "False"
    assert status["counts"]["stopped"] == 2
    assert 6 <= status["ledger"]["usedGpuHours"] * 3600 <= 12


def test_the_plan_stands_in_the_status_before_the_first_pod(installer: Installer) -> None:
    with installer.installed(through_proxy=True) as installation:
        site = installation.site
        site.apply(policy(own(installation)))

        def is_first_pod(request: ApiRequest) -> bool:
            return str(request) == "create pods planned-0-0-0"

        installation.between.rule = once(is_first_pod, Kill(forwarded=False))
        site.apply(sized("planned", own(installation)))
        site.wait(
            lambda: not installation.operator.is_alive, BOUND_SECONDS, "it goes at the first pod"
        )
        status, pods = site.status("planned"), site.pods("planned")
        drop(installation)

    (scale,) = status["scales"]
    assert pods == []
    assert scale["sizing"]["shape"] == "small"
    assert scale["sizing"]["estimatedDeviceBytes"] > 20e9
    assert status["ledger"]["plannedGpuHours"] > 0
    assert status["ledger"]["plannedCost"] > 0


@pytest.mark.parametrize("forwarded", [False, True], ids=["before", "after"])
def test_an_operator_that_is_killed_at_the_next_attempts_pod_repeats_nothing(
    installer: Installer, *, forwarded: bool
) -> None:
    with installer.installed(through_proxy=True) as installation:
        site, between = installation.site, installation.between
        site.apply(policy(own(installation)))

        def is_second_pod(request: ApiRequest) -> bool:
            return str(request) == "create pods killed-0-0-1"

        between.rule = once(is_second_pod, Kill(forwarded=forwarded))
        site.apply(sized("killed", own(installation), PLAY="exit-86,succeed"))
        site.wait(
            lambda: not installation.operator.is_alive, BOUND_SECONDS, "the operator is killed"
        )
        between.pass_on()
        installation.operator.start().wait_ready()

        status = site.wait_end("killed", BOUND_SECONDS)
        killed_attempts = attempts(site, "killed")
        drop(installation)

    assert status["phase"] == "Succeeded"
    assert [attempt.get("reason") for attempt in killed_attempts] == ["AcceleratorOOM", None]
    assert [machine(attempt) for attempt in killed_attempts] == [
        ("small", None, 1, "none"), ("small", 4, 2, "none")
    ]  # fmt: skip


def claimed(shape: Json, memory: str) -> Json:
    by_memory = (
        'device.capacity["gpu.nvidia.com"].memory'
        f'.compareTo(quantity("{memory}")) >= 0'
    )  # fmt: skip
    return {**shape, "deviceClass": "gpu.nvidia.com", "deviceSelector": by_memory}


def test_accelerators_are_claimed_where_the_policy_says_so(installer: Installer) -> None:
    """As far as it goes without a driver: the API server takes template and pod, and cleans up."""
    with installer.installed() as installation:
        site = installation.site
        shapes = claimed(SMALL, "40Gi"), claimed(LARGE, "80Gi")
        site.apply(policy(own(installation), *shapes, backend="dra"))
        site.apply(sized("claims", own(installation), ("spec/trials/pendingTimeout", "1h")))
        site.wait(lambda: site.pods("claims"), BOUND_SECONDS, "a pod")
        site.wait(
            lambda: site.trial("claims", 0).get("status", {}).get("state") == "Queued",
            BOUND_SECONDS,
            "no driver, so no node has room",
        )
        templates = json.loads(site.kubectl("get", "resourceclaimtemplates", "-o", "json"))["items"]
        (pod,) = site.pods("claims")
        trial = site.trial("claims", 0)
        site.kubectl("delete", "sx", "claims")
        site.wait(
            lambda: not site.kubectl("get", "resourceclaimtemplates", "-o", "name").strip(),
            COLLECTION_SECONDS,
            "the template goes with its trial",
        )
        drop(installation)

    (template,) = templates
    (request,) = template["spec"]["spec"]["devices"]["requests"]
    assert template["metadata"]["ownerReferences"][0]["uid"] == trial["metadata"]["uid"]
    assert [subrequest["name"] for subrequest in request["firstAvailable"]] == ["small", "large"]
    assert request["firstAvailable"][0]["deviceClassName"] == "gpu.nvidia.com"
    assert request["firstAvailable"][0]["count"] == 1
    assert "40Gi" in request["firstAvailable"][0]["selectors"][0]["cel"]["expression"]
    assert pod["spec"]["resourceClaims"] == [
        {"name": "accelerators", "resourceClaimTemplateName": template["metadata"]["name"]}
    ]
    resources = pod["spec"]["containers"][0]["resources"]
    assert resources["claims"] == [{"name": "accelerators"}]
    assert GPU not in resources["limits"]


def test_a_queue_holds_jobs_back_and_is_obeyed(installer: Installer, helm: Path) -> None:
    """The test plays Kueue: it admits a Job, and takes its machine back once."""
    with_jobs = replace(
        installer, shipped=rendered(helm, {"trials": {"workload": "job"}}), prefix="sized"
    )
    with with_jobs.installed("--workload", "job") as installation:
        site = installation.site
        site.apply(policy(own(installation), SMALL, queue="team"))
        two = ("spec/trials", {"max": 2, "parallel": 2})
        site.apply(sized("queued", own(installation), two, PLAY="hang,succeed"))

        def jobs() -> list[Json]:
            items = json.loads(site.kubectl("get", "jobs", "-o", "json"))["items"]
            return sorted(items, key=lambda job: job["metadata"]["name"])

        site.wait(lambda: len(jobs()) == 2, BOUND_SECONDS, "the queue sees both")
        first, second = jobs()
        assert all(job["spec"]["suspend"] for job in (first, second))
        assert first["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
        assert not any("kueue" in name for name in first["metadata"].get("annotations", {}))
        assert site.pods("queued") == []
        site.wait(
            lambda: site.status("queued")["counts"].get("queued") == 2, BOUND_SECONDS, "both wait"
        )

        def suspend(job: str, *, suspended: bool) -> None:
            body = json.dumps({"spec": {"suspend": suspended}})
            site.kubectl("patch", "job", job, "--type=merge", "-p", body)

        name = first["metadata"]["name"]
        suspend(name, suspended=False)
        site.wait(
            lambda: any(map(is_active, site.pods("queued"))), BOUND_SECONDS, "one is admitted"
        )
        suspend(name, suspended=True)
        site.wait(
            lambda: len(attempts_or_none(site, "queued")) == 1, BOUND_SECONDS, "it is taken back"
        )
        site.wait(lambda: len(jobs()) >= 2, BOUND_SECONDS, "the next attempt waits")
        queued_attempts = attempts_or_none(site, "queued")
        waiting = jobs()
        site.kubectl("delete", "sx", "queued")
        drop(installation)

    assert queued_attempts[0]["reason"] == "Preempted"
    assert waiting[0]["spec"]["suspend"]
