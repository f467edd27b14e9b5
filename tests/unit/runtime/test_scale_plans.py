"""Scales are planned once, away from the event loop, and anew when trials have taught something."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from scaling_operator.core.ladder import Scale
from scaling_operator.runtime.scale_plans import ScalePlans
from scaling_operator.sizing.need import Need
from scaling_operator.sizing.scale_plan import ScalePlan

SCALES = tuple(Scale(index, {"size": index + 1.0}) for index in range(3))


@dataclass(slots=True)
class CountingPlanner:
    """Plans as often as it is asked to, and remembers the scales and the threads."""

    scales: list[int] = field(default_factory=list[int])
    threads: set[int] = field(default_factory=set[int])

    def __call__(self, scale: Scale) -> ScalePlan:
        self.scales.append(scale.index)
        self.threads.add(threading.get_ident())
        return ScalePlan(scale, Need(), None, None, len(self.scales))


async def test_all_are_planned_once_in_another_thread() -> None:
    scale_plans, planner = ScalePlans(), CountingPlanner()
    await scale_plans.prepare(SCALES, planner)
    await scale_plans.prepare(SCALES, planner)
    assert [scale_plans.of(scale, planner).scale for scale in SCALES] == list(SCALES)
    assert planner.scales == [0, 1, 2]
    assert threading.get_ident() not in planner.threads


async def test_a_scale_that_was_added_is_planned_alone() -> None:
    scale_plans, planner = ScalePlans(), CountingPlanner()
    await scale_plans.prepare(SCALES[:2], planner)
    assert scale_plans.get(2) is None
    await scale_plans.prepare(SCALES, planner)
    assert planner.scales == [0, 1, 2]


async def test_what_was_learnt_counts_from_the_next_preparation_on() -> None:
    scale_plans, planner = ScalePlans(), CountingPlanner()
    await scale_plans.prepare(SCALES, planner)
    scale_plans.invalidate()
    before = scale_plans.of(SCALES[0], planner)
    await scale_plans.prepare(SCALES, planner)
    assert scale_plans.of(SCALES[0], planner) is not before
    assert planner.scales == [0, 1, 2, 0, 1, 2]


async def test_what_is_learnt_during_planning_is_not_forgotten() -> None:
    scale_plans, planner = ScalePlans(), CountingPlanner()

    def learning(scale: Scale) -> ScalePlan:
        scale_plans.invalidate()
        return planner(scale)

    await scale_plans.prepare(SCALES, learning)
    await scale_plans.prepare(SCALES, planner)
    assert planner.scales == [0, 1, 2, 0, 1, 2]


async def test_what_is_forgotten_during_planning_stays_forgotten() -> None:
    scale_plans, planner = ScalePlans(), CountingPlanner()

    def changed_meanwhile(scale: Scale) -> ScalePlan:
        scale_plans.forget()
        return planner(scale)

    assert not await scale_plans.prepare(SCALES, changed_meanwhile)
    assert scale_plans.get(0) is None
    assert await scale_plans.prepare(SCALES, planner)
    assert scale_plans.get(0) is not None


async def test_what_is_forgotten_is_planned_before_its_use() -> None:
    scale_plans, planner = ScalePlans(), CountingPlanner()
    await scale_plans.prepare(SCALES, planner)
    scale_plans.forget()
    assert scale_plans.get(0) is None
    assert scale_plans.of(SCALES[0], planner).scale == SCALES[0]
