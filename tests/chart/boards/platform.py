"""For the platform team: is the operator well, who has the machines, what do they cost."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from boards.panels import Section, bars, board, lines, number
from boards.queries import per_second, quantile

TEAM = 'namespace=~"$namespace"'


HEALTH = Section(
    "Operator",
    (
        number(
            "Leading replicas",
            "none",
            ("sum(scaling_operator_leader)", "leading"),
            ("count(scaling_operator_leader)", "all"),
            about="One leads; further ones stand by.",
        ),
        number("Version", "none", ("scaling_operator_build_info", "{{version}}")),
        number(
            "Oldest experiment in the queue",
            "s",
            ("max(scaling_operator_queue_oldest_seconds)", "age"),
        ),
        number(
            "Watch failures in a row", "none", ("max(scaling_operator_watch_failures)", "failures")
        ),
    ),
)
WORK = Section(
    "Looks at experiments",
    (
        lines(
            "Looks by result",
            "ops",
            (
                per_second("scaling_operator_reconcile_seconds_count", "result"),
                "{{result}}",
            ),
        ),
        lines(
            "Duration of a look",
            "s",
            (quantile(0.5, "scaling_operator_reconcile_seconds"), "p50"),
            ("scaling_operator:reconcile_seconds:p99_5m", "p99"),
        ),
        lines(
            "Queue",
            "none",
            ("max(scaling_operator_queue_depth)", "experiments that wait"),
            ("max(scaling_operator_event_loop_lag_seconds)", "lag of the event loop, s"),
        ),
    ),
)
API = Section(
    "API server",
    (
        lines(
            "Requests",
            "reqps",
            (
                per_second("scaling_operator_api_requests_total", "verb, resource"),
                "{{verb}} {{resource}}",
            ),
        ),
        lines(
            "Answers by code",
            "reqps",
            (per_second("scaling_operator_api_requests_total", "code"), "{{code}}"),
            ("scaling_operator:api_failed:ratio5m", "share that failed"),
        ),
        lines(
            "Time to an answer, p95",
            "s",
            (quantile(0.95, "scaling_operator_api_request_seconds", "verb"), "{{verb}}"),
        ),
        lines(
            "Watches",
            "none",
            (
                per_second("scaling_operator_watch_events_total", "resource"),
                "{{resource}}",
            ),
            ("sum by (cause) (scaling_operator_watch_restarts_total)", "restarts: {{cause}}"),
            ("max(scaling_operator_resync_misses)", "resyncs that found changes missed"),
        ),
    ),
)
REPORTS = Section(
    "Reports",
    (
        lines(
            "Reports accepted",
            "reqps",
            (
                per_second("scaling_operator_reports_accepted_total", "action"),
                "{{action}}",
            ),
        ),
        lines(
            "Reports refused",
            "reqps",
            (per_second("scaling_operator_reports_refused_total", "reason"), "{{reason}}"),
            ("scaling_operator:reports_refused:ratio10m", "share of all"),
        ),
        lines(
            "Refused unread, by port",
            "reqps",
            (
                per_second("scaling_operator_requests_refused_total", "port, reason"),
                "{{port}}: {{reason}}",
            ),
            about="Connections and requests beyond a port's bounds, or no HTTP at all.",
        ),
    ),
)
SEARCH = Section(
    "Proposals and slots",
    (
        lines(
            "Proposals of the samplers, p95",
            "s",
            (quantile(0.95, "scaling_operator_ask_seconds", "algorithm"), "{{algorithm}}"),
        ),
        lines(
            "Proposals that failed",
            "ops",
            (per_second("scaling_operator_asks_failed_total", "algorithm"), "{{algorithm}}"),
            about="The sampler raised. The log says what.",
        ),
        lines(
            "A slot between two pods",
            "s",
            (quantile(0.5, "scaling_operator_slot_idle_seconds"), "p50"),
            ("scaling_operator:slot_idle_seconds:p95_15m", "p95"),
            about="From a pod's end to the creation of the next one, as the operator sees it.",
        ),
    ),
)
LOAD = Section(
    "Experiments",
    (
        lines(
            "Experiments by phase",
            "none",
            (f"sum by (phase) (scaling_experiments{{{TEAM}}})", "{{phase}}"),
        ),
        lines(
            "Live trials",
            "none",
            (f'sum by (state) (scaling_trials{{state=~"Running|Queued", {TEAM}}})', "{{state}}"),
        ),
        lines(
            "Attempts by how they ended",
            "ops",
            (
                per_second("scaling_attempts_ended_total", "reason", f"{{{TEAM}}}"),
                "{{reason}}",
            ),
        ),
        lines(
            "Wait for a machine, p95",
            "s",
            (
                quantile(0.95, "scaling_trial_queue_seconds", "namespace", f"{{{TEAM}}}"),
                "{{namespace}}",
            ),
        ),
    ),
)
MACHINES = Section(
    "Machines and money",
    (
        lines(
            "Accelerators",
            "none",
            (f"sum by (shape) (scaling_gpus_requested{{{TEAM}}})", "{{shape}} asked for"),
            (f"sum by (shape) (scaling_gpus_in_use{{{TEAM}}})", "{{shape}} in use"),
            ("sum(scaling:gpus_in_use:sum)", "all in use, every namespace"),
        ),
        bars(
            "Accelerator hours by namespace",
            "h",
            (
                f"sum by (namespace) (scaling_gpu_seconds_total{{{TEAM}}}) / 3600",
                "{{namespace}} used",
            ),
            (
                f"sum by (namespace) (scaling_gpu_seconds_planned{{{TEAM}}}) / 3600",
                "{{namespace}} planned",
            ),
        ),
        bars(
            "Cost by namespace",
            "none",
            (f"sum by (namespace) (scaling_cost_total{{{TEAM}}})", "{{namespace}} used"),
            (f"sum by (namespace) (scaling_cost_planned{{{TEAM}}})", "{{namespace}} planned"),
        ),
        bars(
            "Budgets used",
            "percentunit",
            (
                f"max by (namespace, experiment, budget) (scaling_budget_used_ratio{{{TEAM}}})",
                "{{namespace}}/{{experiment}} {{budget}}",
            ),
        ),
    ),
)


def platform() -> Dashboard:
    """Make the dashboard."""
    variables = (("namespace", "label_values(scaling_experiments, namespace)"),)
    sections = (HEALTH, WORK, API, REPORTS, SEARCH, LOAD, MACHINES)
    return board("scaling-operator-platform", "Scaling operator: platform", variables, sections)
