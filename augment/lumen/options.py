"""Options of every training of the generator. No torch here: the configuration imports this module."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from augment.errors import UserError
from augment.layouts.options import BasisOptions
from augment.lumen.sampling.options import TrainingPrecision
from augment.lumen.training.objective_options import DEFAULT_OBJECTIVE, ObjectiveOptions
from augment.options import CheckpointMinutes, ModelName, Options, Positive, Seed
from augment.trackers import Tracker

# Keys of a training that do not change its result.
REPORTING_KEYS = {
    "checkpoint_every",
    "checkpoint_minutes",
    "sample_every",
    "log_every",
    "validation_images",
    "trackers",
}
# Those that change nothing but memory, speed and the order of sums.
MEMORY_KEYS = {"micro_batch", "gradient_checkpointing"}

OptimizerName = Literal["adamw", "adamw8bit"]

# Keys of an adapter's training whose effect is in the store of latents.
VERSION_KEYS = {"flip", "crops", "smallest_crop"}
# The one that names a model, which counts by its content.
MODEL_KEYS = {"controlnet"}

BatchSize = Annotated[int, Field(ge=1, le=4096, description="samples per step")]
LearningRate = Annotated[float, Field(gt=0, le=1, description="peak rate of AdamW")]
# Share of the steps over which the rate falls at the end.
COOLDOWN = 0.25

# Groups of the U-Net's normalisation divide its channels.
Channels = Annotated[int, Field(ge=16, multiple_of=16)]


class TrainerOptions(Options):
    """Length and speed of a training; see `augment.lumen.training.trainer.Trainer`."""

    steps: int = Field(ge=0, description="optimizer steps")
    batch_size: BatchSize
    learning_rate: LearningRate
    warmup_steps: int = Field(default=100, ge=0, description="steps until the peak rate is reached")
    ema_decay: float = Field(default=0.999, ge=0, lt=1, description="decay of the averaged weights, the result")
    checkpoint_every: Positive = Field(default=500, description="steps between checkpoints")
    checkpoint_minutes: CheckpointMinutes = 5
    sample_every: Positive = Field(default=500, description="steps between sample grids")
    log_every: Positive = Field(default=50, description="steps between rows of the loss log")
    trackers: tuple[Tracker, ...] = Field(
        default=(),
        description="where else to write losses, beside the log and TensorBoard: wandb and mlflow, which are set up by "
        "their own environment variables (WANDB_PROJECT, MLFLOW_TRACKING_URI); they need the extra 'tracking'",
    )


class LayoutTraining(TrainerOptions):
    """A training on layouts, some of which may be those of photometric copies; see `augment.layouts.views`."""

    view_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the training samples with the layout of a photometric copy of their image",
    )

    @property
    def semantic(self) -> dict[str, Any]:
        """The options that change the result; those that earlier versions lack are there only where they do."""
        added = {"views", "view_share"} if self.view_share == 0 else set()
        return self.model_dump(exclude={*REPORTING_KEYS, *added})


class AdaptOptions(LayoutTraining):
    """Training of the adapter on this dataset; with zero steps it is used unchanged."""

    steps: int = Field(default=0, ge=0, le=10_000_000, description="optimizer steps")
    batch_size: BatchSize = 8
    learning_rate: LearningRate = 1e-4
    k_regions: float = Field(
        default=0,
        ge=0,
        le=1,
        description="share of the samples in which random rectangles have a k of their own, as generate.k_by_class has",
    )
    flip: bool = Field(
        default=False,
        description="whether to train on the mirror image of each image too, and to mirror crops",
    )
    crops: int = Field(
        default=0,
        ge=0,
        le=64,
        description="random crops of each training image to train on too, stored with their layouts",
    )
    smallest_crop: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="height of the smallest crop, as a share of the image's; crops are enlarged to its size",
    )
    objective: ObjectiveOptions = DEFAULT_OBJECTIVE
    controlnet: ModelName | None = Field(
        default=None,
        description="hub id or folder of a ControlNet of diffusers to start a new adapter from, such as "
        "lllyasviel/control_v11p_sd15_seg: all of its weights but those that read its condition; null starts from the "
        "base",
    )
    validation_images: int = Field(
        default=32,
        ge=0,
        le=10_000,
        description="images of the split of evaluate.split that a validation loss is measured on, at fixed noise and "
        "for several k, whenever a sample grid is written; 0 measures none",
    )
    micro_batch: Positive | None = Field(
        default=None,
        description="samples that go through the model together in one worker; the gradients of a batch are added up. "
        "Fewer take less memory; null takes all of the worker's samples at once",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="compute activations a second time in the backward pass: takes about half the memory, and half as "
        "much time again",
    )
    optimizer: OptimizerName = Field(
        default="adamw",
        description="adamw8bit keeps the moments of AdamW in 8 bits instead of 32; it needs the package bitsandbytes",
    )
    ema_every: Positive = Field(
        default=1,
        description="steps between changes of the averaged weights, which are kept in the memory of the machine; on a "
        "GPU, 10 save the time of copying the weights at each step",
    )

    @property
    def semantic(self) -> dict[str, Any]:
        """See `LayoutTraining.semantic`."""
        values = super().semantic
        values["objective"] = self.objective.model_dump(exclude_defaults=True)
        defaults: dict[str, Any] = {"k_regions": 0, "optimizer": "adamw", "ema_every": 1, "objective": {}}
        kept = {name: value for name, value in values.items() if name not in MEMORY_KEYS | VERSION_KEYS | MODEL_KEYS}
        return {name: value for name, value in kept.items() if name not in defaults or value != defaults[name]}


def require_optimizer(name: OptimizerName) -> None:
    """Check that the package of an optimizer is installed.

    Raises:
        UserError: it is not.
    """
    if name == "adamw8bit" and find_spec("bitsandbytes") is None:
        raise UserError("adapt.optimizer=adamw8bit needs the package bitsandbytes: install it, or take adamw")


class ScratchOptions(TrainerOptions):
    """Training of a new model from scratch."""

    steps: int = Field(ge=1, le=100_000_000, description="optimizer steps")
    batch_size: BatchSize = 16
    learning_rate: LearningRate = 4e-4
    cooldown: float = Field(default=COOLDOWN, ge=0, le=1, description="share of the steps over which the rate falls")
    precision: TrainingPrecision = Field(default="bf16", description="precision of the forward pass")


class DiffusionOptions(ScratchOptions, LayoutTraining):
    """Training of U-Net, text encoder and adapter from scratch."""

    views: int = Field(default=0, ge=0, le=16, description="photometric copies of each crop to keep layouts of")

    @model_validator(mode="after")
    def _views_are_used(self) -> DiffusionOptions:
        if (self.views == 0) != (self.view_share == 0):
            raise ValueError(
                f"views = {self.views} and view_share = {self.view_share} do not fit: "
                "give both above 0 to train on layouts of photometric copies, or both 0"
            )
        return self


class ModelOptions(Options):
    """Sizes of a new base model and its adapter."""

    num_components: int = Field(default=20, ge=1, le=128, description="components of a layout")
    latent_channels: int = Field(default=8, ge=1, le=48, description="channels of the latent")
    unet_channels: Annotated[tuple[Channels, ...], Field(min_length=3, max_length=3)] = Field(
        default=(96, 128, 192), description="channels of the U-Net, from latent resolution down"
    )
    text_width: int = Field(default=128, ge=32, multiple_of=32, description="channels of the text encoder")
    text_layers: int = Field(default=3, ge=1, le=48, description="layers of the text encoder")
    text_length: int = Field(default=16, ge=4, le=512, description="tokens of a prompt")
    adapter_hidden_channels: int = Field(default=96, ge=8, description="width of the layout encoder")


class CropOptions(Options):
    """Random crops of the training images of one source."""

    crops_per_image: int = Field(default=1, ge=1, le=1000, description="crops of each image to train on")
    smallest: float = Field(default=0.6, gt=0, le=1, description="smallest crop, as a share of the largest")
    weight: float = Field(default=1.0, gt=0, description="relative frequency of this source in training steps")


class PretrainOptions(Options):
    """A new base model with its adapter: sizes, trainings and seed."""

    seed: Seed = Field(default=0, description="seed of the training")
    model: ModelOptions = ModelOptions()
    basis: BasisOptions = BasisOptions()
    decoder: ScratchOptions
    diffusion: DiffusionOptions
