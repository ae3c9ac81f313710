"""Pictures of the page: what differs from the source is named, and what curation doubts is marked."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from downstream.gallery import Picture, gallery
from downstream.page.curated import KCuration, curation, doubts
from pipeline.store import Failure, Manifest, Sample, Store
from pipeline.taxonomies import CAMVID

GEOMETRY = {"height": 16, "width": 24}
GREY = np.full((16, 24, 3), 128, np.uint8)
SKY = np.full((16, 24), CAMVID.classes.index("sky"), np.uint8)
ROAD = np.full((16, 24), CAMVID.classes.index("road"), np.uint8)


def pixels(picture: Picture) -> NDArray[np.uint8]:
    data = base64.b64decode(picture.source.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def stored(folder: Path, kind: str, samples: list[Sample]) -> Store:
    store = Store.create(str(folder / kind), Manifest(kind, "camvid", GEOMETRY))
    store.write_shard("train-k05-000000", samples)
    return store


def painted(key: str, variant: int, label: NDArray[np.uint8] = SKY, **more: object) -> Sample:
    facts = {"split": "train", "source_key": "a", "k": 5, "variant": variant, "medium": "synthetic", "weather": "clear"}
    return Sample(key, GREY, label, metadata={**facts, **more})  # type: ignore[dict-item]


def test_changed_attributes_and_edits_are_named_and_an_edited_label_is_shown(tmp_path: Path) -> None:
    source = {"split": "train", "weather": "clear", "medium": "photo", "dataset": "x"}
    real = stored(tmp_path, "real", [Sample("a", GREY, SKY, metadata=source)])
    made = [
        painted("a0", 0),
        painted("a1", 1, weather="rain"),
        painted("a2", 2, ROAD, edited=True),
        *(painted(f"a{number}", number) for number in range(3, 9)),
    ]
    found = gallery(real, None, stored(tmp_path, "synthetic", made), "train", 6)
    [row] = found.rows
    assert [picture.caption for picture in row.generated[5]][:4] == ["", "rain", "edited", ""]
    assert row.generated[5][3].title == "edited label of variant 2"
    assert row.label is not None
    assert (pixels(row.generated[5][3]) != pixels(row.label)).any()
    # Six images and one label of nine.
    assert (len(row.generated[5]), row.made) == (7, {5: 9})
    assert [name for name, _ in found.legend] == ["sky"]


def test_doubted_pixels_are_marked_and_dropped_pairs_come_first(tmp_path: Path) -> None:
    synthetic = stored(tmp_path, "synthetic", [painted(key, n) for n, key in enumerate("abcde")])
    doubted = SKY.copy()
    doubted[:4] = CAMVID.ignore_index
    kept = [painted("b", 1, doubted, reliable=0.75), painted("c", 2, reliable=1.0), painted("e", 4, reliable=0.9)]
    found = doubts(synthetic, stored(tmp_path, "curated", kept), CAMVID)
    titles = [pair.title.split(":")[0] for pair in found]
    assert titles[:2] == ["dropped", "dropped"]
    assert titles[2:] == [f"least believed, {share} % of its pixels" for share in (75, 90, 100)]
    assert found[0].doubted is None and found[2].doubted is not None
    shown = pixels(found[2].doubted).astype(int)
    # Pink is far from grey; WebP blurs the edge between them.
    assert (shown[:2, :, 0] - shown[:2, :, 1] > 80).all()
    assert np.abs(shown[8:] - 128).max() < 16
    assert doubts(synthetic, None, CAMVID) == []


def test_pairs_that_the_rule_dropped_are_not_those_that_an_error_quarantined(tmp_path: Path) -> None:
    synthetic = stored(tmp_path, "synthetic", [painted(key, n) for n, key in enumerate("abcde")])
    curated = Store.create(str(tmp_path / "curated"), Manifest("curated", "camvid", GEOMETRY))
    broken = Failure("d", "curate", "unreadable image: truncated", "")
    kept = [painted("a", 0, reliable=0.5), painted("b", 1, reliable=1.0)]
    curated.write_shard("train-k05-000000", kept, [broken], dropped=["misfit: 0.20", "unreliable: 0.10"])
    assert curation(synthetic, curated) == [KCuration(5, pairs=5, kept=2, dropped=2, failed=1, reliable=0.75)]
    titles = [pair.title for pair in doubts(synthetic, curated, CAMVID)]
    dropped = "dropped, misfit or unreliable"
    assert titles[:3] == [f"{dropped}: c", f"{dropped}: e", "quarantined, unreadable image: truncated: d"]
