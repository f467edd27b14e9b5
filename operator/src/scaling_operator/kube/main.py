"""`scaling-operator`: options, signals, and the process around `operate`."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scaling_operator.api.fields import parse_duration
from scaling_operator.kube.logs import LogFormat, set_up
from scaling_operator.kube.operate import build
from scaling_operator.kube.settings import (
    LeaseSettings,
    PodSettings,
    ReportSettings,
    Settings,
)
from scaling_operator.kube.workloads.allowed import Allowed
from scaling_operator.kube.workloads.attempt_spec import GracePeriods

PREFIX = "SCALING_OPERATOR_"
SWITCH_INTERVAL_SECONDS = 0.001
"""Python's default of 5 ms is long where a busy event loop and a study's thread alternate."""
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Workload(StrEnum):
    """Kind of an attempt's workload."""

    POD = "pod"
    JOB = "job"


def _variable(name: str) -> str:
    return PREFIX + name


def _seconds(text: str) -> float:
    return parse_duration(text).total_seconds()


def _duration(seconds: float) -> str:
    """Write a default as a whole number of its largest unit: 1h, 2m, 90s."""
    for unit, length_seconds in (("h", 3600), ("m", 60)):
        if seconds % length_seconds == 0:
            return f"{seconds / length_seconds:g}{unit}"
    return f"{seconds:g}s"


REPORTS, LEASE, PODS = ReportSettings(), LeaseSettings(), PodSettings()
WORKLOAD = Workload(PODS.kind)
DEFAULTS = Settings(namespace="", name="")
"""The options have their defaults from these settings."""


@app.command()
def operate(  # noqa: PLR0913 - the options of a command
    namespace: Annotated[
        str,
        typer.Option(envvar=_variable("NAMESPACE"), help="Its own: Lease and Secret lie there."),
    ],
    name: Annotated[
        str, typer.Option(envvar=_variable("NAME"), help="Its identity: the Lease's holder.")
    ],
    *,
    watch_namespace: Annotated[
        list[str] | None,
        typer.Option(envvar=_variable("WATCH_NAMESPACE"), help="Serve these alone; none: all."),
    ] = None,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(envvar=_variable("KUBECONFIG"), help="None: the pod's own account."),
    ] = None,
    trainer_image: Annotated[
        str, typer.Option(envvar=_variable("TRAINER_IMAGE"), help="Image of the built-in trainer.")
    ] = PODS.trainer_image,
    workload: Annotated[
        Workload, typer.Option(envvar=_variable("WORKLOAD"), help="What an attempt is.")
    ] = WORKLOAD,
    queue: Annotated[
        str | None, typer.Option(envvar=_variable("QUEUE"), help="Kueue's LocalQueue, for jobs.")
    ] = None,
    report_url: Annotated[
        str | None,
        typer.Option(envvar=_variable("REPORT_URL"), help="The endpoint as pods reach it."),
    ] = None,
    report_port: Annotated[int, typer.Option(envvar=_variable("REPORT_PORT"))] = REPORTS.port,
    report_secret: Annotated[
        str, typer.Option(envvar=_variable("REPORT_SECRET"), help="Holds the certificate.")
    ] = REPORTS.secret,
    report_host: Annotated[
        list[str] | None,
        typer.Option(envvar=_variable("REPORT_HOST"), help="Names in the certificate."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(envvar=_variable("ADDRESS"), help="Where the ports listen; none: everywhere."),
    ] = None,
    health_port: Annotated[
        int, typer.Option(envvar=_variable("HEALTH_PORT"))
    ] = DEFAULTS.health_port,
    metrics_port: Annotated[
        int, typer.Option(envvar=_variable("METRICS_PORT"))
    ] = DEFAULTS.metrics_port,
    metrics_secure: Annotated[
        bool,
        typer.Option(
            "--metrics-secure",
            envvar=_variable("METRICS_SECURE"),
            help="Metrics by TLS, for those who may get /metrics.",
        ),
    ] = DEFAULTS.metrics_secure,
    dashboard_port: Annotated[
        int | None,
        typer.Option(envvar=_variable("DASHBOARD_PORT"), help="optuna-dashboard; none: off."),
    ] = None,
    dashboard_name: Annotated[
        list[str] | None,
        typer.Option(
            envvar=_variable("DASHBOARD_NAMES"),
            help="What a proxy calls the dashboard; may be given several times.",
        ),
    ] = None,
    lease: Annotated[
        str, typer.Option(envvar=_variable("LEASE"), help="Name of the Lease.")
    ] = LEASE.name,
    allowed_service_account: Annotated[
        list[str] | None,
        typer.Option(
            envvar=_variable("ALLOWED_SERVICE_ACCOUNT"), help="Accounts that trials may name."
        ),
    ] = None,
    allowed_secret: Annotated[
        list[str],
        typer.Option(
            envvar=_variable("ALLOWED_SECRET"), help="Secrets that experiments may name: patterns."
        ),
    ] = list(PODS.allowed.secrets),  # noqa: B006 - typer copies it
    allowed_claim: Annotated[
        list[str],
        typer.Option(envvar=_variable("ALLOWED_CLAIM"), help="Likewise claims."),
    ] = list(PODS.allowed.claims),  # noqa: B006
    allowed_toleration: Annotated[
        list[str],
        typer.Option(envvar=_variable("ALLOWED_TOLERATION"), help="Likewise keys of taints."),
    ] = list(PODS.allowed.tolerations),  # noqa: B006
    allowed_node_label: Annotated[
        list[str],
        typer.Option(envvar=_variable("ALLOWED_NODE_LABEL"), help="Likewise labels of nodes."),
    ] = list(PODS.allowed.node_labels),  # noqa: B006
    disk_limit: Annotated[
        str | None,
        typer.Option(
            envvar=_variable("DISK_LIMIT"), help="Of each folder that a pod has on its node."
        ),
    ] = None,
    keep_failed_pods: Annotated[
        str, typer.Option(envvar=_variable("KEEP_FAILED_PODS"), help="For their logs.")
    ] = _duration(PODS.keep_failed_seconds),
    image_pull_grace: Annotated[
        str, typer.Option(envvar=_variable("IMAGE_PULL_GRACE"), help="Time a registry may need.")
    ] = _duration(PODS.grace.image_pull_grace_seconds),
    no_result_grace: Annotated[
        str, typer.Option(envvar=_variable("NO_RESULT_GRACE"), help="Wait for a late result.")
    ] = _duration(PODS.no_result_grace_seconds),
    retry_backoff: Annotated[
        str,
        typer.Option(
            envvar=_variable("RETRY_BACKOFF"), help="Before an interrupted attempt again."
        ),
    ] = _duration(PODS.backoff_seconds),
    image_pull_policy: Annotated[
        str | None, typer.Option(envvar=_variable("IMAGE_PULL_POLICY"), help="Of trials' pods.")
    ] = None,
    image_pull_secret: Annotated[
        list[str] | None,
        typer.Option(envvar=_variable("IMAGE_PULL_SECRET"), help="Of trials' pods."),
    ] = None,
    log_format: Annotated[
        LogFormat, typer.Option(envvar=_variable("LOG_FORMAT"), help="A line of the log.")
    ] = LogFormat.TEXT,
    resync: Annotated[
        str, typer.Option(envvar=_variable("RESYNC"), help="How often all is compared.")
    ] = _duration(DEFAULTS.resync_seconds),
) -> None:
    """Watch ScalingExperiments and carry them out."""
    settings = Settings(
        namespace=namespace,
        name=name,
        watch_namespaces=tuple(watch_namespace or ()),
        kubeconfig=kubeconfig,
        address=address,
        resync_seconds=_seconds(resync),
        health_port=health_port,
        metrics_port=metrics_port,
        metrics_secure=metrics_secure,
        dashboard_port=dashboard_port,
        dashboard_names=tuple(dashboard_name or ()),
        reports=ReportSettings(
            url=report_url, port=report_port, secret=report_secret, hosts=tuple(report_host or ())
        ),
        lease=LeaseSettings(name=lease),
        pods=PodSettings(
            trainer_image=trainer_image,
            kind=workload.value,
            queue=queue,
            image_pull_policy=image_pull_policy,
            image_pull_secrets=tuple(image_pull_secret or ()),
            allowed_service_accounts=frozenset(allowed_service_account or ()),
            allowed=Allowed(
                secrets=tuple(allowed_secret),
                claims=tuple(allowed_claim),
                tolerations=tuple(allowed_toleration),
                node_labels=tuple(allowed_node_label),
            ),
            disk_limit=disk_limit,
            keep_failed_seconds=_seconds(keep_failed_pods),
            grace=GracePeriods(image_pull_grace_seconds=_seconds(image_pull_grace)),
            no_result_grace_seconds=_seconds(no_result_grace),
            backoff_seconds=_seconds(retry_backoff),
        ),
    )
    set_up(log_format)
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        operator = await build(settings, stack)
        # What is loaded by now stays: the garbage collector need not look at it again and again.
        gc.freeze()
        loop = asyncio.get_running_loop()

        def take_signals() -> None:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, operator.stop)

        operator.watches.take_signals = take_signals
        take_signals()
        await operator.run()


def main() -> None:
    """Run the command."""
    app()
