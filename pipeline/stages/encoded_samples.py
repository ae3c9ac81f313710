"""The training samples of an adapter in the stores of latents and layouts, and real images for its sample grids."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from augment.errors import UserError
from augment.lumen.training.versions import MIRROR
from augment.prompts import Prompt
from pipeline.stages.descriptions import caption_of
from pipeline.stages.reading import CaptionedSource, PairedSource, StoreSource
from pipeline.stages.seeds import stable_seed
from pipeline.store import CorruptStore, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from augment.lumen.prompt_limit import PromptLimit
    from augment.lumen.training.examples import Encoded, Example
    from augment.prompts import Description

# Metadata of a sample of latents: the text that is embedded.
CAPTION = "caption"


def version_key(key: str, version: str) -> str:
    """The key of a version of a sample; that of the image itself is its own."""
    return f"{key}_{version}" if version else key


def require_distinct_keys(keys: Collection[str], names: Sequence[str]) -> None:
    """Check that no version of one sample has the key of another sample.

    Args:
        keys: of the samples.
        names: of their versions, that of the image itself first.

    Raises:
        UserError: one has.
    """
    ends = tuple(version_key("", name) for name in names[1:])
    known = set(keys)
    for key in keys:
        if key.endswith(ends):
            end = next(end for end in ends if key.endswith(end))
            if (source := key.removesuffix(end)) in known:
                option = "adapt.flip=false" if end == version_key("", MIRROR) else "adapt.crops=0"
                raise UserError(
                    f"adapt: {key!r} is the key of an image, and of the version {end[1:]!r} of the image {source!r}: "
                    f"rename one of them, or set {option}"
                )


def training_caption(sample: Sample, classes: Sequence[str]) -> Description:
    """What a sample's image shows: one of several captions, the same each time, or its attributes or classes."""
    return caption_of(sample, {}, classes, np.random.default_rng(stable_seed("caption", sample.key)))


class StoredSamples:
    """Random access to encoded training samples; no image is decoded. See `EncodedExamples`.

    Args:
        latents: store of latents and embeddings.
        layouts: store of the layouts of the images themselves.
        keys: of the samples.
        names: of their versions, that of the image itself first.
        views: layouts of photometric copies that each image has, 0 if these are not used.
        empty: embeddings of the empty caption.
    """

    def __init__(
        self,
        latents: str,
        layouts: str,
        keys: Sequence[str],
        names: Sequence[str],
        views: int,
        empty: dict[str, NDArray[np.floating]],
    ) -> None:
        self._latents = StoreSource(latents, ("latents", "layout", "text"))
        self._views_of_versions = StoreSource(latents, ("latents", "views", "text"))
        self._text = StoreSource(latents, ("text",))
        self._layouts, self._views = StoreSource(layouts, ("layout",)), StoreSource(layouts, ("views",))
        self._keys, self._names, self.views, self.empty = keys, names, views, empty

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def versions(self) -> int:
        """How many versions each sample has."""
        return len(self._names)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Of a layout, (K, h, w)."""
        return self._layout(self._keys[0], None).shape

    def get(self, index: int, version: int, view: int | None) -> Encoded:
        """See `EncodedExamples.get`.

        Raises:
            CorruptStore: a sample is missing or does not decode.
        """
        from augment.lumen.training.examples import Encoded

        key = self._keys[index]
        source = self._latents if view is None else self._views_of_versions
        sample = source.get(version_key(key, self._names[version]))
        layout = self._layout(key, view) if version == 0 else _layout_of(sample, view)
        text = sample.text if sample.text is not None else self._text.get(key).text
        if sample.latents is None or layout is None or text is None:
            raise CorruptStore(f"{self._latents.url}: {sample.key} is incomplete: make it again with --redo encode")
        return Encoded(sample.latents, layout, dict(text), str(sample.metadata[CAPTION]))

    def _layout(self, key: str, view: int | None) -> NDArray[np.float16]:
        if view is None:
            sample = self._layouts.get(key)
            assert sample.layout is not None
            return sample.layout
        views = self._views.get(key).views
        if views is None:
            url = self._views.url
            raise CorruptStore(f"{url}: {key}: it has no views: make the store again with --redo extract")
        return views[view]


def _layout_of(version: Sample, view: int | None) -> NDArray[np.float16] | None:
    """The layout of a version other than the image itself, or that of its one photometric copy."""
    if view is None:
        return version.layout
    return None if version.views is None else version.views[0]


class StoredExamples:
    """Random access to real images with their layouts and captions, for sample grids.

    Attributes:
        source: images, layouts, and labels where there are any.
        keys: of the samples.
        classes: names of the train ids, for captions.
        limit: what the text encoder takes; a longer caption is shortened.
    """

    def __init__(
        self,
        source: PairedSource | CaptionedSource,
        keys: Sequence[str],
        classes: Sequence[str],
        limit: PromptLimit,
    ) -> None:
        self.source, self.keys, self.classes, self.limit = source, keys, classes, limit

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Example:
        """Image, layout and caption of one sample.

        Raises:
            CorruptStore: its bytes do not decode.
        """
        from augment.lumen.training.examples import Example

        sample = self.source.get(self.keys[index])
        assert sample.image is not None and sample.layout is not None
        caption = self.limit.fit(Prompt(("", ""), training_caption(sample, self.classes))).text
        return Example(sample.image, sample.layout, caption)
