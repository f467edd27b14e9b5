"""A claim for artifacts: data are read from it, the best model and the report are kept on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testbed.cluster import Cluster
from testbed.samples import read
from testbed.site import Site

SECONDS = 300.0


def claim_of(folder: Path) -> dict[str, Any]:
    return {"persistentVolumeClaim": {"claimName": folder.name.replace("_", "-")}}


@pytest.fixture
def folder(e2e_cluster: Cluster, site: Site, tmp_path: Path) -> Iterator[Path]:
    """A folder of the node, which a claim of the same name stands for."""
    # A pod runs as a user of its own, and a folder of the node takes no fsGroup.
    tmp_path.chmod(0o777)
    for parent in list(tmp_path.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    name = tmp_path.name.replace("_", "-")
    size = {"storage": "1Gi"}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": size,
            "accessModes": ["ReadWriteMany"],
            "hostPath": {"path": str(tmp_path)},
            "claimRef": {"namespace": site.namespace, "name": name},
            "storageClassName": "",
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": site.namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": size},
            "volumeName": name,
            "storageClassName": "",
        },
    }
    site.apply(volume, claim)
    yield tmp_path
    e2e_cluster.kubectl("delete", "pv", name, "--wait=false")


def test_the_best_model_its_test_score_and_the_report_are_kept_on_the_claim(
    site: Site, folder: Path
) -> None:
    (folder / "rows.csv").write_text(
        "a,b,kind\n" + "\n".join(f"{n % 7},{n % 5},{'even' if n % 2 else 'odd'}" for n in range(80))
    )
    document = read("case-study")
    document["metadata"]["name"] = "kept"
    document["spec"]["trials"] |= {"max": 2, "parallel": 2}
    document["spec"]["artifacts"] = claim_of(folder)
    built_in = document["spec"]["trainer"]["builtIn"]
    built_in |= {"dataset": {"name": "csv", "path": "rows.csv", "target": "kind"}, "epochs": 2}
    site.apply(document)
    site.wait(lambda: site.status("kept").get("export"), SECONDS, "the model is saved")
    status = site.status("kept")
    assert status["export"]["saved"], status["export"]
    assert status["best"]["testMetrics"]["test_f1"] >= 0
    site.wait(lambda: site.condition("kept", "Exported"), 30, "a condition says so")
    assert site.condition("kept", "Exported")["status"] == "True"
    kept = folder / "kept"
    names = {path.name for path in (kept / "best").iterdir()}
    assert {"weights.safetensors", "config.json", "preprocessing.json", "metrics.json"} <= names
    assert json.loads((kept / "result.json").read_text())["best"]["testMetrics"]
    assert "<html" in (kept / "report.html").read_text()[:2000]
    assert len((kept / "trials.csv").read_text().splitlines()) == 3
    site.wait(lambda: not site.pods("kept"), 60, "no pod is left")


def test_a_model_that_cannot_be_saved_is_said_with_its_reason(site: Site, folder: Path) -> None:
    document = read("case-study")
    document["metadata"]["name"] = "lost"
    document["spec"]["trials"] |= {"max": 1, "parallel": 1}
    document["spec"]["artifacts"] = claim_of(folder)
    document["spec"]["trainer"]["builtIn"]["epochs"] = 1
    (folder / "lost").mkdir()
    (folder / "lost").chmod(0o777)
    (folder / "lost" / ".best.new").write_text("a file where a folder belongs")
    (folder / "lost" / ".best.new").chmod(0o400)
    (folder / "lost" / "best").mkdir()
    (folder / "lost" / "best" / "somebody's").write_text("file")
    site.apply(document)
    site.wait(lambda: site.status("lost").get("export"), SECONDS, "the export has ended")
    assert not site.status("lost")["export"]["saved"]
    site.wait(lambda: site.condition("lost", "Exported"), 30, "a condition says so")
    assert site.condition("lost", "Exported")["reason"] == "ExportFailed"
    assert site.status("lost")["phase"] == "Succeeded", "its parameters and values survive"
