"""Outlooks are reckoned once, away from the event loop, and anew when something was learnt."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from scaling_operator.core.ladder import Scale
from scaling_operator.runtime.scale_plans import ScalePlans
from scaling_operator.sizing.need import Need
from scaling_operator.sizing.scale_plan import ScalePlan

SCALES = tuple(Scale(index, {"size": index + 1.0}) for index in range(3))


@dataclass(slots=True)
class Looking:
    """Reckons as often as it is asked to, and remembers where."""

    asked: list[int] = field(default_factory=list[int])
    threads: set[int] = field(default_factory=set[int])

    def __call__(self, scale: Scale) -> ScalePlan:
        self.asked.append(scale.index)
        self.threads.add(threading.get_ident())
        return ScalePlan(scale, Need(), None, None, len(self.asked))


async def test_all_are_reckoned_once_in_another_thread() -> None:
    scale_plans, look = ScalePlans(), Looking()
    await scale_plans.prepare(SCALES, look)
    await scale_plans.prepare(SCALES, look)
    assert [scale_plans.of(scale, look).scale for scale in SCALES] == list(SCALES)
    assert look.asked == [0, 1, 2]
    assert threading.get_ident() not in look.threads


async def test_a_scale_that_was_added_is_reckoned_alone() -> None:
    scale_plans, look = ScalePlans(), Looking()
    await scale_plans.prepare(SCALES[:2], look)
    assert scale_plans.get(2) is None
    await scale_plans.prepare(SCALES, look)
    assert look.asked == [0, 1, 2]


async def test_what_was_learnt_counts_from_the_next_preparation_on() -> None:
    scale_plans, look = ScalePlans(), Looking()
    await scale_plans.prepare(SCALES, look)
    scale_plans.invalidate()
    before = scale_plans.of(SCALES[0], look)
    await scale_plans.prepare(SCALES, look)
    assert scale_plans.of(SCALES[0], look) is not before
    assert look.asked == [0, 1, 2, 0, 1, 2]


async def test_what_was_learnt_while_they_are_reckoned_is_not_forgotten() -> None:
    scale_plans, look = ScalePlans(), Looking()

    def learning(scale: Scale) -> ScalePlan:
        scale_plans.invalidate()
        return look(scale)

    await scale_plans.prepare(SCALES, learning)
    await scale_plans.prepare(SCALES, look)
    assert look.asked == [0, 1, 2, 0, 1, 2]


async def test_what_is_forgotten_while_it_is_reckoned_stays_forgotten() -> None:
    scale_plans, look = ScalePlans(), Looking()

    def changed_meanwhile(scale: Scale) -> ScalePlan:
        scale_plans.forget()
        return look(scale)

    assert not await scale_plans.prepare(SCALES, changed_meanwhile)
    assert scale_plans.get(0) is None
    assert await scale_plans.prepare(SCALES, look)
    assert scale_plans.get(0) is not None


async def test_what_is_forgotten_is_reckoned_before_it_is_used() -> None:
    scale_plans, look = ScalePlans(), Looking()
    await scale_plans.prepare(SCALES, look)
    scale_plans.forget()
    assert scale_plans.get(0) is None
    assert scale_plans.of(SCALES[0], look).scale == SCALES[0]
