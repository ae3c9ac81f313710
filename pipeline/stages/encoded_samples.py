"""The samples that an adapter is trained on, as the stores of a run have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from augment.prompts import Prompt
from pipeline.stages.descriptions import caption_of
from pipeline.stages.reading import CaptionedSource, PairedSource
from pipeline.stages.seeds import stable_seed

if TYPE_CHECKING:
    from augment.lumen.prompt_limit import PromptLimit
    from augment.lumen.training.examples import Example


class StoredExamples:
    """Random access to the training pairs of the real store and the layout store.

    Attributes:
        classes: names of the train ids, for captions.
        limit: what the text encoder takes; a longer caption is shortened.
        shortened: keys of the samples read so far that have such a caption.
    """

    def __init__(
        self,
        source: PairedSource | CaptionedSource,
        keys: tuple[str, ...],
        classes: tuple[str, ...],
        limit: PromptLimit,
    ) -> None:
        self.source, self.keys, self.classes, self.limit = source, keys, classes, limit
        self.shortened: set[str] = set()

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Example:
        """Image, layout, views and caption of one sample.

        Raises:
            CorruptStore: its bytes do not decode, or it has no views where these are to be read.
        """
        from augment.lumen.training.examples import Example

        sample = self.source.get(self.keys[index])
        assert sample.image is not None and sample.layout is not None
        # One of several captions, the same each time, so that a training that goes on sees what it saw.
        draws = np.random.default_rng(stable_seed("caption", sample.key))
        fitted = self.limit.fit(Prompt(("", ""), caption_of(sample, {}, self.classes, draws)))
        if fitted.shortened:
            self.shortened.add(sample.key)
        return Example(sample.image, sample.layout, fitted.text, sample.views)
