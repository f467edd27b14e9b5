"""The operator ends when it is told to, soon and with exit code 0, whatever it is doing."""

from __future__ import annotations

import time

from testbed.documents import played
from testbed.installation import Installer

END_SECONDS = 10.0


def test_an_idle_operator_ends_at_once(installer: Installer) -> None:
    with installer.installed() as installation:
        start = time.monotonic()

        assert installation.operator.stop() == 0

        assert time.monotonic() - start < END_SECONDS


def test_a_busy_operator_ends_at_once(installer: Installer) -> None:
    with installer.installed() as installation:
        installation.site.apply(
            played("busy", ("spec/trials", {"max": 500, "parallel": 8}), PLAY_SECONDS="0.2")
        )
        installation.site.wait(lambda: len(installation.site.trials("busy")) > 30, 30, "it is busy")
        start = time.monotonic()

        assert installation.operator.stop() == 0

        assert time.monotonic() - start < END_SECONDS


def test_the_lease_is_given_back(installer: Installer) -> None:
    with installer.installed() as installation:
        installation.operator.stop()

        lease = installation.site.reader.read(
            "leases", installation.site.namespace, "scaling-operator"
        )
        assert not lease["spec"].get("holderIdentity")
