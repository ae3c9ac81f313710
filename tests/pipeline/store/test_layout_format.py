"""What a byte for each value loses of a layout is bounded, and nothing is lost but that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import webdataset
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pipeline.store import CorruptStore, InvalidSample, Manifest, Sample, SampleReader, Store, verify_store
from pipeline.store.layout_format import decode_layout, encode_layout, rounding_error
from pipeline.store.manifest import LAYOUTS

FINITE = {"allow_nan": False, "allow_infinity": False}
SHAPES = hnp.array_shapes(min_dims=3, max_dims=4, max_side=5)
LAYOUTS_OF_ANY_VALUES = hnp.arrays(np.float16, SHAPES, elements=st.floats(width=16, **FINITE))
UINT8 = Manifest(LAYOUTS, None, {}, {"views": 2}, layout_format="uint8")
EXTREMES = np.array([[[-65504, 65504, 6e-8, 0]]], np.float16)


@given(LAYOUTS_OF_ANY_VALUES)
@example(EXTREMES)
@example(np.full((2, 3, 3), 7.5, np.float16))
def test_error_of_every_value_is_at_most_half_a_step(values: NDArray[np.float16]) -> None:
    exact = values.astype(np.float64)
    low, high = (function(exact, axis=(-2, -1), keepdims=True) for function in (np.min, np.max))
    found = decode_layout(encode_layout(values, "uint8"), "uint8")
    assert (found.dtype, found.shape) == (values.dtype, values.shape)
    # Half a step, what float32 loses of the range, and rounding to float16.
    bound = (high - low) / 510 + 2e-7 * np.abs(exact).max() + np.spacing(np.abs(found)) / 2
    assert np.isfinite(found).all()
    assert (np.abs(found.astype(np.float64) - exact) <= bound).all()
    assert rounding_error(values) == pytest.approx(np.abs(found.astype(np.float64) - exact).max(), rel=1e-6)


@given(LAYOUTS_OF_ANY_VALUES)
def test_largest_and_smallest_values_of_a_channel_are_not_clipped(values: NDArray[np.float16]) -> None:
    found = decode_layout(encode_layout(values, "uint8"), "uint8").astype(np.float64)
    for function in (np.min, np.max):
        kept, wanted = (function(array, axis=(-2, -1)) for array in (found, values.astype(np.float64)))
        np.testing.assert_allclose(kept, wanted, rtol=1e-3, atol=2e-7 * float(np.abs(values).max()))


@given(hnp.arrays(np.uint8, (3, 4, 4), elements=st.integers(0, 1)))
def test_masks_lose_nothing(mask: NDArray[np.uint8]) -> None:
    values = mask.astype(np.float16)
    np.testing.assert_array_equal(decode_layout(encode_layout(values, "uint8"), "uint8"), values)


def test_components_are_stored_independently_of_each_other() -> None:
    values = np.random.default_rng(0).normal(size=(6, 5, 7)).astype(np.float16)
    whole = decode_layout(encode_layout(values, "uint8"), "uint8")
    np.testing.assert_array_equal(decode_layout(encode_layout(values[:2], "uint8"), "uint8"), whole[:2])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_no_byte_can_hold_are_refused(value: float) -> None:
    layout = np.zeros((2, 3, 3), np.float16)
    layout[1, 2, 0] = value
    with pytest.raises(InvalidSample, match=r"^not finite: "):
        encode_layout(layout, "uint8")


def filled(folder: Path, manifest: Manifest, count: int = 3) -> tuple[Store, list[Sample]]:
    """A store of normally distributed layouts with two views each."""
    generator = np.random.default_rng(0)
    layouts = [generator.normal(size=(3, 8, 64, 64)).astype(np.float16) for _ in range(count)]
    samples = [Sample(f"s{index}", layout=found[0], views=found[1:]) for index, found in enumerate(layouts)]
    store = Store.create(str(folder), manifest)
    store.write_shard("train-000000", samples)
    return store, samples


def test_store_gives_float16_back_from_half_the_bytes(tmp_path: Path) -> None:
    store, samples = filled(tmp_path / "bytes", UINT8)
    halves, _ = filled(tmp_path / "halves", replace(UINT8, layout_format="float16"))
    assert store.totals().bytes < 0.54 * halves.totals().bytes
    assert verify_store(store.url) == []
    for sample, found in zip(samples, SampleReader(store).samples(), strict=True):
        for stored, exact in ((found.layout, sample.layout), (found.views, sample.views)):
            assert stored is not None and exact is not None and stored.dtype == np.float16
            assert np.abs(stored - exact).max() < 0.02


def test_webdataset_reads_layouts_of_bytes_unaided(tmp_path: Path) -> None:
    store, _ = filled(tmp_path, UINT8)
    items = webdataset.WebDataset(f"file:{tmp_path}/shards/train-000000.tar", shardshuffle=False).decode()
    for item, read in zip(items, SampleReader(store).samples(), strict=True):
        for name, stored in (("layout.npz", read.layout), ("views.npz", read.views)):
            low, step = (item[name][part][..., None, None] for part in ("low", "step"))
            np.testing.assert_array_equal((low + step * item[name]["values"]).astype(np.float16), stored)


def test_format_is_part_of_what_a_store_is_made_from_unless_it_is_the_old_one() -> None:
    old = Manifest(LAYOUTS, None, {}, {"views": 2})
    assert "layout_format" not in old.content
    assert UINT8.content == {**old.content, "layout_format": "uint8"}
    assert Manifest.from_bytes(UINT8.to_bytes()) == UINT8
    assert Manifest.from_bytes(old.to_bytes()) == old
    with pytest.raises(CorruptStore, match="layout format 'int4'"):
        Manifest.from_bytes(replace(UINT8, layout_format="int4").to_bytes())  # type: ignore[arg-type]


def test_verify_finds_layouts_in_another_format_and_missing_views(tmp_path: Path) -> None:
    store, samples = filled(tmp_path, UINT8)
    store.discard("train-000000")
    other = Store(store.url, replace(UINT8, layout_format="float16"))
    layouts = {sample.key: sample.layout for sample in samples if sample.layout is not None}
    other.write_shard("train-000000", [Sample(key, layout=found, views=found[None]) for key, found in layouts.items()])
    found = "\n".join(verify_store(store.url))
    assert "s0: layout.npy is float16, the store's format is uint8" in found
    assert "s0: 1 views of its layout, the store was made with 2" in found


def test_verify_finds_training_samples_without_views(tmp_path: Path) -> None:
    store, samples = filled(tmp_path, UINT8)
    bare = [Sample(sample.key, layout=sample.layout) for sample in samples]
    store.discard("train-000000")
    store.write_shard("train-000000", bare[:1])
    store.write_shard("val-000000", bare[1:])
    assert verify_store(store.url) == ["shards/train-000000.tar: s0: 0 views of its layout, the store was made with 2"]
