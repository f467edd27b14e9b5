"""The resync of an operator that serves one namespace, with an experiment that has no trial yet."""

from __future__ import annotations

import re

from testbed.documents import played
from testbed.installation import Installation, Installer

REQUESTS = 'scaling_operator_api_requests_total{code="200",resource="%s",verb="list"}'


def lists_of(installation: Installation, resource: str) -> float:
    name = re.escape(REQUESTS % resource)
    match = re.search(rf"^{name} (\S+)$", installation.operator.metrics(), re.MULTILINE)
    return 0.0 if match is None else float(match[1])


def test_a_resync_comes_to_its_end_and_ends_nothing(installer: Installer) -> None:
    with installer.installed("--resync", "1s") as installation:
        site = installation.site
        site.apply(played("idle", ("spec/suspend", True)))
        site.wait(lambda: site.status("idle").get("phase") == "Suspended", 20, "it is suspended")
        before = lists_of(installation, "scalingtrials")

        # Policies lie in no namespace; of no trial at all the API server lists null.
        site.wait(
            lambda: lists_of(installation, "resourcepolicies") >= 2, 40, "policies are compared"
        )
        site.wait(
            lambda: lists_of(installation, "scalingtrials") >= before + 2, 40, "trials are compared"
        )

        assert installation.operator.starts == 1
        assert installation.operator.is_alive
        assert "no resync this time" not in installation.operator.log_end()
