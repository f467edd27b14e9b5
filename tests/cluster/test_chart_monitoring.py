"""What the chart makes for Prometheus and Grafana, where the values ask for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from boards.expressions import BOARDS, RULES
from ruamel.yaml import YAML
from testbed.chart import Object, rendered

KINDS = ("ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap")

AUTHORIZATION = {"credentials": {"name": "scraper", "key": "token"}}


def monitoring_objects(helm: Path, **metrics: Any) -> dict[str, list[Object]]:
    objects = rendered(helm, {"metrics": metrics})
    return {kind: [document for document in objects if document["kind"] == kind] for kind in KINDS}


def test_by_default_none_of_it_is_there(helm: Path) -> None:
    assert monitoring_objects(helm) == {kind: [] for kind in KINDS}


@pytest.mark.parametrize(
    ("value", "kind", "endpoints"),
    [
        ("serviceMonitor", "ServiceMonitor", "endpoints"),
        ("podMonitor", "PodMonitor", "podMetricsEndpoints"),
    ],
)
def test_a_monitor_finds_the_port_and_keeps_the_experiments_namespace(
    helm: Path, value: str, kind: str, endpoints: str
) -> None:
    asked = {"enabled": True, "labels": {"release": "prometheus"}, "interval": "1m"}
    asked |= {"authorization": AUTHORIZATION}
    (monitor,) = monitoring_objects(helm, **{value: asked})[kind]

    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"][endpoints]
    assert (endpoint["port"], endpoint["interval"]) == ("metrics", "1m")
    assert endpoint["honorLabels"] is True
    assert (endpoint["scheme"], endpoint["authorization"]) == ("https", AUTHORIZATION)
    assert "bearerTokenFile" not in endpoint


def test_the_service_monitor_shows_its_own_token_and_trusts_the_operator_s_authority(
    helm: Path,
) -> None:
    (monitor,) = monitoring_objects(helm, serviceMonitor={"enabled": True})["ServiceMonitor"]
    (endpoint,) = monitor["spec"]["endpoints"]

    assert endpoint["bearerTokenFile"].startswith("/var/run/secrets/kubernetes.io/serviceaccount/")
    assert endpoint["tlsConfig"] == {
        "serverName": "scaling-operator-metrics.scaling-operator.svc",
        "ca": {"secret": {"name": "scaling-operator-reports", "key": "ca.crt"}},
    }
    lax = {"enabled": True, "insecureSkipVerify": True}
    (lax_monitor,) = monitoring_objects(helm, serviceMonitor=lax)["ServiceMonitor"]
    assert lax_monitor["spec"]["endpoints"][0]["tlsConfig"] == {"insecureSkipVerify": True}


def test_the_monitor_of_plain_metrics_shows_nothing(helm: Path) -> None:
    for kind, endpoints in (
        ("serviceMonitor", "endpoints"),
        ("podMonitor", "podMetricsEndpoints"),
    ):
        (monitor,) = monitoring_objects(helm, secure=False, **{kind: {"enabled": True}})[
            kind[0].upper() + kind[1:]
        ]
        (endpoint,) = monitor["spec"][endpoints]
        assert set(endpoint) == {"port", "path", "interval", "honorLabels"}


def test_the_service_monitor_selects_the_metrics_service_alone(helm: Path) -> None:
    objects = rendered(helm, {"metrics": {"serviceMonitor": {"enabled": True}}})
    (monitor,) = [document for document in objects if document["kind"] == "ServiceMonitor"]
    wanted = monitor["spec"]["selector"]["matchLabels"]

    selected = [
        document["metadata"]["name"]
        for document in objects
        if document["kind"] == "Service"
        and wanted.items() <= document["metadata"]["labels"].items()
    ]
    assert selected == ["scaling-operator-metrics"]


def test_the_rules_are_those_of_the_files(helm: Path) -> None:
    (rule,) = monitoring_objects(helm, rules={"enabled": True})["PrometheusRule"]
    yaml: Any = YAML(typ="safe", pure=True)
    groups = [group for file in RULES for group in yaml.load(file.read_text())["groups"]]

    def by_name(group: dict[str, Any]) -> str:
        return str(group["name"])

    assert sorted(rule["spec"]["groups"], key=by_name) == sorted(groups, key=by_name)


def test_each_alert_links_to_its_page_where_the_pages_have_an_address(helm: Path) -> None:
    address = "https://wiki.example/runbooks"
    asked = {"enabled": True, "runbookUrl": address}
    (rule,) = monitoring_objects(helm, rules=asked)["PrometheusRule"]

    alerts = [
        alert for group in rule["spec"]["groups"] for alert in group["rules"] if "alert" in alert
    ]
    assert alerts
    for alert in alerts:
        assert alert["annotations"]["runbook_url"] == f"{address}/{alert['alert']}.md"


def test_each_dashboard_is_a_config_map_that_the_sidecar_finds(helm: Path) -> None:
    asked = {"enabled": True, "annotations": {"grafana_folder": "Training"}}
    maps = monitoring_objects(helm, dashboards=asked)["ConfigMap"]

    assert len(maps) == len(BOARDS)
    for config_map in maps:
        assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert config_map["metadata"]["annotations"] == {"grafana_folder": "Training"}
    dashboards = {
        name: json.loads(text) for config_map in maps for name, text in config_map["data"].items()
    }
    assert dashboards == {file.name: json.loads(file.read_text()) for file in BOARDS}
