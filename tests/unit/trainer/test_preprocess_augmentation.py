"""Random changes of images: as drawn, repeatable, and right."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from scaling_trainer.config.preprocessing import Augmentation
from scaling_trainer.preprocess.augmentation import augmenter
from scaling_trainer.preprocess.inputs import ImageInputs


def inputs(offset: float = 0.0, factor: float = 1.0) -> ImageInputs:
    return ImageInputs(1, 8, 8, 1.0, (offset,), (factor,))


def changed(images: torch.Tensor, seed: int, **augmentation: Any) -> torch.Tensor:
    change = augmenter(Augmentation.model_validate(augmentation), inputs())
    assert change is not None
    return change(images, torch.Generator().manual_seed(seed))


def noise(rows: int, height: int = 8, width: int = 8) -> torch.Tensor:
    return torch.rand((rows, 1, height, width), generator=torch.Generator().manual_seed(0))


AUGMENTATIONS = st.builds(
    Augmentation,
    rotation_degrees=st.floats(0, 180),
    scale=st.floats(0, 0.5),
    crop_pixels=st.integers(0, 4),
    flip=st.booleans(),
)


@given(AUGMENTATIONS, st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_seed_repeats_its_changes_and_keeps_shape_and_range(
    augmentation: Augmentation, seed: int
) -> None:
    assume(augmentation != Augmentation())
    change = augmenter(augmentation, inputs())
    assert change is not None
    images = noise(6)
    first, again = (change(images, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == images.shape
    assert first.dtype == images.dtype
    assert first.min() >= -1e-6
    assert first.max() <= 1 + 1e-5


def test_two_visits_differ() -> None:
    change = augmenter(Augmentation(rotation_degrees=20), inputs())
    assert change is not None
    generator = torch.Generator().manual_seed(0)
    assert not torch.equal(change(noise(4), generator), change(noise(4), generator))


def test_about_every_second_image_is_mirrored_and_the_others_stay() -> None:
    images = noise(400)
    result = changed(images, 1, flip=True)
    stays = torch.isclose(result, images, atol=1e-5).flatten(1).all(dim=1)
    mirrored = torch.isclose(result, images.flip(-1), atol=1e-5).flatten(1).all(dim=1)
    assert (stays ^ mirrored).all()
    assert 160 < mirrored.sum() < 240


def test_a_crop_shifts_by_whole_pixels_and_pads_with_black() -> None:
    images = noise(300)
    result = changed(images, 2, crop_pixels=2).numpy()
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
    occurring: set[tuple[int, int]] = set()
    for row in range(300):
        shifts = [
            (down, across)
            for down in range(5)
            for across in range(5)
            if np.allclose(
                result[row, 0], padded[row, 0, down : down + 8, across : across + 8], atol=1e-5
            )
        ]
        assert len(shifts) == 1
        occurring.update(shifts)
    assert len(occurring) == 25, "every shift occurs"


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 10)], ids=["square", "oblong"])
def test_turning_and_resizing_is_what_scipy_makes_of_it(height: int, width: int) -> None:
    images = noise(20, height, width)
    result = changed(images, 3, rotation_degrees=90, scale=0.3).numpy()
    drawn = torch.rand((20, 5), generator=torch.Generator().manual_seed(3)).double()
    for row in range(20):
        angle = (2 * drawn[row, 0].item() - 1) * math.pi / 2
        size = 1 + (2 * drawn[row, 1].item() - 1) * 0.3
        turn = (
            np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            / size
        )
        centre = np.array([(height - 1) / 2, (width - 1) / 2])
        expected = ndimage.affine_transform(
            images[row, 0].double().numpy(),
            turn,
            offset=centre - turn @ centre,
            order=1,
            mode="grid-constant",
        )
        np.testing.assert_allclose(result[row, 0], expected, atol=1e-4)


def test_what_comes_in_from_outside_is_black_after_scaling_too() -> None:
    change = augmenter(Augmentation(crop_pixels=4), inputs(offset=0.5, factor=0.25))
    assert change is not None
    black = torch.full((50, 1, 8, 8), -2.0)
    torch.testing.assert_close(change(black, torch.Generator().manual_seed(0)), black)


def test_augmentation_that_changes_nothing_is_none() -> None:
    assert augmenter(Augmentation(), inputs()) is None
    assert augmenter(None, inputs()) is None
