"""One training step of a segmenter on random data, which shows before any work what a training would fail with."""

from __future__ import annotations

import math
import os
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.structures import PixelData

from augment.errors import UserError
from downstream.judge import Judge
from downstream.machine_memory import memory_here
from downstream.mmseg_import import MissingOperator, mmseg_scope
from downstream.options import SegmenterTraining
from downstream.segmenters import build_segmenter, config_from_json, config_to_json, load_pretrained, segmenter_config
from pipeline.store import fingerprint

# Batch normalisation behaves the same for two images as for more, so that a CPU need not take a step of all.
_ENOUGH = 2
# What a side is at least where it is tried whether images are too small.
_LARGE = 512
# A multiple of the strides of all feature maps: a smaller image with the same remainder meets the same paddings.
_STRIDES = 64
# Packages that configs of mmsegmentation use and that are no part of it.
_OTHER_PACKAGES = ("mmdet", "mmpretrain")
# Settings that have passed in this process, the device, and whether it is one of this machine.
_PASSED: set[tuple[str, str, bool]] = set()


def require_trainable(trial: Trial) -> None:
    """Take the step, once in a process for the same settings and files; see `Trial.require`."""
    asked = fingerprint({**trial.options.semantic, "shape": [*trial.crop, trial.num_classes, trial.ignore_index]})
    passed = asked, trial.device, trial.local
    if passed not in _PASSED:
        trial.require()
        _PASSED.add(passed)


@dataclass(frozen=True)
class Trial:
    """What a training will be like, as far as a step can show.

    Attributes:
        options: how the segmenter is trained.
        crop: height and width of the images.
        num_classes: classes to predict.
        ignore_index: id of the pixels that are not learned.
        device: that it is trained on.
        local: whether that is a device of this machine; the memory of another one is not known.
    """

    options: SegmenterTraining
    crop: tuple[int, int]
    num_classes: int
    ignore_index: int
    device: str
    local: bool = True

    def require(self) -> None:
        """Take one step, and predict one image.

        On a GPU of this machine it is the step of a training, in a process of its own, so that this one keeps no
        memory of it. On a CPU, which also stands for the devices of a cluster, two images of a limited size stand
        for a batch. Where the training is on this CPU, the memory of a batch is calculated from theirs.

        Raises:
            UserError: that fails; the message says with what, and which settings would do.
        """
        if self.device == "cpu" or not self.local or not torch.cuda.is_available():
            replace(self, device="cpu").require_here(self.local and self.device == "cpu")
            return
        try:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                pool.submit(self.require_here, True).result()
        except BrokenProcessPool as error:
            raise UserError(
                f"{self.named}: the process that tried a training step died: is its memory enough?"
            ) from error

    def require_here(self, fits_here: bool) -> None:
        """The same in this process; `fits_here` asks whether a batch fits into the memory of this machine."""
        try:
            used = self.take_step()
        except UserError:
            raise
        # A config may be any code, and so may raise anything.
        except Exception as error:
            raise UserError(self.explain(error)) from error
        if not fits_here or self.device != "cpu":
            return
        pixels = self.options.batch_size * math.prod(self.crop)
        needed, there = used * pixels / (self.images * math.prod(self.size)), memory_here()
        if needed > there:
            raise UserError(
                f"{self.named}: a step takes about {needed / 2**30:.0f} GiB, and there are {there / 2**30:.0f} here: "
                "give a smaller downstream.batch_size, or smaller images by geometry.height and geometry.width"
            )

    def take_step(self) -> int:
        """Train on one batch and predict one image; returns the bytes that the step kept for its gradients."""
        options, (height, width) = self.options, self.size
        with mmseg_scope(), warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            config = segmenter_config(
                options.model, self.num_classes, self.size, options.decoder_channels, self.ignore_index
            )
            # The judge is built from what JSON keeps of the config.
            model: Any = build_segmenter(config_from_json(config_to_json(config))).to(self.device).train()
            if options.pretrained is not None:
                load_weights(model, options.pretrained)
            # At a rate of 0 it takes its memory and leaves the weights as they are.
            optimizer = torch.optim.AdamW(model.parameters(), 0.0)
            weights = {parameter.data_ptr() for parameter in model.parameters()}
            kept: dict[int, int] = {}

            def keep(tensor: torch.Tensor) -> torch.Tensor:
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in weights:
                    kept[storage.data_ptr()] = storage.nbytes()
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                prepared = model.data_preprocessor(self.batch(), True)
                loss, _ = model.parse_losses(model(**prepared, mode="loss"))
            if not torch.isfinite(loss):
                raise ValueError(f"the loss is {float(loss)}")
            loss.backward()
            optimizer.step()
            try:
                scores = Judge(model, (), self.device).logits(np.zeros((1, height, width, 3), np.uint8))
            except UserError as error:
                raise ValueError("the scores of an image are not finite") from error
        if scores.shape[1:] != (self.num_classes, height, width):
            raise ValueError(f"it gives scores of shape {list(scores.shape[1:])} for {self.num_classes} classes")
        return sum(kept.values())

    @property
    def images(self) -> int:
        """How many images the step is taken on."""
        size = self.options.batch_size
        return size if self.device != "cpu" else min(size, _ENOUGH)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images that the step is taken on; limited on a CPU."""
        if self.device != "cpu":
            return self.crop
        height, width = (side if side <= _LARGE else _LARGE + side % _STRIDES for side in self.crop)
        return height, width

    def batch(self) -> dict[str, list[Any]]:
        """Random images, each with labels of every sort: all of some class, and one row of pixels to ignore."""
        from mmseg.structures import SegDataSample

        height, width = size = self.size
        meta = {"img_shape": size, "ori_shape": size, "pad_shape": size}
        inputs, samples = [], []
        for _ in range(self.images):
            label = torch.randint(self.num_classes, (1, height, width))
            label[:, 0] = self.ignore_index
            inputs.append(torch.randint(256, (3, height, width), dtype=torch.uint8))
            samples.append(SegDataSample(gt_sem_seg=PixelData(data=label), metainfo=meta))
        return {"inputs": inputs, "data_samples": samples}

    # What is said of a failure

    @property
    def named(self) -> str:
        """The settings that matter."""
        size = f"{self.crop[0]} x {self.crop[1]} pixels"
        return f"downstream.model={self.options.model} with downstream.batch_size={self.options.batch_size} at {size}"

    def explain(self, error: Exception) -> str:
        """What failed and what would be right, in a line."""
        if isinstance(error, torch.OutOfMemoryError):
            return (
                f"{self.named}: a step does not fit into the memory of the GPU: give a smaller downstream.batch_size, "
                "or smaller images by geometry.height and geometry.width"
            )
        if isinstance(error, MissingOperator):
            return f"{self.named}: {error}"
        if (package := missing_package(error)) is not None:
            return (
                f"{self.named}: that model needs the package {package}, which is not installed: name another "
                "downstream.model, such as segformer_mit-b0"
            )
        reason = (str(error).splitlines() or [""])[0][:200]
        # Another sort of error is a fault of the config, for whatever images.
        remedies = self.remedies() if isinstance(error, RuntimeError | ValueError | AssertionError) else iter(())
        remedy = next(remedies, "name another downstream.model, such as segformer_mit-b0")
        return f"{self.named}: a training step fails with {type(error).__name__}: {reason}: {remedy}"

    def remedies(self) -> Iterator[str]:
        """Settings with which the step does not fail."""
        options = self.options
        larger = tuple(max(side, _LARGE) for side in self.crop)
        others: list[tuple[bool, str, Callable[[], Trial]]] = [
            (
                options.batch_size == 1,
                "give a downstream.batch_size of 2 or more",
                lambda: replace(self, options=options.model_copy(update={"batch_size": 2})),
            ),
            (
                options.decoder_channels is not None,
                "give downstream.decoder_channels=null",
                lambda: replace(self, options=options.model_copy(update={"decoder_channels": None})),
            ),
            (
                larger != self.crop,
                "images are too small for it: give a larger geometry.height and geometry.width, or name another "
                f"downstream.model, such as segformer_mit-b0 (it works at {larger[0]} x {larger[1]})",
                lambda: replace(
                    self, crop=(larger[0], larger[1]), options=options.model_copy(update={"batch_size": 2})
                ),
            ),
        ]
        for applies, remedy, other in others:
            if applies and other().works():
                yield remedy

    def works(self) -> bool:
        """Whether the step can be taken."""
        try:
            self.take_step()
        # Models fail in whatever way they like; the fault that the user reads is that of the settings asked for.
        except Exception:
            return False
        return True


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Load pretrained weights; raises UserError, which names the setting, where the file does not fit."""
    try:
        load_pretrained(model, path)
    except UserError as error:
        raise UserError(f"downstream.pretrained: {error}") from error


def missing_package(error: BaseException) -> str | None:
    """The package that is not installed and that an error comes from, if any."""
    files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    # mmsegmentation builds a head without its base class where that class's package is missing.
    texts = [str(error), *(Path(file).read_text(errors="ignore") for file in files if f"mmseg{os.sep}models" in file)]
    for package in _OTHER_PACKAGES:
        if find_spec(package) is None and any(f"{package}." in text for text in texts):
            return package
    return None
