"""The sheet of layouts shows every layout with one mapping of colours, its image, its views and its components."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from augment.conditioning.pictures import conditioning_picture
from augment.layouts.pictures import component_picture, layout_picture, picture_grid
from pipeline.cli import guarded
from pipeline.inspection import inspect, layout_sheet, lines_of, store_subject
from pipeline.inspection.drawing import numbered
from pipeline.store import Manifest, Sample, Store
from pipeline.store.layout_format import LayoutFormat
from pipeline.store.manifest import LAYOUTS

IMAGE = (250, 10, 200)
LEVELS = (0.5, -1.0, 0.25, 2.0, -3.0)


def written(folder: Path, views: int = 0, layout_format: LayoutFormat = "float16") -> str:
    """URL of a store of three flat layouts, a store of their images beside it."""
    layout = np.zeros((5, 4, 8), np.float16)
    layout += np.array(LEVELS, np.float16)[:, None, None]
    of_views = np.stack([-layout] * views) if views else None
    real = Store.create(str(folder / "real"), Manifest("real", None, {}))
    manifest = Manifest(LAYOUTS, None, {}, {"views": views}, layout_format=layout_format)
    layouts = Store.create(str(folder / "layouts"), manifest)
    keys, metadata = ("train_a", "train_b", "train_c"), {"split": "train"}
    image = np.full((32, 64, 3), IMAGE, np.uint8)
    real.write_shard("train-000000", [Sample(key, image, metadata=metadata) for key in keys])
    layouts.write_shard("train-000000", [Sample(key, layout=layout, views=of_views, metadata=metadata) for key in keys])
    return layouts.url


def share(sheet: NDArray[np.uint8], color: object) -> float:
    return float((sheet == np.asarray(color, np.uint8)).all(axis=2).mean())


@pytest.mark.parametrize("layout_format", ["float16", "uint8"])
def test_sheet_shows_image_layout_views_and_components(tmp_path: Path, layout_format: LayoutFormat) -> None:
    sheet = np.asarray(layout_sheet(store_subject(written(tmp_path, 2, layout_format))))
    layout = np.full((5, 1, 1), 0.0) + np.array(LEVELS)[:, None, None]
    of_layout, of_view = (layout_picture(sign * layout, 1, 1)[0, 0] for sign in (1, -1))
    of_components = [component_picture(component, 1, 1)[0, 0] for component in layout]
    assert share(sheet, IMAGE) == pytest.approx(share(sheet, of_layout), rel=0.1)
    assert 0 < share(sheet, of_view) < share(sheet, of_layout)
    for color in of_components:
        assert share(sheet, color) > 0.005


def test_components_are_in_one_column_whether_a_row_has_views_or_not(tmp_path: Path) -> None:
    url = written(tmp_path, 2)
    store = Store.open(url)
    layout = np.zeros((5, 4, 8), np.float16) + np.array(LEVELS, np.float16)[:, None, None]
    store.write_shard("val-000000", [Sample("val_a", layout=layout, metadata={"split": "val"})])
    sheet = np.asarray(layout_sheet(store_subject(url)))
    first = component_picture(layout[0], 1, 1)[0, 0]
    places = (sheet == first).all(axis=2)
    # Four rows have the first component, all of them at the same place from the left.
    rows = np.flatnonzero(np.diff(np.concatenate([[0], places.any(axis=1).astype(int), [0]])) == 1)
    assert len(rows) == 4
    starts = {int(np.flatnonzero(places[row]).max()) for row in rows}
    assert len(starts) == 1


def test_components_are_numbered_and_arranged_row_by_row() -> None:
    pictures = [np.full((40, 60, 3), level, np.uint8) for level in (10, 20, 30, 40, 50)]
    grid = picture_grid(pictures, 2, gap=4)
    assert grid.shape == (128, 124, 3)
    assert [grid[20, 30, 0], grid[20, 90, 0], grid[60, 30, 0], grid[100, 30, 0]] == [10, 20, 30, 50]
    one, two = (numbered(pictures[0], number) for number in (1, 2))
    assert (one != two).any() and (one[20:, 30:] == 10).all()
    tiny = np.zeros((4, 4, 3), np.uint8)
    assert numbered(tiny, 1) is tiny


def test_sheet_of_a_store_alone_has_no_images_and_without_views_is_narrower(tmp_path: Path) -> None:
    alone, viewed = written(tmp_path / "one"), written(tmp_path / "two", 2)
    Store.remove(str(tmp_path / "one" / "real"))
    sheets = [np.asarray(layout_sheet(store_subject(url))) for url in (alone, viewed)]
    assert share(sheets[0], IMAGE) == 0
    assert share(sheets[1], IMAGE) > 0


def test_color_of_a_value_is_the_same_in_every_layout_of_a_store() -> None:
    values = np.linspace(-4, 4, 33)
    alone = [component_picture(np.full((1, 1), value), 1, 1)[0, 0] for value in values]
    np.testing.assert_array_equal(component_picture(values[None], 1, 33)[0], alone)
    below, zero, above = component_picture(np.array([[-3.0, 0.0, 3.0]]), 1, 3)[0].astype(int)
    assert below[2] > below[0] and above[0] > above[2] and zero.min() > 240


def test_inspection_of_layouts_counts_components_cells_and_views(tmp_path: Path) -> None:
    url = written(tmp_path, 2, "uint8")
    lines = list(lines_of(inspect(store_subject(url))))
    assert lines[0].endswith("3 samples (train 3)")
    assert lines[1:] == [
        "  no file is missing or unreadable",
        "layouts of 5 components on 8x4 cells, stored as uint8: 3",
        "with 2 views each: 3",
    ]
    assert guarded(["inspect", url, "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet.png").is_file()


def test_maps_of_another_conditioning_are_shown_as_what_they_are(tmp_path: Path) -> None:
    inputs = {"conditioning": {"kind": "canny", "low": 100, "high": 200}}
    store = Store.create(str(tmp_path / "layouts"), Manifest(LAYOUTS, None, {}, inputs))
    edges = np.ones((64, 4, 8), np.float16)
    store.write_shard("train-000000", [Sample("train_a", layout=edges, metadata={"split": "train"})])
    subject = store_subject(store.url)
    assert list(lines_of(inspect(subject)))[2] == "Canny edges of 64 channels on 8x4 cells, stored as float16: 1"
    sheet = np.asarray(layout_sheet(subject))
    assert share(sheet, (255, 255, 255)) > 0.5
    # No component, and no legend of components, has a colour.
    assert np.ptp(sheet.astype(int), axis=2).max() < 10


def test_layout_that_is_not_finite_has_its_reason_in_the_sheet(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "layouts"), Manifest(LAYOUTS, None, {}))
    store.write_shard("train-000000", [Sample("a", layout=np.full((2, 3, 4), np.nan, np.float16))])
    subject = store_subject(store.url)
    assert not inspect(subject).is_sound
    assert share(np.asarray(layout_sheet(subject)), (200, 60, 40)) > 0


def test_maps_of_another_conditioning_are_not_shown_by_component(tmp_path: Path) -> None:
    inputs = {"conditioning": {"kind": "label"}}
    store = Store.create(str(tmp_path / "layouts"), Manifest(LAYOUTS, None, {}, inputs))
    maps = np.zeros((3, 4, 8), np.float16)
    maps[1] = 1
    store.write_shard("train-000000", [Sample("train_a", layout=maps)])
    sheet = np.asarray(layout_sheet(store_subject(store.url)))
    assert share(sheet, conditioning_picture("label", maps, 1, 1)[0, 0]) > 0.7
    assert sheet.shape[1] < 400
