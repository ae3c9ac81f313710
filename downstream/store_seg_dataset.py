"""`StoreSegDataset`, for configs of mmsegmentation that a user writes by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmseg.registry import DATASETS

from downstream.dataset import LoadLabel, Part, StoreDataset
from pipeline.store import JSON

# mmsegmentation's own cuts ids of 16 bits to 8.
_LOADERS = {"LoadAnnotations": LoadLabel}


@DATASETS.register_module()
class StoreSegDataset(StoreDataset):
    """A split of a store as a dataset of mmsegmentation: `dict(type='StoreSegDataset', store=URL, split='train', ...)`.

    Items are those of mmsegmentation's `BaseSegDataset` on the exported folder, in the same order. Classes, palette and
    ignored id are the store's. `LoadAnnotations` in the pipeline also reads labels of 16 bits.

    Args:
        store: folder or URL of the store.
        split: split to read.
        pipeline: mmsegmentation transforms.
        where: metadata columns -> values to keep, such as ``{"k": [5]}``.
        test_mode: whether a failing transform raises instead of taking another sample.

    Raises:
        UserError: there are no labelled samples of the split with these values.
    """

    def __init__(
        self,
        store: str,
        split: str = "train",
        pipeline: Sequence[Mapping[str, Any]] = (),
        where: Mapping[str, Sequence[JSON]] | None = None,
        test_mode: bool = False,
    ) -> None:
        loaded = [{**step, "type": _LOADERS.get(step["type"], step["type"])} for step in pipeline]
        super().__init__([Part(store, split, where or {})], loaded, test_mode)

    def load_data_list(self) -> list[dict[str, Any]]:
        """One entry per sample, in the order of the file names that an export gives them."""
        return sorted(super().load_data_list(), key=lambda entry: entry["img_path"].replace("/", "."))
