"""`scaling dashboard`: optuna-dashboard over a result folder."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scaling_operator.cli.remote import CannotShow
from scaling_operator.local.store import Store
from scaling_operator.report.build import studies_of
from scaling_operator.runtime.record import ExperimentRecord
from scaling_operator.search.dashboard import DashboardMissing, Mirror, served

REFRESH_SECONDS = 5.0


def show(folder: Path, host: str, port: int, names: Sequence[str] = ()) -> int:
    """Serve until Ctrl-C; return the exit code. Raises CannotShow and StoreError.

    `names`: what this machine is called besides its own name.
    """
    store = Store(folder)
    mirror = Mirror()
    refresh(mirror, store)
    try:
        host_names = (host, socket.gethostname(), *names)
        with served(mirror.application(), host, port, names=host_names) as bound_port:
            sys.stdout.write(f"http://{host}:{bound_port}/  (Ctrl-C ends it)\n")
            sys.stdout.flush()
            while True:
                time.sleep(REFRESH_SECONDS)
                refresh(mirror, store)
    except KeyboardInterrupt:
        return 0
    except DashboardMissing as error:
        raise CannotShow(str(error)) from error
    except OSError as error:
        message = f"cannot listen at {host}:{port}: {error.strerror or error}"
        raise CannotShow(message) from error


def refresh(mirror: Mirror, store: Store) -> None:
    """Show the trials as the folder has them now."""
    contents = store.contents()
    identity = contents.identity
    record = ExperimentRecord(
        name=identity.name,
        uid=identity.uid,
        spec=identity.spec,
        status=contents.status,
        trials=contents.trials,
    )
    for scale, study in studies_of(record).items():
        study.show(mirror, f"{identity.name} {scale}")
