"""`scaling run`: signals, the progress display and the summary at the end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable, Iterator

from scaling_operator.api.experiment import ExperimentSpec, Trainer
from scaling_operator.api.names import Phase
from scaling_operator.api.status import ExperimentStatus
from scaling_operator.cli import exit_codes
from scaling_operator.cli.console import results_console
from scaling_operator.cli.progress import Display, open_display
from scaling_operator.cli.summary import print_summary
from scaling_operator.local.loading import RunRequest
from scaling_operator.local.session import run_session
from scaling_operator.validation.advice import warnings_of


def run_experiment(request: RunRequest) -> int:
    """Run to the end, to Ctrl-C or to the closing of the terminal; return the exit code."""
    console = results_console()
    experiment = request.experiment
    for note in (*warnings_of(experiment), *ignored_locally(experiment.spec)):
        console.print(f"note: {note}", style="dim")
    with open_display(console, experiment) as display:
        status, interrupted = asyncio.run(_run(request, display))
    print_summary(console, experiment, status, request.out, interrupted=interrupted)
    if interrupted:
        return exit_codes.INTERRUPTED
    return exit_codes.FAILED if status.phase is Phase.FAILED else 0


async def _run(request: RunRequest, display: Display) -> tuple[ExperimentStatus, bool]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def request_stop() -> None:
        if not stop.is_set():
            display.on_stop()
        stop.set()

    # Once a terminal is closed, nothing tells it from a file.
    terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    def hang_up() -> None:
        silence(terminals)
        request_stop()

    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, request_stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        loop.add_signal_handler(signal.SIGHUP, hang_up)
    status = await run_session(request, display.hooks(), stop)
    return status, stop.is_set()


def silence(terminals: Iterable[int]) -> None:
    """Discard what would be written to a closed terminal: such a write can only fail."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    for descriptor in terminals:
        os.dup2(null_device, descriptor)
    os.close(null_device)


def ignored_locally(spec: ExperimentSpec) -> tuple[str, ...]:
    """Name what the file asks for and a run without a cluster ignores."""
    notes = list(_ignored_of_trainer(spec.trainer))
    if "resources" in spec.model_fields_set:
        notes.append("spec.resources is not used: trials share this machine")
    if spec.budget.gpu_hours is not None or spec.budget.cost is not None:
        notes.append("spec.budget.gpuHours and cost are not counted in a local run")
    if spec.artifacts.persistent_volume_claim is not None:
        notes.append("spec.artifacts is not used: data lie beside the file, results under --out")
    return tuple(notes)


def _ignored_of_trainer(trainer: Trainer) -> Iterator[str]:
    container = trainer.container
    if container is not None and container.image is not None:
        yield "spec.trainer.container.image is not used: the command runs on this machine"
    if container is not None and container.volumes:
        yield "spec.trainer.container.volumes are not mounted: use paths of this machine"
    for variable in () if container is None else container.env:
        if variable.value_from is not None:
            yield (
                f"spec.trainer.container.env: {variable.name} is not read from the cluster; it has "
                "the value that your shell gives it"
            )
    if "pod" in trainer.model_fields_set:
        yield "spec.trainer.pod is not used: there are no pods"
