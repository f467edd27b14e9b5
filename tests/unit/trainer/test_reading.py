"""What others wrote is read within bounds of size, depth and kind, or refused by its path."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_trainer.reading import (
    MissingFile,
    UnreadableFile,
    parse_json,
    read_bytes,
    read_json,
    read_json_object,
    read_text,
)
from scaling_trainer.strict_json import MOST_DEPTH

MOST_BYTES = 1000


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def make_file(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(make_fifo, "is a pipe, not a file", id="a pipe that nobody writes to"),
        pytest.param(make_socket, "is a socket, not a file", id="a socket"),
        pytest.param(Path.mkdir, "is a folder", id="a folder"),
        pytest.param(make_link("/dev/zero"), "is a device, not a file", id="a device without end"),
        pytest.param(make_link("/dev/null"), "is a device, not a file", id="a device of nothing"),
        pytest.param(make_link("file"), "cannot be read: Too many levels", id="a link to itself"),
        pytest.param(make_link("nowhere"), "no such file", id="a link to nothing"),
        pytest.param(make_file(b" " * 1001), "is larger than 1000 bytes", id="a byte too many"),
        pytest.param(make_file(b"\xff\xfe{}"), "is not UTF-8 text (byte 0)", id="another encoding"),
        pytest.param(make_file(b""), "is empty", id="an empty file"),
        pytest.param(make_file(b'{"a": 1'), "is no JSON", id="a file that was cut off"),
        pytest.param(make_file(b"[1]"), "is no JSON object", id="a list"),
        pytest.param(
            make_file(b'{"a": -1' + b"0" * 400 + b"}"),
            "is no JSON: it holds a whole number of",
            id="a number that no double holds",
        ),
        pytest.param(make_file(rb'{"a": "\ud800"}'), "has half a character", id="half a character"),
        pytest.param(make_file(b"[" * 900), "is no JSON", id="brackets that never close"),
        pytest.param(
            make_file(b"[" * 100 + b"]" * 100), "is nested deeper than", id="too many levels"
        ),
    ],
)
@pytest.mark.timeout(20)
def test_what_is_no_such_file_is_refused_by_path_and_reason(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    path = tmp_path / "file"
    make(path)
    with pytest.raises(UnreadableFile) as refused:
        read_json_object(path, MOST_BYTES)
    assert str(refused.value).startswith(f"{path}: {reason}")
    assert refused.value.path == path


@pytest.mark.parametrize("link", ["file.json", "folder", "folder/inner"])
def test_below_a_folder_of_others_no_link_is_followed(tmp_path: Path, link: str) -> None:
    elsewhere, below = tmp_path / "elsewhere", tmp_path / "below"
    below.mkdir()
    (elsewhere / "inner").mkdir(parents=True)
    for place in (elsewhere / "file.json", elsewhere / "inner" / "file.json"):
        place.write_text("{}")
    if link == "file.json":
        (below / link).symlink_to(elsewhere / "file.json")
    elif link == "folder":
        (below / link).symlink_to(elsewhere)
    else:
        (below / "folder").mkdir()
        (below / link).symlink_to(elsewhere / "inner")
    path = below / link if link == "file.json" else below / link / "file.json"
    assert read_json(path, MOST_BYTES) == {}
    with pytest.raises(UnreadableFile, match="is a link"):
        read_json(path, MOST_BYTES, below=below)


def test_the_folder_itself_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file.json").write_text('{"a": 1}')
    (tmp_path / "here").symlink_to(tmp_path / "there")
    here = tmp_path / "here"
    assert read_json(here / "file.json", MOST_BYTES, below=here) == {"a": 1}


def test_a_path_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "file").write_text("{}")
    with pytest.raises(UnreadableFile, match="leads out of"):
        read_json(tmp_path / "inner" / ".." / "file", MOST_BYTES, below=tmp_path / "inner")


def test_a_missing_file_is_told_from_one_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingFile):
        read_bytes(tmp_path / "no" / "file", MOST_BYTES)
    for path in (tmp_path / "file" / "below", tmp_path / "a\0b"):
        with pytest.raises(UnreadableFile, match="cannot be read") as refused:
            read_bytes(path, MOST_BYTES)
        assert not isinstance(refused.value, MissingFile)


def test_a_file_of_just_the_bound_is_read_and_a_byte_order_mark_is_none_of_the_text(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbf" + b"a" * (MOST_BYTES - 3))
    assert read_text(path, MOST_BYTES) == "a" * (MOST_BYTES - 3)


def test_a_pipe_that_the_user_has_laid_is_read() -> None:
    reading_end, writing_end = os.pipe()
    threading.Timer(
        0.05, lambda: (os.write(writing_end, b'{"a": 1}'), os.close(writing_end))
    ).start()
    assert read_json(Path(f"/dev/fd/{reading_end}"), MOST_BYTES) == {"a": 1}
    os.close(reading_end)


def test_a_pipe_without_end_is_read_to_the_bound_alone() -> None:
    code = (
        "import sys; from pathlib import Path; from scaling_trainer.reading import *\n"
        "try: read_bytes(Path('/dev/stdin'), 1000)\n"
        "except TooLarge: print('refused')"
    )
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless:
        ran = subprocess.run(
            [sys.executable, "-c", code],
            stdin=endless.stdout,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        endless.terminate()
    assert ran.stdout == "refused\n"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@given(JSON)
def test_a_document_is_what_json_says_it_is(document: object) -> None:
    assert parse_json(json.dumps(document), "source") == document


@given(st.binary(max_size=60))
def test_any_bytes_are_a_document_or_are_refused(content: bytes) -> None:
    try:
        parse_json(content, "source")
    except UnreadableFile:
        with pytest.raises(ValueError):  # noqa: PT011 # json's own, whatever it says
            json.loads(content)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_levels_are_counted_exactly(opening: str) -> None:
    closing = "]" if opening == "[" else "}"

    def text(levels: int) -> str:
        return opening * levels + "0" + closing * levels

    parse_json(text(MOST_DEPTH), "source")
    for deeper in (MOST_DEPTH + 1, 100_000):
        with pytest.raises(UnreadableFile, match="is nested"):
            parse_json(text(deeper), "source")
