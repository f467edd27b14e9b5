"""Running experiments and the Prometheus that scrapes them: does an expression have a value?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from boards.expressions import Expression, compared, filled, names, of_any_condition

from testbed.prometheus import Prometheus
from testbed.site import Site

PANEL_SECONDS = 15.0
RULE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A namespace with experiments, and its Prometheus."""

    site: Site
    prometheus: Prometheus
    rate_interval: str
    """Grafana's $__rate_interval: something has to happen within it, again and again."""
    namespace: str = ".*"
    """Grafana's $namespace."""

    def wait_for(self, expression: str, seconds: float = 30.0) -> list[dict[str, Any]]:
        """Wait until an expression has a series."""
        self.site.wait(lambda: self.prometheus.query(expression), seconds, expression)
        return self.prometheus.query(expression)

    def wait_for_number(self, expression: str, seconds: float) -> None:
        """Wait until an expression has a series, and that a value."""

        def has_number() -> bool:
            samples = self.prometheus.query(expression)
            return any(sample["value"][1] != "NaN" for sample in samples)

        self.site.wait(has_number, seconds, expression)

    def shows(self, expression: Expression) -> None:
        """Fail where a panel's query names a metric that does not exist, or has no value."""
        text = filled(expression.text, self.rate_interval, self.namespace)
        self.expect_known(text)
        self.wait_for_number(text, PANEL_SECONDS)

    def records(self, rule: dict[str, Any]) -> None:
        """Fail where a recording rule records nothing."""
        self.wait_for_number(rule["record"], RULE_SECONDS)

    def compares(self, rule: dict[str, Any]) -> None:
        """Fail where an alert, which is true in trouble alone, lacks a value on either side.

        Of conditions that stop work there may be none: any condition's value will do.
        """
        self.expect_known(rule["expr"])
        self.wait_for_number(compared(of_any_condition(rule["expr"])), RULE_SECONDS)

    def unhealthy_rules(self) -> set[str]:
        """Name the rules that cannot be evaluated."""
        groups = self.prometheus.get("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return {rule["name"] for rule in rules if rule["health"] != "ok"}

    def alerts(self) -> set[str]:
        """Name the alerts that fire, or will where what they are about lasts."""
        alerts = self.prometheus.get("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts}

    def expect_known(self, text: str) -> None:
        """Fail where an expression names a metric that does not exist."""
        unknown = names(text) - self.prometheus.names()
        assert not unknown, f"{unknown} in {text}"
