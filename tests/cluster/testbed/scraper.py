"""An account that may read an operator's metrics, as Prometheus has one."""

from __future__ import annotations

import base64
import ssl
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.access import admit, bind
from testbed.cluster import Cluster

ACCOUNT = "scraper"
SECRET = "scaling-operator-reports"


@dataclass(frozen=True, slots=True)
class Scraper:
    """What a scrape needs: a token, and whom to trust."""

    token: str
    authority: str

    def job(self, folder: Path, server_name: str) -> dict[str, Any]:
        """Write both into a folder; return what a scrape configuration says of them."""
        token, authority = folder / "scraper.token", folder / "scraper.ca"
        token.write_text(self.token)
        authority.write_text(self.authority)
        return {
            "scheme": "https",
            "authorization": {"credentials_file": str(token)},
            "tls_config": {"ca_file": str(authority), "server_name": server_name},
        }

    def read(self, port: int) -> str:
        """Read the metrics at a port of this machine. Raises HTTPError."""
        headers = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(f"https://127.0.0.1:{port}/metrics", headers=headers)
        context = ssl.create_default_context(cadata=self.authority)
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.read().decode()


@contextmanager
def admitted(cluster: Cluster, namespace: str, role: str) -> Generator[Scraper]:
    """Let an account of the operator's namespace scrape it, for as long as the block lasts."""
    admit(cluster, namespace, ACCOUNT)
    bind(cluster, role, namespace, ACCOUNT)
    try:
        token = cluster.kubectl("-n", namespace, "create", "token", ACCOUNT, "--duration=8h")
        data = cluster.read("-n", namespace, "secret", SECRET)["data"]
        yield Scraper(token.strip(), base64.b64decode(data["ca.crt"]).decode())
    finally:
        name = f"{namespace}-{ACCOUNT}-{role}"
        cluster.kubectl("delete", "clusterrolebinding", name, "--ignore-not-found")
        cluster.kubectl("-n", namespace, "delete", "serviceaccount", ACCOUNT, "--ignore-not-found")
