"""What the other tests of ring 3 take for granted: pods of our images run as on any cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from testbed.binaries import KUBERNETES_VERSION
from testbed.cluster import Cluster
from testnode.names import ImageNames
from testnode.pods import Document, pod, run

CALL_API = """
import os, ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
trust = ssl.create_default_context(cafile=f"{folder}/ca.crt")
url = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}/version"
with urllib.request.urlopen(url, context=trust, timeout=10) as answer:
    open("/dev/termination-log", "wb").write(answer.read())
"""
CALL_SERVICE = """
import os, urllib.request
url = f"http://{os.environ['GREETER_SERVICE_HOST']}:{os.environ['GREETER_SERVICE_PORT']}/etc/hostname"
with urllib.request.urlopen(url, timeout=10) as answer:
    open("/dev/termination-log", "wb").write(answer.read())
"""
TRAIN = """
import json, os, torch
model = torch.nn.Linear(4, 1)
model(torch.ones(8, 4)).sum().backward()
result = {"v": 1, "value": float(model.weight.grad.sum()), "user": os.getuid()}
open("/dev/termination-log", "w").write(json.dumps(result))
"""
HAS_TORCH = """
import importlib.util, json
names = ("torch", "kopf", "pandas", "scaling_operator", "scaling_trainer")
found = [name for name in names if importlib.util.find_spec(name)]
open("/dev/termination-log", "w").write(json.dumps(found))
"""

RunPod = Callable[..., Document]


@pytest.fixture(scope="module")
def restricted(e2e_cluster: Cluster, namespace: str) -> str:
    """A namespace that refuses what the restricted profile forbids."""
    label = "pod-security.kubernetes.io/enforce=restricted"
    e2e_cluster.kubectl("label", "namespace", namespace, label)
    return namespace


@pytest.fixture
def run_pod(e2e_cluster: Cluster, restricted: str) -> RunPod:
    def call(name: str, image: str, *command: str, limits: Document | None = None) -> Document:
        return run(e2e_cluster, restricted, pod(name, image, *command, limits=limits))

    return call


def test_node_is_ready_and_of_the_pinned_version(e2e_cluster: Cluster, node: object) -> None:
    del node
    (node_object,) = e2e_cluster.read("nodes")["items"]
    conditions = {
        condition["type"]: condition["status"] for condition in node_object["status"]["conditions"]
    }
    assert conditions["Ready"] == "True"
    assert node_object["status"]["nodeInfo"]["kubeletVersion"] == KUBERNETES_VERSION


def test_trainer_image_trains_and_its_result_arrives(images: ImageNames, run_pod: RunPod) -> None:
    ended = run_pod("torch", images.trainer, "python", "-c", TRAIN)
    assert json.loads(ended["message"]) == {"v": 1, "value": 32.0, "user": 65532}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param(
            "operator",
            ["kopf", "scaling_operator", "scaling_trainer"],
            id="the operator's: kopf, no PyTorch, and the trainer's package for its contract",
        ),
        pytest.param(
            "trainer",
            ["torch", "pandas", "scaling_operator", "scaling_trainer"],
            id="the trainer's: PyTorch, and what draws report.html",
        ),
    ],
)
def test_image_holds_what_it_needs(
    name: str, expected: list[str], images: ImageNames, run_pod: RunPod
) -> None:
    image = getattr(images, name)
    assert (
        json.loads(run_pod(f"{name}-has", image, "python", "-c", HAS_TORCH)["message"]) == expected
    )


def test_trainer_starts_without_a_command(images: ImageNames, run_pod: RunPod) -> None:
    """Its entry point runs a trial, and says which variable it misses where there is none."""
    assert run_pod("bare", images.trainer)["exitCode"] != 0


def test_pod_reaches_the_api_server_by_its_service(images: ImageNames, run_pod: RunPod) -> None:
    ended = run_pod("api", images.python, "python3", "-c", CALL_API)
    assert json.loads(ended["message"])["major"] == "1"


def test_pod_reaches_another_by_a_service(
    images: ImageNames, run_pod: RunPod, e2e_cluster: Cluster, restricted: str
) -> None:
    kubectl = e2e_cluster.kubectl
    server = pod("greeter", images.python, "python3", "-m", "http.server", "8000")
    kubectl("-n", restricted, "create", "-f", "-", stdin=server)
    kubectl("-n", restricted, "expose", "pod/greeter", "--port=80", "--target-port=8000")
    kubectl("-n", restricted, "wait", "pod/greeter", "--for=condition=Ready", "--timeout=60s")
    ended = run_pod("guest", images.python, "python3", "-c", CALL_SERVICE)
    assert ended.get("message", "").strip() == "greeter"


def test_logs_are_read_and_commands_are_run_in_a_pod(
    e2e_cluster: Cluster, restricted: str, images: ImageNames
) -> None:
    talker = pod("talker", images.python, "sh", "-c", "echo hello; sleep 600")
    e2e_cluster.kubectl("-n", restricted, "create", "-f", "-", stdin=talker)
    e2e_cluster.kubectl("-n", restricted, "wait", "pod/talker", "--for=condition=Ready")
    assert e2e_cluster.kubectl("-n", restricted, "logs", "talker") == "hello\n"
    assert e2e_cluster.kubectl("-n", restricted, "exec", "talker", "--", "id", "-u") == "65532\n"


def test_pod_with_an_advertised_gpu_runs(gpus: str, images: ImageNames, run_pod: RunPod) -> None:
    command = ("sh", "-c", "echo ran > /dev/termination-log")
    assert run_pod("gpu", images.python, *command, limits={gpus: 1})["message"] == "ran\n"


def test_pod_that_asks_for_more_gpus_than_there_are_stays_pending(
    gpus: str, e2e_cluster: Cluster, restricted: str, images: ImageNames
) -> None:
    greedy = pod("greedy", images.python, "true", limits={gpus: 9})
    e2e_cluster.kubectl("-n", restricted, "create", "-f", "-", stdin=greedy)
    unscheduled = "--for=condition=PodScheduled=false"
    e2e_cluster.kubectl("-n", restricted, "wait", "pod/greedy", unscheduled, "--timeout=30s")
    status: Any = e2e_cluster.read("-n", restricted, "pod/greedy")["status"]
    assert status["conditions"][0]["reason"] == "Unschedulable"
