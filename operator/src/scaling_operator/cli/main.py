"""`scaling`: reads the command line, calls a command, and reports errors in plain words."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from scaling_operator.api.problems import InvalidSpec
from scaling_operator.cli import cluster, exit_codes
from scaling_operator.cli.console import plain_console, styled
from scaling_operator.cli.fit_options import FitCommand, fit
from scaling_operator.cli.remote import CannotShow, RemoteError
from scaling_operator.validation.load import load_experiment, load_policy
from scaling_trainer.reading import UnreadableFile
from scaling_trainer.writing import EXHAUSTED, NO_SPACE

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="How does performance depend on size, and which size should I train?",
)
errors = plain_console(stderr=True, soft_wrap=True)

ExperimentFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A ScalingExperiment, as YAML or JSON.")
]
Repair = Annotated[
    bool,
    typer.Option("--repair", help="Set aside what is damaged in the folder; go on with the rest."),
]
ResultFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The result folder of a run.")]


@app.command()
def run(
    file: ExperimentFile,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the results; the same one goes on.")
    ],
    parallel: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Trials at once, instead of trials.parallel."),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy",
            metavar="POLICY.yaml",
            help="A ResourcePolicy: what recommended sizes would take there; it sizes no trial.",
        ),
    ] = None,
    repair: Repair = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Run an experiment on this machine, or go on with it."""
    # Optuna and plots load slowly.
    from scaling_operator.cli.run import run_experiment  # noqa: PLC0415
    from scaling_operator.local.loading import RunRequest  # noqa: PLC0415

    prices = None if policy is None else load_policy(policy).spec
    request = RunRequest(
        experiment=load_experiment(file),
        data_folder=file.absolute().parent,
        out=out,
        parallel=parallel,
        policy=prices,
        repair=repair,
    )
    raise typer.Exit(run_experiment(request))


@app.command()
def validate(file: ExperimentFile) -> None:
    """Check an experiment file: every error at once, each with its path."""
    from scaling_operator.local.preflight import missing_here  # noqa: PLC0415
    from scaling_operator.validation.advice import warnings_of  # noqa: PLC0415

    experiment = load_experiment(file)
    missing = [str(problem) for problem in missing_here(experiment.spec, file.absolute().parent)]
    for warning in (*warnings_of(experiment), *missing):
        errors.print(f"warning: {warning}")
    sys.stdout.write(f"{file}: {experiment.metadata.name} is valid\n")


@app.command()
def plan(
    file: ExperimentFile,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="POLICY.yaml", help="A ResourcePolicy; none: CPUs alone."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON instead of tables.")] = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Say what each scale needs, which machine it gets and what it costs; no cluster is asked."""
    from scaling_operator.cli.plan import run_plan  # noqa: PLC0415

    raise typer.Exit(run_plan(file, policy, as_json=as_json))


@app.command()
def report(
    target: Annotated[
        str,
        typer.Argument(metavar="DIR|NAME", help="A result folder, or an experiment of a cluster."),
    ],
    context: cluster.Context = None,
    namespace: cluster.Namespace = None,
    kubeconfig: cluster.Kubeconfig = None,
    out: cluster.ReportFile = None,
) -> None:
    """Draw DIR/report.html again, or the same page of an experiment of a cluster.

    With --context, --namespace or --kubeconfig it is a cluster's.
    """
    if any(option is not None for option in (context, namespace, kubeconfig)):
        cluster.report(target, context, namespace, kubeconfig, out)
        return
    from scaling_operator.local.export import write_report  # noqa: PLC0415
    from scaling_operator.local.store import Store  # noqa: PLC0415

    if not Path(target).is_dir():
        message = (
            f"there is no folder {target}: an experiment of a cluster is drawn with --namespace "
            "or --context"
        )
        raise CannotShow(message)
    contents = Store(Path(target)).contents()
    for damage in contents.damaged:
        errors.print(f"warning: {damage}; left out")
    root = Path(target)
    sys.stdout.write(f"{write_report(root, contents.record, below=root)}\n")


@app.command()
def dashboard(
    folder: ResultFolder,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option(help="What else a browser calls this machine; may be given several times."),
    ] = None,
) -> None:
    """Browse a result folder with optuna-dashboard, also while the run goes on; it only reads."""
    from scaling_operator.cli.dashboard import show  # noqa: PLC0415

    raise typer.Exit(show(folder, host, port, name or ()))


app.command()(cluster.get)
app.command()(cluster.watch)


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(metavar="DIR/best", help="The winner's folder.")],
    table: Annotated[
        Path, typer.Argument(metavar="INPUT.csv", help="Rows to predict, with a header.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="File for the predictions.")] = None,
) -> None:
    """Predict with the best model: writes a CSV table to standard output, or to --out."""
    import subprocess  # noqa: PLC0415

    words = [sys.executable, "-m", "scaling_trainer", "predict", str(folder), str(table)]
    words += [] if out is None else ["--out", str(out)]
    raise typer.Exit(subprocess.run(words, check=False).returncode)  # noqa: S603 - our own module


@app.command(hidden=True)
def finish() -> None:
    """Save the best model of an experiment on its claim: what the finisher's pod runs."""
    from scaling_operator.cli.finish import finish as save  # noqa: PLC0415

    raise typer.Exit(save())


app.command(cls=FitCommand)(fit)


def main() -> None:
    """Run the command line."""
    _run(app)


def kubectl() -> None:
    """Run the plugin of kubectl: the commands that ask a cluster."""
    plugin = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Experiments of this cluster: list, follow, draw.",
    )
    for command in (cluster.get, cluster.watch, cluster.report):
        plugin.command()(command)
    _run(plugin)


def _run(commands: typer.Typer) -> None:
    from scaling_operator.local.store import StoreError  # noqa: PLC0415

    try:
        commands(standalone_mode=True)
    except InvalidSpec as invalid:
        for problem in invalid.problems:
            errors.print(styled((problem.path, "bold"), f": {problem.message}"))
        count = len(invalid.problems)
        errors.print(f"{count} error{'s' if count > 1 else ''}")
        sys.exit(exit_codes.WRONG_INPUT)
    except (StoreError, RemoteError, CannotShow, UnreadableFile) as error:
        errors.print(str(error))
        sys.exit(exit_codes.WRONG_INPUT)
    except OSError as error:
        errors.print(described(error))
        sys.exit(exit_codes.EXHAUSTED if error.errno in EXHAUSTED else exit_codes.WRONG_INPUT)


def described(error: OSError) -> str:
    """Say which file an error concerns, and what helps where the machine lacks something."""
    name = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    remedy = ""
    if error.errno in NO_SPACE:
        remedy = "; make room, and the same command goes on"
    elif error.errno in (errno.EMFILE, errno.ENFILE):
        remedy = "; allow more (ulimit -n) or lower trials.parallel, and the same command goes on"
    return f"{name}{error.strerror or error}{remedy}"
