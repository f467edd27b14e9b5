"""What a trial costs the API server, counted in its audit log."""

from __future__ import annotations

from testbed.documents import played
from testbed.figures import figures_of
from testbed.installation import Installer

TRIALS = 96
OWN_WRITES = 4.0
ALL_WRITES = 9.0


def test_a_trial_costs_few_writes_lease_and_status_included(installer: Installer) -> None:
    start = installer.cluster.audit.position()
    with installer.installed() as installation:
        bounds = ("spec/trials", {"max": TRIALS, "parallel": 16})
        installation.site.apply(played("many", bounds, PLAY_SECONDS="1"))
        assert installation.site.wait_end("many")["counts"]["succeeded"] == TRIALS
        installation.site.wait(
            lambda: not installation.site.pods("many"), 10, "all pods are deleted"
        )

        entries = installer.cluster.audit.entries(start)
        figures = figures_of(entries, installation.site.namespace, installation.account)

    assert figures.trials == TRIALS
    assert figures.own_writes / TRIALS <= OWN_WRITES
    assert figures.all_writes / TRIALS <= ALL_WRITES
