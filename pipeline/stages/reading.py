"""Sources that stages read stores through."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from augment.errors import UserError
from pipeline.datasets.table import CAPTIONS
from pipeline.engine import Failed, WorkUnit
from pipeline.stages.descriptions import captions_of
from pipeline.store import CorruptStore, Manifest, Sample, SampleReader, Store
from pipeline.store.codec import INSTANCES, LABEL, LATENTS, LAYOUT, METADATA, TEXT, VIEWS

# A lock of the process: a source is pickled to its workers, and a lock in it could not be.
_OPENING = threading.Lock()

Part: TypeAlias = Literal["image", "label", "instances", "layout", "views", "latents", "text"]


def members_of(manifest: Manifest) -> dict[Part, Collection[str]]:
    """The extensions that each part of a sample may have in a store."""
    images: dict[Part, Collection[str]] = {
        "image": (manifest.image_format,),
        "label": (LABEL,),
        "instances": (INSTANCES,),
    }
    return {**images, "layout": LAYOUT, "views": VIEWS, "latents": (LATENTS,), "text": (TEXT,)}


@dataclass
class StoreSource:
    """Reads a unit's keys from a store.

    Attributes:
        url: the store.
        parts: the parts of a sample to decode; its metadata always is.
    """

    url: str
    parts: tuple[Part, ...]
    _reader: SampleReader | None = field(default=None, repr=False, compare=False)

    @property
    def reader(self) -> SampleReader:
        """The store's reader; its index is read once for all units of a worker."""
        with _OPENING:
            if self._reader is None:
                store = Store.open(self.url)
                extensions = members_of(store.manifest)
                members = [extension for part in self.parts for extension in extensions[part]]
                self._reader = SampleReader(store, [METADATA, *members])
            return self._reader

    def read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
        """The samples in the unit's order; a sample that does not decode is a failure."""
        for key in unit.keys:
            try:
                sample = self.reader.read(key)
                reason = f"not finite: {sample.not_finite} ({self.url})"
                yield Failed(key, reason) if sample.not_finite else sample
            except KeyError:
                yield Failed(key, f"missing sample: {self.url} has no {key}", traceback.format_exc())
            except (CorruptStore, OSError) as error:
                yield Failed(key, f"unreadable sample: {error}", traceback.format_exc())

    def get(self, key: str) -> Sample:
        """One sample.

        Raises CorruptStore if it is missing, or its bytes do not decode, or its layout or latents are not finite.
        """
        if key not in self.reader:
            raise CorruptStore(f"{self.url}: it has no {key}: see lumen verify {self.url}")
        sample = self.reader.read(key)
        if sample.not_finite:
            raise CorruptStore(f"{self.url}: {key}: {sample.not_finite}: see lumen verify {self.url}")
        return sample

    def images(self, unit: WorkUnit) -> Iterator[Sample]:
        """The samples with their images in the unit's order, for work that needs all of them.

        Raises:
            UserError: an image does not read.
        """
        for sample in self.read(unit):
            if isinstance(sample, Failed) or sample.image is None:
                reason = sample.reason if isinstance(sample, Failed) else "no image"
                raise UserError(f"{self.url}: {sample.key}: {reason}: see lumen verify {self.url}")
            yield sample


@dataclass
class PairedSource:
    """Reads each key of a unit from two stores and joins the parts; the metadata is that of the first."""

    first: StoreSource
    second: StoreSource

    def read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
        """The joined samples in the unit's order."""
        for one, other in zip(self.first.read(unit), self.second.read(unit), strict=True):
            if isinstance(one, Failed):
                yield one
            elif isinstance(other, Failed):
                yield other
            else:
                yield self._joined(one, other)

    def get(self, key: str) -> Sample:
        """One joined sample; raises CorruptStore as `StoreSource.get` does."""
        return self._joined(self.first.get(key), self.second.get(key))

    def _joined(self, one: Sample, other: Sample) -> Sample:
        return replace(one, **{part: getattr(other, part) for part in self.second.parts})


@dataclass
class CaptionedSource:
    """Adds the captions of a store to samples; a sample without captions there does not change."""

    samples: PairedSource | StoreSource
    captions: StoreSource

    def read(self, unit: WorkUnit) -> Iterator[Sample | Failed]:
        """The samples in the unit's order."""
        for sample in self.samples.read(unit):
            if isinstance(sample, Failed) or sample.key not in self.captions.reader:
                yield sample
                continue
            [found] = self.captions.read(replace(unit, keys=(sample.key,)))
            yield found if isinstance(found, Failed) else self._described(sample, found)

    def get(self, key: str) -> Sample:
        """One sample; raises CorruptStore if its bytes do not decode."""
        sample = self.samples.get(key)
        return self._described(sample, self.captions.reader.read(key)) if key in self.captions.reader else sample

    @staticmethod
    def _described(sample: Sample, captions: Sample) -> Sample:
        both = [caption for part in (sample, captions) for caption in captions_of(part)]
        return replace(sample, metadata={**sample.metadata, CAPTIONS: both})


def keys_by_shard(store: Store) -> dict[str, tuple[str, ...]]:
    """Keys of every committed shard, in order."""
    return {shard: tuple(keys) for shard, keys in store.shard_keys()}


def split_of(shard: str) -> str:
    """The split of a shard of the real store: that of `train-000003` is `train`."""
    return shard.rpartition("-")[0]
