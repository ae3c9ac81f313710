"""A synthetic store says what it holds, from what, with which models, and under which licences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.config.compose import load_config
from pipeline.stages.dataset_card import CARD, CROISSANT, write_card
from pipeline.store import Manifest, Sample, Store
from pipeline.store.verify import verify_store

IMAGE, LABEL = np.zeros((16, 24, 3), np.uint8), np.zeros((16, 24), np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store.create(str(tmp_path / "synthetic"), Manifest("synthetic", "camvid", {"height": 16, "width": 24}))
    for k in (1, 5):
        rows = [{"split": "train", "k": k, "prompt": "a street", "share": 0.5, "edited": True}] * 2
        samples = [Sample(f"a{k}{number}", IMAGE, LABEL, metadata=row) for number, row in enumerate(rows)]
        found.write_shard(f"train-k{k:02d}-000000", samples)
    return found


def test_the_card_counts_images_and_names_models_with_their_licences(store: Store, tmp_path: Path) -> None:
    given = [
        "generator.base=/models/stable-diffusion-v1-5",
        "generator.adapter=null",
        "adapt.steps=1",
        "layout.basis=own",
    ]
    config = load_config("quickstart", [f"workspace={tmp_path}", *given, "backbone.name=acme/features"], done=True)
    write_card(store, config)
    text = (Path(store.url) / CARD).read_text()
    assert "4 images of 16 x 24 pixels" in text and "| train | 1 | 2 |" in text and "| train | 5 | 2 |" in text
    [base] = [line for line in text.splitlines() if line.startswith("| `/models/stable-diffusion-v1-5`")]
    assert "CreativeML Open RAIL-M" in base and "may be trained on" in base
    [backbone] = [line for line in text.splitlines() if line.startswith("| `acme/features`")]
    assert "unknown to LUMEN" in backbone and backbone.endswith("| unknown |")
    assert "dataset `rendered`" in text and "pedestrian" in text
    before = text, (Path(store.url) / CROISSANT).read_text()
    write_card(store, config)
    assert before == ((Path(store.url) / CARD).read_text(), (Path(store.url) / CROISSANT).read_text())
    assert verify_store(store.url) == []


@pytest.mark.parametrize(
    ("recipe", "given", "said", "term"),
    [
        ("cityscapes", [], "neither the dataset nor modified versions", "https://www.cityscapes-dataset.com/license/"),
        ("camvid", [], "unknown to LUMEN", None),
        ("camvid", ["licences.dataset=CC BY 4.0"], "CC BY 4.0, as whoever ran this has stated", "CC BY 4.0"),
    ],
)
def test_the_card_has_the_licence_of_the_dataset(
    store: Store, tmp_path: Path, recipe: str, given: list[str], said: str, term: str | None
) -> None:
    write_card(store, load_config(recipe, [f"workspace={tmp_path}", "dataset.root=/data", *given], done=True))
    [sentence] = [part for part in (Path(store.url) / CARD).read_text().split("\n\n") if part.startswith("**From what")]
    assert said in sentence
    licences = json.loads((Path(store.url) / CROISSANT).read_text())["license"]
    assert term is None or licences[0] == term


def test_croissant_describes_the_files_and_columns_that_are_there(store: Store, tmp_path: Path) -> None:
    write_card(store, load_config("quickstart", [f"workspace={tmp_path}"], done=True))
    folder = Path(store.url)
    found = json.loads((folder / CROISSANT).read_text())
    assert (found["@type"], found["conformsTo"]) == ("sc:Dataset", "http://mlcommons.org/croissant/1.0")
    sets = {one["@id"]: one for one in found["distribution"]}
    assert all(list(folder.glob(one["includes"])) for one in sets.values())
    table = pq.read_table(next(folder.glob(sets["index"]["includes"])))
    [records] = found["recordSet"]
    types = {field["source"]["extract"]["column"]: field["dataType"] for field in records["field"]}
    assert set(types) == {name for name in table.column_names if ":" not in name}
    expected = {"key": "sc:Text", "k": "sc:Integer", "share": "sc:Float", "edited": "sc:Boolean"}
    assert {name: types[name] for name in expected} == expected
    assert {field["source"]["fileSet"]["@id"] for field in records["field"]} <= set(sets)
