"""A folder of images, with a folder for each class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from scaling_trainer.config.data import ImageFolder
from scaling_trainer.data.files import locate
from scaling_trainer.data.listing import Listing, first_few, list_files
from scaling_trainer.data.source import Provenance, RowSource
from scaling_trainer.data_error import DataError
from scaling_trainer.preprocess.pixels import (
    IMAGE_SUFFIXES,
    PIXEL_MAXIMUM,
    Images,
    read_images,
)

_PATH = "dataset.path"


def image_folder(dataset: ImageFolder, data_dir: Path) -> RowSource:
    """Read a folder of images. Each folder in it is a class. Files of other kinds are left out."""
    root = locate(data_dir, dataset.path)
    if not root.is_dir():
        message = f"{dataset.path!r} is not a folder"
        raise DataError(_PATH, message)
    listing = list_files(root)
    files = _images_of(listing, root)
    if not files:
        message = (
            f"{dataset.path!r} holds no images: a folder per class is needed, "
            f"with files that end in {', '.join(IMAGE_SUFFIXES)}"
        )
        raise DataError(_PATH, message)
    shape = (dataset.channels, dataset.pixels, dataset.pixels)
    read = _read(files, shape, dataset)
    labels = [path.relative_to(root).parts[0] for path in read.files]
    skipped = {"broken": len(read.broken)} if dataset.broken == "skip" else {}
    return RowSource(
        read.pixels,
        pd.Series(labels, dtype=object),
        maximum=PIXEL_MAXIMUM,
        provenance=Provenance(tuple(_notes(listing, read, root)), skipped),
    )


def _read(files: list[Path], shape: tuple[int, int, int], dataset: ImageFolder) -> Images:
    try:
        return read_images(files, shape, dataset.broken)
    except DataError as error:
        hint = "set dataset.broken to skip to leave such images out"
        raise DataError(error.path, f"{error.message}; {hint}") from error


def image_files(root: Path) -> list[Path]:
    """List the images in the class folders below `root`, in the order of their names."""
    return _images_of(list_files(root), root)


def _images_of(listing: Listing, root: Path) -> list[Path]:
    return [
        path
        for path in listing.files
        if path.suffix.lower() in IMAGE_SUFFIXES and path.parent != root and path.is_file()
    ]


def _notes(listing: Listing, read: Images, root: Path) -> Iterator[str]:
    if listing.hidden:
        count = len(listing.hidden)
        yield f"{count} hidden files and folders were left out ({first_few(listing.hidden)})"
    taken = {*read.files, *read.broken}
    others = [str(path.relative_to(root)) for path in listing.files if path not in taken]
    if others:
        shown = first_few(others)
        yield f"{len(others)} files that are no images of a class were left out ({shown})"
    if read.broken:
        names = [str(path.relative_to(root)) for path in read.broken]
        yield f"{len(names)} images that cannot be read were left out ({first_few(names)})"
