"""The dashboard's copies of studies: as many as there is memory for, and it is said where not."""

from __future__ import annotations

import json
import logging
import urllib.request

import pytest
from shell import TEAM, Shell
from testbed.documents import played

from scaling_operator.kube.client.kinds import EXPERIMENTS
from scaling_operator.kube.dashboard import Dashboard
from scaling_operator.search.dashboard import Mirror, served

RUNNING = {"small": 2, "large": 6, "late": 2}


def shown(mirror: Mirror) -> set[str]:
    with served(mirror.application(), "127.0.0.1", 0) as port:
        address = f"http://127.0.0.1:{port}/api/studies"
        with urllib.request.urlopen(address, timeout=30) as answer:
            summaries = json.load(answer)["study_summaries"]
    return {summary["study_name"] for summary in summaries}


async def test_only_so_many_trials_are_copied_and_what_is_left_out_is_said_once(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("scaling_operator.kube.dashboard.MOST_TRIALS", 5)
    for name, trials in RUNNING.items():
        most = ("spec/trials", {"max": trials, "parallel": trials})
        shell.cluster.add(EXPERIMENTS, TEAM, played(name, most))
    await shell.settle()
    mirror = Mirror()
    dashboard = Dashboard(shell.index, shell.controller.loaded, None, None, _mirror=mirror)
    with caplog.at_level(logging.WARNING):
        await dashboard.refresh()
        await dashboard.refresh()
    assert shown(mirror) == {"team/small 0", "team/late 0"}
    said = [record.getMessage() for record in caplog.records if "not shown" in record.getMessage()]
    assert len(said) == 1
    assert "has 6 trials, and 5 are shown in all" in said[0]

    shell.cluster.remove(EXPERIMENTS, TEAM, "small")
    monkeypatch.setattr("scaling_operator.kube.dashboard.MOST_TRIALS", 8)
    await shell.settle()
    await dashboard.refresh()
    await dashboard.refresh()
    assert shown(mirror) == {"team/large 0", "team/late 0"}, "there is room again"
