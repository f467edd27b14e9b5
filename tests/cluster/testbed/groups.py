"""Which tests of ring 2 share a control plane: there are two, since the tests mostly wait."""

from __future__ import annotations

RIGHTS = "cluster"
"""What the audit log is read of afterwards (test_zz_rights.py), and all that asks an API server."""
BEFALLS = "cluster-befalls"
"""What befalls an operator, and what it does beside its daily work."""
GROUPS = (RIGHTS, BEFALLS)
_BEFALLS = frozenset(
    {
        "test_chart_install.py",
        "test_cli_cluster.py",
        "test_hostile_tenants.py",
        "test_operator_changes.py",
        "test_operator_cost.py",
        "test_operator_dashboard.py",
        "test_operator_end.py",
        "test_operator_faults.py",
        "test_operator_finisher.py",
        "test_operator_idle.py",
        "test_operator_leadership.py",
        "test_operator_probes.py",
        "test_operator_run.py",
        "test_seen_by_prometheus.py",
    }
)


def group_of(module: str) -> str:
    """Name the group of a module's tests."""
    return BEFALLS if module in _BEFALLS else RIGHTS
