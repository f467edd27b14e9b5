"""A real Prometheus that scrapes an operator once a second."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.process import free_port
from testbed.scraper import Scraper

START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A server that runs at an address: host and port."""

    address: str

    def get(self, path: str, **query: str) -> Any:
        """Ask its API, and return what it calls data. Raises HTTPError for a bad expression."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate an expression now, and return its series."""
        series: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return series

    def names(self) -> set[str]:
        """Names of all metrics that it has."""
        return set(self.get("label/__name__/values"))

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes: health, last error, duration of the last scrape."""
        active_targets: list[dict[str, Any]] = self.get("targets")["activeTargets"]
        return active_targets

    def wait(self, log: Path, check: Callable[[], None], seconds: float = START_SECONDS) -> None:
        """Wait until it scrapes one target. `check` raises where it can no longer come to that."""
        deadline = time.monotonic() + seconds
        while True:
            check()
            try:
                healths = [target["health"] for target in self.targets()]
                if healths == ["up"] and self.query("up"):
                    return
            except OSError as error:
                healths = [str(error)]
            said = f"{healths} {log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"it does not scrape one target: {said}"
            time.sleep(0.1)


def command(
    program: str, address: str, job: dict[str, Any], rules: Sequence[Path], folder: Path
) -> list[str]:
    """Write its configuration into a folder; return what starts it. `job`: a scrape config."""
    config = folder / "prometheus.json"  # JSON is YAML
    every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    document = {
        "global": every,
        "rule_files": [str(rule) for rule in rules],
        "scrape_configs": [{"job_name": "scaling-operator", **job}],
    }
    config.write_text(json.dumps(document))
    return [
        *(program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"),
        *(f"--web.listen-address={address}", "--log.level=warn"),
    ]


@contextmanager
def scraping(
    program: str, metrics_port: int, rules: Sequence[Path], folder: Path, scraper: Scraper
) -> Generator[Prometheus]:
    """Scrape an operator of this machine for as long as the block lasts."""
    targets = [{"targets": [f"127.0.0.1:{metrics_port}"]}]
    server = Prometheus(f"127.0.0.1:{free_port()}")
    secured = scraper.job(folder, "127.0.0.1")
    job = {"honor_labels": True, "static_configs": targets, **secured}
    starts = command(program, server.address, job, rules, folder)
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(starts, stdout=output, stderr=output, stdin=subprocess.DEVNULL)

    def check() -> None:
        assert process.poll() is None, log.read_text()[-2000:]

    try:
        server.wait(log, check)
        yield server
    finally:
        process.terminate()
        process.wait(20)
