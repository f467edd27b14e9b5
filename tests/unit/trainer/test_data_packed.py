"""Tables that were packed are read as they were; what expands without end is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling_trainer.config.data import Ratings, Table
from scaling_trainer.data import opening
from scaling_trainer.data.delimited import TextFormat, read_delimited
from scaling_trainer.data.files import ratings, table
from scaling_trainer.data_error import DataError

ROWS = "x,y\n" + "".join(f"{at},{at * at}\n" for at in range(1, 2001))


def zipped(*names: str) -> Callable[[bytes], bytes]:
    def pack(content: bytes) -> bytes:
        archive_bytes = io.BytesIO()
        with zipfile.ZipFile(archive_bytes, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, content)
        return archive_bytes.getvalue()

    return pack


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": (".csv.gz", gzip.compress),
    "gzip in two parts": (
        ".csv.gz",
        lambda content: gzip.compress(content[:500]) + gzip.compress(content[500:]),
    ),
    "bzip2": (".csv.bz2", bz2.compress),
    "xz": (".csv.xz", lzma.compress),
    "zip": (".zip", zipped("table.csv")),
    "zip in capitals": (".CSV.ZIP", zipped("table.csv")),
    "zip of a folder, as macOS makes it": (
        ".csv.zip",
        zipped("data/", "data/table.csv", "__MACOSX/data/._table.csv", ".DS_Store"),
    ),
}


@pytest.mark.parametrize("how", PACKED)
def test_a_packed_table_is_read_as_the_plain_one(how: str, tmp_path: Path) -> None:
    ending, pack = PACKED[how]
    (tmp_path / "plain.csv").write_text(ROWS)
    (tmp_path / f"packed{ending}").write_bytes(pack(ROWS.encode()))

    plain, packed = (
        read_delimited(tmp_path / name, TextFormat(("y",)))
        for name in ("plain.csv", f"packed{ending}")
    )

    assert packed.frame.equals(plain.frame)
    assert packed.notes == plain.notes


def test_a_packed_table_trains(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(ROWS.encode()))
    document = {"name": "csv", "path": "t.csv.gz", "target": "y"}

    source = table(Table.model_validate(document), tmp_path, "regression")

    assert list(source.target[:3]) == [1, 4, 9]


def test_packed_ratings_are_read(tmp_path: Path) -> None:
    rows = "user,item,rating\na,b,1\nc,d,2\n"
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(rows.encode()))

    read = ratings(Ratings(name="ratings", path="r.csv.gz"), tmp_path)

    assert list(read.frame["rating"]) == [1, 2]


def test_the_encoding_of_a_packed_table_is_found_in_what_it_holds(tmp_path: Path) -> None:
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress("név,y\nő,1\n".encode("utf-16")))

    raw = read_delimited(packed, TextFormat(("y",)))

    assert list(raw.frame.columns) == ["név", "y"]
    assert any("read as utf-16" in note for note in raw.notes)


def cut_off(content: bytes) -> bytes:
    return gzip.compress(content)[:-20]


def damaged(content: bytes) -> bytes:
    packed = bytearray(gzip.compress(content))
    packed[-6] ^= 0xFF  # of the checksum
    return bytes(packed)


def locked(content: bytes) -> bytes:
    """Set the mark of an encrypted file, in its header and in the archive's list."""
    packed = bytearray(zipped("table.csv")(content))
    packed[6] |= 1
    packed[packed.index(b"PK\x01\x02") + 8] |= 1
    return bytes(packed)


@pytest.mark.parametrize(
    ("ending", "pack", "words"),
    [
        pytest.param(".gz", cut_off, "cannot be expanded", id="cut off"),
        pytest.param(".gz", damaged, "cannot be expanded: CRC", id="a wrong checksum"),
        pytest.param(".gz", bytes, "cannot be expanded: Not a gzipped file", id="never packed"),
        pytest.param(".bz2", bytes, "cannot be expanded", id="no bzip2"),
        pytest.param(".xz", bytes, "cannot be expanded", id="no xz"),
        pytest.param(".zip", bytes, "cannot be expanded: File is not a zip file", id="no zip"),
        pytest.param(".zip", locked, "cannot be expanded: .*encrypted", id="a password"),
        pytest.param(
            ".zip", zipped("a.csv", "b.csv"), "must hold one file; there are a.csv, b.csv", id="two"
        ),
        pytest.param(".zip", zipped("a/"), "must hold one file; there is none", id="none"),
    ],
)
def test_what_cannot_be_expanded_is_refused_in_words(
    ending: str, pack: Callable[[bytes], bytes], words: str, tmp_path: Path
) -> None:
    path = tmp_path / f"t.csv{ending}"
    path.write_bytes(pack(ROWS.encode()))

    with pytest.raises(DataError, match=rf"dataset.path: t\.csv\{ending} {words}"):
        read_delimited(path, TextFormat(("y",)))


def bomb(pack: Callable[[bytes], bytes], size: int) -> bytes:
    return pack(b"x,y\n" + b"1,2\n" * (size // 4))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["gzip", "bzip2", "xz", "zip"])
def test_what_expands_beyond_its_bound_is_refused(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "ALWAYS_ALLOWED_BYTES", 2**18)
    ending, pack = PACKED[how]
    path = tmp_path / f"bomb{ending}"
    path.write_bytes(bomb(pack, 2**21))
    assert path.stat().st_size * opening.MOST_TIMES < 2**21

    with pytest.raises(DataError, match=r"bomb\S+ expands to more than \d+ MiB, .* 100 times"):
        read_delimited(path, TextFormat(("y",)))


def test_a_small_file_may_expand_to_many_times_its_size(tmp_path: Path) -> None:
    path = tmp_path / "even.csv.gz"
    path.write_bytes(bomb(gzip.compress, 2**18))
    assert path.stat().st_size * opening.MOST_TIMES < 2**18

    assert len(read_delimited(path, TextFormat(("y",))).frame) == 2**16
