"""What the operator relies on of an API server, as cases for the fake and for a real one.

`tests/unit/kube/test_api_server.py` tests the fake, `tests/cluster/test_api_server.py` a real API
server. Each case is a sentence, with a namespace of its own and the operator's own client, which
reads pages of three.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import pytest
from testbed.documents import API_VERSION, changed, played, trial

from scaling_operator.kube.client.client import Client
from scaling_operator.kube.client.errors import (
    AlreadyExists,
    Conflict,
    Invalid,
    NotFound,
    OutdatedDefinition,
)
from scaling_operator.kube.client.kinds import (
    EXPERIMENTS,
    LEASES,
    PODS,
    TOKEN_REVIEWS,
    TRIALS,
    Kind,
)

Object = dict[str, Any]
PAGE = 3
PATIENCE_SECONDS = 60.0
NOBODY = "00000000-0000-0000-0000-000000000000"
SeenEvents = list[tuple[bool, str, str]]
"""Of each event: whether the object is gone, its name, and its phase, or state, or nothing."""


@dataclass(frozen=True, slots=True)
class Site:
    """A server, a namespace of one case, and a way to watch trials there."""

    client: Client
    namespace: str
    watching: Callable[[], AbstractAsyncContextManager[SeenEvents]]

    async def make(self, kind: Kind, body: Object, **labels: str) -> Object:
        """Create an object with labels."""
        labelled = changed(body, ("metadata/labels", labels))
        return await self.client.create(kind, self.namespace, labelled)

    async def wait(self, is_so: Callable[[], Awaitable[object]]) -> None:
        """Wait for what a controller does later."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await is_so():
                await asyncio.sleep(0.1)


def pod(name: str, node: str | None = None, **metadata: Any) -> Object:
    """Write a pod that fits no node, or one on a node."""
    place = {"nodeName": node} if node else {"nodeSelector": {"there": "is-none"}}
    container = {"name": "trainer", "image": "nothing"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [container], **place},
    }


def owned_by(kind: Kind, owner: Object) -> list[Object]:
    """Write the reference to a controlling owner."""
    name, uid = owner["metadata"]["name"], owner["metadata"]["uid"]
    reference = {"apiVersion": kind.api_version, "kind": kind.name, "name": name, "uid": uid}
    return [{**reference, "controller": True, "blockOwnerDeletion": False}]


def version(object_: Object) -> str:
    return str(object_["metadata"]["resourceVersion"])


async def what_is_made_has_a_uid_a_version_and_a_time(site: Site) -> None:
    created = await site.make(EXPERIMENTS, played("study"), team="a")
    stored = await site.client.get(EXPERIMENTS, site.namespace, "study")
    for metadata in (created["metadata"], stored["metadata"]):
        assert metadata["name"] == "study"
        assert metadata["namespace"] == site.namespace
        assert metadata["labels"] == {"team": "a"}
        assert metadata["generation"] == 1
        assert len(metadata["uid"]) == len(NOBODY)
        assert int(metadata["resourceVersion"]) > 0
        assert metadata["creationTimestamp"].endswith("Z")
    assert created["metadata"]["uid"] == stored["metadata"]["uid"]
    assert created["apiVersion"] == API_VERSION


async def a_name_is_taken_by_the_first(site: Site) -> None:
    first = await site.make(TRIALS, trial("study-0-3"))
    with pytest.raises(AlreadyExists, match="study-0-3"):
        await site.make(TRIALS, trial("study-0-3", ("spec/seed", 8)))
    stored = await site.client.get(TRIALS, site.namespace, "study-0-3")
    assert stored["spec"]["seed"] == 7
    assert version(stored) == version(first)


async def an_object_needs_a_name(site: Site) -> None:
    with pytest.raises(Invalid):
        await site.client.create(PODS, site.namespace, pod(""))


async def an_object_is_made_in_the_namespace_that_it_names(site: Site) -> None:
    with pytest.raises(Invalid):
        await site.client.create(PODS, site.namespace, pod("a", namespace="another"))


async def a_status_is_not_made_with_its_object(site: Site) -> None:
    body = changed(trial("study-0-3"), ("status", {"state": "Failed"}))
    created = await site.client.create(TRIALS, site.namespace, body)
    assert created.get("status", {}).get("state") != "Failed"


async def a_pod_waits_at_first(site: Site) -> None:
    created = await site.make(PODS, pod("a"))
    assert created["status"]["phase"] == "Pending"


async def what_is_not_there_is_not_found(site: Site) -> None:
    client, namespace = site.client, site.namespace
    with pytest.raises(NotFound):
        await client.get(TRIALS, namespace, "none")
    body = changed(played("none"), ("metadata/resourceVersion", "1"))
    with pytest.raises(NotFound):
        await client.replace(EXPERIMENTS, namespace, "none", body)
    with pytest.raises(NotFound):
        await client.apply_status(TRIALS, namespace, "none", {"status": {"state": "Failed"}})
    with pytest.raises(NotFound):
        await client.delete(TRIALS, namespace, "none")


async def _make_five(site: Site) -> dict[str, str]:
    created: dict[str, str] = {}
    for number in range(5):
        marks = {"experiment": "a" if number < 3 else "b", "trial": str(number)}
        stored = await site.make(PODS, pod(f"pod-{number}"), **marks)
        created[f"pod-{number}"] = str(stored["metadata"]["uid"])
    await site.make(PODS, pod("unmarked"))
    return created


async def a_list_of_several_pages_is_whole_and_in_order(site: Site) -> None:
    created = await _make_five(site)
    listed = await site.client.list(PODS, site.namespace)
    assert [stored["metadata"]["name"] for stored in listed] == [*created, "unmarked"]
    assert all("apiVersion" not in stored for stored in listed)


async def a_list_of_our_kinds_says_the_kind_of_each(site: Site) -> None:
    await site.make(TRIALS, trial("study-0-3"))
    (listed,) = await site.client.list(TRIALS, site.namespace)
    assert (listed["apiVersion"], listed["kind"]) == (API_VERSION, "ScalingTrial")


async def a_list_of_all_namespaces_has_those_of_this_one(site: Site) -> None:
    created = await site.make(TRIALS, trial("study-0-3"))
    listed = await site.client.list(TRIALS, None)
    assert created["metadata"]["uid"] in [stored["metadata"]["uid"] for stored in listed]


async def labels_select(site: Site) -> None:
    created = await _make_five(site)
    for selector, expected in (
        ("experiment", "01234"),
        ("experiment=a", "012"),
        ("experiment=none", ""),
        ("trial in (1,3,9)", "13"),
        ("experiment in (a),trial in (1,3)", "1"),
        ("experiment=b,trial", "34"),
    ):
        selected = [f"pod-{number}" for number in expected]
        listed = await site.client.list(PODS, site.namespace, selector)
        assert [stored["metadata"]["name"] for stored in listed] == selected, selector
        names = await site.client.names(PODS, site.namespace, selector)
        assert names == {name: created[name] for name in selected}, selector


async def a_collection_is_deleted_by_its_labels(site: Site) -> None:
    await _make_five(site)
    selector = "experiment in (a),trial in (0,2,4)"
    await site.client.delete_collection(PODS, site.namespace, selector)
    names = await site.client.names(PODS, site.namespace)
    assert list(names) == ["pod-1", "pod-3", "pod-4", "unmarked"]
    await site.client.delete_collection(PODS, site.namespace, "experiment=none")
    assert await site.client.names(PODS, site.namespace) == names


async def an_object_is_replaced_in_the_version_that_was_read(site: Site) -> None:
    first = await site.make(EXPERIMENTS, played("study"), old="1")
    body = changed(first, ("metadata/labels", {"new": "1"}), ("spec/trials/max", 2))
    second = await site.client.replace(EXPERIMENTS, site.namespace, "study", body)
    assert second["spec"]["trials"]["max"] == 2
    assert second["metadata"]["labels"] == {"new": "1"}
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert second["metadata"]["generation"] == 2
    assert int(version(second)) > int(version(first))
    with pytest.raises(Conflict):
        await site.client.replace(EXPERIMENTS, site.namespace, "study", body)
    unversioned = changed(body, ("metadata", {"name": "study"}))
    with pytest.raises(Invalid):
        await site.client.replace(EXPERIMENTS, site.namespace, "study", unversioned)


async def a_label_alone_makes_no_generation(site: Site) -> None:
    first = await site.make(EXPERIMENTS, played("study"))
    body = changed(first, ("metadata/labels", {"new": "1"}))
    second = await site.client.replace(EXPERIMENTS, site.namespace, "study", body)
    assert second["metadata"]["generation"] == 1
    assert version(second) != version(first)


async def what_changes_nothing_makes_no_version(site: Site) -> None:
    first = await site.make(EXPERIMENTS, played("study"))
    same = await site.client.replace(EXPERIMENTS, site.namespace, "study", first)
    assert version(same) == version(first)
    status = {"status": {"phase": "Running"}}
    second = await site.client.apply_status(EXPERIMENTS, site.namespace, "study", status)
    again = await site.client.apply_status(EXPERIMENTS, site.namespace, "study", status)
    assert version(again) == version(second) != version(first)


async def a_lease_is_replaced_whole(site: Site) -> None:
    body = {"apiVersion": LEASES.api_version, "kind": LEASES.name, "metadata": {"name": "ours"}}
    held = {**body, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}}
    first = await site.client.create(LEASES, site.namespace, held)
    first["spec"]["holderIdentity"] = ""
    second = await site.client.replace(LEASES, site.namespace, "ours", first)
    assert not second["spec"].get("holderIdentity")
    with pytest.raises(Conflict):
        await site.client.replace(LEASES, site.namespace, "ours", first)


async def a_status_is_written_whole_and_nothing_else(site: Site) -> None:
    first = await site.make(TRIALS, trial("study-0-3"), kept="1")
    write = site.client.apply_status
    both = {"status": {"state": "Running", "message": "it runs"}}
    second = await write(TRIALS, site.namespace, "study-0-3", both)
    assert second["status"] == both["status"]
    third = await write(TRIALS, site.namespace, "study-0-3", {"status": {"state": "Queued"}})
    assert third["status"] == {"state": "Queued"}
    for name in ("labels", "generation", "uid"):
        assert third["metadata"][name] == first["metadata"][name]
    assert third["spec"] == first["spec"]


async def a_status_field_that_the_definition_lacks_is_a_refusal_and_no_trouble_of_the_server(
    site: Site,
) -> None:
    await site.make(TRIALS, trial("study-0-3"))
    body = {"status": {"state": "Failed", "newerThanYou": 1}}
    with pytest.raises(OutdatedDefinition, match=r"\.status\.newerThanYou: .*apply those of its"):
        await site.client.apply_status(TRIALS, site.namespace, "study-0-3", body)
    stored = await site.client.get(TRIALS, site.namespace, "study-0-3")
    assert stored.get("status", {}).get("state") != "Failed"


async def a_replacement_leaves_the_status_alone(site: Site) -> None:
    await site.make(EXPERIMENTS, played("study"))
    write = site.client.apply_status
    first = await write(EXPERIMENTS, site.namespace, "study", {"status": {"phase": "Running"}})
    body = changed(first, ("status", {"phase": "Failed"}), ("spec/trials/max", 3))
    second = await site.client.replace(EXPERIMENTS, site.namespace, "study", body)
    assert second["status"] == {"phase": "Running"}
    del body["status"]
    body["metadata"]["resourceVersion"] = version(second)
    body["spec"]["trials"]["max"] = 4
    third = await site.client.replace(EXPERIMENTS, site.namespace, "study", body)
    assert third["status"] == {"phase": "Running"}


async def a_status_may_ask_for_the_version_that_was_read(site: Site) -> None:
    first = await site.make(TRIALS, trial("study-0-3"))
    metadata = {"resourceVersion": version(first)}
    body = {"metadata": metadata, "status": {"state": "Running"}}
    second = await site.client.apply_status(TRIALS, site.namespace, "study-0-3", body)
    assert version(second) != version(first)
    body["status"] = {"state": "Failed"}
    with pytest.raises(Conflict):
        await site.client.apply_status(TRIALS, site.namespace, "study-0-3", body)
    stored = await site.client.get(TRIALS, site.namespace, "study-0-3")
    assert stored["status"] == {"state": "Running"}


async def an_object_is_deleted_by_its_uid(site: Site) -> None:
    created = await site.make(PODS, pod("a"))
    with pytest.raises(Conflict):
        await site.client.delete(PODS, site.namespace, "a", uid=NOBODY)
    await site.client.delete(PODS, site.namespace, "a", uid=created["metadata"]["uid"])
    assert await site.client.names(PODS, site.namespace) == {}
    again = await site.make(PODS, pod("a"))
    assert again["metadata"]["uid"] != created["metadata"]["uid"]
    with pytest.raises(Conflict):
        await site.client.delete(PODS, site.namespace, "a", uid=created["metadata"]["uid"])


async def a_pod_on_a_node_stays_until_its_kubelet_has_ended_it(site: Site) -> None:
    await site.make(PODS, pod("a", node="a-node-that-is-away"))
    await site.client.delete(PODS, site.namespace, "a")
    stored = await site.client.get(PODS, site.namespace, "a")
    assert stored["metadata"]["deletionTimestamp"] > stored["metadata"]["creationTimestamp"]
    with pytest.raises(AlreadyExists):
        await site.make(PODS, pod("a"))


async def what_an_object_owned_goes_with_it(site: Site) -> None:
    study = await site.make(EXPERIMENTS, played("study"))
    body = trial("study-0-3", ("metadata/ownerReferences", owned_by(EXPERIMENTS, study)))
    owner = await site.make(TRIALS, body)
    await site.make(PODS, pod("ours", ownerReferences=owned_by(TRIALS, owner)))
    await site.make(PODS, pod("theirs"))
    await site.client.delete(EXPERIMENTS, site.namespace, "study")

    async def is_swept() -> bool:
        trials = await site.client.names(TRIALS, site.namespace)
        return not trials and list(await site.client.names(PODS, site.namespace)) == ["theirs"]

    await site.wait(is_swept)


async def a_watch_shows_what_is_made_changed_and_gone(site: Site) -> None:
    async with site.watching() as events:
        await site.make(TRIALS, trial("study-0-3"))
        status = {"status": {"state": "Running"}}
        await site.client.apply_status(TRIALS, site.namespace, "study-0-3", status)
        await site.client.delete(TRIALS, site.namespace, "study-0-3")
        await site.wait(lambda: _is_gone(events))
        assert (False, "study-0-3", "Running") in events
        assert events[-1] == (True, "study-0-3", "Running")


async def _is_gone(events: SeenEvents) -> bool:
    return any(gone for gone, *_ in events)


async def a_token_that_is_no_good_is_nobodys(site: Site) -> None:
    body = {
        "apiVersion": TOKEN_REVIEWS.api_version,
        "kind": TOKEN_REVIEWS.name,
        "spec": {"token": "made up", "audiences": ["anybody"]},
    }
    review = await site.client.create(TOKEN_REVIEWS, None, body)
    assert not review["status"].get("authenticated")


CASES: tuple[Callable[[Site], Awaitable[None]], ...] = (
    what_is_made_has_a_uid_a_version_and_a_time,
    a_name_is_taken_by_the_first,
    an_object_needs_a_name,
    an_object_is_made_in_the_namespace_that_it_names,
    a_status_is_not_made_with_its_object,
    a_pod_waits_at_first,
    what_is_not_there_is_not_found,
    a_list_of_several_pages_is_whole_and_in_order,
    a_list_of_our_kinds_says_the_kind_of_each,
    a_list_of_all_namespaces_has_those_of_this_one,
    labels_select,
    a_collection_is_deleted_by_its_labels,
    an_object_is_replaced_in_the_version_that_was_read,
    a_label_alone_makes_no_generation,
    what_changes_nothing_makes_no_version,
    a_lease_is_replaced_whole,
    a_status_is_written_whole_and_nothing_else,
    a_status_field_that_the_definition_lacks_is_a_refusal_and_no_trouble_of_the_server,
    a_replacement_leaves_the_status_alone,
    a_status_may_ask_for_the_version_that_was_read,
    an_object_is_deleted_by_its_uid,
    a_pod_on_a_node_stays_until_its_kubelet_has_ended_it,
    what_an_object_owned_goes_with_it,
    a_watch_shows_what_is_made_changed_and_gone,
    a_token_that_is_no_good_is_nobodys,
)
each_case = pytest.mark.parametrize(
    "case", CASES, ids=[case.__name__.replace("_", " ") for case in CASES]
)
