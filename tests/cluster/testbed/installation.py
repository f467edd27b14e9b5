"""An operator that is installed in a namespace of its own, as people install it."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed import proxy
from testbed.access import kubeconfig
from testbed.chart import Object
from testbed.cluster import Cluster
from testbed.process import OperatorProcess
from testbed.proxy import Proxy
from testbed.reader import Reader
from testbed.shipped import ACCOUNT, grant, withdraw
from testbed.site import Site

# Problems become reasons after a second, so that the tests need not wait for minutes.
HASTY = ("--image-pull-grace", "1s", "--no-result-grace", "1s", "--retry-backoff", "200ms")


@dataclass(frozen=True, slots=True)
class Installation:
    """An operator, the namespace that it serves, and the proxy in between where there is one."""

    site: Site
    operator: OperatorProcess
    account: str
    """Name of the operator's account at the API server."""
    proxy: Proxy | None = None

    @property
    def between(self) -> Proxy:
        """The proxy. Fails where there is none."""
        assert self.proxy is not None, "this operator talks to the API server directly"
        return self.proxy


@dataclass(slots=True)
class Installer:
    """Installs operators: a control plane, the shipped documents, a folder for logs."""

    cluster: Cluster
    shipped: Sequence[Object]
    folder: Path
    prefix: str = "site"
    """Of its namespaces: the audit log tells by it which rights an operator had."""

    @contextmanager
    def installed(
        self, *options: str, through_proxy: bool = False, started: bool = True
    ) -> Generator[Installation]:
        """Install an operator with exactly the shipped rights; afterwards nothing of it is left."""
        # It is the cluster's, and may be left of another test's chart: it changes what trials get.
        self.cluster.kubectl("delete", "resourcepolicy", "default", "--ignore-not-found")
        namespace = f"{self.prefix}-{uuid.uuid4().hex[:8]}"
        self.cluster.kubectl("create", "namespace", namespace)
        self._wait_for_account(namespace)
        account = grant(self.cluster, namespace, self.shipped)
        pki = self.cluster.control_plane / "pki"
        site = Site(self.cluster, namespace, Reader(self.cluster.server, pki))
        try:
            if not through_proxy:
                operator = self.operator(namespace, options, None)
                yield from _running(Installation(site, operator, account), started=started)
                return
            with proxy.running(self.cluster.server, pki) as between:
                operator = self.operator(namespace, options, between.url)
                between.kill = operator.kill
                installation = Installation(site, operator, account, between)
                yield from _running(installation, started=started)
        finally:
            site.reader.close()
            withdraw(self.cluster, namespace, self.shipped)
            self.cluster.kubectl("delete", "namespace", namespace, "--wait=false")

    def operator(
        self, namespace: str, options: Sequence[str], server: str | None, name: str = "operator-0"
    ) -> OperatorProcess:
        """Make an operator process without starting it."""
        file = self.folder / f"{namespace}-{name}.kubeconfig"
        config = kubeconfig(self.cluster, namespace, ACCOUNT, file, server)
        fixed = ("--namespace", namespace, "--watch-namespace", namespace)
        log = self.folder / f"{namespace}-{name}.log"
        return OperatorProcess(config, log, (*fixed, *HASTY, *options), name)

    def _wait_for_account(self, namespace: str) -> None:
        # Without it the API server refuses every pod.
        wait = ("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
        self.cluster.kubectl("-n", namespace, *wait)


def _running(installation: Installation, *, started: bool) -> Generator[Installation]:
    try:
        if started:
            installation.operator.start().wait_ready()
        yield installation
    finally:
        installation.operator.kill()
