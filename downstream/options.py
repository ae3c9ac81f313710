"""How a segmenter is trained, the same way for every mix."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from augment.errors import UserError
from pipeline.store import file_digest

_OPERATIONAL = ("num_workers", "checkpoint_interval", "checkpoint_minutes", "val_batch_size")


@dataclass(frozen=True)
class TrainingOptions:
    """How every mix is trained: the same for all of them, or the comparison means nothing.

    Attributes:
        model: see `downstream.segmenters.segmenter_config`.
        decoder_channels: width of the decode head; None keeps the model's own, 256 for SegFormer.
        pretrained: weights to start from; None starts from random ones.
        iterations: optimizer steps.
        batch_size: samples a step.
        learning_rate: of AdamW after warm-up; heads of pretrained models learn ten times as fast.
        weight_decay: of AdamW, on all but norms and biases.
        warmup: share of the iterations over which the rate rises; afterwards it falls to 0 by `power`.
        power: of the polynomial schedule.
        crop: height and width of training crops in pixels; None takes the stores' own size.
        scale_range: images are resized by a factor drawn from it before cropping.
        flip: probability of a horizontal flip.
        photometric: whether brightness, contrast, saturation and hue are varied.
        num_workers: loader processes; 0 loads in the training process. Does not change the result.
        checkpoint_interval: iterations between saved states. Does not change the result.
        checkpoint_minutes: minutes after which the state is saved however few iterations they brought. Does not change
            the result.
        val_batch_size: samples an evaluation step. Does not change the result.

    Raises:
        UserError: a value is out of range.
    """

    model: str = "segformer_mit-b0"
    decoder_channels: int | None = None
    pretrained: str | None = None
    iterations: int = 1000
    batch_size: int = 8
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warmup: float = 0.05
    power: float = 1.0
    crop: tuple[int, int] | None = None
    scale_range: tuple[float, float] = (0.75, 1.5)
    flip: float = 0.5
    photometric: bool = True
    num_workers: int = 0
    checkpoint_interval: int = 100
    checkpoint_minutes: float = 5.0
    val_batch_size: int = 16

    def __post_init__(self) -> None:
        for name, ok, right in (
            ("iterations", self.iterations >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("warmup", 0 <= self.warmup < 1, "in 0..1, 1 excluded"),
            (
                "scale_range",
                0 < self.scale_range[0] <= self.scale_range[1],
                "two factors above 0, smaller first",
            ),
            ("flip", 0 <= self.flip <= 1, "in 0..1"),
            ("checkpoint_minutes", self.checkpoint_minutes > 0, "above 0"),
            ("checkpoint_interval", self.checkpoint_interval >= 1, "at least 1"),
        ):
            if not ok:
                raise UserError(f"training option {name} is {getattr(self, name)}: it must be {right}")

    @property
    def semantic(self) -> dict[str, Any]:
        """The options that change the result, as JSON; files are named by their content."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _OPERATIONAL}
        for name in ("model", "pretrained"):
            if values[name] and Path(values[name]).is_file():
                values[name] = file_digest(Path(values[name]))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
