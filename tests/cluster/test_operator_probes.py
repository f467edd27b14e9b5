"""Probes tell the truth: whether the operator can work, not whether a task of it exists."""

from __future__ import annotations

from testbed.documents import played
from testbed.effects import Reset, each
from testbed.installation import Installer


def test_it_is_ready_only_once_it_has_seen_everything(installer: Installer) -> None:
    with installer.installed(through_proxy=True, started=False) as installation:
        installation.between.rule = each(
            lambda request: bool(request.resource), Reset(forwarded=False)
        )
        installation.operator.start()

        installation.site.wait(
            lambda: installation.operator.probe("healthz") == 200, 20, "it lives"
        )
        assert installation.operator.probe("readyz") == 500

        installation.between.pass_on()
        installation.site.wait(
            lambda: installation.operator.probe("readyz") == 200, 60, "it is ready"
        )


def test_a_standby_is_ready_and_a_frozen_operator_answers_nobody(installer: Installer) -> None:
    with installer.installed() as installation:
        standby = installer.operator(installation.site.namespace, (), None, "operator-1").start()
        try:
            standby.wait_ready()
            assert (standby.probe("healthz"), standby.probe("readyz")) == (200, 200)

            standby.pause()
            assert standby.probe("healthz", seconds=1.0) == 0

            standby.resume()
            installation.site.wait(lambda: standby.probe("healthz") == 200, 20, "it lives again")
        finally:
            standby.kill()


def test_short_faults_do_not_make_it_sick(installer: Installer) -> None:
    """A kubelet that restarts the operator for each hiccup of an API server would do harm."""
    with installer.installed(through_proxy=True) as installation:
        installation.site.apply(played("calm", ("spec/trials", {"max": 12}), PLAY_SECONDS="0.5"))
        installation.between.rule = each(
            lambda request: bool(request.resource), Reset(forwarded=False), 3
        )
        seen: set[int] = set()

        def ended() -> bool:
            seen.add(installation.operator.probe("healthz"))
            return installation.site.status("calm").get("phase") == "Succeeded"

        installation.site.wait(ended, 60, "calm is over")
        assert seen == {200}
