"""What the rings' fixtures share: the choice of a cluster, and a word to the person who waits."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed.cluster import Cluster


def announcer(config: pytest.Config) -> Callable[[str], None]:
    """Say on the terminal what takes minutes: a silent test run looks hung."""
    capture: Any = config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        with capture.global_and_fixture_disabled():
            sys.stderr.write(f"\n{text}\n")

    return tell


def is_external() -> bool:
    """Whether the tests are to use the cluster that KUBECONFIG names."""
    return os.environ.get("SCALING_TEST_CLUSTER") == "external"


def external(folder: Path) -> Cluster:
    """The cluster that KUBECONFIG names; kubectl keeps its cache in `folder`."""
    program, config = shutil.which("kubectl"), os.environ.get("KUBECONFIG")
    if program is None or config is None:
        pytest.fail("SCALING_TEST_CLUSTER=external needs KUBECONFIG to be set, and kubectl")
    return Cluster(Path(config), Path(program), folder / "cache")
