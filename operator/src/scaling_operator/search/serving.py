"""A web server for a dashboard, in a thread of its own."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Generator
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from scaling_operator.search.mirror import Application


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 10  # a connection that says nothing does not hold its thread for ever

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
        pass


@contextmanager
def served(application: Application, host: str, port: int) -> Generator[int]:
    """Serve for as long as the block lasts; gives the port. Raises OSError where it is taken."""
    server = make_server(host, port, application, _Server, _Quiet)
    thread = threading.Thread(target=server.serve_forever, name="dashboard", daemon=True)
    thread.start()
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
