"""optuna-dashboard: copies of studies in one storage, and the web server that shows them.

The studies stay apart from their copies. A copy keeps its number for as long as it is shown, so
that its page may be reloaded. The server runs in a thread of its own, behind our bounds.
"""

from __future__ import annotations

import asyncio
import csv
import importlib
import io
import sys
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from scaling_operator.server.hosts import answers_to
from scaling_operator.server.limits import PortLimits
from scaling_operator.server.listen import BoundedServer, Port, ignore_refusal, listen
from scaling_trainer.csv_cells import disarmed

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI application."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
EXTRA = "optuna-dashboard is not installed: pip install 'scaling-operator[dashboard]'"
_TABLES = "/csv/"


class DashboardMissing(RuntimeError):
    """The extra `dashboard` is not installed."""


@dataclass(slots=True)
class _Shown:
    """A study that is shown: its id in the storage, and the ids of its trials by their numbers."""

    study_id: int
    trials: dict[int, int] = field(default_factory=dict[int, int])
    ended: set[int] = field(default_factory=set[int])


class Mirror:
    """Shows copies of studies. Safe across threads for one writer and many readers."""

    def __init__(self) -> None:
        self._storage = InMemoryStorage()
        self._shown: dict[str, _Shown] = {}

    def show(
        self,
        name: str,
        directions: Sequence[Literal["minimize", "maximize"]],
        trials: Iterable[FrozenTrial],
    ) -> None:
        """Bring the copy of a study up to date."""
        shown = self._shown.get(name)
        if shown is None:
            of_optuna = [StudyDirection[direction.upper()] for direction in directions]
            shown = self._shown[name] = _Shown(self._storage.create_new_study(of_optuna, name))
        for trial in trials:
            if trial.number not in shown.ended:
                self._take(shown, trial)

    def keep_only(self, names: Iterable[str]) -> None:
        """Drop the copies of all other studies."""
        for name in set(self._shown) - set(names):
            self._storage.delete_study(self._shown.pop(name).study_id)

    def application(self) -> Application:
        """Make the web application, which only reads. Raises DashboardMissing."""
        try:
            dashboard: Any = importlib.import_module("optuna_dashboard")
        except ModuleNotFoundError as error:
            raise DashboardMissing(EXTRA) from error
        return read_only(without_formulas(dashboard.wsgi(self._storage)))

    def _take(self, shown: _Shown, trial: FrozenTrial) -> None:
        shown_trial = shown.trials.get(trial.number)
        if shown_trial is None:
            shown.trials[trial.number] = self._storage.create_new_trial(shown.study_id, trial)
        else:
            for step, value in trial.intermediate_values.items():
                self._storage.set_trial_intermediate_value(shown_trial, step, value)
            if trial.state.is_finished():
                self._storage.set_trial_state_values(shown_trial, trial.state, trial.values)
        if trial.state.is_finished():
            shown.ended.add(trial.number)


def read_only(application: Application) -> Application:
    """Refuse every request that could change something."""

    def read_only_application(
        environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in READING:
            return application(environ, start_response)
        headers = [("Content-Type", "application/json"), ("Allow", ", ".join(sorted(READING)))]
        start_response("405 Method Not Allowed", headers)
        return [b'{"reason": "this dashboard only shows: studies are changed by their experiment"}']

    return read_only_application


def without_formulas(application: Application) -> Application:
    """Disarm the cells of downloaded tables that a spreadsheet would compute."""

    def disarming_application(
        environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if not environ["PATH_INFO"].startswith(_TABLES):
            return application(environ, start_response)
        heads: list[tuple[str, list[tuple[str, str]]]] = []

        def keep_head(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
            heads.append((status, headers))

        body = b"".join(application(environ, keep_head))
        status, headers = heads[-1]
        if any("csv" in value for name, value in headers if name.lower() == "content-type"):
            body = _disarmed_table(body.decode()).encode()
            headers = [header for header in headers if header[0].lower() != "content-length"]
        start_response(status, headers)
        return [body]

    return disarming_application


def _disarmed_table(table: str) -> str:
    written = io.StringIO()
    rows = csv.reader(io.StringIO(table, newline=""))
    csv.writer(written).writerows([disarmed(cell) for cell in row] for row in rows)
    return written.getvalue()


LIMITS = PortLimits(connections=64, connections_per_address=32)
"""A browser opens six; all connections through a proxy have the proxy's address."""
ANSWERS_AT_ONCE = 4
OTHER_NAME = (
    "This dashboard answers to addresses, localhost, names without a dot and names of Services. "
    "What else it is called has to be told: --name of scaling dashboard, dashboard.names of the "
    "chart.\n"
)


@contextmanager
def served(
    application: Application,
    host: str,
    port: int,
    refused: Callable[[str], None] = ignore_refusal,
    names: Collection[str] = (),
) -> Generator[int]:
    """Serve while the block runs; yields the port. Raises OSError where the port is taken.

    `refused` is called in the server's thread. `names` are further host names that it answers to.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="dashboard", daemon=True)
    thread.start()
    try:
        with ThreadPoolExecutor(ANSWERS_AT_ONCE, "dashboard-answer") as pool:
            app = web_application(application, pool, names)
            starting = listen(app, Port(host, port, LIMITS), refused)
            server: BoundedServer = asyncio.run_coroutine_threadsafe(starting, loop).result()
            try:
                yield server.port
            finally:
                asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def web_application(
    application: Application, pool: ThreadPoolExecutor, names: Collection[str] = ()
) -> web.Application:
    """Wrap a WSGI application, which reads no bodies; it answers in the threads of a pool."""

    async def answer(request: web.Request) -> web.Response:
        if not answers_to(request.host, names):
            return web.Response(status=421, text=OTHER_NAME)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, _answer, application, _environment(request))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


def _environment(request: web.Request) -> dict[str, Any]:
    """Describe a request as WSGI does: each character of a text stands for one byte."""
    host, _, port = request.host.rpartition(":")
    fields = {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()
    }
    return {
        **fields,
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path.encode("utf-8", "replace").decode("latin-1"),
        "QUERY_STRING": request.rel_url.raw_query_string,
        "SERVER_NAME": host or request.host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _answer(application: Application, environment: dict[str, Any]) -> web.Response:
    heads: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], None]:
        del exc_info
        heads.append((status, headers))
        return lambda _: None

    parts = application(environment, start_response)
    try:
        body = b"".join(parts)
    finally:
        getattr(parts, "close", lambda: None)()
    status, headers = heads[-1]
    code, _, reason = status.partition(" ")
    return web.Response(status=int(code), reason=reason, headers=headers, body=body)
