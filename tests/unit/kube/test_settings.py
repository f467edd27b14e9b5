"""The chart's defaults are those of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from scaling_operator.api.fields import parse_duration
from scaling_operator.kube.settings import PodSettings, ReportSettings, Settings

CHART = Path(__file__).resolve().parents[3] / "charts" / "scaling-operator"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def seconds(text: str) -> float:
    return parse_duration(text).total_seconds()


def test_the_chart_bounds_problems_of_pods_as_the_settings_do() -> None:
    trials, pods = VALUES["trials"], PodSettings()
    assert seconds(trials["keepFailedPods"]) == pods.keep_failed_seconds
    assert seconds(trials["imagePullGrace"]) == pods.grace.image_pull_grace_seconds
    assert seconds(trials["noResultGrace"]) == pods.no_result_grace_seconds
    assert seconds(trials["retryBackoff"]) == pods.backoff_seconds
    assert trials["workload"] == pods.kind


def test_the_chart_has_the_ports_and_the_resync_of_the_settings() -> None:
    settings = Settings(namespace="", name="")
    assert VALUES["reports"]["port"] == ReportSettings().port
    assert VALUES["metrics"]["port"] == settings.metrics_port
    assert VALUES["healthPort"] == settings.health_port
    assert seconds(VALUES["resync"]) == settings.resync_seconds
