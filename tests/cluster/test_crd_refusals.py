"""What `scaling validate` refuses the API server refuses too, and its message names the field."""

from __future__ import annotations

import pytest
from refused_documents import ROWS
from testbed.cluster import Cluster, Refused
from testbed.documents import Change, changed, experiment

from scaling_operator.validation.checks import check_document


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(
    ("changes", "path", "words"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_a_bad_document_is_refused_by_both(
    cluster: Cluster, namespace: str, changes: tuple[Change, ...], path: str, words: str
) -> None:
    document = changed(experiment("bad"), *changes)

    assert check_document(document)
    with pytest.raises(Refused) as refusal:
        cluster.kubectl("-n", namespace, "create", "--dry-run=server", "-f", "-", stdin=document)

    said = str(refusal.value)
    assert path in said
    assert words in said
    assert [line for line in said.splitlines() if names_no_field(line)] == []


def names_no_field(line: str) -> bool:
    """A rule without a path; the server's remark that it stopped early is about no field."""
    return "<nil>" in line and '"spec.' not in line and "some validation rules were not" not in line
