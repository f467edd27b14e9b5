"""Images from the project's own Dockerfiles, without asking a registry of images.

Their base is Debian's smallest system with Python, which debootstrap makes from Debian's packages.
PyTorch, 5 GB with CUDA, is in none of them: the trainer's is built with TORCH_BACKEND=base, as for
a base image that has PyTorch, and the node lays PyTorch's packages into the containers.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from testbed.binaries import cache_folder

from testnode.commands import ROOT, run, uv

BASE = "localhost/scaling-base:test"
OPERATOR = "localhost/scaling-operator:test"
TRAINER = "localhost/scaling-trainer:test"
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# What .dockerignore lets through, and the Dockerfiles.
SOURCES = (
    *("LICENSE", "README.md", "pyproject.toml", "trainer/dependencies.sh"),
    *("operator/src", "trainer/src"),
)
RECIPES = ("uv.lock", "operator/Dockerfile", "trainer/Dockerfile")
KEPT = 2
_OWN = ("--mount", "--pid", "--mount-proc", "--fork", "--kill-child")
_USELESS = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale")


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the cache folder: its name, and the folder in OCI's layout that holds it."""

    reference: str
    archive: Path


@dataclass(frozen=True, slots=True)
class Images:
    """What a cluster runs: the operator, the trainer, and Debian with Python for a user's own."""

    base: Image
    operator: Image
    trainer: Image


def store() -> Path:
    """Folder of all that is kept for nodes, keyed by what the base is made of."""
    key = hashlib.sha256(f"2 {SUITE} {PACKAGES} {_USELESS}".encode()).hexdigest()[:16]
    return cache_folder() / f"node-{key}"


def build(tell: Callable[[str], None]) -> Images:
    """Build what has changed. Raises BuildFailed."""
    folder = store() / f"builds-{_digest(RECIPES)}"
    folder.mkdir(parents=True, exist_ok=True)
    keep_newest(folder)
    builder = _Builder(folder, tell)
    base = builder.base()
    # With optuna-dashboard, which a test opens; who does not ask for it does not load it.
    operator = builder.image("operator", OPERATOR, "EXTRAS=operator dashboard")
    trainer = builder.image("trainer", TRAINER, "TORCH_BACKEND=base")
    return Images(base, operator, trainer)


@dataclass(frozen=True, slots=True)
class _Builder:
    folder: Path
    tell: Callable[[str], None]

    def base(self) -> Image:
        image = Image(BASE, self.folder / "base")
        if not (image.archive / "index.json").exists():
            container = self._buildah("from", "scratch").strip()
            self._buildah("copy", "--quiet", container, str(debian(self.tell)), "/")
            path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            # It also holds the namespaces of pods: that image is to do nothing, for ever.
            self._buildah("config", "--env", path, "--cmd", '["sleep", "infinity"]', container)
            self._buildah("commit", "--quiet", "--rm", container, image.reference)
            self._push(image)
        return image

    def image(self, name: str, reference: str, *arguments: str) -> Image:
        image = Image(reference, self.folder / name)
        made_from = self.folder / f"{name}.sources"
        sources = " ".join((_digest(SOURCES), *arguments))
        if not made_from.exists() or made_from.read_text() != sources:
            self.tell(f"building the image of the {name} ...")
            build_arguments = (f"BASE_IMAGE={BASE}", "UV_CACHE_DIR=/uv-cache", *arguments)
            command = [
                *("build-using-dockerfile", "--layers", "--isolation", "chroot"),
                *("--network", "host", "--pull-never", *_registries()),
                *(f"--build-arg={argument}" for argument in build_arguments),
                *("--file", f"{name}/Dockerfile", "--tag", image.reference, str(ROOT)),
            ]
            self._buildah(*command)
            self._push(image)
            made_from.write_text(sources)
        return image

    def _push(self, image: Image) -> None:
        image.archive.mkdir(exist_ok=True)
        # Without it the index begins anew; equal layers beside it are the same files again.
        (image.archive / "index.json").unlink(missing_ok=True)
        quick = ("--compression-format", "zstd", "--compression-level", "1")
        target = f"oci:{image.archive}:{image.reference}"
        self._buildah("push", "--quiet", "--format", "oci", *quick, image.reference, target)

    def _buildah(self, *arguments: str) -> str:
        # Mounts and processes of its own, and no memory of earlier ones: whatever ends a build,
        # none is left.
        with tempfile.TemporaryDirectory(prefix="scaling-buildah-") as run_folder:
            places = ("--root", f"{self.folder}/buildah", "--runroot", run_folder)
            options = (*places, "--storage-driver", "overlay", *arguments)
            return run("unshare", *_OWN, "buildah", *options)


def debian(tell: Callable[[str], None]) -> Path:
    """Make the folder of a small Debian with Python, once."""
    folder = store() / "debian"
    if not folder.exists():
        tell(f"installing Debian {SUITE} for the images ...")
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        options = ("--variant=minbase", f"--include={PACKAGES}", SUITE, str(unfinished))
        run("debootstrap", *options)
        for name in _USELESS:
            shutil.rmtree(unfinished / name)
        unfinished.rename(folder)
    return folder


def keep_newest(folder: Path) -> None:
    """Call a folder of the store used, and remove its kind's that were not used of late."""
    folder.touch()
    kind = folder.name.partition("-")[0]
    ages = {
        sibling: sibling.stat().st_mtime
        for sibling in folder.parent.glob(f"{kind}-*")
        if sibling.is_dir()
    }
    for old in sorted(ages, key=ages.__getitem__)[:-KEPT]:
        shutil.rmtree(old)


def _registries() -> Iterator[str]:
    """Let a build reach the package indexes that this machine is set up for."""
    if CERTIFICATES.exists():
        yield f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"
    for name, files in _CONFIGURATIONS.items():
        if configuration := next((file for file in files if file.exists()), None):
            yield f"--secret=id={name},src={configuration}"
    yield f"--volume={uv('cache', 'dir').strip()}:/uv-cache"


_CONFIGURATIONS = {
    "pip": (Path.home() / ".config/pip/pip.conf", Path("/etc/pip.conf")),
    "uv": (Path.home() / ".config/uv/uv.toml", Path("/etc/uv/uv.toml")),
}


def _digest(names: tuple[str, ...]) -> str:
    """Digest of files and folders of the project."""
    total = hashlib.sha256()
    for name in names:
        path = ROOT / name
        inside = path.rglob("*") if path.is_dir() else (path,)
        for file in sorted(entry for entry in inside if "__pycache__" not in entry.parts):
            if file.is_file():
                total.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return total.hexdigest()[:16]
