"""For the person who asked: how far is it, what is best, what says the law, what goes wrong."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from boards.panels import Section, bars, board, lines, number
from boards.queries import per_second, quantile

ONE = 'namespace=~"$namespace", experiment=~"$experiment"'
OF = f"{{{ONE}}}"


PROGRESS = Section(
    "Progress",
    (
        number("Phase", "none", (f"scaling_experiment_phase{OF}", "{{experiment}}: {{phase}}")),
        bars("Trials that ended", "percentunit", (f"scaling:progress:ratio{OF}", "{{experiment}}")),
        lines(
            "Trials by state",
            "none",
            (f"sum by (state) (scaling_trials{OF})", "{{state}}"),
            (f"sum(scaling_trials_planned{OF})", "planned"),
        ),
        number(
            "Since something moved",
            "s",
            (f"time() - scaling_experiment_progress_timestamp_seconds{OF}", "{{experiment}}"),
            about="A pod that began or ended, a report.",
        ),
    ),
)
BEST = Section(
    "Best",
    (
        lines(
            "Best value over time",
            "none",
            (f"scaling_best_objective{OF}", "{{experiment}} scale {{scale}}"),
        ),
        bars(
            "Best by scale",
            "none",
            (f"scaling_best_objective{OF}", "{{experiment}} scale {{scale}}"),
        ),
        bars(
            "Size of the best",
            "short",
            (f"scaling_model_parameters{OF}", "{{experiment}} scale {{scale}}"),
        ),
        number(
            "Conditions",
            "none",
            (f"scaling_experiment_condition{OF}", "{{experiment}} {{condition}}: {{reason}}"),
        ),
    ),
)
LAW = Section(
    "Scaling law",
    (
        number(
            "Coefficients",
            "none",
            (f"scaling_fit_coefficient{OF}", "{{experiment}} {{coefficient}}"),
            (f"scaling_fit_points{OF}", "{{experiment}} points"),
        ),
        lines(
            "Exponents and their intervals of 95 %",
            "none",
            (
                f'scaling_fit_coefficient{{coefficient=~"alpha|beta|a", {ONE}}}',
                "{{experiment}} {{coefficient}}",
            ),
            (
                f'scaling_fit_coefficient_bound{{coefficient=~"alpha|beta|a", {ONE}}}',
                "{{experiment}} {{coefficient}} {{bound}}",
            ),
        ),
        bars(
            "Predicted and seen",
            "none",
            (f"scaling_predicted_objective{OF}", "scale {{scale}} predicted"),
            (
                f"scaling_best_objective{OF} and scaling_predicted_objective{OF}",
                "scale {{scale}} seen",
            ),
            (f"scaling:prediction_error:ratio{OF}", "scale {{scale}} error, as a share"),
            about="What the law said of a scale before its first trial.",
        ),
        number(
            "N to train",
            "short",
            (f"scaling_recommended_model_parameters{OF}", "{{experiment}} target {{target}}"),
        ),
    ),
)
TRAINING = Section(
    "Running trials",
    (
        lines(
            "Training loss",
            "none",
            (f"scaling_training_loss{OF}", "{{experiment}} {{aggregate}}"),
        ),
        lines(
            "Throughput",
            "short",
            (f"scaling_training_samples_per_second{OF}", "{{experiment}} samples/s"),
            (f"scaling_training_trials{OF}", "{{experiment}} trials that report"),
        ),
        lines(
            "Most memory of one trial",
            "bytes",
            (f"scaling_training_peak_memory_bytes{OF}", "{{experiment}} {{memory}}"),
        ),
        lines(
            "Reports",
            "reqps",
            (
                per_second("scaling_training_reports_total", "experiment", OF),
                "{{experiment}}",
            ),
        ),
    ),
)
TROUBLE = Section(
    "Ends and waits",
    (
        bars(
            "Attempts by how they ended",
            "none",
            (f"sum by (reason) (scaling_attempts_ended_total{OF})", "{{reason}}"),
            about="Since the operator's last start.",
        ),
        number(
            "Share of trials that failed",
            "percentunit",
            (f"scaling:trials_failed:ratio{OF}", "{{experiment}}"),
        ),
        lines(
            "Duration of a trial, p50 and p95",
            "s",
            (
                quantile(0.5, "scaling_trial_duration_seconds", where=OF),
                "p50",
            ),
            (
                quantile(0.95, "scaling_trial_duration_seconds", where=OF),
                "p95",
            ),
        ),
        lines(
            "Wait for a machine, p95",
            "s",
            (
                quantile(0.95, "scaling_trial_queue_seconds", where=OF),
                "p95",
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
            (f"sum by (shape) (scaling_gpus_requested{OF})", "{{shape}} asked for"),
            (f"sum by (shape) (scaling_gpus_in_use{OF})", "{{shape}} in use"),
        ),
        bars(
            "Memory, estimated and measured",
            "bytes",
            (f"scaling_memory_estimated_bytes{OF}", "scale {{scale}} {{memory}} estimated"),
            (f"scaling_memory_measured_bytes{OF}", "scale {{scale}} {{memory}} measured"),
        ),
        lines(
            "Accelerator hours and cost",
            "none",
            (f"sum(scaling_gpu_seconds_total{OF}) / 3600", "hours used"),
            (f"sum(scaling_gpu_seconds_planned{OF}) / 3600", "hours planned"),
            (f"sum(scaling_cost_total{OF})", "cost"),
            (f"sum(scaling_cost_planned{OF})", "cost planned"),
        ),
        bars(
            "Budgets used",
            "percentunit",
            (f"scaling_budget_used_ratio{OF}", "{{experiment}} {{budget}}"),
        ),
    ),
)


def experiment() -> Dashboard:
    """Make the dashboard."""
    variables = (
        ("namespace", "label_values(scaling_experiment_phase, namespace)"),
        (
            "experiment",
            'label_values(scaling_experiment_phase{namespace=~"$namespace"}, experiment)',
        ),
    )
    sections = (PROGRESS, BEST, LAW, TRAINING, TROUBLE, MACHINES)
    return board("scaling-operator-experiment", "Scaling operator: experiment", variables, sections)
