"""`scaling get`, `watch` and `report` against a cluster, and `kubectl scaling`."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from testbed import access, proxy
from testbed.api_request import ApiRequest
from testbed.documents import played
from testbed.effects import Answer, Effect
from testbed.installation import Installation
from testbed.process import OperatorProcess
from testbed.shipped import ACCOUNT

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def scene(installation: Installation) -> Installation:
    """A search that has ended, a ladder that has, one that goes on."""
    site = installation.site
    few = ("spec/trials", {"max": 6, "parallel": 3})
    ladder = ("spec/scaling", {"parameter": "width", "sizes": [4, 8]})
    site.apply(
        played("search", few, PLAY_2="exit-3"),
        played("ladder", few, ladder),
        played("hanging", few, PLAY="hang"),
    )
    site.wait_end("search")
    site.wait_end("ladder")
    return installation


def said(installation: Installation, *words: str, code: int = 0, folder: Path | None = None) -> str:
    """Run a command with the user's own kubeconfig, and return what it printed."""
    environment = os.environ | {
        "KUBECONFIG": str(installation.site.cluster.kubeconfig),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        words, capture_output=True, text=True, env=environment, cwd=folder, timeout=120, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_get_lists_the_experiments_of_a_namespace(scene: Installation) -> None:
    text = said(scene, "scaling", "get", "-n", scene.site.namespace)

    rows = {line.split()[0]: line.split() for line in text.splitlines()}
    assert list(rows) == ["NAME", "hanging", "ladder", "search"]
    assert rows["search"][1:5] == ["Succeeded", "6/6", "0", "1"]
    assert rows["hanging"][1:3] == ["Running", "0/6"]


def test_get_shows_one_experiment_with_its_trials(scene: Installation) -> None:
    text = said(scene, "scaling", "get", "search", "-n", scene.site.namespace)

    best = scene.site.status("search")["best"]
    assert "search Succeeded" in text
    assert f"Best: trial {best['trial']}, loss {best['values'][0]:.6g}" in text
    assert "0-2    Failed TrainerFailed" in text
    assert len(re.findall(r"^0-\d", text, re.MULTILINE)) == 6


def test_get_shows_a_ladder_by_scale(scene: Installation) -> None:
    text = said(scene, "scaling", "get", "ladder", "-n", scene.site.namespace)

    assert "width 4" in text
    assert "width 8" in text


def test_watch_ends_with_the_experiment_and_says_every_trial(scene: Installation) -> None:
    text = said(scene, "scaling", "watch", "search", "-n", scene.site.namespace)

    assert len(re.findall(r"^trial 0-\d", text, re.MULTILINE)) == 6
    assert "search Succeeded: 6 of 6 trials, 5 succeeded, 0 pruned, 1 failed" in text


def test_watch_outlasts_an_api_server_that_is_away_for_a_moment(
    scene: Installation, tmp_path: Path
) -> None:
    site, looks = scene.site, itertools.count()

    def second_look(request: ApiRequest) -> Effect | None:
        is_look = request.resource == "scalingexperiments" and next(looks) == 1
        return Answer(503, "ServiceUnavailable") if is_look else None

    with proxy.running(site.cluster.server, site.cluster.control_plane / "pki") as between:
        between.rule = second_look
        file = tmp_path / "through-the-proxy"
        access.kubeconfig(site.cluster, site.namespace, ACCOUNT, file, between.url)
        config = ("--kubeconfig", str(file))
        text = said(scene, "scaling", "watch", "search", "-n", site.namespace, *config)

    assert next(looks) == 3
    assert len(re.findall(r"^trial 0-\d", text, re.MULTILINE)) == 6


def test_why_nothing_starts_is_said(scene: Installation) -> None:
    site = scene.site
    site.apply(played("waiting", ("spec/resources", {"policy": "nobodys", "estimate": {}})))
    site.wait(lambda: site.status("waiting").get("conditions"), 20, "it was looked at")
    reason = "Sized is False, PolicyNotFound: "

    assert reason in said(scene, "scaling", "get", "waiting", "-n", site.namespace)
    watching = ["scaling", "watch", "waiting", "-n", site.namespace]
    config = ["--kubeconfig", str(site.cluster.kubeconfig)]
    with subprocess.Popen(
        [str(BIN / watching[0]), *watching[1:], *config], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
    assert line.startswith(reason)


def test_report_draws_the_page(scene: Installation, tmp_path: Path) -> None:
    command = ("scaling", "report", "search", "-n", scene.site.namespace)
    text = said(scene, *command, folder=tmp_path)

    page = (tmp_path / text.strip()).read_text()
    assert text.strip() == "search-report.html"
    assert "<html" in page
    assert "search" in page


def test_kubectl_knows_it_as_a_plugin(scene: Installation) -> None:
    kubectl = str(scene.site.cluster.program)

    text = said(scene, kubectl, "scaling", "get", "-n", scene.site.namespace)
    assert "search" in text
    assert "scaling" in said(scene, kubectl, "plugin", "list")


def kubeconfig(server: str) -> dict[str, Any]:
    """Somebody whom no server knows."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "one", "cluster": {"server": server, "insecure-skip-tls-verify": True}}
        ],
        "users": [{"name": "one", "user": {"token": "nobody"}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "current-context": "one",
    }


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("get", "nobody"), 'scalingexperiments.scaling-operator.dev "nobody" not found'),
        (("get", "--context", "nowhere"), "nowhere"),
        (("get", "--kubeconfig", "/nowhere"), "/nowhere"),
        (("get", "study", "-A"), "study is looked for in one namespace"),
        (("get", "--kubeconfig", "broken"), "kubeconfig broken cannot be read"),
        (("get", "--kubeconfig", "number"), "kubeconfig number cannot be read"),
        (("get", "--kubeconfig", "away"), "Is the cluster up, and is this the right context?"),
        (("get", "--kubeconfig", "stranger"), "Unauthorized"),
        (("watch", "nobody"), 'scalingexperiments.scaling-operator.dev "nobody" not found'),
        (("report", "nobody", "-n", "default"), '"nobody" not found'),
        (("report", "search"), "an experiment of a cluster is drawn with --namespace"),
        (("dashboard", "/nowhere"), "holds no experiment"),
        (("dashboard", "/nowhere", "--port", "99999"), "less than or equal to 65535"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_said_in_plain_words(
    scene: Installation, words: tuple[str, ...], complaint: str, tmp_path: Path
) -> None:
    server = scene.site.cluster.server
    (tmp_path / "broken").write_text("{]")
    (tmp_path / "number").write_text("5")
    (tmp_path / "away").write_text(json.dumps(kubeconfig("https://127.0.0.1:1")))
    (tmp_path / "stranger").write_text(json.dumps(kubeconfig(server)))

    text = said(scene, "scaling", *words, code=2, folder=tmp_path)

    assert complaint in text
    assert "Traceback" not in text


def test_a_report_that_cannot_be_written_is_said_in_plain_words(scene: Installation) -> None:
    out = ("--out", "/nowhere/page.html")
    text = said(scene, "scaling", "report", "search", "-n", scene.site.namespace, *out, code=2)

    assert "cannot write /nowhere/page.html: No such file or directory" in text


def test_who_may_not_read_is_told_what_is_missing(scene: Installation, tmp_path: Path) -> None:
    site, config = scene.site, tmp_path / "reader"
    access.kubeconfig(site.cluster, site.namespace, "default", config)

    command = ("scaling", "get", "-n", site.namespace, "--kubeconfig", str(config))
    text = said(scene, *command, code=2)

    assert f"system:serviceaccount:{site.namespace}:default" in text
    assert "cannot list resource" in text
    assert "Traceback" not in text


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['kubernetes'] = None; sys.argv = ['scaling', 'get'];"
        "from scaling_operator.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "pip install 'scaling-operator[operator]'" in done.stderr


def test_reading_needs_no_rights_but_to_read(scene: Installation) -> None:
    operator: OperatorProcess = scene.operator
    config = ("--kubeconfig", str(operator.kubeconfig))
    text = said(scene, "scaling", "get", "search", "-n", scene.site.namespace, *config)
    assert "search Succeeded" in text
