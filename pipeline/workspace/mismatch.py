"""Why what lies in a workspace is not what is asked for, in the words of the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.store import JSON
from pipeline.store.manifest import differences

# Inputs that are another result, or files: told by what they hold, for which no key stands.
_CONTENT = "what "
# What an input is called, by the beginning of its path; where there is no entry it is called by its path.
_NAMES = {
    "image_format": "shard.image_format",
    "samples_per_shard": "shard.samples_per_shard",
    "dataset": "dataset.kind",
    "listing": "the dataset's list of images",
    "masks": "the classes of the dataset's masks",
    "translation": "dataset.taxonomy",
    "k_max": "layout.k_max",
    "backbone.digest": f"{_CONTENT}the files of backbone.name hold",
    "base": "generator.base",
    "base.name": "generator.base",
    "base.digest": f"{_CONTENT}the files of generator.base hold",
    "start": "generator.adapter",
    "start.name": "generator.adapter",
    "start.digest": f"{_CONTENT}the files of generator.adapter hold",
    "adapter_basis": f"{_CONTENT}the basis of generator.adapter holds",
    "steps": "adapt.steps",
    "precision": "generator.precision",
    "sampler": "generator",
    "prompts": "generate.prompts",
    "quantile": "curate.quantile",
    "tolerance": "curate.tolerance",
    "model": "captions.model",
    "model.name": "captions.model",
    "model.digest": f"{_CONTENT}the files of captions.model hold",
    "max_new_tokens": "captions.max_new_tokens",
    "prompt": "captions.prompt",
    "real": f"{_CONTENT}the real store holds",
    "layouts": f"{_CONTENT}the store of layouts holds",
    "captions": f"{_CONTENT}the store of captions holds",
    "synthetic": f"{_CONTENT}the synthetic store is made from",
    "basis": f"{_CONTENT}the basis holds",
    "adapter": f"{_CONTENT}the adapter holds",
    "judge": f"{_CONTENT}the judge holds",
}
# The same of one kind of store or artifact, where it goes before that.
_NAMES_BY_KIND: Mapping[str, Mapping[str, str]] = {
    "real": {"sampling": "dataset.sampling"},
    "synthetic": {"sampling": "generate.sampling"},
    "adapter": {"options": "adapt"},
    "judge": {"options": "downstream", "options.iterations": "judge.iterations", "seed": "judge.seed"},
    "curated": {"options": "curate", "judged": "a judge that is fit to curate"},
    "scenes": {name: f"dataset.render.{name}" for name in ("train", "val", "height", "width", "seed")},
}


def told(kind: str, stored: Mapping[str, JSON], asked: Mapping[str, JSON]) -> str:
    """What differs between the inputs of a store or artifact and those asked for, keys of the configuration first."""
    lines = differences(stored, asked, name=lambda path: name_of(kind, path.removeprefix("inputs.")))
    return "; ".join(sorted(lines, key=lambda line: line.startswith(_CONTENT)))


def name_of(kind: str, path: str) -> str:
    """What the input at a path such as `sampler.num_steps` is called, here `generator.num_steps`."""
    names = {**_NAMES, **_NAMES_BY_KIND.get(kind, {})}
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        if known := names.get(".".join(parts[:count])):
            return ".".join([known, *parts[count:]])
    return path
