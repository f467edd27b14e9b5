"""What a workload's manifest says, for both kinds: identity, variables, profile, volumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed.attempt_specs import A100, BUILT_IN, EVERYTHING, REPORTS, attempt_spec

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.problems import InvalidSpec
from scaling_operator.api.search import WarmStart
from scaling_operator.kube.workloads import job, pod
from scaling_operator.kube.workloads.attempt_spec import AttemptSpec, platform_problems
from scaling_operator.kube.workloads.pod_template import assignment_of_pod, escaped
from scaling_trainer.contract import expand, read_assignment

ORDERS = {
    "built-in, as small as can be": attempt_spec(),
    "built-in, with reports and a machine": attempt_spec(settings=REPORTS, resources=A100),
    "own image with every field": attempt_spec(EVERYTHING, settings=REPORTS, resources=A100),
}
of_each_order = pytest.mark.parametrize("attempt", ORDERS.values(), ids=ORDERS)


def pod_of(attempt: AttemptSpec) -> dict[str, Any]:
    spec = pod.manifest(attempt)["spec"]
    assert job.manifest(attempt)["spec"]["template"]["spec"] == spec, "both kinds run the same pod"
    return spec


def container_of(attempt: AttemptSpec) -> dict[str, Any]:
    (container,) = pod_of(attempt)["containers"]
    return container


def environment(attempt: AttemptSpec) -> dict[str, str]:
    """Expand the variables as the kubelet does: each sees those before it."""
    values: dict[str, str] = {}
    for variable in container_of(attempt)["env"]:
        if "value" in variable:
            assert variable["name"] not in values
            values[variable["name"]] = expand(variable["value"], values)
    return values


def volumes(attempt: AttemptSpec) -> Mapping[str, Any]:
    named = {volume["name"]: volume for volume in pod_of(attempt)["volumes"]}
    mounts = container_of(attempt)["volumeMounts"]
    assert {mount["name"] for mount in mounts} == named.keys(), "each volume is mounted"
    assert len({mount["mountPath"] for mount in mounts}) == len(mounts), "each in its own place"
    return {mount["mountPath"]: named[mount["name"]] for mount in mounts}


@of_each_order
def test_the_trainer_reads_back_exactly_what_it_is_told(attempt: AttemptSpec) -> None:
    assert read_assignment(environment(attempt)) == assignment_of_pod(attempt)


@given(st.text(alphabet="$()NAME_x{}\"' \n", max_size=30))
def test_no_value_of_the_contract_is_expanded(text: str) -> None:
    assert expand(escaped(text), {"NAME": "expanded", "A": "expanded"}) == text


def test_a_choice_that_looks_like_a_reference_reaches_the_trainer_as_it_is() -> None:
    attempt = attempt_spec()
    parameters = {"prompt": "$(SCALING_SEED) and $$"}
    trial = attempt.trial.model_copy(
        update={"spec": attempt.trial.spec.model_copy(update={"parameters": parameters})}
    )

    variables = environment(replace(attempt, trial=trial))

    assert variables["SCALING_PARAM_PROMPT"] == "$(SCALING_SEED) and $$"


def test_variables_of_the_user_may_refer_to_those_of_the_contract() -> None:
    attempt = attempt_spec(EVERYTHING)

    assert environment(attempt)["GREETING"] == "trial 17, $(not expanded)"
    assert container_of(attempt)["args"][1] == "$(SCALING_PARAM_OPTIMIZER_LEARNING_RATE)"
    assert container_of(attempt)["env"][-2:] == [
        {"name": "HUB_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}},
        {
            "name": "LEVEL",
            "valueFrom": {"configMapKeyRef": {"name": "log", "key": "l", "optional": True}},
        },
    ]


def test_a_float_that_json_made_whole_is_told_as_a_run_without_a_cluster_tells_it() -> None:
    variables = environment(attempt_spec())

    assert variables["SCALING_PARAM_OPTIMIZER_LEARNING_RATE"] == "1.0"
    assert variables["SCALING_PARAM_BATCH_SIZE"] == "32"


def test_paths_of_the_contract_are_those_inside_the_pod() -> None:
    variables = environment(attempt_spec(settings=REPORTS))

    assert variables["SCALING_RESULT_FILE"] == "/dev/termination-log"
    assert variables["SCALING_CHECKPOINT_DIR"] == "/artifacts/digits/2-17"
    assert variables["SCALING_DATA_DIR"] == "/artifacts"
    assert variables["SCALING_REPORT_TOKEN_FILE"] == "/var/run/secrets/scaling-operator/token"
    assert variables["SCALING_REPORT_CA"] == REPORTS.report_ca


@of_each_order
def test_a_workload_is_named_labelled_and_owned_by_its_trial(attempt: AttemptSpec) -> None:
    for document in (pod.manifest(attempt), job.manifest(attempt)):
        metadata = document["metadata"]
        assert (metadata["namespace"], metadata["name"]) == ("team", "digits-2-17-1")
        assert metadata["labels"] == {
            "app.kubernetes.io/managed-by": "scaling-operator",
            "scaling-operator.dev/experiment": "digits",
            "scaling-operator.dev/scale": "2",
            "scaling-operator.dev/trial": "digits-2-17",
            "scaling-operator.dev/attempt": "1",
        }
        (owner,) = metadata["ownerReferences"]
        assert owner["kind"] == "ScalingTrial"
        assert owner["uid"] == attempt.trial.metadata["uid"]
        assert (owner["controller"], owner["blockOwnerDeletion"]) == (True, False)
    template = job.manifest(attempt)["spec"]["template"]
    assert template["metadata"]["labels"] == pod.manifest(attempt)["metadata"]["labels"]


@of_each_order
def test_a_pod_keeps_the_restricted_profile_and_no_token_of_the_api_server(
    attempt: AttemptSpec,
) -> None:
    spec, container = pod_of(attempt), container_of(attempt)

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["restartPolicy"] == "Never"
    assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert container["terminationMessagePolicy"] == "File"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param({}, (65532, 65532, 65532), id="nothing: the platform's user and its group"),
        pytest.param({"runAsUser": 7}, (7, 7, 7), id="a user: its number is its group's too"),
        pytest.param({"runAsUser": 7, "runAsGroup": 0}, (7, 0, 0), id="a group: that of volumes"),
        pytest.param({"fsGroup": 9}, (65532, 65532, 9), id="a group of volumes alone"),
    ],
)
def test_user_and_groups(asked: dict[str, int], expected: tuple[int, int, int]) -> None:
    security = pod_of(attempt_spec({**BUILT_IN, "pod": {"securityContext": asked}}))[
        "securityContext"
    ]

    assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == expected


def test_the_token_is_bound_to_the_audience_and_there_only_where_reports_are() -> None:
    place = "/var/run/secrets/scaling-operator"
    token = {
        "audience": "scaling-operator.dev/reports",
        "expirationSeconds": 3600,
        "path": "token",
    }

    assert place not in volumes(attempt_spec())
    assert volumes(attempt_spec(settings=REPORTS))[place]["projected"] == {
        "sources": [{"serviceAccountToken": token}]
    }


def test_the_operators_volumes_give_way_to_mounts_of_the_user() -> None:
    own = volumes(attempt_spec(resources=A100))
    theirs = volumes(attempt_spec(EVERYTHING, resources=A100))

    assert own["/artifacts"]["emptyDir"] == {}
    assert own["/tmp"]["emptyDir"] == {}
    assert own["/dev/shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": str(1 << 30)}
    assert theirs["/tmp"]["name"] == "scratch"
    assert theirs["/dev/shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}


def test_of_a_claim_an_experiment_reads_everything_and_writes_its_own_folder_alone() -> None:
    attempt = attempt_spec()
    claim = {"persistentVolumeClaim": {"claimName": "experiments"}}
    spec = ExperimentSpec.model_validate(
        {**attempt.spec.model_dump(mode="json"), "artifacts": claim}
    )
    kept = replace(attempt, spec=spec)
    variables = {variable["name"]: variable["value"] for variable in container_of(kept)["env"]}

    assert volumes(kept)["/artifacts"] == {"name": "scaling-artifacts", **claim}
    assert [
        mount for mount in container_of(kept)["volumeMounts"] if "artifacts" in mount["name"]
    ] == [
        {"name": "scaling-artifacts", "mountPath": "/artifacts", "readOnly": True},
        {"name": "scaling-artifacts", "mountPath": "/artifacts/digits", "subPath": "digits"},
    ]
    assert variables["SCALING_CHECKPOINT_DIR"].startswith("/artifacts/digits/")
    assert variables["SCALING_EXPERIMENT_UID"] == kept.trial.spec.experiment.uid


def test_folders_on_the_disk_of_a_node_are_bounded_where_the_platform_says_so() -> None:
    bounded = volumes(attempt_spec(settings=replace(REPORTS, disk_limit="50Gi")))

    assert bounded["/tmp"]["emptyDir"] == {"sizeLimit": "50Gi"}
    assert bounded["/artifacts"]["emptyDir"] == {"sizeLimit": "50Gi"}


def test_policy_and_user_say_together_where_a_pod_runs_and_the_policy_has_the_last_word() -> None:
    spec = pod_of(attempt_spec(EVERYTHING, resources=A100, settings=REPORTS))

    assert spec["nodeSelector"] == {"kubernetes.io/arch": "amd64", "gpu": "a100"}
    assert [toleration["key"] for toleration in spec["tolerations"]] == [
        "nvidia.com/gpu",
        "dedicated",
    ]
    assert spec["affinity"] == EVERYTHING["pod"]["affinity"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}, {"name": "platform"}]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param({}, {"requests": {"cpu": "1", "memory": "2Gi"}}, id="nothing: the defaults"),
        pytest.param(
            {"requests": {"cpu": "3"}, "limits": {"memory": "1Gi"}},
            {"requests": {"cpu": "3"}, "limits": {"memory": "1Gi"}},
            id="a limit alone is a request too",
        ),
    ],
)
def test_the_built_in_trainer_has_requests_by_default(
    resources: dict[str, Any], expected: dict[str, Any]
) -> None:
    attempt = attempt_spec()
    attempt = replace(attempt, resources=replace(attempt.resources, **resources))

    assert container_of(attempt)["resources"] == expected


def test_an_own_image_has_the_requests_that_its_experiment_sets_and_no_others() -> None:
    assert container_of(attempt_spec(EVERYTHING))["resources"] == {}


def test_the_backstop_leaves_time_to_wait_for_the_image_beside_the_time_to_run() -> None:
    assert pod_of(attempt_spec())["activeDeadlineSeconds"] == 600 + 3600 + 60


def test_a_job_makes_one_pod_whatever_befalls_it() -> None:
    spec = job.manifest(attempt_spec())["spec"]

    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (1, 1, 0)
    assert spec["podFailurePolicy"]["rules"] == [
        {
            "action": "FailJob",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        }
    ]


def test_a_job_waits_for_its_queue_only_where_there_is_one() -> None:
    free = job.manifest(attempt_spec())
    queued = job.manifest(attempt_spec(settings=replace(REPORTS, queue="research")))

    assert "suspend" not in free["spec"]
    assert "kueue.x-k8s.io/queue-name" not in free["metadata"]["labels"]
    assert queued["spec"]["suspend"] is True
    assert queued["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    # Partial admission and elastic jobs would change what runs; both are asked for by annotations.
    assert "annotations" not in queued["metadata"]


def test_a_service_account_is_given_only_from_the_list() -> None:
    attempt = attempt_spec({**BUILT_IN, "pod": {"serviceAccountName": "trainer"}})
    allowed = replace(attempt.settings, allowed_service_accounts=("reader", "trainer"))
    narrower = replace(attempt.settings, allowed_service_accounts=("reader",))

    (problem,) = platform_problems(attempt.spec, attempt.settings)
    (narrow,) = platform_problems(attempt.spec, narrower)

    assert problem.path == "spec.trainer.pod.serviceAccountName"
    assert "allows: none but the default" in problem.message
    assert "allows: reader" in narrow.message
    for kind in (pod, job):
        with pytest.raises(InvalidSpec, match=r"spec\.trainer\.pod\.serviceAccountName"):
            kind.manifest(attempt)
    assert pod_of(replace(attempt, settings=allowed))["serviceAccountName"] == "trainer"
    assert list(platform_problems(attempt.spec, allowed)) == []


def test_what_a_cluster_needs_beside_a_valid_file_is_named() -> None:
    command = attempt_spec({"container": {"command": ["train"]}})
    no_image = replace(attempt_spec().settings, trainer_image="")

    assert [problem.path for problem in platform_problems(command.spec, command.settings)] == [
        "spec.trainer.container.image"
    ]
    assert [problem.path for problem in platform_problems(attempt_spec().spec, no_image)] == [
        "spec.trainer.builtIn"
    ]


NOT_ON_A_CLUSTER = [
    pytest.param("../../team-b/scalingexperiments/theirs", id="another namespace"),
    pytest.param("../scalingexperiments?watch=true&a=", id="a query"),
    pytest.param("runs/earlier", id="a folder, as a local run takes"),
    pytest.param("Earlier", id="an upper-case letter"),
    pytest.param("earlier.run", id="a dot"),
    pytest.param("a" * 51, id="longer than an experiment's"),
    pytest.param("earlier\n", id="the end of a line"),
]


@pytest.mark.parametrize("name", NOT_ON_A_CLUSTER)
def test_what_is_no_experiment_of_the_namespace_is_refused_before_it_is_looked_for(
    name: str,
) -> None:
    attempt = attempt_spec()
    warm_start = WarmStart.model_validate({"from": ["mine", name]})
    search = attempt.spec.search.model_copy(update={"warm_start": warm_start})
    (problem,) = platform_problems(
        attempt.spec.model_copy(update={"search": search}), attempt.settings
    )
    assert problem.path == "spec.search.warmStart.from[1]"
    assert problem.message.endswith("is not the name of an experiment: on a cluster name one")
