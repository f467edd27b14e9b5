"""What a trial costs the API server, counted in its audit log."""

from __future__ import annotations

from testbed.documents import played
from testbed.figures import figures_of
from testbed.installation import Ground

TRIALS = 96
OWN_WRITES = 4.0
ALL_WRITES = 9.0


def test_a_trial_costs_few_writes_lease_and_status_included(ground: Ground) -> None:
    start = ground.cluster.audit.position()
    with ground.installed() as one:
        bounds = ("spec/trials", {"max": TRIALS, "parallel": 16})
        one.site.apply(played("many", bounds, PLAY_SECONDS="1"))
        assert one.site.wait_end("many")["counts"]["succeeded"] == TRIALS
        one.site.wait(lambda: not one.site.pods("many"), 10, "all pods are deleted")

        entries = ground.cluster.audit.entries(start)
        figures = figures_of(entries, one.site.namespace, one.account)

    assert figures.trials == TRIALS
    assert figures.own_writes / TRIALS <= OWN_WRITES
    assert figures.all_writes / TRIALS <= ALL_WRITES
