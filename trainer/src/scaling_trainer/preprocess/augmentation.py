"""Random changes of a batch of images, drawn from a generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from scaling_trainer.config.preprocessing import Augmentation
from scaling_trainer.preprocess.inputs import ImageInputs


def augmenter(
    augmentation: Augmentation | None, inputs: ImageInputs
) -> Callable[[torch.Tensor, torch.Generator], torch.Tensor] | None:
    """Give the function that changes a batch, or None without augmentation."""
    if augmentation is None or augmentation == Augmentation():
        return None
    scales = zip(inputs.offset, inputs.factor, strict=True)
    black = tuple(-offset / factor for offset, factor in scales)
    return partial(augment, augmentation=augmentation, black=black)


def augment(
    images: torch.Tensor,
    generator: torch.Generator,
    *,
    augmentation: Augmentation,
    black: tuple[float, ...],
) -> torch.Tensor:
    """Turn, resize, shift and mirror each image (rows, channels, height, width) at random.

    All changes of an image form one affine map, so that a batch is sampled once (bilinear). Pixels
    from outside the image are `black`, one scaled value per channel.
    """
    grid = functional.affine_grid(
        _maps(images.shape, generator, augmentation).to(images),
        list(images.shape),
        align_corners=False,
    )
    background = images.new_tensor(black)[:, None, None]
    moved = functional.grid_sample(images - background, grid, align_corners=False)
    return moved + background


def _maps(
    shape: torch.Size, generator: torch.Generator, augmentation: Augmentation
) -> torch.Tensor:
    """Draw one map per image, from places in the result to places in the original: (rows, 2, 3).

    Coordinates run from -1 to 1, as `affine_grid` requires. Each image takes five draws with any
    settings, so that one setting does not shift the draws of another.
    """
    rows, _, height, width = shape
    drawn = torch.rand((rows, 5), generator=generator, device=generator.device).double().unbind(1)
    angle = (2 * drawn[0] - 1) * math.radians(augmentation.rotation_degrees)
    size = 1 + (2 * drawn[1] - 1) * augmentation.scale
    across, down = ((2 * augmentation.crop_pixels + 1) * draw for draw in drawn[2:4])
    mirrored = (drawn[4] < 0.5) & augmentation.flip  # noqa: PLR2004 # every second image
    side = torch.where(mirrored, -1.0, 1.0)
    cosine, sine = torch.cos(angle) / size, torch.sin(angle) / size
    return torch.stack(
        (
            torch.stack(
                (side * cosine, sine * height / width, _shift(across, augmentation, width)), 1
            ),
            torch.stack(
                (-side * sine * width / height, cosine, _shift(down, augmentation, height)), 1
            ),
        ),
        dim=1,
    )


def _shift(drawn: torch.Tensor, augmentation: Augmentation, length: int) -> torch.Tensor:
    """Whole pixels from -crop to crop, in coordinates in which the image is 2 long."""
    return (drawn.floor() - augmentation.crop_pixels) * 2 / length
