"""Fits beside the event loop: off it, one at a time, not too often, and never fatal."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.names import ConditionType
from scaling_operator.api.status import BestTrial, Counts
from scaling_operator.core.fit_types import FitInput, FitView
from scaling_operator.core.ladder import Scale
from scaling_operator.core.observed import LiveTrial, Observed, Rules, ScaleView
from scaling_operator.core.tally import Tally
from scaling_operator.law import fit_experiment as fitting
from scaling_operator.law import fit_worker as lane
from scaling_operator.law.fit_worker import FitWorker, broken

SPEC = ExperimentSpec.model_validate(
    {
        "objective": {"metric": "loss", "direction": "minimize"},
        "trainer": {"container": {"command": ["true"]}},
        "scaling": {"parameter": "n", "sizes": [1, 2, 4, 8, 16, 32]},
    }
)


def observed(best: float = 2.0, *, live: bool = False) -> Observed:
    """Observe six sizes whose trials have all ended, the first with this best value."""
    views = tuple(
        ScaleView(
            Scale(at, {"n": 2**at}),
            Tally(Counts(succeeded=1), best=(_trial(at, best if at == 0 else 1 + 2 / 2**at),)),
            open=True,
            created=1,
        )
        for at in range(6)
    )
    trials = (LiveTrial(5, 1),) if live else ()
    return Observed(0.0, SPEC, Rules(max_trials=1, fits=True), views, live=trials)


def _trial(scale: int, value: float) -> BestTrial:
    return BestTrial(
        trial=f"{scale}-0",
        scale=scale,
        number=0,
        values=(value,),
        model_parameters=1000.0 * 2**scale,
    )


class Heard:
    """Whoever a lane tells."""

    def __init__(self) -> None:
        self.views: list[FitView] = []
        self.woken = asyncio.Event()
        self.lane = FitWorker(self.views.append, self.woken.set)

    async def answer(self) -> FitView:
        await asyncio.wait_for(self.woken.wait(), 30)
        self.woken.clear()
        return self.views[-1]


def test_a_fit_runs_beside_the_event_loop_and_wakes_it() -> None:
    async def scene() -> None:
        heard = Heard()
        heard.lane.consider(observed())
        assert heard.views == [], "nothing happens before the loop turns"
        view = await heard.answer()
        assert view.status.points == 6
        assert heard.lane.outcome is not None
        heard.lane.close()

    asyncio.run(scene())


@pytest.mark.slow
def test_the_same_basis_is_fitted_once_and_a_new_best_not_at_once() -> None:
    async def scene() -> None:
        heard = Heard()
        heard.lane.consider(observed())
        view = await heard.answer()
        heard.lane.consider(replace(observed(), fit=view))
        await asyncio.sleep(0.05)
        assert len(heard.views) == 1
        changed = replace(observed(1.9, live=True), fit=view)
        heard.lane.consider(changed)
        await asyncio.sleep(0.05)
        assert len(heard.views) == 1, "one was just made, and nothing waits for this one"
        await heard.answer()  # the pause is over
        heard.lane.consider(changed)
        await heard.answer()
        assert len(heard.views) == 2
        heard.lane.close()

    asyncio.run(scene())


def test_what_a_decision_waits_for_is_fitted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "SHORTEST_PAUSE_SECONDS", 1000.0)

    async def scene() -> None:
        heard = Heard()
        heard.lane.consider(observed())
        view = await heard.answer()
        heard.lane.consider(replace(observed(1.9), fit=view))
        await heard.answer()
        heard.lane.close()

    asyncio.run(scene())


def test_a_fit_that_breaks_is_a_condition_and_not_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(fit_input: FitInput) -> None:
        message = f"{len(fit_input.points)} points"
        raise ZeroDivisionError(message)

    monkeypatch.setattr(fitting, "fit", breaks)

    async def scene() -> None:
        heard = Heard()
        heard.lane.consider(observed())
        view = await heard.answer()
        (condition,) = view.conditions
        assert (condition.type, condition.is_true) == (ConditionType.FIT_READY, False)
        assert (condition.reason, condition.message) == (
            "FitFailed",
            "ZeroDivisionError: 6 points",
        )
        heard.lane.close()

    asyncio.run(scene())
    assert "the fit broke" in caplog.text


def test_closing_waits_for_no_fit_and_the_thread_ends_with_its_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_end = threading.Event()

    def slow(fit_input: FitInput) -> FitView:
        may_end.wait(30)
        return broken(fit_input, "late")

    monkeypatch.setattr(lane, "_fit", slow)

    async def scene() -> list[FitView]:
        heard = Heard()
        heard.lane.consider(observed())
        await asyncio.sleep(0)
        heard.lane.close()
        may_end.set()
        return heard.views

    assert asyncio.run(scene()) == [], "nobody hears of it"
    for thread in threading.enumerate():
        if thread.name.startswith("fit"):
            thread.join(30)
            assert not thread.is_alive()


def test_settling_waits_for_the_fit_of_what_is_known() -> None:
    async def scene() -> None:
        heard = Heard()
        await heard.lane.settle(observed())
        assert len(heard.views) == 1
        await heard.lane.settle(observed())
        assert len(heard.views) == 1, "it is known"
        await heard.lane.settle(observed(1.9))
        assert len(heard.views) == 2
        heard.lane.close()

    asyncio.run(scene())


def test_without_a_ladder_nothing_is_fitted() -> None:
    async def scene() -> None:
        heard = Heard()
        plain = SPEC.model_copy(update={"scaling": None})
        heard.lane.consider(replace(observed(), spec=plain))
        await heard.lane.settle(replace(observed(), spec=plain))
        assert heard.views == []
        heard.lane.close()

    asyncio.run(scene())
