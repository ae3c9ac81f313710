"""The card of a store of synthetic images: what it holds, from what, with which models, and under which licences.

As Markdown with the header of the hub's dataset cards, and as Croissant 1.0, the JSON-LD vocabulary of MLCommons
(https://docs.mlcommons.org/croissant/docs/croissant-spec.html). Neither has a date: equal stores have equal cards.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from augment.model_licences import licence_of
from pipeline.checks.licences import models_of
from pipeline.datasets.licences import dataset_licence
from pipeline.store import Store, taxonomy_of
from pipeline.store.ai_mark import TRAINED_ALGORITHMIC_MEDIA
from pipeline.taxonomies.taxonomy import IGNORE_8_BIT

if TYPE_CHECKING:
    from pipeline.config import Config

CARD, CROISSANT = "README.md", "croissant.json"
# Terms of Croissant 1.0 in JSON-LD, as its specification gives them.
_TERMS = """
citeAs column conformsTo data dataType equivalentProperty examples extract field fileProperty fileObject fileSet format
includes isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate
separator source subField transform
"""
_SPECIAL = {
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    **{term: _SPECIAL.get(term, f"cr:{term}") for term in _TERMS.split()},
}


def write_card(store: Store, config: Config) -> None:
    """Write both forms of the card into a store that is complete."""
    index = store.index()
    store.location.write(CARD, markdown(store, config, index).encode())
    content = json.dumps(croissant(store, config, index), indent=1, ensure_ascii=False)
    store.location.write(CROISSANT, f"{content}\n".encode())


def markdown(store: Store, config: Config, index: pa.Table) -> str:
    """The card as Markdown."""
    manifest = store.manifest
    taxonomy = taxonomy_of(manifest)
    size = "{height} x {width}".format(**manifest.geometry) if manifest.geometry else "several sizes"
    rows = [f"| {split} | {k} | {count} |" for (split, k), count in sorted(_counts(index).items())]
    table = ["| split | layout components k | images |", "| --- | ---: | ---: |", *rows]
    labels = "None."
    if taxonomy is not None:
        labels = f"{len(taxonomy)} classes of {taxonomy.name}: {', '.join(taxonomy.classes)}."
    if manifest.kind == "curated":
        ignored = taxonomy.ignore_index if taxonomy else IGNORE_8_BIT
        labels += (
            f" Pixels whose label the judge of the run did not believe have the value {ignored}, and images with too "
            "many of them are left out; if the judge was unfit, `verdict` is `not judged`, and nothing changed."
        )
    return f"""---
license: other
task_categories: [image-segmentation]
tags: [synthetic, webdataset]
---

# {config.name}: {manifest.kind} images

{len(index)} images of {size} pixels that a model has painted, each with the labels of the real image it was made from,
or those of an edit of it. Made by LUMEN. Every sample names its source, prompt, seed and models.

{chr(10).join(table)}

**Labels.** {labels}

**From what.** The dataset `{_dataset(config)}`. Labels and scenes are those of its images, so its licence counts too:
{_dataset_licence(config)}

**With which models.**

{_models(config)}

The licences are those that LUMEN knows, as of November 2026, and no legal advice. An adapter that the run has trained,
and a basis that it has fitted, come from the images of the dataset.

**Made by AI.** Each image says so in its XMP metadata: `Iptc4xmpExt:DigitalSourceType` is
`{TRAINED_ALGORITHMIC_MEDIA}`. Images of versions before this mark do not have it.

**Files.** WebDataset tars in `shards`, a row for each sample in `index`; `croissant.json` describes both.
"""


def croissant(store: Store, config: Config, index: pa.Table) -> dict[str, Any]:
    """The card as Croissant."""
    manifest = store.manifest
    columns = [name for name in index.column_names if ":" not in name]
    licences = [known.terms for model in models_of(config) if (known := licence_of(model.name))]
    if config.licences.dataset is not None:
        licences.insert(0, config.licences.dataset)
    elif source := dataset_licence(config.dataset.kind):
        licences.insert(0, source.terms)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"{config.name}-{manifest.kind}",
        "description": f"{len(index)} images that a model has painted, with the labels of their sources, the images of "
        f"{_dataset(config)}. README.md has the models and their licences.",
        "license": list(dict.fromkeys(licences)),
        "keywords": ["synthetic", "semantic segmentation"],
        "digitalSourceType": "https://schema.org/TrainedAlgorithmicMediaDigitalSource",
        "isBasedOn": _dataset(config),
        "version": f"1.0.0+{manifest.fingerprint[:12]}",
        "distribution": [
            _files(
                "shards", "shards/*.tar", "application/x-tar", "WebDataset: image, label and metadata of each sample"
            ),
            _files("index", "index/*.parquet", "application/x-parquet", "a row for each sample"),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "samples",
                "name": "samples",
                "description": "a record for each image: its place in the shards, and where it comes from",
                "key": {"@id": "samples/key"},
                "field": [_field(name, index.schema.field(name).type) for name in columns],
            }
        ],
    }


def _files(name: str, includes: str, encoding: str, description: str) -> dict[str, Any]:
    found = {"@type": "cr:FileSet", "@id": name, "name": name, "description": description}
    return {**found, "encodingFormat": encoding, "includes": includes}


def _field(name: str, kind: pa.DataType) -> dict[str, Any]:
    kinds = {pa.types.is_integer: "sc:Integer", pa.types.is_floating: "sc:Float", pa.types.is_boolean: "sc:Boolean"}
    data_type = next((term for applies, term in kinds.items() if applies(kind)), "sc:Text")
    source = {"fileSet": {"@id": "index"}, "extract": {"column": name}}
    return {"@type": "cr:Field", "@id": f"samples/{name}", "name": name, "dataType": data_type, "source": source}


def _counts(index: pa.Table) -> Mapping[tuple[str, int], int]:
    if not len(index):
        return {}
    return Counter(zip(index["split"].to_pylist(), index["k"].to_pylist(), strict=True))


def _dataset(config: Config) -> str:
    return config.dataset.kind


def _dataset_licence(config: Config) -> str:
    """The licence of the dataset, as the end of a sentence."""
    if config.licences.dataset is not None:
        return f"{config.licences.dataset}, as whoever ran this has stated."
    known = dataset_licence(config.dataset.kind)
    if known is None:
        return "it is unknown to LUMEN, so read it before you pass this on."
    own = " Whoever ran this has a licence of their own." if config.dataset.kind in config.licences.accepted else ""
    return f"[{known.licence}]({known.terms}): {known.use}.{own}"


def _models(config: Config) -> str:
    lines = ["| model | what it does | licence | what is made with it |", "| --- | --- | --- | --- |"]
    for model in models_of(config):
        known = licence_of(model.name)
        licence = f"[{known.licence}]({known.terms})" if known else "unknown to LUMEN: read its own"
        if model.name in config.licences.accepted:
            licence += "; whoever ran this has a licence of their own"
        outputs = known.outputs if known else "unknown"
        lines.append(f"| `{model.name}` | {model.role} | {licence} | {outputs} |")
    return "\n".join(lines)
