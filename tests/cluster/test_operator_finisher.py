"""The finisher's pod on a real API server: what becomes of an experiment that cannot have one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testbed.documents import bound_claim, played
from testbed.installation import Installation, Installer
from testbed.site import Site

CLAIMED = ("spec/artifacts", {"persistentVolumeClaim": {"claimName": "kept"}})
# The claim's pods of the trial itself fit: they are gone when the finisher comes.
NO_SECOND_POD = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}


@pytest.fixture(scope="module")
def without_image(installer: Installer) -> Iterator[Site]:
    """An operator without a trainer's image: a finisher would have none."""
    with installer.installed() as installation:
        yield from _with_claim(installation)


@pytest.fixture(scope="module")
def site(installer: Installer) -> Iterator[Site]:
    """An operator with a trainer's image, whose pods are played."""
    with installer.installed("--trainer-image", "played") as installation:
        yield from _with_claim(installation)


def _with_claim(installation: Installation) -> Iterator[Site]:
    installation.site.apply(*bound_claim("kept", installation.site.namespace))
    yield installation.site
    installation.site.kubectl("delete", "pv", f"kept-{installation.site.namespace}", "--wait=false")


def test_a_finisher_that_is_refused_does_not_hold_up_the_answer(without_image: Site) -> None:
    without_image.apply(played("unsaved", CLAIMED))

    status = without_image.wait_end("unsaved")

    assert status["phase"] == "Succeeded"
    without_image.wait(lambda: without_image.condition("unsaved", "Exported"), 10, "it is said")
    exported = without_image.condition("unsaved", "Exported")
    assert (exported["status"], exported["reason"]) == ("False", "ExportFailed")
    assert "spec.containers[0].image: Required value" in exported["message"]


def test_a_finisher_waits_for_quota(site: Site) -> None:
    site.apply(played("waiting", CLAIMED, PLAY_SECONDS="3"))
    site.wait(lambda: site.pods("waiting"), 20, "the trial runs")
    site.apply(NO_SECOND_POD | {"spec": {"hard": {"pods": "0"}}})
    status = site.wait_end("waiting")
    assert status["phase"] == "Succeeded"
    assert not site.condition("waiting", "Exported")

    site.kubectl("delete", "quota", "none")

    site.wait(lambda: site.condition("waiting", "Exported"), 40, "the model is saved")
    assert site.condition("waiting", "Exported")["status"] == "True"
