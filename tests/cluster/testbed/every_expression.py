"""Every expression of dashboards and rules has a value where Prometheus scrapes experiments."""

from __future__ import annotations

from typing import Any

import pytest
from boards.expressions import Expression, panels, rules

from testbed.scene import Scene


class EveryExpression:
    """Tests for a module that has a fixture `scene`."""

    @pytest.mark.parametrize("expression", tuple(panels()), ids=lambda expression: expression.place)
    def test_every_panel_shows_something(self, scene: Scene, expression: Expression) -> None:
        scene.shows(expression)

    @pytest.mark.parametrize("rule", rules("record"), ids=lambda rule: rule["record"])
    def test_every_recording_rule_records_something(
        self, scene: Scene, rule: dict[str, Any]
    ) -> None:
        scene.records(rule)

    @pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: rule["alert"])
    def test_both_sides_of_every_alert_have_a_value(
        self, scene: Scene, rule: dict[str, Any]
    ) -> None:
        scene.compares(rule)

    def test_no_rule_fails_to_be_evaluated(self, scene: Scene) -> None:
        assert not scene.unhealthy_rules()
