"""mmengine's Runner without console output and pickled checkpoints, resumable to the same bits."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import IterBasedTrainLoop, Runner
from mmseg.evaluation import IoUMetric
from numpy.typing import NDArray

from augment.progress import OnStep, TrainingStep
from augment.scalars import AddScalars
from downstream.checkpoint import TrainingState
from downstream.divergence import MixedPrecision, require_finite_scores, require_finite_weights
from downstream.mixes import derived_seed
from downstream.segmenters import load_pretrained


class StoreTrainLoop(IterBasedTrainLoop):
    """Trains up to a number of iterations; after a resume the sampler starts where training stopped."""

    def run(self) -> torch.nn.Module:
        """Train until `max_iters` and return the model."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        while self._iter < self._max_iters:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
        # The sampler is exhausted, and the loader's processes end at the next request.
        if next(self.dataloader_iterator._iterator, None) is not None:
            raise AssertionError("the sampler gives more batches than there are iterations")
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model


class StoreRunner(Runner):
    """A Runner that logs only to its folder and resumes from a `TrainingState`.

    Args:
        state: state to resume from, or None to start.
        pretrained: weights to start from, or None for random ones.
        settings: arguments of mmengine's Runner.
    """

    _has_loaded: bool

    def __init__(self, state: TrainingState | None, pretrained: Path | None, **settings: Any) -> None:
        self.state = state
        self.pretrained = pretrained
        super().__init__(**settings)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """mmengine's logger without its console handler."""
        logger = super().build_logger(*args, **kwargs)
        for handler in list(logger.handlers):
            if not isinstance(handler, logging.FileHandler):
                logger.removeHandler(handler)
        return logger

    def dump_config(self) -> None:
        """Write nothing: the run's request.json has the options."""

    def _init_model_weights(self) -> None:
        # The same seed gives the same weights, whatever random numbers were used since the Runner was made.
        torch.manual_seed(derived_seed("weights", self.seed))
        super()._init_model_weights()

    def load_or_resume(self) -> None:
        """Load the pretrained weights, or the state to resume from, into the model that mmengine built."""
        if self._has_loaded:
            return
        self._has_loaded = True
        if self.state is not None:
            self.state.restore(self.model, self.optim_wrapper.optimizer)
            if isinstance(self.optim_wrapper, MixedPrecision):
                self.optim_wrapper.scaler.load_state_dict(self.state.header["scaler"])
            for scheduler, saved in zip(self.param_schedulers, self.state.header["schedulers"], strict=True):
                scheduler.load_state_dict(saved)
            self.train_loop._iter = self.state.iteration
        elif self.pretrained is not None:
            missing = load_pretrained(self.model, self.pretrained)
            self.logger.info(f"not in {self.pretrained}, left random: {', '.join(missing)}")

    def current_state(self, iteration: int, header: Mapping[str, Any]) -> TrainingState:
        """The state after `iteration` steps, with the caller's values in the header.

        Raises:
            Diverged: a weight is not finite.
        """
        require_finite_weights(self.model.state_dict())
        schedulers = [scheduler.state_dict() for scheduler in self.param_schedulers]
        more: dict[str, Any] = {"schedulers": schedulers}
        if isinstance(self.optim_wrapper, MixedPrecision):
            more["scaler"] = self.optim_wrapper.scaler.state_dict()
        return TrainingState.of(iteration, {**header, **more}, self.model, self.optim_wrapper.optimizer)

    @contextmanager
    def closing_log(self) -> Iterator[None]:
        """Close the log file after the block; mmengine would hold it open until the process ends."""
        try:
            yield
        finally:
            for handler in self.logger.handlers:
                handler.close()


class StatelessRandomness(Hook):
    """Makes dropout and stochastic depth depend only on seed and iteration, so a resumed run repeats them."""

    priority = "VERY_HIGH"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_train_iter(
        self,
        runner: Runner,  # noqa: ARG002 - mmengine passes all of these by name
        batch_idx: int,
        data_batch: Any = None,  # noqa: ARG002
    ) -> None:
        """Seed PyTorch for one iteration."""
        torch.manual_seed(derived_seed("iteration", self.seed, batch_idx))


class Progress(Hook):
    """Saves the state at intervals, keeps the loss curve, and reports every iteration, of the validation too.

    Args:
        path: where the state is saved.
        save_every: iterations between saves.
        save_minutes: minutes after which the state is saved, whatever the number of iterations since.
        curve_every: iterations that one point of the loss curve averages.
        total: iterations of the whole training.
        on_step: called after every iteration.
        add_scalars: takes the points of the curve for TensorBoard.
        state: the state that the training resumes from; the curve continues its curve.

    Attributes:
        losses: the curve so far, (iteration, mean loss).
    """

    # After the parameter schedules have stepped, so that the saved state belongs to the next iteration.
    priority = "VERY_LOW"

    def __init__(
        self,
        path: Path,
        save_every: int,
        save_minutes: float,
        curve_every: int,
        total: int,
        on_step: OnStep,
        add_scalars: AddScalars,
        state: TrainingState | None,
    ) -> None:
        self.path = path
        self.save_every = save_every
        self.save_minutes = save_minutes
        self.curve_every = curve_every
        self.total = total
        self.on_step = on_step
        self.add_scalars = add_scalars
        self.losses: list[tuple[int, float]] = [tuple(at) for at in state.header["losses"]] if state else []
        self._window: list[float] = list(state.header["window"]) if state else []
        self._first = state.iteration if state else 0
        self._started = self._saved = time.monotonic()

    def before_train(self, runner: StoreRunner) -> None:  # noqa: ARG002 - mmengine passes it by name
        """Start the clocks: building the model and the data does not count."""
        self._started = self._saved = time.monotonic()

    def after_train_iter(
        self,
        runner: StoreRunner,
        batch_idx: int,
        data_batch: Any = None,  # noqa: ARG002
        outputs: Any = None,
    ) -> None:
        """Record one iteration; `outputs` holds its loss."""
        done, now = batch_idx + 1, time.monotonic()
        loss = float(outputs["loss"])
        self._window.append(loss)
        rate = (done - self._first) / max(now - self._started, 1e-9)
        self.on_step(TrainingStep(done, self.total, {"loss": loss}, rate))
        last = done == self.total
        if done % self.curve_every == 0 or last:
            self.losses.append((done, float(np.mean(self._window))))
            self._window.clear()
            rates = runner.optim_wrapper.get_lr()["lr"]
            self.add_scalars(done, {"loss": self.losses[-1][1], "learning_rate": rates[0], "steps_per_second": rate})
        if done % self.save_every == 0 or last or now - self._saved > 60 * self.save_minutes:
            runner.current_state(done, {"losses": self.losses, "window": self._window}).save(self.path)
            self._saved = time.monotonic()

    def before_val(self, runner: StoreRunner) -> None:  # noqa: ARG002
        """Start the clock of the validation."""
        self._started = time.monotonic()

    def after_val_iter(
        self,
        runner: StoreRunner,
        batch_idx: int,
        data_batch: Any = None,  # noqa: ARG002
        outputs: Any = None,  # noqa: ARG002
    ) -> None:
        """Report one batch of the validation."""
        rate = (batch_idx + 1) / max(time.monotonic() - self._started, 1e-9)
        self.on_step(TrainingStep(batch_idx + 1, len(runner.val_dataloader), {}, rate, "validation"))


class ClassIoU(IoUMetric):
    """mmsegmentation's IoU with the value of each class beside the means, unrounded, in 0..1.

    Attributes:
        areas: after an evaluation, pixels of intersection, label and prediction, ``int64 [3, images, classes]``.
    """

    areas: NDArray[np.int64]

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Compare predictions with labels; raises Diverged if a score is not finite."""
        require_finite_scores(sample["seg_logits"]["data"] for sample in data_samples)
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list[tuple[torch.Tensor, ...]]) -> dict[str, float]:
        """`miou`, `aacc` and ``iou/<class>``, ``pixels/<class>`` in the labels, and the number of `images`.

        An IoU is NaN for a class in neither label nor prediction.
        """
        super().compute_metrics(results)
        of_images = [torch.stack(areas).double() for areas in zip(*results, strict=True)]
        intersection, union, _, labelled = (areas.sum(0) for areas in of_images)
        self.areas = torch.stack([of_images[kind] for kind in (0, 3, 2)]).long().numpy()
        iou = intersection / union
        names = self.dataset_meta["classes"]
        return {
            "miou": float(iou.nanmean()),
            "aacc": float(intersection.sum() / labelled.sum()),
            **{f"iou/{name}": float(value) for name, value in zip(names, iou, strict=True)},
            **{f"pixels/{name}": float(value) for name, value in zip(names, labelled, strict=True)},
            "images": len(results),
        }
