"""Render the manifests for kubectl from the chart: `python tests/cluster/render.py`."""

from __future__ import annotations

import sys

from testbed.binaries import ensure
from testbed.chart import INSTALL, POLICY, install_manifest, policy_manifest


def main() -> None:
    """Write both manifests; Helm is built first where it was not."""
    helm = ensure(("helm",), lambda text: print(text, file=sys.stderr))["helm"]  # noqa: T201
    INSTALL.write_text(install_manifest(helm))
    POLICY.write_text(policy_manifest(helm))


if __name__ == "__main__":
    main()
