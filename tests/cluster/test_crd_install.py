"""The generated definitions are taken by a real API server, and so is every sample."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from testbed.cluster import Cluster
from testbed.documents import experiment, policy, trial

SAMPLES = sorted((Path(__file__).parents[2] / "manifests" / "samples").glob("*.yaml"))
EXPLAINED = {
    "sx": ("kind", "spec", "status"),
    "sx.spec": ("objective", "search", "scaling", "trials", "trainer", "suspend"),
    "sx.spec.search": ("parameters", "algorithm", "pruner", "warmStart"),
    "sx.spec.trainer.builtIn.optimizer": ("learning_rate",),
    "sxt.spec": ("parameters", "samplerAttributes", "seed"),
    "sxt.status": ("state", "attempts", "values"),
    "rsp.spec": ("shapes", "headroomPercent"),
}


def conditions(document: Any) -> dict[str, str]:
    return {
        condition["type"]: condition["status"] for condition in document["status"]["conditions"]
    }


def test_each_definition_is_established_without_complaint(
    cluster: Cluster, crds: Sequence[Path]
) -> None:
    assert len(crds) == 3
    for file in crds:
        statuses = conditions(cluster.read("-f", str(file)))

        assert statuses["Established"] == "True"
        assert statuses["NamesAccepted"] == "True"
        assert "NonStructuralSchema" not in statuses


def test_definitions_can_be_applied_again_and_by_the_server(
    cluster: Cluster, crds: Sequence[Path]
) -> None:
    for file in crds:
        assert "unchanged" in cluster.kubectl("apply", "-f", str(file))
        ours = ("--server-side", "--force-conflicts", "--field-manager=upgrade")
        assert "serverside-applied" in cluster.kubectl("apply", *ours, "-f", str(file))


def test_there_are_samples() -> None:
    assert SAMPLES


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize("sample", SAMPLES, ids=[file.stem for file in SAMPLES])
def test_a_sample_is_accepted(cluster: Cluster, namespace: str, sample: Path) -> None:
    said = cluster.kubectl("-n", namespace, "apply", "-f", str(sample))

    assert said.split()[1] == "created"


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize("document", [experiment("valid"), trial("valid-0-3"), policy("valid")])
def test_a_valid_document_is_accepted_and_kept_as_it_is(
    cluster: Cluster, namespace: str, document: dict[str, Any]
) -> None:
    for way in (("create",), ("apply", "--server-side")):
        dry = (*way, "--dry-run=server", "-o", "json", "-f", "-")

        kept = json.loads(cluster.kubectl("-n", namespace, *dry, stdin=document))

        assert kept["spec"] == document["spec"]


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize("path", EXPLAINED)
def test_kubectl_explains_a_field_in_words(cluster: Cluster, path: str) -> None:
    said = cluster.kubectl("explain", path)

    assert "<no description>" not in said.replace("metadata\t<ObjectMeta>", "")
    for field in EXPLAINED[path]:
        assert f"  {field}\t<" in said, field
