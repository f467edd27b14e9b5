"""A policy that a file check refuses the API server refuses too, by the name of the field."""

from __future__ import annotations

import pytest
from refused_documents import GPU, POLICIES, Json, policy
from testbed.cluster import Cluster, Refused

from scaling_operator.validation.checks import check_policy


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(
    ("document", "words"), [row[1:] for row in POLICIES], ids=[row[0] for row in POLICIES]
)
def test_a_bad_policy_is_refused_by_both(cluster: Cluster, document: Json, words: str) -> None:
    with pytest.raises(Refused, match=words):
        cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=document)
    assert check_policy(document)


@pytest.mark.usefixtures("crds")
def test_a_good_policy_is_taken_by_both(cluster: Cluster) -> None:
    good = policy(
        {"name": "cpu", "hostMemory": 1024},
        {**GPU, "deviceClass": "gpu.nvidia.com", "maxPerPod": 8},
        backend="dra",
    )
    cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=good)
    assert check_policy(good) == ()
