"""What a run can be told: every key, its range, and what it means."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipeline.taxonomies import TAXONOMIES

StageName = Literal[
    "shard", "fit", "extract", "caption", "adapt", "generate", "judge", "curate", "compare", "evaluate", "report"
]
STAGES: tuple[StageName, ...] = get_args(StageName)
TRAIN_SPLIT = "train"
PARTS = ("real", "synthetic")


class Section(BaseModel):
    """A part of the configuration: no unknown key, no change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def distinct(values: tuple[str | int, ...]) -> tuple[str | int, ...]:
    if len(set(values)) != len(values):
        raise ValueError(f"{list(values)} names one entry twice")
    return values


def ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"{list(bounds)} runs downwards; give the smaller number first")
    return bounds


def local(path: object) -> object:
    if isinstance(path, str) and "://" in path:
        raise ValueError(f"{path!r} is a URL; give a folder, one that every worker mounts")
    return path


def model_name(name: str) -> str:
    """A folder as an absolute path, wherever a worker stands; any other name as it is."""
    path = Path(name).expanduser()
    if path.is_dir() and len(path.parts) > 1:
        return str(path.absolute())
    if name.startswith(("/", ".", "~")):
        raise ValueError(f"there is no folder {path}; give one that exists, or a model's name")
    return name


def taxonomy_name(name: str) -> str:
    if name not in TAXONOMIES:
        raise ValueError(f"{name!r} names no classes; there are {', '.join(sorted(TAXONOMIES))}")
    return name


def text_of(path: object) -> object:
    return str(path) if isinstance(path, Path) else path


def folder_or_url(url: str) -> str:
    return url.rstrip("/") if "://" in url else str(absolute(Path(url)))


AbsolutePath = Annotated[Path, BeforeValidator(local), AfterValidator(absolute)]
Url = Annotated[str, Field(min_length=1), BeforeValidator(text_of), AfterValidator(folder_or_url)]
TaxonomyName = Annotated[str, AfterValidator(taxonomy_name)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
ModelName = Annotated[str, Field(min_length=1), AfterValidator(model_name)]
Splits = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct)]
Ks = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(distinct)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class RenderConfig(Section):
    """Scenes that `dataset.kind: rendered` draws into `<workspace>/scenes` where they are absent."""

    train: int = Field(default=64, ge=1, le=100_000, description="training scenes")
    val: int = Field(default=16, ge=1, le=100_000, description="validation scenes")
    height: int = Field(default=192, ge=64, le=2048, description="height of a rendered scene in pixels")
    width: int = Field(default=384, ge=64, le=4096, description="width of a rendered scene in pixels")
    seed: Seed = Field(default=0, description="seed of the scenes")


def folder_template(path: str) -> str:
    rest = path.replace("{split}", "", 1)
    if not path or path.startswith("/") or ".." in path.split("/") or "{" in rest or "}" in rest:
        raise ValueError(f"{path!r}: give a folder below the dataset's root, with at most one {{split}} in it")
    return path


FolderTemplate = Annotated[str, AfterValidator(folder_template)]


class FolderConfig(Section):
    """Where things lie in a dataset of kind 'folder', below its root; {split} stands for a split's name."""

    images: FolderTemplate = Field(default="images/{split}", description="without {split} all images are of 'train'")
    masks: FolderTemplate = Field(default="masks/{split}", description="class values, PNG; named as the images")
    instances: FolderTemplate = Field(default="instances/{split}", description="object numbers, 16-bit PNG; optional")
    mask_suffix: str = Field(default="", description="what follows an image's name in that of its mask, e.g. '_mask'")
    classes: str | None = Field(
        default=None, description="file of class names; null is classes.txt, classes.csv or classes.json in the root"
    )
    ignore_index: int | None = Field(
        default=None, ge=0, le=65535, description="value in masks that is no class; null is 255, or 65535 in 16 bits"
    )
    partly_labelled: bool = Field(default=False, description="whether images of a split may lack masks")


class RareClassConfig(Section):
    """Rare-class sampling: class c is drawn with P(c) ~ exp((1 - f_c) / T), f_c its share of the pixels."""

    samples: Positive = Field(description="images to take of each split, all of them different")
    temperature: PositiveFloat = Field(default=0.01, description="T: the lower, the more often the rarest classes")


class SamplingConfig(Section):
    """Which images are taken; exactly one of rare_class, per_class, keys and fraction says how."""

    rare_class: RareClassConfig | None = Field(default=None, description="more of what shows rare classes")
    per_class: Positive | None = Field(default=None, description="at least so many images of each class, if there are")
    keys: tuple[str, ...] | AbsolutePath | None = Field(
        default=None, description="these keys, or a file with a key a line"
    )
    fraction: float | None = Field(default=None, gt=0, le=1, description="a random share of the images")
    splits: Splits = Field(default=(TRAIN_SPLIT,), description="splits to sample, each by itself; others stay whole")
    seed: Seed = Field(default=0, description="seed of what is drawn")

    @model_validator(mode="after")
    def _one_way(self) -> SamplingConfig:
        given = [name for name in ("rare_class", "per_class", "keys", "fraction") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give one of rare_class, per_class, keys and fraction, not {' and '.join(given) or 'none'}"
            )
        if self.named is not None and not self.named:
            raise ValueError("keys: there are none")
        return self

    @property
    def by_class(self) -> bool:
        """Whether labels must be read to choose."""
        return self.rare_class is not None or self.per_class is not None

    @cached_property
    def named(self) -> tuple[str, ...] | None:
        """The keys asked for, read from their file where they are in one."""
        if not isinstance(self.keys, Path):
            return self.keys
        try:
            lines = self.keys.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"keys: {self.keys} cannot be read as a list of keys ({error})") from error
        return tuple(line.strip() for line in lines if line.strip())


class DatasetConfig(Section):
    """Where the real images and their labels come from."""

    kind: Literal[
        "rendered",
        "cityscapes",
        "cityscapes-coarse",
        "camvid",
        "camvid-32",
        "folder",
        "ade20k",
        "ade20k-full",
        "bdd100k",
        "bdd100k-100k",
        "coco-stuff",
    ] = Field(description="layout of the dataset on disk")
    root: Url | None = Field(
        default=None,
        validate_default=True,
        description="its folder or URL, e.g. s3://bucket/cityscapes; none where it is rendered",
    )
    splits: Splits = Field(default=(TRAIN_SPLIT, "val"), description="splits to read; 'train' must be one of them")
    limit: dict[str, Positive] = Field(
        default={}, description="at most so many images of a split, evenly spaced over it"
    )
    sampling: SamplingConfig | None = Field(default=None, description="which of those to take; null takes all")
    taxonomy: TaxonomyName | None = Field(
        default=None, description="classes to translate labels into, such as 'cityscapes'; null keeps the dataset's own"
    )
    folder: FolderConfig | None = Field(default=None, description="for kind 'folder': where things lie in it")
    render: RenderConfig | None = Field(default=None, description="for kind 'rendered': what to draw")

    @field_validator("root")
    @classmethod
    def _given(cls, root: str | None, section: ValidationInfo) -> str | None:
        # Said of the key itself, which is another one where several datasets are read.
        if root is None and (kind := section.data.get("kind", "rendered")) != "rendered":
            raise ValueError(f"give the folder or URL that kind {kind!r} is read from")
        return root

    @model_validator(mode="after")
    def _consistent(self) -> DatasetConfig:
        if self.folder is not None and self.kind != "folder":
            raise ValueError(f"kind {self.kind!r} takes no folder section")
        if self.kind == "rendered":
            if unknown := sorted(set(self.splits) - {TRAIN_SPLIT, "val"}):
                raise ValueError(f"splits: rendered scenes have 'train' and 'val', not {unknown}")
            if self.root is not None or self.render is None:
                raise ValueError(
                    "kind 'rendered' takes a render section and no root; to read a folder choose another kind, "
                    "such as cityscapes"
                )
        elif self.render is not None:
            raise ValueError(f"kind {self.kind!r} takes no render section")
        if TRAIN_SPLIT not in self.splits:
            raise ValueError(f"splits {list(self.splits)} lack {TRAIN_SPLIT!r}, which every fit is made on")
        if unknown := sorted(set(self.limit) - set(self.splits)):
            raise ValueError(f"limit names {unknown}, which are not among the splits {list(self.splits)}")
        if self.sampling and (unknown := sorted(set(self.sampling.splits) - set(self.splits))):
            raise ValueError(f"sampling.splits names {unknown}, which are not among the splits {list(self.splits)}")
        return self


class SizeConfig(Section):
    """The working size of image, label and layout; both sides are multiples of the latent stride 8."""

    height: int = Field(multiple_of=8, ge=32, le=2048, description="pixels")
    width: int = Field(multiple_of=8, ge=32, le=4096, description="pixels")


class TilesConfig(Section):
    """A grid of equal tiles that large images are cut into."""

    rows: int = Field(ge=1, le=64, description="tiles from top to bottom")
    columns: int = Field(ge=1, le=64, description="tiles from left to right")
    overlap: float = Field(default=0.0, ge=0, le=0.9, description="share of its side that a tile has of its neighbour")


class GeometryConfig(SizeConfig):
    """The working size, and how images of other sizes and proportions come to it."""

    mode: Literal["resize", "crop", "random_crop", "letterbox", "tiles"] = Field(
        default="resize",
        description="'resize' stretches the image; 'crop' shows the largest centred part of these proportions, "
        "'random_crop' a smaller one anywhere; 'letterbox' shows the whole between bars; 'tiles' makes many samples "
        "of each image",
    )
    resample: Literal["bilinear", "area"] = Field(
        default="bilinear", description="filter of images; 'area' is the mean of what is covered"
    )
    smallest: float = Field(
        default=0.5, gt=0, le=1, description="for random_crop: side of the smallest part, as a share of the largest's"
    )
    tiles: TilesConfig | None = Field(default=None, description="for mode 'tiles': the grid")
    reduced_jpeg: bool = Field(
        default=False, description="decode JPEG images at 1/2 to 1/8 where twice the pixels needed are left; faster"
    )

    @model_validator(mode="after")
    def _consistent(self) -> GeometryConfig:
        if (self.mode == "tiles") != (self.tiles is not None):
            raise ValueError(
                f"mode {self.mode!r} takes no tiles section"
                if self.tiles
                else "mode 'tiles' needs tiles={rows: 2, columns: 3, overlap: 0.25} or other numbers"
            )
        if "smallest" in self.model_fields_set and self.mode != "random_crop":
            raise ValueError(f"smallest is for mode 'random_crop', not {self.mode!r}")
        if self.reduced_jpeg and self.resample == "area":
            raise ValueError("reduced_jpeg needs resample 'bilinear': areas do not fall on pixels of a smaller image")
        return self

    def beyond_size(self) -> dict[str, dict[str, Any]]:
        """What changes samples besides their size, for a fingerprint; nothing where all is as by default."""
        set_here = self.model_dump(exclude_defaults=True, exclude={"height", "width"})
        return {"geometry": set_here} if set_here else {}


class BackboneConfig(Section):
    """The frozen foundation model that layouts are read from."""

    name: ModelName = Field(description="'dinov2-vits14' (no hub needed), a hub id or a folder")


class LayoutConfig(Section):
    """The neural layout."""

    k_max: int = Field(default=24, ge=1, le=128, description="components stored; every k used is at most this")
    basis: Literal["adapter", "own"] = Field(
        default="adapter", description="the basis the adapter was trained with, or this dataset's own"
    )


class CaptionsConfig(Section):
    """Captions of the real images by a model, beside those that the dataset has."""

    model: ModelName | None = Field(
        default=None, description="hub id or folder of an image-to-text model such as BLIP; null is none"
    )
    max_new_tokens: int = Field(default=30, ge=1, le=512, description="at most so many tokens a caption")
    prompt: str = Field(default="", description="words that every caption begins with")


class GeneratorConfig(Section):
    """The diffusion model and how it is sampled."""

    base: ModelName = Field(description="'lumen-tiny', or a hub id or folder that diffusers loads")
    adapter: ModelName | None = Field(
        default=None, description="'lumen-tiny' or a folder to start from; null starts a new one"
    )
    num_steps: int = Field(default=20, ge=1, le=1000, description="sampler steps")
    guidance_scale: float = Field(default=2.0, ge=1, le=30, description="1 is no guidance")
    precision: Literal["bf16", "fp32"] = Field(default="bf16", description="of training and sampling")


class AdaptConfig(Section):
    """Training of the adapter on this dataset; zero steps use it unchanged."""

    steps: int = Field(default=0, ge=0, le=10_000_000, description="optimizer steps")
    batch_size: int = Field(default=8, ge=1, le=4096, description="samples a step")
    learning_rate: float = Field(default=1e-4, gt=0, le=1, description="peak rate of AdamW")
    warmup_steps: int = Field(default=100, ge=0, description="steps until the rate has its peak")
    ema_decay: float = Field(default=0.999, ge=0, lt=1, description="decay of the averaged weights, the result")
    checkpoint_every: Positive = Field(default=500, description="steps between checkpoints")
    sample_every: Positive = Field(default=500, description="steps between sample grids")
    log_every: Positive = Field(default=50, description="steps between lines of the loss log")


class PromptConfig(Section):
    """The words beside the layout. A template's {names} are attributes of the source, or drawn ones."""

    templates: tuple[str, ...] = Field(default=("{caption}",), min_length=1, description="one is drawn for each sample")
    domains: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default={},
        description="attribute -> values; one is drawn for each sample, in place of the source's own",
    )
    negative: str = Field(default="", description="what guidance leads away from")


class GenerateConfig(Section):
    """Which synthetic images are made of each real one."""

    ks: Ks = Field(description="numbers of layout components: few for diverse images, many for faithful ones")
    variants: int = Field(default=1, ge=1, le=100, description="images for each source and k")
    splits: Splits = Field(default=(TRAIN_SPLIT, "val"), description="splits whose images are used as sources")
    sampling: SamplingConfig | None = Field(default=None, description="which of those to use; null uses all")
    prompts: PromptConfig = PromptConfig()

    @model_validator(mode="after")
    def _sampled_splits(self) -> GenerateConfig:
        if self.sampling and (unknown := sorted(set(self.sampling.splits) - set(self.splits))):
            raise ValueError(f"sampling.splits names {unknown}, which are not among the splits {list(self.splits)}")
        return self


class JudgeConfig(Section):
    """The segmenter trained on real data alone, which scores synthetic data."""

    iterations: int = Field(default=1000, ge=1, le=10_000_000, description="optimizer steps")
    seed: Seed = Field(default=0, description="seed of its training")


class CurateConfig(Section):
    """What becomes of labels that the judge does not believe."""

    quantile: float = Field(default=0.95, gt=0, lt=1, description="of a class's pixel losses on real data: its scale")
    tolerance: float = Field(default=1.25, ge=1, le=100, description="loss over tolerance x scale makes a pixel 255")
    min_reliable: float = Field(default=0.5, ge=0, le=1, description="images with a lower share believed are dropped")


def mix_weights(expression: str) -> dict[str, float]:
    """Weight of each part of a mix such as `real`, `real+synthetic` or `real+0.5*synthetic`.

    Raises:
        ValueError: the expression names a part other than `real` and `synthetic`, or one twice.
    """
    weights: dict[str, float] = {}
    for term in expression.replace(" ", "").split("+"):
        match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)\*)?(\w+)", term)
        if match is None or match[2] not in PARTS or match[2] in weights or float(match[1] or 1) == 0:
            raise ValueError(
                f"{expression!r} is no mix: join 'real' and 'synthetic', each once, with '+' and a factor, "
                "e.g. 'real+0.5*synthetic'"
            )
        weights[match[2]] = float(match[1] or 1)
    return weights


class DownstreamConfig(Section):
    """The model whose training shows what the data was worth."""

    model: str = Field(default="segformer_mit-b0", min_length=1, description="mmsegmentation model or config file")
    iterations: int = Field(default=1000, ge=1, le=10_000_000, description="optimizer steps, the same for every mix")
    decoder_channels: int | None = Field(
        default=None, ge=8, description="width of the decode head; null keeps the model's own"
    )
    pretrained: AbsolutePath | None = Field(
        default=None, description="weights to start from, safetensors or a checkpoint; null starts from random ones"
    )
    batch_size: int = Field(default=8, ge=1, le=4096, description="images a step")
    learning_rate: float = Field(default=3e-3, gt=0, le=1, description="peak rate of AdamW")
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="of AdamW")
    scale_range: Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(ascending)] = Field(
        default=(0.75, 1.5), description="images are resized by a factor drawn from it before cropping"
    )
    photometric: bool = Field(default=True, description="whether brightness, contrast and colour are varied")
    num_workers: int = Field(default=0, ge=0, le=256, description="loader processes; does not change the result")
    mixes: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=("real", "synthetic", "real+synthetic"),
        description="mixes to compare, e.g. 'real+2*synthetic'",
    )
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        default=(0,), description="one training for each mix and seed"
    )

    @model_validator(mode="after")
    def _known_parts(self) -> DownstreamConfig:
        for mix in self.mixes:
            mix_weights(mix)
        return self


class EvaluateConfig(Section):
    """What alignment, diversity and the comparison are measured on."""

    split: Annotated[str, Field(min_length=1)] | None = Field(
        default="val", description="held-out split; null leaves out all stages that need labels, from judge on"
    )


class ShardConfig(Section):
    """How samples lie on disk."""

    samples_per_shard: int = Field(
        default=256, ge=1, le=100_000, description="samples a shard: a work unit of every stage"
    )
    image_format: Literal["png", "jpg", "webp"] = Field(default="png", description="format of images; labels are png")


class ErrorBudgetConfig(Section):
    """How many bad samples a stage may meet before the run stops."""

    rate: float = Field(default=0.01, ge=0, le=1, description="share of the samples")
    minimum: int = Field(default=10, ge=0, description="failures that are always borne")


class StageResources(Section):
    """What one worker of a stage takes; none of it changes a result."""

    num_cpus: float = Field(default=1, gt=0, description="CPU slots a worker")
    num_gpus: float = Field(default=0, ge=0, description="accelerators a worker; any makes it run there")
    workers: Literal["auto"] | Positive = Field(default="auto", description="workers; auto is the most that fit")
    threads: Positive | None = Field(default=None, description="compute threads a worker; null shares the cores out")
    batch_size: Positive = Field(default=8, description="samples a forward pass")
    unit_timeout: PositiveFloat | None = Field(
        default=None,
        description="seconds without a finished shard after which a worker hangs and is replaced (a serial run has "
        "none to replace it by: it warns and waits); null waits for ever",
    )
    setup_timeout: PositiveFloat | None = Field(
        default=None,
        description="seconds that a worker may take to load its model, which unit_timeout does not count; be generous; "
        "null waits for ever",
    )


class ClusterConfig(Section):
    """Where the work is done."""

    executor: Literal["ray", "serial"] = Field(default="ray", description="Ray workers, or this process alone")
    address: str | None = Field(
        default=None, description="address of a Ray cluster, 'auto', or null for RAY_ADDRESS, else this machine"
    )
    default: StageResources = Field(default=StageResources(), description="resources of a stage that has no own entry")
    stages: dict[StageName, StageResources] = Field(default={}, description="stage -> resources")

    def resources(self, stage: StageName) -> StageResources:
        """Resources of one worker of `stage`."""
        return self.stages.get(stage, self.default)


class Config(Section):
    """A whole run."""

    name: Name = Field(description="name of the run, the title of its report")
    workspace: AbsolutePath = Field(description="folder that all stages write to")
    stores: Url | None = Field(
        default=None, description="URL that all stores are put under, e.g. s3://bucket/run; null is the workspace"
    )
    seed: Seed = Field(default=0, description="seed of everything drawn while generating")
    dataset: DatasetConfig
    geometry: GeometryConfig
    backbone: BackboneConfig
    layout: LayoutConfig = LayoutConfig()
    captions: CaptionsConfig = CaptionsConfig()
    generator: GeneratorConfig
    adapt: AdaptConfig = AdaptConfig()
    generate: GenerateConfig
    judge: JudgeConfig = JudgeConfig()
    curate: CurateConfig = CurateConfig()
    downstream: DownstreamConfig = DownstreamConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    shard: ShardConfig = ShardConfig()
    error_budget: ErrorBudgetConfig = ErrorBudgetConfig()
    cluster: ClusterConfig = ClusterConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if (largest := max(self.generate.ks)) > self.layout.k_max:
            raise ValueError(
                f"generate.ks: {largest} is above layout.k_max = {self.layout.k_max}; "
                f"use ks of at most {self.layout.k_max}, or raise layout.k_max"
            )
        if unknown := sorted(set(self.generate.splits) - set(self.dataset.splits)):
            raise ValueError(f"generate.splits: {unknown[0]!r} is not among dataset.splits {list(self.dataset.splits)}")
        if self.evaluate.split is not None and self.evaluate.split not in self.dataset.splits:
            raise ValueError(
                f"evaluate.split: {self.evaluate.split!r} is not among dataset.splits {list(self.dataset.splits)}; "
                "null measures nothing"
            )
        if self.evaluate.split == TRAIN_SPLIT:
            raise ValueError(f"evaluate.split: {TRAIN_SPLIT!r} is what the fits are made on; name a held-out split")
        needed: dict[str, str] = {}
        if self.evaluate.split is not None:
            needed[self.evaluate.split] = "evaluate.split"
            if any("synthetic" in mix_weights(mix) for mix in self.downstream.mixes):
                needed[TRAIN_SPLIT] = "the mixes with synthetic data"
        for split, reader in needed.items():
            if split not in self.generate.splits:
                raise ValueError(f"generate.splits: {list(self.generate.splits)} lacks {split!r}, which {reader} needs")
        if self.generator.adapter is None:
            if self.layout.basis == "adapter":
                raise ValueError("layout.basis: 'adapter' needs generator.adapter; a new adapter takes basis 'own'")
            if self.adapt.steps == 0:
                raise ValueError("adapt.steps: a new adapter (generator.adapter: null) must be trained; give steps")
        elif self.layout.basis == "own" and self.adapt.steps == 0:
            raise ValueError(
                "layout.basis: 'own' gives the adapter components that it was not trained on; "
                "give adapt.steps, or take basis 'adapter'"
            )
        return self
