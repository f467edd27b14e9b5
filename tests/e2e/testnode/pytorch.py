"""PyTorch's packages in a folder: hard links to uv's cache, where the disk allows it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from testnode.commands import uv
from testnode.images import keep_newest, store

# Of Debian's Python in the images.
PYTHON = "3.11"


def packages() -> Path:
    """Make the folder with PyTorch, and what only PyTorch needs, as uv.lock names them."""
    wanted = _requirements()
    key = hashlib.sha256(wanted.encode()).hexdigest()[:16]
    folder = store() / f"pytorch-{key}"
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        names = folder.with_suffix(".txt")
        names.parent.mkdir(parents=True, exist_ok=True)
        names.write_text(wanted)
        into = ("--target", str(unfinished), "--python-version", PYTHON, "--compile-bytecode")
        uv("pip", "install", "--quiet", "--no-deps", *into, "-r", str(names))
        unfinished.rename(folder)
    keep_newest(folder)
    return folder


def _requirements() -> str:
    export = ("export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes")
    plain = (*export, "--no-header", "--no-annotate", "--extra", "trainer")
    without_torch = set(uv(*plain, "--prune", "torch").splitlines())
    return "\n".join(line for line in uv(*plain).splitlines() if line not in without_torch)
