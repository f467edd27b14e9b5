"""What a trainer has laid in its checkpoint folder is copied as files, and no link leads out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling_operator.local import export
from scaling_operator.local.export import copy_files


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    (folder / "epoch-2").mkdir(parents=True)
    (folder / "epoch-2" / "weights").write_text("two")
    (folder / "run.sh").write_text("#!/bin/sh")
    (folder / "run.sh").chmod(0o755)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "best"
    folder.mkdir()
    return folder


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


WHOLE = {"epoch-2/weights": "two", "run.sh": "#!/bin/sh"}


def test_files_come_with_their_rights_and_times(source: Path, target: Path) -> None:
    os.utime(source / "run.sh", (1_000_000, 1_000_000))
    assert copy_files(source, target) == ()
    assert files(target) == WHOLE
    assert os.access(target / "run.sh", os.X_OK)
    assert (target / "run.sh").stat().st_mtime == 1_000_000


@pytest.mark.parametrize("link", ["epoch-2/weights", "./run.sh", "epoch-2/../run.sh"])
def test_a_link_to_a_file_of_the_folder_becomes_that_file(
    source: Path, target: Path, link: str
) -> None:
    (source / "last").symlink_to(link)
    (source / "other").symlink_to("last")
    assert copy_files(source, target) == ()
    read = (source / link).read_text()
    assert files(target) == {**WHOLE, "last": read, "other": read}
    assert not (target / "last").is_symlink()


@pytest.mark.parametrize(
    ("lay", "reason"),
    [
        pytest.param(link_to("/etc/hostname"), "is a link", id="a file"),
        pytest.param(link_to("../secret"), "is a link", id="one beside"),
        pytest.param(link_to("/dev/zero"), "is a link", id="a device"),
        pytest.param(link_to("."), "is a link", id="the folder itself"),
        pytest.param(link_to("odd"), "is a link", id="itself"),
        pytest.param(link_to("nowhere"), "is a link", id="nothing"),
        pytest.param(link_to("/"), "is a link", id="all there is"),
        pytest.param(os.mkfifo, "is a pipe", id="a pipe"),
    ],
)
@pytest.mark.timeout(30)
def test_what_is_no_file_of_the_folder_is_left_out_and_named(
    source: Path, target: Path, lay: Callable[[Path], None], reason: str
) -> None:
    (source.parent / "secret").write_text("secret")
    lay(source / "odd")
    (note,) = copy_files(source, target)
    assert note.startswith(f"{source / 'odd'}: {reason}")
    assert note.endswith("; left out of best/")
    assert files(target) == WHOLE


def test_a_folder_that_is_a_link_is_not_entered(source: Path, target: Path) -> None:
    (source.parent / "outside").mkdir()
    (source.parent / "outside" / "secret").write_text("secret")
    (source / "epoch-3").symlink_to(source.parent / "outside")
    (source / "last").symlink_to("epoch-3/secret")
    assert len(copy_files(source, target)) == 2
    assert files(target) == WHOLE


def test_a_source_that_is_a_file_is_told(source: Path, target: Path) -> None:
    (note,) = copy_files(source / "run.sh", target)
    assert "cannot be read" in note


def test_depth_number_and_notes_are_bounded(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MOST_DEPTH", 3)
    monkeypatch.setattr(export, "MOST_FILES", 10)
    monkeypatch.setattr(export, "MOST_NOTES", 2)
    deep = source.joinpath(*"abcdef")
    deep.mkdir(parents=True)
    (deep / "file").write_text("")
    for number in range(3):
        (source / f"link{number}").symlink_to("/")
    notes = copy_files(source, target)
    assert notes[-1] == "and 2 more; left out of best/"
    assert len(notes) == 3
    for number in range(20):
        (source / f"{number}").write_text("")
    assert any("more than 10 files" in note for note in copy_files(source, target))
