"""A real Prometheus that scrapes an operator once a second."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.process import free_port

START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A server that runs."""

    port: int

    def get(self, path: str, **query: str) -> Any:
        """Ask its API, and return what it calls data. Raises HTTPError for a bad expression."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate an expression now, and return its series."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def names(self) -> set[str]:
        """Names of all metrics that it has."""
        return set(self.get("label/__name__/values"))

    def target(self) -> dict[str, Any]:
        """The one that it scrapes: health, last error, duration of the last scrape."""
        (found,) = self.get("targets")["activeTargets"]
        return found


@contextmanager
def scraping(
    program: str, metrics_port: int, rules: Sequence[Path], folder: Path
) -> Generator[Prometheus]:
    """Scrape an operator for as long as the block lasts."""
    config = folder / "prometheus.json"  # JSON is YAML
    job = {
        "job_name": "scaling-operator",
        "honor_labels": True,
        "static_configs": [{"targets": [f"127.0.0.1:{metrics_port}"]}],
    }
    every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    document = {
        "global": every,
        "rule_files": [str(rule) for rule in rules],
        "scrape_configs": [job],
    }
    config.write_text(json.dumps(document))
    port = free_port()
    command = [
        *(program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        server = Prometheus(port)
        _wait(server, process, folder)
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _wait(server: Prometheus, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if server.query("up") and server.target()["health"] == "up":
                return
        except OSError:
            pass
        log = (folder / "prometheus.log").read_text()[-2000:]
        assert process.poll() is None, log
        assert time.monotonic() < deadline, f"it does not scrape: {log}"
        time.sleep(0.1)
