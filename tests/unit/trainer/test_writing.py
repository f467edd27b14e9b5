"""Files are written whole or not at all, and no link that others have laid is followed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from scarce import files_end_at

from scaling_trainer.writing import (
    fresh_file,
    is_temporary,
    make_folder,
    open_regular_for_writing,
    remove,
    temporary_name,
    whole_file,
    write_file,
    write_output,
)


def in_folder(path: Path) -> None:
    write_file(path, "ours", below=path.parent)


def by_name(path: Path) -> None:
    write_file(path, "ours")


def as_log(path: Path) -> None:
    with fresh_file(path, below=path.parent) as log:
        log.write(b"ours")


@pytest.mark.parametrize("write", [in_folder, by_name, as_log])
@pytest.mark.parametrize("laid", ["at the place", "at the temporary file"])
@pytest.mark.parametrize("kind", ["symbolic", "hard", "dangling"])
def test_a_link_is_replaced_and_what_it_names_stays_as_it_is(
    tmp_path: Path, write: Callable[[Path], None], laid: str, kind: str
) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "folder"
    folder.mkdir()
    victim.write_text("theirs")
    path = folder / "file"
    link = path if laid == "at the place" else folder / temporary_name(path)
    match kind:
        case "symbolic":
            link.symlink_to(victim)
        case "hard":
            link.hardlink_to(victim)
        case _:
            link.symlink_to(tmp_path / "made")
    write(path)
    assert victim.read_text() == "theirs"
    assert not (tmp_path / "made").exists()
    assert path.read_text() == "ours"
    assert not path.is_symlink()


def test_a_folder_that_is_a_link_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner").symlink_to(tmp_path / "elsewhere")
    below = tmp_path / "folder"
    for write in (
        lambda: write_file(below / "inner" / "file", "ours", below=below),
        lambda: make_folder(below / "inner" / "more", below=below),
        lambda: make_folder(below / "inner", below=below),
    ):
        with pytest.raises(NotADirectoryError, match="is a link"):
            write()
    assert not any((tmp_path / "elsewhere").iterdir())


def test_folders_are_made_and_their_being_there_is_no_error(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "a" / "b", below=tmp_path)
    assert (tmp_path / "a" / "b").is_dir()


def test_what_does_not_fit_leaves_the_old_content_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, "old")
    with files_end_at(100), pytest.raises(OSError, match="too large") as failed:
        write_file(path, "n" * 1000)
    assert (failed.value.errno, failed.value.filename) == (errno.EFBIG, str(path))
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_what_was_raised_meanwhile_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, "old")
    with contextlib.suppress(KeyError), whole_file(path) as file:
        file.write(b"new")
        raise KeyError
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = {"a" * 100_000, "b" * 200_000}
    write_file(path, "a" * 100_000)
    ended = threading.Event()

    def write() -> None:
        for _ in range(100):
            for content in contents:
                write_file(path, content)
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not ended.is_set():
        assert path.read_text() in contents
    writer.join()


@pytest.mark.parametrize("place", ["missing/file", "folder", "file/below"])
def test_where_nothing_can_be_written_the_place_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError) as failed:  # noqa: PT011 # which one differs
        write_file(tmp_path / place, "ours")
    assert failed.value.filename == str(tmp_path / place)


def test_a_lock_is_no_link_and_no_pipe_and_keeps_its_content(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    (tmp_path / "link").symlink_to(victim)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError) as failed, open_regular_for_writing(tmp_path / name, os.O_RDWR):  # noqa: PT011
            pass
        assert failed.value.filename == str(tmp_path / name)
    with open_regular_for_writing(victim, os.O_RDWR):
        pass
    assert victim.read_text() == "theirs"


def test_what_is_removed_is_the_link_and_never_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").write_text("theirs")
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "link").symlink_to(tmp_path / "theirs")
    (folder / "link").symlink_to(tmp_path / "theirs")
    for name in ("link", "inner", "nothing"):
        remove(folder / name, below=folder)
    assert not any(folder.iterdir())
    assert (tmp_path / "theirs" / "file").read_text() == "theirs"


def test_an_output_goes_where_the_user_said(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "page.html").symlink_to(tmp_path / "site" / "page.html")
    for content in ("one", "two"):
        write_output(tmp_path / "page.html", content)
        assert (tmp_path / "site" / "page.html").read_text() == content
    assert (tmp_path / "page.html").is_symlink()


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1"])
def test_an_output_may_be_a_pipe(place: str) -> None:
    code = (
        "import sys; from pathlib import Path; from scaling_trainer.writing import write_output;"
        "write_output(Path(sys.argv[1]), 'said')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, place], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "said"


def test_others_may_read_what_the_mask_lets_them(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write_file(tmp_path / "file", "ours")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_leftover_is_known_by_its_name() -> None:
    assert is_temporary(temporary_name(Path("trial.json")))
    assert not any(map(is_temporary, ("trial.json", ".lock", "a.new", ".token")))
