"""The operator serves optuna-dashboard over its studies where it is asked to, read-only."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from testbed.documents import played
from testbed.installation import Installer
from testbed.process import free_port


def read(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.load(answer)


def test_studies_of_running_experiments_are_shown_and_go_away_with_them(
    installer: Installer,
) -> None:
    port = free_port()
    with installer.installed("--dashboard-port", str(port)) as installation:
        site = installation.site
        few = ("spec/trials", {"max": 200, "parallel": 2})
        site.apply(played("shown", few), played("other", few))

        def names() -> set[str]:
            studies = read(port, "/api/studies")["study_summaries"]
            return {study["study_name"] for study in studies}

        expected = {f"{site.namespace}/{name} 0" for name in ("shown", "other")}
        site.wait(lambda: names() == expected, 20, "both studies are shown")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/studies/0", method="DELETE", data=b""
        )
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(request, timeout=5)
        with refusal.value as answer:
            assert answer.code == 405

        site.kubectl("delete", "sx", "other")

        site.wait(lambda: names() == {f"{site.namespace}/shown 0"}, 20, "one is shown")
        assert installation.operator.probe("healthz") == 200
