"""`StoreSegDataset`, for configs of mmsegmentation that a user writes by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from augment.errors import UserError
from downstream.dataset import LoadLabel, Part, StoreDataset, label_taxonomy
from downstream.mmseg_import import import_mmseg, mmseg_scope
from pipeline.store import JSON, Store
from pipeline.taxonomies.taxonomy import IGNORE_8_BIT

import_mmseg()
from mmseg.datasets.transforms import LoadAnnotations  # noqa: E402 - importable only after the line above
from mmseg.registry import DATASETS, TRANSFORMS  # noqa: E402


@DATASETS.register_module()
class StoreSegDataset(StoreDataset):
    """A split of a store as a dataset of mmsegmentation: `dict(type='StoreSegDataset', store=URL, split='train', ...)`.

    Items are those of mmsegmentation's `BaseSegDataset` on the exported folder, in the same order. Classes, palette and
    ignored id are the store's. `LoadAnnotations` in the pipeline, however it is written, also reads labels of 16 bits.

    Args:
        store: folder or URL of the store.
        split: split to read.
        pipeline: mmsegmentation transforms.
        where: metadata columns -> values to keep, such as ``{"k": [5]}``.
        test_mode: whether a failing transform raises instead of taking another sample.

    Raises:
        UserError: there are no labelled samples of the split with these values; or the pipeline changes ids as it loads
            them: with `reduce_zero_label`, or with another subclass of `LoadAnnotations` where labels have 16 bits.
    """

    def __init__(
        self,
        store: str,
        split: str = "train",
        pipeline: Sequence[Any] = (),
        where: Mapping[str, Sequence[JSON]] | None = None,
        test_mode: bool = False,
    ) -> None:
        wide = label_taxonomy(Store.open(store)).ignore_index > IGNORE_8_BIT
        with mmseg_scope():
            steps = [_reading_all_ids(step, store, wide) for step in pipeline]
        super().__init__([Part(store, split, where or {})], steps, test_mode)

    def load_data_list(self) -> list[dict[str, Any]]:
        """One entry per sample, in the order of the file names that an export gives them."""
        return sorted(super().load_data_list(), key=lambda entry: entry["img_path"].replace("/", "."))


def _reading_all_ids(step: Any, store: str, wide: bool) -> Any:
    """A transform of a pipeline, as mmengine takes it, that does not change the ids of labels as it loads them.

    Args:
        step: a transform, or the configuration of one with its class or its name, with or without a scope.
        store: the store.
        wide: whether its labels have 16 bits. mmsegmentation's loader cuts these to 8.
    """
    kind: Any = type(step)
    options: Mapping[str, Any] = step if isinstance(step, Mapping) else getattr(step, "__dict__", {})
    if isinstance(step, Mapping):
        kind = step.get("type")
        kind = TRANSFORMS.get(kind) if isinstance(kind, str) else kind
    if not isinstance(kind, type) or not issubclass(kind, LoadAnnotations):
        return step
    if options.get("reduce_zero_label"):
        raise UserError(
            f"{store}: LoadAnnotations has reduce_zero_label=True, which would make the first class ignored: leave it "
            "out, because 0 is a class in the labels of a store"
        )
    if kind is LoadAnnotations and isinstance(step, Mapping):
        return {**step, "type": LoadLabel}
    if wide and not issubclass(kind, LoadLabel):
        raise UserError(
            f"{store}: {kind.__name__} in the pipeline would cut labels of 16 bits to 8: use "
            "dict(type='LoadAnnotations'), or a subclass of downstream.dataset.LoadLabel"
        )
    return step
