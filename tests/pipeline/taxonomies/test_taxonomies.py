"""Classes and colours against mmsegmentation's own, and the ids of label maps against their taxonomy."""

from __future__ import annotations

import numpy as np
import pytest

from augment.errors import UserError
from downstream.mmseg_import import import_mmseg
from pipeline.taxonomies import CAMVID, CITYSCAPES, TAXONOMIES, Taxonomy, colorize


def test_cityscapes_is_what_mmsegmentation_trains_on() -> None:
    import_mmseg()
    from mmseg.datasets import CityscapesDataset

    assert CityscapesDataset.METAINFO["classes"] == CITYSCAPES.classes
    assert [tuple(color) for color in CityscapesDataset.METAINFO["palette"]] == list(CITYSCAPES.palette)


@pytest.mark.parametrize("taxonomy", TAXONOMIES.values(), ids=lambda taxonomy: taxonomy.name)
def test_no_two_classes_share_a_name_or_a_colour(taxonomy: Taxonomy) -> None:
    assert len(set(taxonomy.classes)) == len(taxonomy)
    assert len(set(taxonomy.palette)) == len(taxonomy)
    assert TAXONOMIES[taxonomy.name] is taxonomy


def test_sizes() -> None:
    assert (len(CITYSCAPES), len(CAMVID)) == (19, 11)


def test_colorize_paints_each_pixel_in_the_colour_of_its_class() -> None:
    label = np.array([[0, 3, 255], [10, 4, 0]], np.uint8)
    expected = [
        [(128, 128, 128), (128, 64, 128), (0, 0, 0)],
        [(0, 128, 192), (0, 0, 192), (128, 128, 128)],
    ]
    painted = colorize(label, CAMVID)
    assert painted.dtype == np.uint8
    assert painted.tolist() == np.array(expected).tolist()
    assert colorize(label.astype(np.uint16), CAMVID).tolist() == painted.tolist()


@pytest.mark.parametrize("wrong", [11, 254, 300])
def test_colorize_names_an_id_that_is_no_class(wrong: int) -> None:
    with pytest.raises(UserError, match=rf"ids \[{wrong}\].*camvid"):
        colorize(np.array([[0, wrong]], np.uint16), CAMVID)


def test_a_taxonomy_has_one_colour_a_class_and_ignores_no_class() -> None:
    with pytest.raises(ValueError, match="2 classes but 1"):
        Taxonomy("broken", ("a", "b"), ((0, 0, 0),))
    with pytest.raises(ValueError, match="ignore index 0"):
        Taxonomy("broken", ("a",), ((0, 0, 0),), ignore_index=0)
