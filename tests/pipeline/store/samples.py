"""Samples for the store tests: hypothesis strategies and equality."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.store import Manifest, Sample

KEYS = st.text("abcxyzABC012_-", min_size=1, max_size=12) | st.text("k0_-", min_size=90, max_size=160)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
NAMES = st.text(max_size=6).filter(lambda name: ":" not in name and name not in ("key", "shard"))
METADATA = st.dictionaries(NAMES, VALUES, max_size=4)


@st.composite
def samples(draw: st.DrawFn, key: str | None = None) -> Sample:
    height, width = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    layouts = hnp.arrays(np.float16, hnp.array_shapes(min_dims=3, max_dims=3, max_side=4))
    layout = draw(st.none() | layouts)
    shown = np.zeros((1, 1, 1), np.float16) if layout is None else layout
    views = [np.roll(shown, number) for number in range(draw(st.integers(0, 3)))]
    text_type = draw(st.sampled_from([None, np.float16, np.float32]))
    label_type = draw(st.sampled_from([np.uint8, np.uint16]))
    return Sample(
        key=draw(KEYS) if key is None else key,
        image=draw(st.none() | hnp.arrays(np.uint8, (height, width, 3))),
        label=draw(st.none() | hnp.arrays(label_type, (height, width))),
        layout=layout,
        metadata=draw(METADATA),
        views=np.stack(views) if views else None,
        latents=layout,
        text=None if text_type is None else {"embeddings": shown.astype(text_type), "sizes": np.float32([height])},
    )


def sample_lists(max_size: int = 5) -> st.SearchStrategy[list[Sample]]:
    return st.lists(samples(), max_size=max_size, unique_by=lambda sample: sample.key)


def assert_same(one: Sample, other: Sample) -> None:
    assert one.key == other.key
    assert one.metadata == other.metadata
    for name in ("image", "label", "layout", "views", "latents"):
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None), name
        if left is not None:
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
    assert (one.text is None) == (other.text is None)
    for name, array in (one.text or {}).items():
        assert array.dtype == (other.text or {})[name].dtype
        np.testing.assert_array_equal(array, (other.text or {})[name])


def camvid_like(keys: Sequence[str], height: int = 16, width: int = 24, seed: int = 0) -> list[Sample]:
    """Samples with image, label of 11 classes, layout and metadata, the same for the same arguments."""
    rng = np.random.default_rng(seed)
    made = []
    for number, key in enumerate(keys):
        label = rng.integers(0, 12, (height, width)).astype(np.uint8)
        label[label == 11] = 255
        made.append(
            Sample(
                key,
                rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
                label,
                rng.standard_normal((4, height // 8, width // 8)).astype(np.float16),
                {"split": "train", "number": number, "nested": {"weather": "Schnee ❄"}},
            )
        )
    return made


def manifest(**changes: object) -> Manifest:
    fields = {"kind": "real", "taxonomy": "camvid", "geometry": {"height": 16, "width": 24}, "inputs": {}}
    return Manifest(**{**fields, **changes})  # type: ignore[arg-type]


FREE = Manifest(kind="any", taxonomy=None, geometry={})
