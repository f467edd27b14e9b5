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
from scaling_operator.kube.workloads.allowed import EVERYTHING, Allowed

PREFIX = "SCALING_OPERATOR_"
THREADS_TAKE_TURNS_SECONDS = 0.001
"""Python's 5 ms are long where a busy event loop and a study's thread wait for each other."""
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Workload(StrEnum):
    """What an attempt is."""

    POD = "pod"
    JOB = "job"


def _variable(name: str) -> str:
    return PREFIX + name


def _seconds(text: str) -> float:
    return parse_duration(text).total_seconds()


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
    ] = "",
    workload: Annotated[
        Workload, typer.Option(envvar=_variable("WORKLOAD"), help="What an attempt is.")
    ] = Workload.POD,
    queue: Annotated[
        str | None, typer.Option(envvar=_variable("QUEUE"), help="Kueue's LocalQueue, for jobs.")
    ] = None,
    report_url: Annotated[
        str | None,
        typer.Option(envvar=_variable("REPORT_URL"), help="The endpoint as pods reach it."),
    ] = None,
    report_port: Annotated[int, typer.Option(envvar=_variable("REPORT_PORT"))] = 8443,
    report_secret: Annotated[
        str, typer.Option(envvar=_variable("REPORT_SECRET"), help="Holds the certificate.")
    ] = ReportSettings().secret,
    report_host: Annotated[
        list[str] | None,
        typer.Option(envvar=_variable("REPORT_HOST"), help="Names in the certificate."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(envvar=_variable("ADDRESS"), help="Where the ports listen; none: everywhere."),
    ] = None,
    health_port: Annotated[int, typer.Option(envvar=_variable("HEALTH_PORT"))] = 8080,
    metrics_port: Annotated[int, typer.Option(envvar=_variable("METRICS_PORT"))] = 9090,
    metrics_secure: Annotated[
        bool,
        typer.Option(
            "--metrics-secure",
            envvar=_variable("METRICS_SECURE"),
            help="Metrics by TLS, for those who may get /metrics.",
        ),
    ] = False,
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
    ] = LeaseSettings().name,
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
    ] = list(EVERYTHING),  # noqa: B006 - typer copies it
    allowed_claim: Annotated[
        list[str],
        typer.Option(envvar=_variable("ALLOWED_CLAIM"), help="Likewise claims."),
    ] = list(EVERYTHING),  # noqa: B006
    allowed_toleration: Annotated[
        list[str],
        typer.Option(envvar=_variable("ALLOWED_TOLERATION"), help="Likewise keys of taints."),
    ] = list(EVERYTHING),  # noqa: B006
    allowed_node_label: Annotated[
        list[str],
        typer.Option(envvar=_variable("ALLOWED_NODE_LABEL"), help="Likewise labels of nodes."),
    ] = list(EVERYTHING),  # noqa: B006
    disk_limit: Annotated[
        str | None,
        typer.Option(
            envvar=_variable("DISK_LIMIT"), help="Of each folder that a pod has on its node."
        ),
    ] = None,
    keep_failed_pods: Annotated[
        str, typer.Option(envvar=_variable("KEEP_FAILED_PODS"), help="For their logs.")
    ] = "1h",
    image_pull_grace: Annotated[
        str, typer.Option(envvar=_variable("IMAGE_PULL_GRACE"), help="Time a registry may need.")
    ] = "2m",
    no_result_grace: Annotated[
        str, typer.Option(envvar=_variable("NO_RESULT_GRACE"), help="Wait for a late result.")
    ] = "30s",
    retry_backoff: Annotated[
        str,
        typer.Option(
            envvar=_variable("RETRY_BACKOFF"), help="Before an interrupted attempt again."
        ),
    ] = "5s",
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
    ] = "90s",
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
        reports=ReportSettings(report_url, report_port, report_secret, tuple(report_host or ())),
        lease=LeaseSettings(lease),
        pods=PodSettings(
            trainer_image=trainer_image,
            kind=workload.value,
            queue=queue,
            image_pull_policy=image_pull_policy,
            image_pull_secrets=tuple(image_pull_secret or ()),
            allowed_service_accounts=frozenset(allowed_service_account or ()),
            allowed=Allowed(
                *map(tuple, (allowed_secret, allowed_claim, allowed_toleration, allowed_node_label))
            ),
            disk_limit=disk_limit,
            keep_failed_seconds=_seconds(keep_failed_pods),
            image_pull_grace_seconds=_seconds(image_pull_grace),
            no_result_grace_seconds=_seconds(no_result_grace),
            backoff_seconds=_seconds(retry_backoff),
        ),
    )
    set_up(log_format)
    sys.setswitchinterval(THREADS_TAKE_TURNS_SECONDS)
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        operator = await build(settings, stack)
        # What is loaded by now stays: looking through it again and again would keep the event loop.
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
