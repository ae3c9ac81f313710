"""Albumentations in a training, by mmsegmentation's own `Albu` transform: labels follow, and seeds decide."""

from __future__ import annotations

import difflib
import inspect
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from augment.errors import UserError
from augment.layouts.fog import albumentations, random_fog
from downstream.mmseg_import import import_mmseg

import_mmseg()
from mmseg.datasets.transforms import Albu  # noqa: E402 - it is importable only after the line above

_TRIES = 24
_OPTION = "downstream.augmentation"


class SeededAlbu(Albu):
    """`Albu` for the samples that are marked as `augmented`; all others pass unchanged.

    Its random choices come from NumPy's generator, which the dataset seeds for each sample. Where a transform moves
    pixels, labels are taken from the nearest pixel, and places without a pixel are ignored.

    Args:
        transforms: of Albumentations, as ``{"type": name, option: value}``; those in ``transforms`` of one too.
        ignore_index: id of the pixels that are not learned.
    """

    def __init__(self, transforms: Sequence[Mapping[str, Any]], ignore_index: int) -> None:
        self.ignore_index = ignore_index
        super().__init__([dict(transform) for transform in transforms])

    def albu_builder(self, cfg: Mapping[str, Any]) -> Any:
        """Build a transform of Albumentations.

        Raises:
            UserError: it has no such transform, or the transform no such option or value.
        """
        options = dict(cfg)
        name = options.pop("type", None)
        library = albumentations()
        kind = getattr(library, name, None) if isinstance(name, str) else None
        if not (inspect.isclass(kind) and issubclass(kind, (library.BasicTransform, library.BaseCompose))):
            near = difflib.get_close_matches(str(name), dir(library), 1)
            raise UserError(
                f"{_OPTION}: Albumentations has no transform {name!r}"
                + (f"; did you mean {near[0]!r}?" if near else ": give {type: NAME, OPTION: VALUE}")
            )
        if "transforms" in options:
            options["transforms"] = [self.albu_builder(inner) for inner in options["transforms"]]
        # Its defaults fill with class 0. Where the default is None, as in CoarseDropout, labels stay.
        known = inspect.signature(kind.__init__).parameters
        if "fill_mask" in known and known["fill_mask"].default is not None:
            options.setdefault("fill_mask", self.ignore_index)
        if options.get("fill_mask", self.ignore_index) not in (None, self.ignore_index):
            raise UserError(
                f"{_OPTION}: {name} would fill labels with {options['fill_mask']}: leave fill_mask out; they are "
                f"filled with {self.ignore_index}, which is ignored"
            )
        if options.get("mask_interpolation", 0) != 0:
            raise UserError(f"{_OPTION}: {name} would mix the ids of classes: leave mask_interpolation out")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # The library warns of an unknown option, and goes on without it.
                warnings.filterwarnings("error", message=".*not valid for transform")
                built = kind(**options)
                # The same to the bit, at a cost that does not grow with the image times the particles.
                return built if name != "RandomFog" else _local_fog(built)
        except (Warning, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{_OPTION}: {name} does not take these options: {reason}") from error

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change image `img` uint8 [H, W, 3] in BGR order and label `gt_seg_map`, if the sample is marked."""
        if not results.get("augmented"):
            return results
        seed = int(np.random.randint(2**31))
        # One state for all of them, as each would repeat the choices of the others with a seed of its own.
        self.aug.set_random_state(np.random.default_rng(seed), random.Random(seed))
        changed = super().transform({"img": results["img"], "gt_seg_map": results["gt_seg_map"]})
        return {**results, "img": changed["img"], "gt_seg_map": changed["gt_seg_map"]}


def _local_fog(fog: Any) -> Any:
    local = random_fog(fog.fog_coef_range)
    local.alpha_coef, local.p = fog.alpha_coef, fog.p
    return local


def require_augmentation(
    transforms: Sequence[Mapping[str, Any]], size: tuple[int, int], num_classes: int, ignore_index: int
) -> None:
    """Try the transforms on random images, with labels of every class.

    Args:
        transforms: see `SeededAlbu`.
        size: height and width of the images.
        num_classes: number of classes.
        ignore_index: id of the pixels that are not learned.

    Raises:
        UserError: one is unknown, needs more than an image and its label, changes the size or the type of the image, or
            invents labels.
    """
    albu = SeededAlbu(transforms, ignore_index)
    rng, state = np.random.default_rng(0), np.random.get_state()
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    label = (np.arange(size[0])[:, None] * num_classes // size[0]).repeat(size[1], 1)
    label = label.astype(np.uint8 if ignore_index < 256 else np.uint16)
    try:
        for seed in range(_TRIES):
            np.random.seed(seed)
            try:
                done = albu.transform({"img": image.copy(), "gt_seg_map": label.copy(), "augmented": True})
            # A transform may raise anything.
            except Exception as error:
                reason = " ".join(str(error).split())[:200]
                raise UserError(f"{_OPTION}: the transforms fail with {type(error).__name__}: {reason}") from error
            _require_same_kind(done, image, label, ignore_index)
    finally:
        np.random.set_state(state)


def _require_same_kind(done: Mapping[str, Any], image: np.ndarray, label: np.ndarray, ignore_index: int) -> None:
    changed, ids = done["img"], done["gt_seg_map"]
    if getattr(changed, "shape", None) != image.shape or ids.shape != label.shape:
        raise UserError(
            f"{_OPTION}: the transforms change the size of images from {image.shape[:2]} to "
            f"{tuple(changed.shape[:2])}: leave out those that crop, resize or rotate by 90 degrees"
        )
    if changed.dtype != np.uint8 or ids.dtype != label.dtype:
        raise UserError(f"{_OPTION}: the transforms give images of {changed.dtype}: leave out those that normalize")
    if invented := set(np.unique(ids).tolist()) - set(np.unique(label).tolist()) - {ignore_index}:
        raise UserError(f"{_OPTION}: the transforms make labels {sorted(invented)}, which no class has")
