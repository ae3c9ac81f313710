"""The page holds the pictures of the stores and the numbers of the tables, and needs nothing else."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from augment.errors import UserError
from augment.layouts.curves import Curves, KPoint
from downstream.charts import Point, trade_off_chart
from downstream.comparison import comparison_table, write_table
from downstream.evaluation import SCHEMA
from downstream.gallery import spaced
from downstream.page.palette import readable
from downstream.report import build_report
from downstream.results import RunResult, write_json
from pipeline.store import Manifest, Sample, SampleReader, Store
from pipeline.taxonomies import CAMVID, colorize
from tests.downstream.runs import runs


def add_judge(workspace: Path, learned: int) -> None:
    """A judge that has learned this many of 4 classes, and was evaluated on 16 images."""
    iou = {name: 0.5 if number < learned else 0.0 for number, name in enumerate(("road", "sky", "car", "pole"))}
    inputs = {"splits": ["train", "val"]}
    pixels = dict.fromkeys(iou, 100)
    judge = RunResult("real", 0, 20, 0.1, 0.9, iou, [], 1.0, "judge", inputs, 16, pixels)
    (workspace / "judge").mkdir()
    write_json(workspace / "judge" / "result.json", judge.to_json())


def text_of(page: str) -> str:
    """The page without markup, in one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def pictures(page: str) -> list[tuple[str, NDArray[np.uint8]]]:
    """Title and pixels of every image of the page."""
    found = re.findall(r'<img src="data:image/(?:png|webp);base64,([^"]+)" alt="([^"]*)"', page)
    return [(title, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))) for data, title in found]


def test_page_shows_real_image_label_layout_and_every_generated_image(workspace: Path, real_store: str) -> None:
    page = build_report(workspace).read_text()
    reader = SampleReader(Store.open(real_store))
    shown = pictures(page)
    ids = set[int]()
    for key in (f"val-{seed}" for seed in range(100, 104)):
        ids |= set(np.unique(reader.read(key).label).tolist())
    classes = readable(CAMVID, sorted(ids - {CAMVID.ignore_index}))
    assert all(f"</i>{CAMVID.classes[train_id]}</li>" in page for train_id in ids - {CAMVID.ignore_index})
    assert len(shown) == page.count("<img") == 4 * (3 + 2 * 2)
    for start, seed in zip(range(0, len(shown), 7), range(100, 104), strict=True):
        sample = reader.read(f"val-{seed}")
        assert sample.image is not None
        assert sample.label is not None
        (real_title, real), (_, label), (_, layout), *generated = shown[start : start + 7]
        assert real_title == f"real image val-{seed}"
        # WebP loses a little; a label keeps every colour.
        assert np.abs(real.astype(int) - sample.image).mean() < 12
        np.testing.assert_array_equal(label, colorize(sample.label, classes))
        assert layout.shape == (32, 48, 3)
        assert [title[:16] for title, _ in generated] == [f"k = {k}, variant {v}" for k in (1, 5) for v in (0, 1)]


def test_page_holds_the_numbers_of_the_tables(workspace: Path) -> None:
    page = build_report(workspace).read_text()
    for number in ("42.2", "46.8", "41.23", "47.89", "24.7", "86.4", "35.8", "5.3", "1 min 1 s", "55 %", "76 %"):
        assert number in page, number
    assert "real+synthetic" in page
    assert "Not made yet: curated." in page
    for name, samples in (("real", 32), ("synthetic", 40), ("layouts", 32)):
        assert re.search(rf"<td>{name}</td><td>\d</td><td>{samples}</td>", page)


def test_a_page_of_another_conditioning_says_so_and_shows_no_basis(workspace: Path) -> None:
    point = KPoint(1, 0.5, None, {}, {"gain": 0.5}, {"gain": 0.5}, 0.5)
    (workspace / "curves").mkdir()
    (workspace / "curves" / "curves.json").write_text(json.dumps({"layouts": Curves((point,), {}, (0.5,)).to_json()}))
    text = text_of(build_report(workspace).read_text())
    assert "conditioning" not in text and "What a layout holds" in text
    (workspace / "adapter").mkdir()
    facts = {"conditioning": "soft_edge"}
    (workspace / "adapter" / "artifact.json").write_text(json.dumps({"digest": "d", "facts": facts}))
    edges = SampleReader(Store.open(str(workspace / "layouts")))
    (workspace / "layouts").rename(workspace / "components")
    store = Store.create(str(workspace / "layouts"), Manifest("layouts", None, {"height": 32, "width": 48}))
    white = np.ones((64, 4, 6), np.float16)
    store.write_shard("all-000000", [Sample(key, layout=white) for key in edges.keys])
    page = build_report(workspace).read_text()
    text = text_of(page)
    assert "conditioning soft edges" in text and "From soft edges to new images" in text
    assert "k = 5 all channels" in text
    assert "dinov2-vits14" not in text and "principal components" not in text
    assert "What a layout holds" not in text
    assert all(picture.min() == 255 for title, picture in pictures(page) if title == "soft edges")
    assert sum(title == "soft edges" for title, _ in pictures(page)) == 4


def test_the_page_names_the_ks_of_auto_and_shows_all_bases_at_these(workspace: Path) -> None:
    def curves(scores: dict[int, float | None], explained: float) -> Curves:
        points = [
            KPoint(k, explained, miou, {"night": miou / 2} if miou else {}, {"gain": 0.5}, {"gain": 0.5}, 0.5)
            for k, miou in scores.items()
        ]
        return Curves(tuple(points), {}, (0.5,))

    def page(**bases: Curves) -> str:
        (workspace / "curves").mkdir(exist_ok=True)
        stored = {name: found.to_json() for name, found in bases.items()}
        (workspace / "curves" / "curves.json").write_text(json.dumps(stored))
        return text_of(build_report(workspace).read_text())

    used = curves({1: 0.1, 2: 0.4, 3: 0.45, 4: 0.5}, 0.25)
    text = page(layouts=used, pca=curves({1: 0.111, 2: 0.222, 3: 0.333, 4: 0.444}, 0.75))
    assert "generate.ks=auto takes k = 2, 4 : the smallest" in text
    table = text[text.index("the basis that layouts are written in") :]
    assert all(f"k = {k} 25.0 %" in table for k in (1, 2, 3, 4))
    others = table[table.index("the principal components of this dataset, to compare") :]
    assert "k = 2 75.0 % 22.2 11.1 11.1 0.50" in others
    assert "k = 4 75.0 %" in others and "k = 1 75.0 %" not in others
    text = page(layouts=curves({1: None, 2: None}, 0.25), pca=curves({1: None, 2: None}, 0.75))
    assert "ks=auto" not in text and "none, because no image has labels" in text and "k = 2 75.0 % 0.50" in text


def test_a_run_without_a_held_out_split_has_a_page_that_says_what_was_not_measured(
    real_store: str, tmp_path: Path
) -> None:
    (tmp_path / "real").symlink_to(real_store)
    page = build_report(tmp_path, split=None).read_text()
    assert "Nothing was measured, because the run has no held-out split" in text_of(page)
    assert "Not made yet: layouts, synthetic." in page
    assert len(pictures(page)) == 6 * 2


def test_page_needs_nothing_from_outside_and_is_the_same_each_time(workspace: Path) -> None:
    path = build_report(workspace)
    page = path.read_text()
    assert path == workspace / "report" / "index.html"
    assert not re.search(r"https?:|@import|url\(|<script|<link", page)
    assert set(re.findall(r'(?:src|href)="(.{5})', page)) == {"data:"}
    assert build_report(workspace, workspace / "again.html").read_text() == page


def test_an_unfinished_run_says_what_is_missing(real_store: str, tmp_path: Path) -> None:
    (tmp_path / "real").symlink_to(real_store)
    page = build_report(tmp_path).read_text()
    missing = "layouts, synthetic, curated, comparison.parquet, evaluation.parquet"
    assert f"Not made yet: {missing}." in page
    assert len(pictures(page)) == 6 * 2
    with pytest.raises(UserError, match="nothing to report on"):
        build_report(tmp_path / "nowhere")


def test_text_of_the_data_is_never_markup(tmp_path: Path, real_store: str) -> None:
    (tmp_path / "real").symlink_to(real_store)
    store = Store.create(str(tmp_path / "synthetic"), Manifest("synthetic", "camvid", {"height": 32, "width": 48}))
    sample = SampleReader(Store.open(real_store)).read("val-100")
    metadata = {
        "source_key": "val-100",
        "split": "val",
        "k": 1,
        "variant": 0,
        "prompt": '"><script>alert(1)</script>',
    }
    store.write_shard("val-000000", [Sample("a", sample.image, sample.label, metadata=metadata)])
    page = build_report(tmp_path).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<b>" not in trade_off_chart([Point("<b>", 1, 1), Point("c", 2, 2)], "x", "y")


@pytest.mark.parametrize(("count", "expected"), [(2, ["a", "e"]), (3, ["a", "c", "e"]), (9, list("abcde"))])
def test_samples_are_evenly_spaced(count: int, expected: list[str]) -> None:
    assert spaced(list("abcde"), count) == expected
    assert spaced([], count) == []


@pytest.mark.parametrize("alignments", [(66, 73, 89), (89, 73, 66), (66, 89, 70), (89, 66, 85)])
def test_the_trace_of_a_chart_strikes_no_name(alignments: tuple[float, ...]) -> None:
    points = [Point(f"k = {k}", x, y) for k, x, y in zip((1, 5, 20), (10.4, 8.0, 4.9), alignments, strict=True)]
    chart = trade_off_chart(points, "diversity", "alignment")
    trace = re.search(r'<polyline class="trace" points="([^"]+)"', chart)
    assert trace is not None
    corners = np.array([[float(number) for number in corner.split(",")] for corner in trace[1].split()])
    steps = np.linspace(0, 1, 500)[:, None]
    path = np.concatenate([a + steps * (b - a) for a, b in itertools.pairwise(corners)])
    names = re.findall(r'<text class="name" x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([^<]+)<', chart)
    assert len(names) == 3
    for x, y, anchor, name in names:
        # Letters of 13 pixels are about 7 wide, and 10 high above their line.
        left, width = float(x), 7 * len(name)
        left -= width if anchor == "end" else 0
        inside = (
            (path[:, 0] > left) & (path[:, 0] < left + width) & (path[:, 1] < float(y)) & (path[:, 1] > float(y) - 10)
        )
        assert not inside.any(), name


def test_page_says_that_a_judge_is_unfit_and_shows_no_alignment(workspace: Path) -> None:
    add_judge(workspace, learned=1)
    rows = [{"k": k, "images": 8, "sources": 4, "diversity": 0.0531 * k} for k in (1, 5)]
    write_table(SCHEMA.empty_table().from_pylist(rows, SCHEMA), workspace / "evaluation.parquet")
    curated = Store.create(str(workspace / "curated"), Manifest("curated", "camvid", {"height": 32, "width": 48}))
    kept = {"split": "train", "k": 1, "verdict": "not judged"}
    image, label = np.zeros((32, 48, 3), np.uint8), np.zeros((32, 48), np.uint8)
    curated.write_shard("train-k01-000000", [Sample("a", image, label, metadata=kept)])
    text = text_of(build_report(workspace).read_text())
    reason = "The judge is unfit: 1 of 4 classes have an IoU above 0.05, at least 2 are needed, on 16 real images"
    assert reason in text
    assert "judge.iterations" in text and "--redo judge" in text
    assert "no alignment: the judge is unfit" in text
    assert "k = 1 8 4 – – – 5.3" in text
    assert "Nothing was curated, because the judge is unfit" in text
    assert "k = 1 12 1 11 not judged" in text
    assert "% alignment" not in text


def test_page_of_a_fit_judge_says_what_it_knows(workspace: Path) -> None:
    add_judge(workspace, learned=3)
    text = text_of(build_report(workspace).read_text())
    assert "with one judge. On real images, 3 of 4 classes have an IoU above 0.05" in text
    assert "unfit" not in text


@pytest.mark.parametrize(("images", "few"), [(16, True), (30, False)])
def test_seeds_and_images_are_beside_each_figure_and_few_are_marked(workspace: Path, images: int, few: bool) -> None:
    write_table(comparison_table(runs(images)), workspace / "comparison.parquet")
    rows = [{"k": 1, "images": images, "sources": images, "alignment": 0.5, "diversity": 0.1}]
    write_table(SCHEMA.empty_table().from_pylist(rows, SCHEMA), workspace / "evaluation.parquet")
    page = build_report(workspace).read_text()
    text = text_of(page)
    assert f"10 iterations, 2 seeds each, on {images} real images" in text
    assert f"real 2 {images} 42.2" in text
    assert f"50.0 % alignment at k = 1 {images} images, one judge" in text
    assert f"10.0 % diversity at k = 1 {images} images" in text
    assert f"k = 1 {images} {images} – – 50.0 10.0" in text
    assert (f'<span class="few" title="fewer than 30: may be chance">{images}</span>' in page) == few
    assert "No recommendation: it takes at least 3 seeds" in text
    assert text.count("and at least 30 held-out images") == few
    assert "real varies by 1.4 points of mIoU (standard deviation between 2 seeds)" in text


def test_difference_of_one_seed_is_labelled_so(workspace: Path) -> None:
    write_table(comparison_table([run for run in runs(30) if run.seed == 0]), workspace / "comparison.parquet")
    page = build_report(workspace).read_text()
    assert "+4.4 (one seed) needs two seeds" in text_of(page)
    assert '<span class="few" title="fewer than 3: may be chance">1</span>' in page
    assert "No recommendation: it takes at least 3 seeds" in page


def test_page_shows_what_curation_believed_of_pairs_that_are_wrong(workspace: Path) -> None:
    add_judge(workspace, learned=4)
    curated = Store.create(str(workspace / "curated"), Manifest("curated", CAMVID.name, {"height": 32, "width": 48}))
    pair = SampleReader(Store.open(str(workspace / "synthetic"))).read("train-0_k05_v00")
    curated.write_shard("train-k05-000000", [replace(pair, metadata={**pair.metadata, "reliable": 0.9})])
    assert "Its own trial" not in build_report(workspace).read_text()
    trial = {"exchanged labels": {"images": 32, "share": 0.4321, "dropped": 29}, "k = 0": {"images": 0, "share": 0.0}}
    (workspace / "scale").mkdir()
    (workspace / "scale" / "artifact.json").write_text(json.dumps({"facts": {"trial": trial}}))
    text = text_of(build_report(workspace).read_text())
    assert "exchanged labels 32 29 43.2 %" in text
    assert "k = 0 0" not in text
