"""generate: new images on the layouts of real ones, each with its source's annotations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from augment.prompts import draw_domain, expand
from pipeline.datasets.table import BOXES
from pipeline.engine.outcome import Ok, Outcome
from pipeline.engine.plan import Plan
from pipeline.engine.stage import Resources
from pipeline.engine.unit import WorkUnit
from pipeline.stages.reading import split_of
from pipeline.stages.shard import CONTENT, REGION
from pipeline.stages.wording import caption_of, content_attributes
from pipeline.store import JSON, LABELLED, Sample

if TYPE_CHECKING:
    from augment.lumen.sampler import LayoutSampler, Request


SYNTHETIC = {"medium": "synthetic"}


def shard_name(source: str, k: int, variant: int) -> str:
    """`train-000003` at k = 5 in variant 1 becomes `train-k05-v01-000003`."""
    split, _, index = source.rpartition("-")
    return f"{split}-k{k:02d}-v{variant:02d}-{index}"


def shard_names(
    sources: Sequence[str], splits: Sequence[str], ks: Sequence[int], variants: int
) -> Iterator[tuple[str, str, int, int]]:
    """(shard, source shard, k, variant) of every unit; sources of one split first, then k, then variant."""
    for k in ks:
        for variant in range(variants):
            for source in sources:
                if split_of(source) in splits:
                    yield shard_name(source, k, variant), source, k, variant


def plan(shards: Mapping[str, tuple[str, ...]], splits: Sequence[str], ks: Sequence[int], variants: int) -> Plan:
    """One unit for each source shard, k and variant: more ks or variants add shards and change none."""
    return Plan.of(
        WorkUnit(name, shards[source], {"k": k, "variant": variant})
        for name, source, k, variant in shard_names(list(shards), splits, ks, variants)
    )


def stable_seed(*parts: str | int) -> int:
    """A seed in 0..2**63 - 1 that depends on the parts alone, on any machine."""
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class Provenance:
    """What each synthetic sample carries in its metadata: the base as `name@digest`, the others as digests."""

    base: str
    adapter: str
    basis: str


@dataclass(frozen=True)
class Wish:
    """An image to paint, and the attributes of its content: its source's, with what was drawn in their place."""

    request: Request
    attributes: dict[str, str]


@dataclass
class Generate:
    """Paints an image onto each layout at the unit's k, for the unit's variant.

    Attributes:
        base, adapter: what to load.
        num_steps, guidance_scale, precision: see `LayoutSampler`.
        templates, domains, negative_prompt: see `PromptConfig`.
        seed: the run's seed.
        provenance: recorded with every sample.
        classes: names of the train ids, for captions of images of which nothing else is known.
    """

    base: str
    adapter: str
    num_steps: int
    guidance_scale: float
    precision: str
    templates: tuple[str, ...]
    domains: Mapping[str, tuple[str, ...]]
    negative_prompt: str
    seed: int
    provenance: Provenance
    device: str
    resources: Resources
    batch_size: int
    classes: tuple[str, ...] = ()
    name: str = "generate"
    _sampler: LayoutSampler | None = field(default=None, repr=False)

    def setup(self) -> None:
        """Load base model and adapter."""
        import torch

        from augment.loading import load_whole
        from augment.lumen.adapter import LayoutControlNet
        from augment.lumen.base import load_base
        from augment.lumen.sampler import LayoutSampler

        base = load_base(self.base, self.device)
        adapter = load_whole(LayoutControlNet, Path(self.adapter), torch_dtype=torch.float32).to(self.device)
        self._sampler = LayoutSampler(base, adapter, self.num_steps, self.guidance_scale, self.precision)

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:
        """One image for each sample with layout and label; its annotations are passed on as they are."""
        assert self._sampler is not None
        k, variant = int(str(unit.params["k"])), int(str(unit.params["variant"]))
        wishes = [self.wish(sample, k, variant) for sample in batch]
        images = self._sampler.generate([wish.request for wish in wishes])
        return [
            Ok(self.paired(sample, wish, variant, image))
            for sample, wish, image in zip(batch, wishes, images, strict=True)
        ]

    def wish(self, sample: Sample, k: int, variant: int) -> Wish:
        """What to paint: all that is drawn comes from the source's key, k and variant.

        The prompt does not depend on k: the ks of a variant differ in noise and in how much layout they use.
        """
        from augment.lumen.sampler import Request

        assert sample.layout is not None
        draws = np.random.default_rng(stable_seed("prompt", self.seed, sample.key, variant))
        template = self.templates[int(draws.integers(len(self.templates)))]
        drawn = draw_domain(self.domains, draws)
        words = caption_of(sample, drawn, self.classes, draws)
        attributes = {**content_attributes(sample), **drawn}
        prompt = expand(template, attributes, words)
        seed = stable_seed("noise", self.seed, sample.key, k, variant)
        return Wish(Request(sample.layout, k, prompt, seed, self.negative_prompt), {**attributes, **SYNTHETIC})

    def paired(self, sample: Sample, wish: Wish, variant: int, image: np.ndarray) -> Sample:
        """The new image with the source's annotations, what it was meant to show, and the whole of its provenance."""
        request = wish.request
        metadata: dict[str, JSON] = {
            **wish.attributes,
            "source_key": sample.key,
            "source_dataset": sample.metadata["dataset"],
            "split": sample.metadata["split"],
            "k": request.k,
            "variant": variant,
            "seed": request.seed,
            "prompt": request.prompt,
            "base": self.provenance.base,
            "adapter": self.provenance.adapter,
            "basis": self.provenance.basis,
        }
        key = f"{sample.key}_k{request.k:02d}_v{variant:02d}"
        kept = (BOXES, LABELLED, REGION, CONTENT)
        metadata |= {name: sample.metadata[name] for name in kept if name in sample.metadata}
        return Sample(key, image, sample.label, instances=sample.instances, metadata=metadata)
