"""The model card of an adapter, with what is needed to use it and to make it again."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from augment.conditioning import LAYOUT, TITLES
from augment.layouts.basis import LayoutBasis
from augment.layouts.options import BasisOptions
from augment.loading import model_file
from augment.lumen import zoo
from augment.lumen.options import VERSION_KEYS
from pipeline.stages.adapt_progress import TRAINING
from pipeline.stages.generator import BASIS
from pipeline.workspace.artifact import Record
from pipeline.workspace.model_files import basis_digest, label

if TYPE_CHECKING:
    from pipeline.config import Config

CARD = "README.md"
LOSSES = "loss.jsonl"
UNKNOWN = "unknown"
# What is recorded of each row of the log beside its losses.
NO_LOSSES = {"step", "steps_per_second"}


def adapter_card(config: Config, record: Record, adapter: Path) -> str:
    """The card, in Markdown.

    Args:
        config: of the run that made the adapter.
        record: of the adapter.
        adapter: folder of the adapter, with the log of its training.
    """
    base, options = config.generator.base, config.adapt
    licence = licence_of(base)
    start, kind = (options.controlnet, "ControlNet") if options.controlnet else (config.generator.adapter, "adapter")
    source = (kind, licence_of(start)) if start else ("base model", licence)
    images = f"{record.facts['images']} images of " if "images" in record.facts else ""
    rows = {
        "base model": f"{label(base)}, licence: {licence}",
        **({"started from": f"{label(start)}, licence: {source[1]}"} if start else {}),
        **_what_it_reads(config, adapter),
        "data": f"{config.dataset.kind}, {_folder_name(config.dataset.root)}; {images}split train at "
        f"{config.geometry.width}x{config.geometry.height} pixels",
        "training": f"{options.steps} steps of {options.batch_size} in {config.generator.training_precision}, "
        f"seed {config.seed}"
        if options.steps
        else "none in this run: the adapter of generator.adapter, unchanged",
        "digest": record.digest,
    }
    parts = [
        _front_matter(base, source[1]),
        f"# Layout adapter of {config.name}",
        "It lets a text-to-image model of diffusers paint on neural layouts, or on the maps named below.",
        "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {text} |" for name, text in rows.items())]),
    ]
    if options.steps:
        parts += ["## Training", f"```sh\n{_command(config)}\n```", *_metrics(adapter / TRAINING / LOSSES)]
    parts += ["## Use", _USE.format(base=base)]
    terms = _TERMS.format(start=source[0], licence=source[1])
    return "\n\n".join([*parts, "## Licence", terms]) + "\n"


_TERMS = """The weights begin as a copy of those of the {start}, whose licence is: {licence}. Mind it, and the terms
of the data."""

_USE = """`generator.adapter=FOLDER generator.base={base}` paints with it, and trains on from it with `adapt.steps=N`.
From Python:

```python
from pathlib import Path

from augment.lumen.model import Lumen

lumen = Lumen.load("{base}", Path("FOLDER"))
```

Inside the pipelines of diffusers: `load_adapter(Path("FOLDER")).controlnet`, see docs/diffusers.md of LUMEN."""


def licence_of(base: str) -> str:
    """The licence that the card of a base model states; `unknown` if there is none, or it is not on this machine."""
    try:
        path = model_file(zoo.source(base), CARD)
    except OSError:
        path = None
    matter = re.match(r"---\n(.*?)\n---\n", path.read_text(encoding="utf-8"), re.DOTALL) if path else None
    if matter is None:
        return UNKNOWN
    facts = OmegaConf.to_container(OmegaConf.create(matter[1]))
    if not isinstance(facts, dict):
        return UNKNOWN
    named = facts.get("license_name") if facts.get("license") in (None, "other") else facts["license"]
    return str(named or facts.get("license") or UNKNOWN)


def _front_matter(base: str, licence: str) -> str:
    facts = {
        "base_model": base if not Path(base).is_dir() else Path(base).name,
        "library_name": "diffusers",
        "license": licence if licence != UNKNOWN else "other",
        "tags": ["controlnet", "neural-layout"],
    }
    return f"---\n{OmegaConf.to_yaml(OmegaConf.create(facts)).strip()}\n---"


def _what_it_reads(config: Config, adapter: Path) -> Mapping[str, str]:
    if config.conditioning != LAYOUT:
        return {"reads": f"{TITLES[config.conditioning]} (conditioning.json)"}
    basis = LayoutBasis.load(adapter / BASIS)
    return {
        "reads": f"neural layouts, 0..{basis.num_components} components",
        "backbone": f"{basis.backbone}, revision {basis.revision}",
        "basis": f"{basis.kind}, in `{BASIS}`, digest {basis_digest(adapter / BASIS)}",
    }


def _command(config: Config) -> str:
    """The command that trains such an adapter, with the settings that it depends on."""
    start, unused = config.generator.adapter, set()
    if config.layout.basis == "adapter":
        unused = {*BasisOptions.model_fields, "fit_images"}
    dataset = config.dataset.model_dump(mode="json", exclude={"kind", "root"}, exclude_defaults=True)
    settings: dict[str, Any] = {
        "dataset.kind": config.dataset.kind,
        "dataset.root": "FOLDER",
        **_flat("dataset", dataset),
        "generator.base": config.generator.base,
        "generator.adapter": "null" if start is None else start,
        "backbone.name": config.backbone.name,
        **{f"geometry.{name}": value for name, value in config.geometry.model_dump(mode="json").items()},
        **{f"layout.{name}": value for name, value in config.layout.model_dump(mode="json", exclude=unused).items()},
        "conditioning": config.conditioning,
        "seed": config.seed,
        **_flat("adapt", config.adapt.semantic),
        **({"adapt.controlnet": config.adapt.controlnet} if config.adapt.controlnet else {}),
        **{f"adapt.{name}": getattr(config.adapt, name) for name in sorted(VERSION_KEYS)},
    }
    words = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in settings.items()]
    return " \\\n    ".join([f"lumen adapt {config.name}", *(shlex.quote(word) for word in words)])


def _flat(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of nested sections, with dots between their names."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(f"{name}.{key}", value) if isinstance(value, Mapping) else {f"{name}.{key}": value}
    return found


def _metrics(log: Path) -> list[str]:
    """The last of each loss in the log of the training."""
    if not log.is_file():
        return []
    last: dict[str, Any] = {}
    for row in map(json.loads, log.read_text(encoding="utf-8").splitlines()):
        last |= {name: (value, row["step"]) for name, value in row.items() if name not in NO_LOSSES}
    table = [f"| {name} | {value} | {step} |" for name, (value, step) in last.items()]
    return ["\n".join(["| last loss | value | step |", "| --- | --- | --- |", *table])] if table else []


def _folder_name(root: str | None) -> str:
    return "rendered scenes" if root is None else f"folder {root.rstrip('/').rsplit('/', 1)[-1]}"
