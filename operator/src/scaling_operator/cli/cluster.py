"""The commands `get`, `watch` and `report` against a cluster; the kubectl plugin has them too."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from scaling_operator.cli import exit_codes
from scaling_operator.cli.console import results_console
from scaling_operator.cli.remote import CannotShow, Where, reached
from scaling_operator.runtime.record import ExperimentRecord
from scaling_trainer.writing import EXHAUSTED, write_file, write_output

Name = Annotated[str, typer.Argument(metavar="NAME", help="A ScalingExperiment.")]
Context = Annotated[
    str | None, typer.Option("--context", help="Context of the kubeconfig; none: the current one.")
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="None: the context's own.")
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="None: $KUBECONFIG, else ~/.kube/config.")
]
AllNamespaces = Annotated[
    bool, typer.Option("--all-namespaces", "-A", help="Experiments of all namespaces.")
]
ReportFile = Annotated[
    Path | None, typer.Option("--out", help="Where the page goes; none: NAME-report.html.")
]


def get(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="None: all.")] = None,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    everywhere: AllNamespaces = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Show experiments of a cluster, or one with its trials."""
    if everywhere and name is not None:
        message = f"{name} is looked for in one namespace: give --namespace, or leave out the name"
        raise CannotShow(message)
    where = Where(kubeconfig, context, namespace, everywhere)
    asyncio.run(_get(where, name))


async def _get(where: Where, name: str | None) -> None:
    from scaling_operator.cli.get import experiments_table, print_experiment  # noqa: PLC0415

    async with reached(where) as remote:
        if name is not None:
            print_experiment(results_console(), await remote.record(name))
            return
        experiments = await remote.experiments()
    if experiments:
        results_console().print(experiments_table(experiments, everywhere=where.everywhere))
    else:
        place = "this cluster" if where.everywhere else f"namespace {remote.namespace}"
        sys.stdout.write(f"no experiments in {place}\n")


def watch(
    name: Name,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Follow an experiment of a cluster until it is over."""
    from scaling_operator.cli.watch import watch as follow  # noqa: PLC0415

    try:
        code = asyncio.run(follow(results_console(), Where(kubeconfig, context, namespace), name))
    except KeyboardInterrupt:
        code = exit_codes.INTERRUPTED
    raise typer.Exit(code)


def write_report(where: Where, name: str, out: Path | None) -> Path:
    """Draw the report of an experiment of a cluster; return the path of the page.

    Raises RemoteError, and CannotShow where nothing can be written there.
    """
    from scaling_operator.report.build import draw  # noqa: PLC0415

    path = out or Path(f"{name}-report.html")
    page = draw(asyncio.run(_record(where, name)))
    try:
        (write_file if out is None else write_output)(path, page)
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        message = f"cannot write {path}: {error.strerror}"
        raise CannotShow(message) from error
    return path


async def _record(where: Where, name: str) -> ExperimentRecord:
    async with reached(where) as remote:
        return await remote.record(name)


def report(
    name: Name,
    context: Context = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    out: ReportFile = None,
) -> None:
    """Draw the report of an experiment of a cluster: the same page as locally."""
    sys.stdout.write(f"{write_report(Where(kubeconfig, context, namespace), name, out)}\n")
