"""A trainer's client, made here as it would be made within a pod that KWOK plays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling_operator.api.names import REPORT_AUDIENCE
from scaling_trainer.report import Reporter
from testbed.site import Site


def reporter_of(site: Site, pod_name: str, folder: Path, token: str | None = None) -> Reporter:
    """Make the client of a running pod, with a token that is bound to the pod, or another one."""
    pod: dict[str, Any] = site.cluster.read("-n", site.namespace, "pod", pod_name)
    (container,) = pod["spec"]["containers"]
    environment = {variable["name"]: variable.get("value", "") for variable in container["env"]}
    file = folder / f"{pod_name}.token"
    file.write_text(token_of(site, pod_name) if token is None else token)
    environment["SCALING_REPORT_TOKEN_FILE"] = str(file)
    environment["SCALING_RESULT_FILE"] = str(folder / f"{pod_name}.result")
    return Reporter.from_environment(environment)


def token_of(site: Site, pod_name: str) -> str:
    """Have the API server issue a token as the kubelet asks for it."""
    bound = ("--bound-object-kind=Pod", f"--bound-object-name={pod_name}")
    return site.kubectl("create", "token", "default", "--audience", REPORT_AUDIENCE, *bound)
