"""The operator ends when it is told to, soon and with exit code 0, whatever it is doing."""

from __future__ import annotations

import time

from testbed.documents import played
from testbed.installation import Ground

END_SECONDS = 10.0


def test_an_idle_operator_ends_at_once(ground: Ground) -> None:
    with ground.installed() as one:
        start = time.monotonic()

        assert one.operator.stop() == 0

        assert time.monotonic() - start < END_SECONDS


def test_a_busy_operator_ends_at_once(ground: Ground) -> None:
    with ground.installed() as one:
        one.site.apply(
            played("busy", ("spec/trials", {"max": 500, "parallel": 8}), PLAY_SECONDS="0.2")
        )
        one.site.wait(lambda: len(one.site.trials("busy")) > 30, 30, "it is busy")
        start = time.monotonic()

        assert one.operator.stop() == 0

        assert time.monotonic() - start < END_SECONDS


def test_the_lease_is_given_back(ground: Ground) -> None:
    with ground.installed() as one:
        one.operator.stop()

        lease = one.site.reader.read("leases", one.site.namespace, "scaling-operator")
        assert not lease["spec"].get("holderIdentity")
