"""What to paint on the layout of a sample, and the synthetic sample that comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from augment.conditioning import LAYOUT
from augment.lumen.prompt_limit import FittedPrompt
from augment.prompts import PromptOptions, choose_domain, expand
from pipeline.datasets.table import BOXES
from pipeline.stages.dataset_source import CONTENT, REGION
from pipeline.stages.descriptions import caption_of, content_attributes
from pipeline.stages.edit_options import EDITED, EDITS
from pipeline.stages.hard_source import HARDNESS
from pipeline.stages.seeds import stable_seed
from pipeline.store import JSON, LABELLED, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.layouts.region_ks import RegionKs, RegionStrengths
    from augment.lumen.sampling.request import Request
    from augment.prompts import Prompt

# Metadata of a sample, true if the text encoder did not take the whole prompt.
SHORTENED = "prompt_shortened"
# What a synthetic sample keeps of its source's metadata.
_KEPT = (BOXES, LABELLED, REGION, CONTENT, EDITS, EDITED, HARDNESS)


@dataclass(frozen=True)
class Provenance:
    """Where each synthetic sample comes from, for its metadata.

    Attributes:
        base: as `name@digest`.
        adapter: its digest.
        basis: digest of the basis of its layouts; None if the adapter reads something else.
        conditioning: kind of what the adapter reads.
        judged_ks: components of the classes that the judge does not recognise.
    """

    base: str
    adapter: str
    basis: str | None
    conditioning: str = LAYOUT
    judged_ks: Mapping[str, int] = field(default_factory=dict)

    @property
    def metadata(self) -> dict[str, JSON]:
        """The metadata of a sample; of neural layouts, the basis says what they are."""
        of = {"basis": self.basis} if self.conditioning == LAYOUT else {"conditioning": self.conditioning}
        judged: dict[str, JSON] = {"k_by_judge": dict(self.judged_ks)} if self.judged_ks else {}
        return {"base": self.base, "adapter": self.adapter, **of, **judged}


@dataclass(frozen=True)
class PaintRequest:
    """An image to paint on the layout of a sample.

    Attributes:
        sample: the source.
        k: layout components, but of regions that have their own.
        variant: number of the variant.
        request: for the model; the text encoder may take only a part of its prompt.
        prompt: the same prompt in parts.
        attributes: what the image is to show: the attributes of its source, or others chosen instead.
    """

    sample: Sample
    k: int
    variant: int
    request: Request
    prompt: Prompt
    attributes: dict[str, str]

    @classmethod
    def of(
        cls,
        sample: Sample,
        k: int,
        variant: int,
        prompts: PromptOptions,
        classes: tuple[str, ...],
        seed: int,
        regions: RegionKs | None = None,
        strengths: RegionStrengths | None = None,
        guidance_scales: Sequence[float] = (),
    ) -> PaintRequest:
        """What to paint; every random choice depends on the run's seed and the sample's key, k and variant alone.

        The prompt does not depend on k: the ks of a variant differ in noise and in how much of the layout they use.

        Args:
            sample: the source, with a layout.
            k: layout components to use.
            variant: number of the variant.
            prompts: templates and values to choose from.
            classes: names of the train ids, for captions of images without any other text.
            seed: the run's seed.
            regions: components of some classes; a sample without a label follows `k` everywhere.
            strengths: of control, of some classes; a sample without a label has strength 1 everywhere.
            guidance_scales: the variants have them in turn; none is that of the sampler.
        """
        from augment.lumen.sampling.request import Request

        assert sample.layout is not None
        generator = np.random.default_rng(stable_seed("prompt", seed, sample.key, variant))
        template = prompts.templates[int(generator.integers(len(prompts.templates)))]
        chosen = choose_domain(prompts.domains, generator)
        description = caption_of(sample, chosen, classes, generator)
        attributes = {**content_attributes(sample), **chosen}
        prompt = expand(template, attributes, description)
        noise = stable_seed("noise", seed, sample.key, k, variant)
        used = k if regions is None or sample.label is None else regions.cells(sample.label, k)
        strength = 1.0 if strengths is None or sample.label is None else strengths.cells(sample.label)
        scale = guidance_scales[variant % len(guidance_scales)] if guidance_scales else None
        request = Request(sample.layout, used, str(prompt), noise, prompts.negative, strength, scale)
        return cls(sample, k, variant, request, prompt, {**attributes, "medium": "synthetic"})

    def painted(self, image: NDArray[np.uint8], fitted: FittedPrompt, provenance: Provenance) -> Sample:
        """The synthetic sample: the new image with the source's annotations, its attributes and its provenance."""
        sample, request = self.sample, self.request
        metadata: dict[str, JSON] = {
            **self.attributes,
            "source_key": sample.key,
            "source_dataset": sample.metadata["dataset"],
            "split": sample.metadata["split"],
            "k": self.k,
            "variant": self.variant,
            "seed": request.seed,
            # The text that was encoded, which may be a part of the requested one.
            "prompt": fitted.text,
            **({SHORTENED: True} if fitted.shortened else {}),
            **({} if request.guidance_scale is None else {"guidance_scale": request.guidance_scale}),
            **provenance.metadata,
        }
        metadata |= {name: sample.metadata[name] for name in _KEPT if name in sample.metadata}
        key = f"{sample.key}_k{self.k:02d}_v{self.variant:02d}"
        return Sample(key, image, sample.label, instances=sample.instances, metadata=metadata)
