"""Probes tell the truth: whether the operator can work, not whether a task of it exists."""

from __future__ import annotations

from testbed.documents import played
from testbed.effects import Reset, each
from testbed.installation import Ground


def test_it_is_ready_only_once_it_has_seen_everything(ground: Ground) -> None:
    with ground.installed(through_proxy=True, started=False) as one:
        one.between.rule = each(lambda request: bool(request.resource), Reset(forwarded=False))
        one.operator.start()

        one.site.wait(lambda: one.operator.probe("healthz") == 200, 20, "it lives")
        assert one.operator.probe("readyz") == 500

        one.between.pass_on()
        one.site.wait(lambda: one.operator.probe("readyz") == 200, 60, "it is ready")


def test_a_standby_is_ready_and_a_frozen_operator_answers_nobody(ground: Ground) -> None:
    with ground.installed() as one:
        other = ground.operator(one.site.namespace, (), None, "operator-1").start()
        try:
            other.wait_ready()
            assert (other.probe("healthz"), other.probe("readyz")) == (200, 200)

            other.pause()
            assert other.probe("healthz", seconds=1.0) == 0

            other.resume()
            one.site.wait(lambda: other.probe("healthz") == 200, 20, "it lives again")
        finally:
            other.kill()


def test_short_faults_do_not_make_it_sick(ground: Ground) -> None:
    """A kubelet that restarts the operator for each hiccup of an API server would do harm."""
    with ground.installed(through_proxy=True) as one:
        one.site.apply(played("calm", ("spec/trials", {"max": 12}), PLAY_SECONDS="0.5"))
        one.between.rule = each(lambda request: bool(request.resource), Reset(forwarded=False), 3)
        seen: set[int] = set()

        def ended() -> bool:
            seen.add(one.operator.probe("healthz"))
            return one.site.status("calm").get("phase") == "Succeeded"

        one.site.wait(ended, 60, "calm is over")
        assert seen == {200}
