"""Albumentations in a training: labels follow the pixels, nothing is invented, and mistakes are found before."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from augment.errors import UserError
from downstream.albu import SeededAlbu, require_augmentation
from downstream.strong_augmentation import STRONG

SIZE = (48, 64)


def scene(ignore_index: int = 255) -> dict[str, Any]:
    """Class 7 in a rectangle of class 300 or 3; the image is a function of the label, so that both can be compared."""
    label = np.full(SIZE, 3 if ignore_index == 255 else 300, np.uint8 if ignore_index == 255 else np.uint16)
    label[10:30, 12:40] = 7
    image = np.where(label[..., None] == 7, 220, 90).astype(np.uint8).repeat(3, axis=2)
    return {"img": image, "gt_seg_map": label, "augmented": True}


def applied(transforms: list[dict[str, Any]], seed: int, ignore_index: int = 255) -> dict[str, Any]:
    np.random.seed(seed)
    return SeededAlbu(transforms, ignore_index).transform(scene(ignore_index))


@pytest.mark.parametrize("ignore_index", [255, 65535])
def test_labels_follow_geometry_and_places_without_a_pixel_are_ignored(ignore_index: int) -> None:
    for kind in (
        {"type": "Affine", "rotate": [20, 20], "translate_percent": [0.2, 0.2], "p": 1},
        {"type": "Perspective", "scale": [0.2, 0.2], "fit_output": True, "p": 1},
        {"type": "ShiftScaleRotate", "p": 1},
    ):
        done = applied([kind], 3, ignore_index)
        label, image = done["gt_seg_map"], done["img"]
        before = scene(ignore_index)["gt_seg_map"]
        assert label.dtype == before.dtype
        assert set(np.unique(label)) <= {*np.unique(before), ignore_index}
        known = label != ignore_index
        # Edges are blended in the image, and nearest in the label.
        agree = (np.abs(image[..., 0].astype(int) - np.where(label == 7, 220, 90)) < 60)[known]
        assert agree.mean() > 0.95
        assert (image[~known] == 0).mean() > 0.8 if (~known).any() else kind["type"] != "Affine"


def test_choices_come_from_the_seed_and_from_nothing_else() -> None:
    transforms = [dict(transform) for transform in STRONG]
    albu = SeededAlbu(transforms, 255)

    def image(seed: int) -> bytes:
        np.random.seed(seed)
        return bytes(albu.transform(scene())["img"].tobytes())

    first = [image(seed) for seed in range(12)]
    random.seed(9)
    albu.aug.set_random_seed(4)
    assert [image(seed) for seed in reversed(range(12))] == first[::-1]
    assert len(set(first)) > 8


def test_samples_that_are_not_marked_pass_unchanged_and_take_no_random_number() -> None:
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    sample = {**scene(), "augmented": False}
    done = SeededAlbu(list(STRONG), 255).transform(sample)
    assert done is sample
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_fog_is_that_of_the_library() -> None:
    import albumentations

    np.random.seed(5)
    seed = int(np.random.randint(2**31))
    theirs = albumentations.Compose([albumentations.RandomFog(alpha_coef=0.3, fog_coef_range=(0.5, 0.6), p=1)])
    theirs.set_random_state(np.random.default_rng(seed), random.Random(seed))
    expected = theirs(image=scene()["img"])["image"]
    done = applied([{"type": "RandomFog", "alpha_coef": 0.3, "fog_coef_range": [0.5, 0.6], "p": 1}], 5)
    np.testing.assert_array_equal(done["img"], expected)


def test_the_preset_works_for_small_and_odd_sizes() -> None:
    for size in ((96, 128), (32, 48), (33, 65)):
        require_augmentation(STRONG, size, 11, 255)
    require_augmentation(STRONG, (96, 128), 300, 65535)


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        ({"type": "HorizontalFlipp"}, "no transform 'HorizontalFlipp'; did you mean 'HorizontalFlip'"),
        ({"name": "Blur"}, r"no transform None: give \{type: NAME"),
        ({"type": "Affine", "rotat": 5}, r"Affine does not take these options: .*rotat"),
        ({"type": "Affine", "fill_mask": 0}, "would fill labels with 0: leave fill_mask out"),
        ({"type": "Affine", "mask_interpolation": 1}, "would mix the ids of classes"),
        ({"type": "RandomCrop", "height": 8, "width": 8}, r"change the size of images from \(48, 64\) to \(8, 8\)"),
        ({"type": "Transpose", "p": 1}, r"to \(64, 48\)"),
        ({"type": "Normalize", "p": 1}, "give images of float32"),
        ({"type": "OneOf", "transforms": [{"type": "Blurr"}]}, "did you mean 'Blur'"),
        ({"type": "FDA", "reference_images": []}, "downstream.augmentation: "),
    ],
)
def test_transforms_that_do_not_work_are_refused_in_a_line(transform: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        require_augmentation([transform], SIZE, 4, 255)
    assert "\n" not in str(error.value)
