"""A trial step of a segmenter on random data, which finds the errors of a training before any work."""

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
from downstream.divergence import autocast
from downstream.judge import Judge
from downstream.machine_memory import memory_here
from downstream.mmseg_import import MissingOperator, mmseg_scope
from downstream.options import SegmenterTraining
from downstream.segmenters import build_segmenter, config_from_json, config_to_json, load_pretrained, segmenter_config
from pipeline.store import fingerprint

# Batch normalization behaves the same for two images as for more, so the trial on a CPU takes two.
_ENOUGH = 2
# Smallest side of the images in the trial that shows whether images are too small.
_LARGE = 512
# A multiple of the strides of all feature maps: a smaller image with the same remainder gets the same padding.
_STRIDES = 64
# Packages that some configs of mmsegmentation need.
_OTHER_PACKAGES = ("mmdet", "mmpretrain")
# Settings that have passed in this process, with the device, and whether it is on this machine.
_PASSED: set[tuple[str, str, bool]] = set()


def require_trainable(trial: Trial) -> None:
    """Take the step, once per process for the same settings and files; see `Trial.require`."""
    settings = fingerprint({**trial.options.semantic, "shape": [*trial.crop, trial.num_classes, trial.ignore_index]})
    passed = settings, trial.device, trial.local
    if passed not in _PASSED:
        trial.require()
        _PASSED.add(passed)


@dataclass(frozen=True)
class Trial:
    """A single training step, as a trial of a whole training.

    Attributes:
        options: how the segmenter is trained.
        crop: height and width of the images in pixels.
        num_classes: classes to predict.
        ignore_index: id of the pixels that are not learned.
        device: torch device of the training.
        local: whether that is a device of this machine; the memory of other machines is unknown.
    """

    options: SegmenterTraining
    crop: tuple[int, int]
    num_classes: int
    ignore_index: int
    device: str
    local: bool = True

    def require(self) -> None:
        """Take one step, and predict one image.

        On a GPU of this machine, a separate process takes the full step, so that this process keeps no GPU memory. On
        a CPU, and for the devices of a cluster, the step takes two images of limited size. If the training is on this
        CPU, the memory of a batch is extrapolated from them.

        Raises:
            UserError: the step fails; the message gives the reason and settings that work.
        """
        if self.device == "cpu" or not self.local or not torch.cuda.is_available():
            replace(self, device="cpu").require_here(self.local and self.device == "cpu")
            return
        try:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                pool.submit(self.require_here, True).result()
        except BrokenProcessPool as error:
            raise UserError(f"{self.named}: the process of the trial step died: is its memory enough?") from error

    def require_here(self, fits_here: bool) -> None:
        """Do this in the current process; `fits_here` also checks that a batch fits into the memory of this machine."""
        try:
            used = self.take_step()
        except UserError:
            raise
        # A config may run any code, and so raise anything.
        except Exception as error:
            raise UserError(self.explain(error)) from error
        if not fits_here or self.device != "cpu":
            return
        pixels = self.options.batch_size * math.prod(self.crop)
        needed, there = used * pixels / (self.images * math.prod(self.size)), memory_here()
        if needed > there:
            raise UserError(
                f"{self.named}: a step takes about {needed / 2**30:.0f} GiB, and this machine has "
                f"{there / 2**30:.0f} GiB: give a smaller downstream.batch_size, or smaller images by geometry.height "
                "and geometry.width"
            )

    def take_step(self) -> int:
        """Train on one batch and predict one image; return the bytes that the step kept for its gradients."""
        options, (height, width) = self.options, self.size
        with mmseg_scope(), warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            config = segmenter_config(
                options.model, self.num_classes, self.size, options.decoder_channels, self.ignore_index
            )
            # The judge is built from the config after a round trip through JSON.
            model: Any = build_segmenter(config_from_json(config_to_json(config))).to(self.device).train()
            if options.pretrained is not None:
                load_weights(model, options.pretrained)
            # At a rate of 0 it allocates its memory and does not change the weights.
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
                with autocast(options.precision, torch.device(self.device).type):
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
        """Number of images in the step."""
        size = self.options.batch_size
        return size if self.device != "cpu" else min(size, _ENOUGH)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images in the step; limited on a CPU."""
        if self.device != "cpu":
            return self.crop
        height, width = (side if side <= _LARGE else _LARGE + side % _STRIDES for side in self.crop)
        return height, width

    def batch(self) -> dict[str, list[Any]]:
        """Random images; each label is random except for one row of ignored pixels."""
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

    # Explanation of a failure

    @property
    def named(self) -> str:
        """The settings behind a failure."""
        size = f"{self.crop[0]} x {self.crop[1]} pixels"
        return f"downstream.model={self.options.model} with downstream.batch_size={self.options.batch_size} at {size}"

    def explain(self, error: Exception) -> str:
        """The failure and its remedy in one line."""
        if isinstance(error, torch.OutOfMemoryError):
            return (
                f"{self.named}: a step does not fit into the memory of the GPU: give a smaller downstream.batch_size, "
                "or smaller images by geometry.height and geometry.width"
            )
        if isinstance(error, MissingOperator):
            return f"{self.named}: {error}"
        if (package := missing_package(error)) is not None:
            return (
                f"{self.named}: that model needs the package {package}, which is not installed: install it, or "
                "name another downstream.model, such as segformer_mit-b0"
            )
        reason = (str(error).splitlines() or [""])[0][:200]
        # Other kinds of errors are faults of the config, whatever the images.
        remedies = self.remedies() if isinstance(error, RuntimeError | ValueError | AssertionError) else iter(())
        remedy = next(remedies, "name another downstream.model, such as segformer_mit-b0")
        return f"{self.named}: a training step fails with {type(error).__name__}: {reason}: {remedy}"

    def remedies(self) -> Iterator[str]:
        """Settings with which the step works."""
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
        # A model may raise anything; the user reads the failure of the requested settings, not of this trial.
        except Exception:
            return False
        return True


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Load pretrained weights; raises UserError, which names the setting, if the file does not fit."""
    try:
        load_pretrained(model, path)
    except UserError as error:
        raise UserError(f"downstream.pretrained: {error}") from error


def missing_package(error: BaseException) -> str | None:
    """The missing package behind an error, if any."""
    files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    # mmsegmentation builds a head without its base class if the package of that class is missing.
    texts = [str(error), *(Path(file).read_text(errors="ignore") for file in files if f"mmseg{os.sep}models" in file)]
    for package in _OTHER_PACKAGES:
        if find_spec(package) is None and any(f"{package}." in text for text in texts):
            return package
    return None
