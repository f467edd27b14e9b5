"""What a run without a cluster makes of a container and a pod that were written for one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from scaling_operator.api.container import Container
from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.cli.run import ignored_locally
from scaling_operator.local.orphan_guard import OrphanGuard
from scaling_operator.local.workers import CommandRunner
from scaling_operator.validation.immutable import changed_parts

FROM_SECRET = {"name": "HUB_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}


def spec(trainer: dict[str, Any]) -> ExperimentSpec:
    objective = {"metric": "loss", "direction": "minimize"}
    return ExperimentSpec.model_validate({"objective": objective, "trainer": trainer})


def test_what_needs_a_cluster_is_named() -> None:
    container: dict[str, Any] = {
        "image": "me/train",
        "command": ["train"],
        "env": [{"name": "A", "value": "1"}, FROM_SECRET],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }

    notes = ignored_locally(spec({"container": container, "pod": {"nodeSelector": {"a": "b"}}}))

    assert [note.partition(" ")[0] for note in notes] == [
        "spec.trainer.container.image",
        "spec.trainer.container.volumes",
        "spec.trainer.container.env:",
        "spec.trainer.pod",
    ]
    assert "HUB_TOKEN" in notes[2]


def test_a_container_of_a_command_alone_needs_no_word() -> None:
    assert ignored_locally(spec({"container": {"command": ["train"]}})) == ()


def test_a_variable_from_a_secret_keeps_the_value_of_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TOKEN", "from my shell")
    command = ["sh", "-c", 'echo "$A $HUB_TOKEN"']
    container = Container.model_validate(
        {"command": command, "env": [{"name": "A", "value": "1"}, FROM_SECRET]}
    )
    log = tmp_path / "log"

    guard = OrphanGuard()
    ending = asyncio.run(CommandRunner(container, tmp_path, guard).run({}, log))
    guard.close()

    assert ending.exit_code == 0
    assert log.read_text() == "1 from my shell\n"


def test_where_pods_run_may_change_and_what_they_run_may_not() -> None:
    before = {"container": {"command": ["train"]}}

    assert changed_parts(spec(before), spec({**before, "pod": {"nodeSelector": {"a": "b"}}})) == ()
    assert changed_parts(spec(before), spec({"container": {"command": ["other"]}})) == (
        "spec.trainer",
    )
