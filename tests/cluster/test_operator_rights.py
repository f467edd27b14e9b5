"""The API server's audit log: the operator uses every right that it is given, and lacks none.

One operator for each workload kind does all that an operator does: trials that succeed, fail, are
evicted and are changed by hand; a warm start, a policy, a claim, reports.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed.chart import rendered
from testbed.cluster import Cluster
from testbed.documents import bound_claim, played, policy
from testbed.installation import Installation, Installer
from testbed.shipped import rights_in

from scaling_operator.api.names import REPORT_AUDIENCE
from scaling_trainer.report_client import Away, ReportClient

Right = tuple[str, str]

# What this story does not play: a create whose answer was lost before the watch showed the object
# (test_operator_crashes.py), accelerators that are claimed (test_operator_sizing.py), and metrics
# for those alone who may read them (test_operator_metrics.py).
OTHERS = {("resourceclaimtemplates", "create"), ("subjectaccessreviews", "create")}
ELSEWHERE: dict[str, set[Right]] = {"pod": OTHERS, "job": {("jobs", "get"), *OTHERS}}

USERS = ("scaling-operator-view", "scaling-operator-edit")
CLAIM = "kept"
CLAIMED = ("spec/artifacts", {"persistentVolumeClaim": {"claimName": CLAIM}})


@pytest.fixture(params=["pod", "job"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def installation(cluster: Cluster, helm: Path, kind: str, tmp_path: Path) -> Iterator[Installation]:
    """An operator with the rights that the chart gives for a workload kind, and reports."""
    shipped = rendered(helm, {"trials": {"workload": kind}})
    # What is used with the kind job is not counted among the rights of the kind pod.
    installer = Installer(cluster, shipped, tmp_path, {"pod": "site", "job": "sized"}[kind])
    with installer.installed("--workload", kind, started=False) as installation:
        operator = installation.operator
        url = f"https://127.0.0.1:{operator.report_port}"
        reports = ("--report-url", url, "--report-host", "127.0.0.1")
        operator.options = (*operator.options, *reports, "--trainer-image", "played")
        yield installation


def report_as_a_stranger(installation: Installation, folder: Path) -> None:
    """Report with the token of a pod that the operator does not know."""
    site = installation.site
    container = {"name": "c", "image": "none.invalid/none"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"}}
    site.apply(pod | {"spec": {"containers": [container]}})
    bound = ("--bound-object-kind=Pod", "--bound-object-name=stranger")
    token = site.kubectl("create", "token", "default", "--audience", REPORT_AUDIENCE, *bound)
    (folder / "token").write_text(token)
    (folder / "ca").write_text(site.cluster.kubectl(*_authority(installation)))
    url = f"https://127.0.0.1:{installation.operator.report_port}"
    endpoint = ReportClient(url, folder / "token", (folder / "ca").read_text())
    body = {"seq": 1, "step": 1, "metrics": {"loss": 1.0}}
    assert isinstance(endpoint.post("/v1/report", body), Away)
    endpoint.close()


def _authority(installation: Installation) -> tuple[str, ...]:
    template = '{{ index .data "ca.crt" | base64decode }}'
    read = ("get", "secret", "scaling-operator-reports", "-o", f"go-template={template}")
    return ("-n", installation.site.namespace, *read)


def work(installation: Installation, folder: Path) -> None:
    """Do all that an operator does."""
    site = installation.site
    site.apply(policy(f"policy-{site.namespace}"), *bound_claim(CLAIM, site.namespace))
    installation.operator.start().wait_ready()
    trials = ("spec/trials", {"max": 4, "parallel": 4})
    site.apply(
        played(
            "first", trials, CLAIMED, PLAY_1="exit-3", PLAY_2="evict,succeed", PLAY_3="hang,succeed"
        )
    )
    site.wait(lambda: site.trial("first", 3), 30, "the last trial is there")
    # Somebody changes the object: the operator's next write of it is refused, and it reads again.
    site.kubectl("label", "sxt", "first-0-3", "note=changed")
    site.kubectl("delete", "pods", "-l", "scaling-operator.dev/trial=first-0-3", "--wait=false")
    report_as_a_stranger(installation, folder)
    site.wait_end("first", 90)
    # Another one begins from its best.
    site.apply(played("second", ("spec/search/warmStart", {"from": ["first"], "topK": 1})))
    site.wait_end("second", 60)


def used(installation: Installation, start: int) -> set[Right]:
    entries = [
        e for e in installation.site.cluster.audit.entries(start) if e.user == installation.account
    ]
    refused = [entry for entry in entries if entry.code == 403]
    assert not refused
    return {(entry.resource, entry.verb) for entry in entries}


def granted(installation: Installation, helm: Path, kind: str) -> set[Right]:
    documents = rights_in(
        installation.site.namespace, rendered(helm, {"trials": {"workload": kind}})
    )
    roles = [document for document in documents if document["kind"] in ("Role", "ClusterRole")]
    return {
        (resource, verb)
        for role in roles
        if not role["metadata"]["name"].startswith(
            ("scaling-operator-view", "scaling-operator-edit")
        )
        for rule in role["rules"]
        for resource in rule.get("resources", ())  # a scraper's rule is of a path
        for verb in rule["verbs"]
    }


@pytest.mark.usefixtures("crds", "nodes")
def test_every_right_is_used_and_none_is_lacking(
    installation: Installation, helm: Path, kind: str, tmp_path: Path
) -> None:
    site = installation.site
    start = site.cluster.audit.position()
    work(installation, tmp_path)
    expected = granted(installation, helm, kind) - ELSEWHERE[kind]

    def unused() -> set[Right]:
        return expected - used(installation, start)

    try:
        site.wait(lambda: not unused(), 60, "every right is used")
    except AssertionError:
        assert unused() == set()
        raise
    finally:
        installation.operator.stop()
        site.kubectl("delete", "rsp", f"policy-{site.namespace}", "--ignore-not-found")
        site.kubectl("delete", "pv", f"{CLAIM}-{site.namespace}", "--wait=false")
    # Beyond these it asks for nothing but what everybody may ask.
    assert used(installation, start) <= granted(installation, helm, kind)
