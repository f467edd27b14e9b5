"""What builds the images is pinned by hash, to what uv.lock names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = ("operator/Dockerfile", "trainer/Dockerfile")


def locked() -> dict[str, set[str]]:
    """Give the hashes of each package of the lock, by `name==version`."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return {
        f"{package['name']}=={package['version']}": {
            file["hash"] for file in (*package.get("wheels", ()), package.get("sdist", {})) if file
        }
        for package in packages
        if "version" in package
    }


def written() -> dict[str, set[str]]:
    """Give the same of the file that the Dockerfiles install from."""
    text = (ROOT / "trainer/image-tools.txt").read_text().replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines()]
    return {
        line[0]: {word.removeprefix("--hash=") for word in line if word.startswith("--hash=")}
        for line in lines
    }


def test_the_file_holds_what_the_lock_names() -> None:
    hashes_of_the_lock = locked()
    assert {name.partition("==")[0] for name in written()} >= {"uv", "hatchling"}
    for name, hashes in written().items():
        assert hashes, f"{name}: make image-tools"
        assert hashes == hashes_of_the_lock.get(name), f"{name}: make image-tools"


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_is_built_with_nothing_else(name: str) -> None:
    installs = re.findall(r"pip install[^\n&]*", (ROOT / name).read_text())
    assert installs
    for line in installs:
        assert "--require-hashes" in line or "--no-deps" in line, line
