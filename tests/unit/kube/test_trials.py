"""A trial's object: made once, ended once, whoever else writes and whatever gets lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fake_cluster import BUSY, FakeCluster, Fault
from testbed.documents import played

from scaling_operator.api.names import TrialState
from scaling_operator.api.status import TrialStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.kube.client.errors import ClusterBusy, ClusterForbidden
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.client.kinds import EXPERIMENTS, TRIALS
from scaling_operator.kube.reconcile.trials import StoredTrials
from scaling_operator.runtime.backend import TrialGone

TEAM, NAME = "team", "study-0-0"


class World:
    """An experiment that is stored, and its trials."""

    def __init__(self, fake: FakeCluster) -> None:
        self.fake = fake
        study = fake.add(EXPERIMENTS, TEAM, played("study"))
        self.uid = str(study["metadata"]["uid"])
        self.trials = StoredTrials(fake.client(), Key(TEAM, "study"), self.uid)

    def proposed(self, seed: int = 7) -> ScalingTrial:
        reference = ExperimentReference(name="study", uid=self.uid)
        spec = TrialSpec(experiment=reference, scale=0, number=0, parameters={"x": 0.5}, seed=seed)
        return ScalingTrial(spec=spec)

    def somebody_writes(self, **status: Any) -> None:
        """Write a status as another replica does."""
        self.fake.edit(TRIALS, TEAM, NAME, lambda trial: trial.update(status=status))

    def stored_state(self) -> str:
        return str(self.fake.one(TRIALS, TEAM, NAME)["status"]["state"])


@pytest.fixture
def world(fake: FakeCluster) -> World:
    return World(fake)


def ended(trial: ScalingTrial, state: TrialState) -> ScalingTrial:
    return trial.model_copy(update={"status": TrialStatus(state=state)})


async def test_a_trial_belongs_to_its_experiment_by_label_and_owner(world: World) -> None:
    trial = await world.trials.create(world.proposed())
    metadata = world.fake.one(TRIALS, TEAM, NAME)["metadata"]
    assert metadata["labels"]["scaling-operator.dev/experiment"] == "study"
    assert [owner["uid"] for owner in metadata["ownerReferences"]] == [world.uid]
    assert trial.metadata["name"] == NAME
    assert trial.created_seconds == world.fake.clock()
    assert world.trials.uid_of((0, 0)) == metadata["uid"]


async def test_a_proposal_that_was_stored_before_wins(world: World) -> None:
    first = await world.trials.create(world.proposed(seed=1))
    second = await world.trials.create(world.proposed(seed=2))
    assert second.spec == first.spec
    assert second.spec.seed == 1


async def test_the_reply_to_a_create_is_lost_and_the_trial_is_found(world: World) -> None:
    world.fake.faults.append(Fault("create", TRIALS, is_lost=True))
    with pytest.raises(ClusterBusy):
        await world.trials.create(world.proposed())
    assert (await world.trials.create(world.proposed())).metadata["name"] == NAME
    assert len(world.fake.all(TRIALS)) == 1


async def test_a_trial_of_a_deleted_experiment_of_this_name_is_waited_for(world: World) -> None:
    await world.trials.create(world.proposed())
    world.fake.remove(EXPERIMENTS, TEAM, "study", orphan=True)
    later = World(world.fake)
    with pytest.raises(ClusterBusy, match="deleted experiment"):
        await later.trials.create(later.proposed())
    assert later.trials.uid_of((0, 0)) is None


async def test_the_first_end_that_is_written_stays(world: World) -> None:
    trial = await world.trials.create(world.proposed())
    world.somebody_writes(state="Pruned", message="by the other one")
    stored = await world.trials.save(ended(trial, TrialState.SUCCEEDED))
    assert stored.status.state is TrialState.PRUNED
    assert world.stored_state() == "Pruned"


async def test_a_change_that_is_no_end_is_overwritten(world: World) -> None:
    trial = await world.trials.create(world.proposed())
    world.somebody_writes(state="Queued")
    stored = await world.trials.save(ended(trial, TrialState.SUCCEEDED))
    assert stored.status.state is TrialState.SUCCEEDED


async def test_of_two_replicas_that_end_a_trial_at_once_both_know_one_end(world: World) -> None:
    trial = await world.trials.create(world.proposed())
    states = (TrialState.SUCCEEDED, TrialState.PRUNED, TrialState.FAILED)
    ends = await asyncio.gather(*(world.trials.save(ended(trial, state)) for state in states))
    assert len({end.status.state for end in ends}) == 1


async def test_the_reply_to_an_end_is_lost_and_the_end_stays(world: World) -> None:
    trial = await world.trials.create(world.proposed())
    world.fake.faults.append(Fault("patch", TRIALS, is_lost=True))
    with pytest.raises(ClusterBusy):
        await world.trials.save(ended(trial, TrialState.SUCCEEDED))
    again = await world.trials.save(ended(trial, TrialState.FAILED))
    assert again.status.state is TrialState.SUCCEEDED


async def test_a_trial_that_somebody_deleted_is_gone(world: World) -> None:
    trial = await world.trials.create(world.proposed())
    world.fake.remove(TRIALS, TEAM, NAME)
    with pytest.raises(TrialGone):
        await world.trials.save(ended(trial, TrialState.SUCCEEDED))


async def test_an_end_is_never_written_to_another_trial_of_this_name(world: World) -> None:
    trial = await world.trials.create(world.proposed())
    world.fake.remove(TRIALS, TEAM, NAME)
    await world.trials.create(world.proposed())
    with pytest.raises(TrialGone):
        await world.trials.save(ended(trial, TrialState.SUCCEEDED))
    assert "status" not in world.fake.one(TRIALS, TEAM, NAME)


async def test_a_trial_that_goes_between_two_tries_is_gone(world: World) -> None:
    trial = await world.trials.create(world.proposed())
    world.somebody_writes(state="Queued")

    async def remove() -> None:
        world.fake.remove(TRIALS, TEAM, NAME)

    world.fake.faults.append(Fault("get", TRIALS, before=remove))
    with pytest.raises(TrialGone):
        await world.trials.save(ended(trial, TrialState.SUCCEEDED))


async def test_a_trial_that_never_stands_still_is_left_for_later(world: World) -> None:
    trial = await world.trials.create(world.proposed())
    messages = iter(map(str, range(100)))

    async def write() -> None:
        world.somebody_writes(state="Queued", message=next(messages))

    world.fake.faults.append(Fault("patch", TRIALS, before=write, times=100))
    with pytest.raises(ClusterBusy, match="changes faster"):
        await world.trials.save(ended(trial, TrialState.SUCCEEDED))


@pytest.mark.parametrize("answer", [BUSY, (500, "etcdserver: leader changed"), (429, "too many")])
async def test_a_server_that_is_busy_is_said_to_be(world: World, answer: tuple[int, str]) -> None:
    trial = await world.trials.create(world.proposed())
    world.fake.faults.append(Fault("patch", TRIALS, answer=answer))
    with pytest.raises(ClusterBusy):
        await world.trials.save(ended(trial, TrialState.SUCCEEDED))


async def test_a_replica_that_does_not_lead_writes_nothing(fake: FakeCluster) -> None:
    world = World(fake)
    trials = StoredTrials(fake.client(may_write=lambda: False), Key(TEAM, "study"), world.uid)
    with pytest.raises(ClusterForbidden, match="does not lead"):
        await trials.create(world.proposed())
    assert not fake.requests
