"""generate: new images on the layouts of real ones, each with its source's annotations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from augment.errors import NotFinite
from augment.lumen.prompt_limit import FittedPrompt, PromptTooLong
from augment.prompts import choose_domain, expand
from pipeline.datasets.table import BOXES
from pipeline.engine.plan import Plan
from pipeline.engine.stage import Failed, Ok, Outcome, Resources, WorkUnit
from pipeline.stages.reading import NOT_FINITE, split_of
from pipeline.stages.shard import CONTENT, REGION
from pipeline.stages.wording import caption_of, content_attributes
from pipeline.store import JSON, LABELLED, InvalidSample, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.lumen.layout_sampler import LayoutSampler, Request
    from augment.prompts import Prompt


SYNTHETIC = {"medium": "synthetic"}
# Metadata of a sample, true where the text encoder did not take the whole prompt.
SHORTENED = "prompt_shortened"


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
    """An image to paint as it is asked for, and the attributes of its content: its source's, or chosen instead.

    ``prompt`` is that of the request, of which the text encoder may take a part only.
    """

    request: Request
    attributes: dict[str, str]
    prompt: Prompt


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
        from augment.lumen.diffusion_model import load_diffusion_model
        from augment.lumen.layout_sampler import LayoutSampler

        base = load_diffusion_model(self.base, self.device)
        adapter = load_whole(LayoutControlNet, Path(self.adapter), torch_dtype=torch.float32).to(self.device)
        self._sampler = LayoutSampler(base, adapter, self.num_steps, self.guidance_scale, self.precision)

    def process(self, unit: WorkUnit, batch: Sequence[Sample]) -> list[Outcome]:
        """One image for each sample with layout and label; its annotations are passed on as they are."""
        k, variant = int(str(unit.params["k"])), int(str(unit.params["variant"]))
        outcomes: list[Outcome] = []
        ready: list[tuple[Sample, Wish, FittedPrompt]] = []
        for sample in batch:
            if not sample.has_finite_layout:
                outcomes.append(Failed(sample.key, f"not finite: {NOT_FINITE}"))
                continue
            wish = self.wish(sample, k, variant)
            try:
                ready.append((sample, wish, self.sampler.base.prompt_limit.fit(wish.prompt)))
            except PromptTooLong as error:
                outcomes.append(Failed(sample.key, f"prompt too long: {error}"))
        requests = [replace(wish.request, prompt=fitted.text) for _, wish, fitted in ready]
        for (sample, wish, fitted), image in zip(ready, self.paint(requests), strict=True):
            if (image == image[0, 0]).all():
                outcomes.append(Failed(sample.key, f"constant image: every pixel is {image[0, 0].tolist()}"))
            else:
                outcomes.append(Ok(self.paired(sample, wish, fitted, variant, image), self.notes(fitted)))
        return outcomes

    def paint(self, requests: Sequence[Request]) -> list[NDArray[np.uint8]]:
        """The images of the requests.

        Raises:
            InvalidSample: what the model gives is not finite.
        """
        try:
            return self.sampler.generate(requests) if requests else []
        except NotFinite as error:
            # Tried again one by one, so that the image at fault is quarantined, and no other.
            raise InvalidSample(f"not finite: {error}") from error

    @property
    def sampler(self) -> LayoutSampler:
        """The model, which `setup` loads."""
        assert self._sampler is not None
        return self._sampler

    def notes(self, fitted: FittedPrompt) -> tuple[str, ...]:
        """What the summary should count of a prompt."""
        limit = self.sampler.base.prompt_limit
        shortened = f"prompt shortened to the {limit.length} tokens that the text encoder takes"
        spelled = "prompt with words that the tokenizer does not know and spells out"
        noted = {shortened: fitted.shortened, spelled: limit.spells(fitted.text)}
        return tuple(note for note, applies in noted.items() if applies)

    def wish(self, sample: Sample, k: int, variant: int) -> Wish:
        """What to paint: all that is sampled comes from the source's key, k and variant.

        The prompt does not depend on k: the ks of a variant differ in noise and in how much layout they use.
        """
        from augment.lumen.layout_sampler import Request

        assert sample.layout is not None
        draws = np.random.default_rng(stable_seed("prompt", self.seed, sample.key, variant))
        template = self.templates[int(draws.integers(len(self.templates)))]
        drawn = choose_domain(self.domains, draws)
        description = caption_of(sample, drawn, self.classes, draws)
        attributes = {**content_attributes(sample), **drawn}
        prompt = expand(template, attributes, description)
        seed = stable_seed("noise", self.seed, sample.key, k, variant)
        request = Request(sample.layout, k, str(prompt), seed, self.negative_prompt)
        return Wish(request, {**attributes, **SYNTHETIC}, prompt)

    def paired(self, sample: Sample, wish: Wish, fitted: FittedPrompt, variant: int, image: np.ndarray) -> Sample:
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
            # What was encoded, which may be less than was asked for.
            "prompt": fitted.text,
            **({SHORTENED: True} if fitted.shortened else {}),
            "base": self.provenance.base,
            "adapter": self.provenance.adapter,
            "basis": self.provenance.basis,
        }
        key = f"{sample.key}_k{request.k:02d}_v{variant:02d}"
        kept = (BOXES, LABELLED, REGION, CONTENT)
        metadata |= {name: sample.metadata[name] for name in kept if name in sample.metadata}
        return Sample(key, image, sample.label, instances=sample.instances, metadata=metadata)
