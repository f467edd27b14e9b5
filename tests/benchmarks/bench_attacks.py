"""The memory of an operator's ports while many clients of this machine take all that they can get.

Honest clients go on meanwhile: trainers that report, a kubelet that probes, a Prometheus that
scrapes. `make benchmark-attacks` takes 10 minutes, with ATTACK_SECONDS=60 one. It ends with 1 where
the memory passes the chart's limit, or an honest client gets an answer of another kind.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import ssl
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from attacks import HERE, KINDS, Order
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
ATTACKS = Path(__file__).with_name("attacks.py")
SERVER = Path(__file__).with_name("attacked_server.py")
TRAINERS = 20
MIB = 2**20
QUIET_SECONDS = 3.0


@dataclass(slots=True)
class Honest:
    """What a kind of honest client has seen."""

    name: str
    seconds: list[float] = field(default_factory=list[float])
    failures: Counter[str] = field(default_factory=Counter[str])

    def row(self) -> str:
        """Write a line of the table."""
        sent = len(self.seconds) + self.failures.total()
        slow = statistics.quantiles(self.seconds, n=100)[98] if len(self.seconds) > 1 else 0.0
        why = f"  {dict(self.failures)}" if self.failures else ""
        return f"{self.name:<10}{len(self.seconds):>7} of {sent:<7} p99 {slow:6.3f} s{why}"


def token_of(pod_name: str) -> str:
    """Write a token that says whose it is; nobody signs here."""
    bound = {"namespace": "team", "pod": {"name": pod_name, "uid": pod_name}}
    claims = base64.urlsafe_b64encode(json.dumps({"kubernetes.io": bound}).encode()).decode()
    return f"eyJhbGciOiJub25lIn0.{claims.rstrip('=')}.c2ln"


def memory_bytes(pid: int) -> int:
    """Read what a process holds now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) * 1024


def limit_bytes() -> int:
    """Read the chart's limit."""
    yaml: Any = YAML(typ="safe", pure=True)
    values = yaml.load((ROOT / "charts/scaling-operator/values.yaml").read_text())
    text = str(values["resources"]["limits"]["memory"])
    return int(text.removesuffix("Mi")) * MIB


async def ask(
    session: aiohttp.ClientSession, honest: Honest, pause: float, until: float, **request: Any
) -> None:
    """Ask again and again, and note how long each answer took."""
    while time.monotonic() < until:
        started = time.monotonic()
        try:
            async with session.request(**request) as answer:
                await answer.read()
                if answer.status == 200:
                    honest.seconds.append(time.monotonic() - started)
                else:
                    honest.failures[str(answer.status)] += 1
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            honest.failures[type(error).__name__] += 1
        await asyncio.sleep(pause)


async def watch(pid: int, until: float, seen: list[int]) -> None:
    while time.monotonic() < until:
        seen.append(memory_bytes(pid))
        await asyncio.sleep(0.2)


async def honest_clients(
    ports: dict[str, int], context: ssl.SSLContext, until: float
) -> list[Honest]:
    """Report, probe and scrape, each in a session of its own as they would."""
    reports, probes, scrapes = Honest("reports"), Honest("probes"), Honest("scrapes")
    timeout = aiohttp.ClientTimeout(total=5)
    body = {"seq": 1, "step": 1, "metrics": {"val_loss": 0.5}}
    async with contextlib.AsyncExitStack() as stack:

        async def session(**options: Any) -> aiohttp.ClientSession:
            http_session = aiohttp.ClientSession(timeout=timeout, **options)
            return await stack.enter_async_context(http_session)

        def bearer(token: str) -> dict[str, str]:
            return {"Authorization": f"Bearer {token}"}

        url = f"https://{HERE}:{ports['reports']}/v1/report"
        secured: dict[str, Any] = {"method": "POST", "url": url, "json": body, "ssl": context}
        tasks = [
            ask(
                await session(headers=bearer(token_of(f"pod-{number}"))),
                reports,
                0.5,
                until,
                **secured,
            )
            for number in range(TRAINERS)
        ]
        probe: dict[str, Any] = {"method": "GET", "url": f"http://{HERE}:{ports['health']}/healthz"}
        alone = aiohttp.TCPConnector(force_close=True)
        tasks.append(ask(await session(connector=alone), probes, 1.0, until, **probe))
        url = f"https://{HERE}:{ports['metrics']}/metrics"
        scrape: dict[str, Any] = {"method": "GET", "url": url, "ssl": context}
        tasks.append(
            ask(await session(headers=bearer("prometheus")), scrapes, 5.0, until, **scrape)
        )
        await asyncio.gather(*tasks)
    return [reports, probes, scrapes]


async def attacked(order: Order) -> int:
    """Attack from a process of its own; return how often."""
    attackers = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ATTACKS),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await attackers.communicate(json.dumps(asdict(order)).encode())
    return int(said)


async def measure(seconds: float, clients: int, from_addresses: int) -> int:
    """Attack for so long; print a table; return the exit code."""
    with tempfile.TemporaryFile() as log:
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SERVER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
        assert server.stdout is not None and server.stdin is not None  # noqa: PT018
        ready_message = json.loads(await server.stdout.readline())
        ports: dict[str, int] = ready_message["ports"]
        context = ssl.create_default_context(cadata=ready_message["authority"])
        await asyncio.sleep(QUIET_SECONDS)
        before, seen = memory_bytes(server.pid), list[int]()
        until = time.monotonic() + seconds
        order = Order(seconds=seconds, clients=clients, addresses=from_addresses, **ready_message)
        honest, _, times = await asyncio.gather(
            honest_clients(ports, context, until),
            watch(server.pid, until, seen),
            attacked(order),
        )
        await asyncio.sleep(QUIET_SECONDS)
        after = memory_bytes(server.pid)
        server.stdin.close()
        await server.wait()
        log.seek(0)
        lines = log.read().splitlines()
    kinds = ", ".join(kind.__name__ for kind in KINDS)
    in_mib = [f"{amount / MIB:.0f}" for amount in (before, max(seen), after, limit_bytes())]
    rows = [
        f"{times} attacks by {clients} clients of {from_addresses} addresses, {seconds:.0f} s",
        f"ports: {', '.join(ports)}; kinds: {kinds}",
        "memory in MiB: {} before, {} at most, {} after; the chart's limit is {}".format(*in_mib),
        *(answers.row() for answers in honest),
        f"log: {len(lines)} lines, {sum(map(len, lines))} bytes",
    ]
    sys.stdout.write("\n".join(rows) + "\n")
    answered_wrongly = any(name.isdecimal() for answers in honest for name in answers.failures)
    return int(max(seen) > limit_bytes() or answered_wrongly)


def main() -> int:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--clients", type=int, default=900)
    parser.add_argument("--addresses", type=int, default=60)
    options = parser.parse_args()
    return asyncio.run(measure(options.seconds, options.clients, options.addresses))


if __name__ == "__main__":
    sys.exit(main())
