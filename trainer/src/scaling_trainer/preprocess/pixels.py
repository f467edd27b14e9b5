"""From image files to arrays of pixels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from scaling_trainer.config.data import Broken
from scaling_trainer.data_error import DataError

Pixels = NDArray[np.uint8]

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
PIXEL_MAXIMUM = 255.0

_BOMBS = (Image.DecompressionBombWarning, Image.DecompressionBombError)


@dataclass(frozen=True, slots=True)
class Images:
    """Pixels (rows, channels, height, width), their files, and the files left out."""

    pixels: Pixels
    files: tuple[Path, ...]
    broken: tuple[Path, ...] = ()


def read_images(
    paths: Sequence[Path], shape: tuple[int, int, int], broken: Broken = "refuse"
) -> Images:
    """Read files and resize them to `shape` (channels, height, width); pixels from 0 to 255.

    Raises DataError that names a file which is no image, unless `broken` leaves such files out.
    """
    pixels = np.zeros((len(paths), *shape), dtype=np.uint8)
    files: list[Path] = []
    left_out: list[Path] = []
    for path in paths:
        try:
            pixels[len(files)] = _read(path, shape)
        except DataError:
            if broken == "refuse":
                raise
            left_out.append(path)
        else:
            files.append(path)
    return Images(pixels[: len(files)], tuple(files), tuple(left_out))


def _read(path: Path, shape: tuple[int, int, int]) -> Pixels:
    channels, height, width = shape
    try:
        with warnings.catch_warnings():
            # An image of absurd size, made to exhaust the memory, is an error here, not a warning.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
    except (OSError, SyntaxError, ValueError, *_BOMBS) as error:
        message = f"{path.name} cannot be read as an image: {error}"
        raise DataError(path="path", message=message) from error
    resized = upright.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8).reshape(height, width, channels).transpose(2, 0, 1)
