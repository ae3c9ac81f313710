"""Choosing images as a configuration says, with their classes counted once and kept in the workspace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from augment.errors import UserError
from pipeline.datasets import SamplingOptions
from pipeline.datasets.sampling import (
    ClassCounts,
    fraction_sample,
    named_sample,
    per_class_sample,
    rare_class_sample,
    share_of,
)
from pipeline.engine import WorkUnit, make_executor
from pipeline.stages.class_counts import CountClasses, count_classes, read_counts, write_counts
from pipeline.stages.steps import Tools
from pipeline.store import JSON, fingerprint
from pipeline.workspace.artifact import Artifact, discard


@dataclass(frozen=True)
class Countable:
    """Labels to count: the inputs that their counts depend on, and the task and units that count them."""

    inputs: Mapping[str, JSON]
    task: CountClasses
    units: Callable[[], Sequence[WorkUnit]]


@dataclass
class Sampler:
    """Chooses among the images of each split.

    Attributes:
        settings: how.
        section: of the configuration, as messages name it.
        path: of the artifact with the class counts, where the choice depends on classes.
        stage: that makes it.
        countable: what to count; asked only where the choice depends on classes.
    """

    settings: SamplingOptions
    section: str
    path: Path
    stage: str
    countable: Callable[[], Countable]

    def artifact(self) -> Artifact:
        """The class counts."""
        return Artifact(self.path, "classes", self.countable().inputs)

    def is_ready(self) -> bool:
        """Whether a choice needs no label to be read."""
        return not self.settings.by_class or self.artifact().is_done()

    def prepare(self, tools: Tools) -> None:
        """Count classes, where the choice depends on them and they are not counted."""
        if self.is_ready():
            return
        self.check_prepared()
        countable = self.countable()
        units = countable.units()
        tools.report(f"{self.stage}: counting the classes of {sum(len(unit.keys) for unit in units)} images")
        counts, unread = count_classes(countable.task, units, tools.executor)
        if unread:
            tools.report(f"{self.stage}: {unread} labels could not be read and are not counted")
        with self.artifact().building({"unread": unread}) as path:
            write_counts(counts, path)

    def check_prepared(self) -> None:
        """Raise ArtifactMismatch where class counts that the choice depends on were made of other images."""
        if self.settings.by_class:
            self.artifact().require_match(self.stage)

    def discard(self) -> None:
        """Remove the class counts."""
        if self.settings.by_class:
            discard(self.path)

    @cached_property
    def counts(self) -> ClassCounts:
        """The class counts: as they were prepared, or counted anew where they were removed since.

        Raises:
            ArtifactMismatch: those there are were made of other images.
            UserError: they are counted anew, and no label could be read.
        """
        artifact = self.artifact()
        artifact.require_match(self.stage)
        if artifact.is_done():
            return read_counts(self.path)
        countable = self.countable()
        counts, _ = count_classes(countable.task, countable.units(), make_executor("serial"))
        return counts

    def choose(self, keys: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
        """The keys of each split, thinned in the splits that are sampled; their order stays.

        Raises:
            UserError: a key asked for is not there or not clear, or nothing is left of a split.
        """
        chosen: dict[str, Sequence[str]] = dict(keys)
        named = self._named(keys)
        for split in self.settings.splits:
            found = keys[split]
            taken = self._taken(found) if named is None else named
            chosen[split] = [key for key in found if key in taken]
            if not chosen[split]:
                reason = "none of them has a label" if self.settings.by_class else "none of the keys is of it"
                raise UserError(f"{self.section}: it leaves none of the {len(found)} images of {split!r}: {reason}")
        return chosen

    def _named(self, keys: Mapping[str, Sequence[str]]) -> frozenset[str] | None:
        """The keys asked for by name, as they are in full; None where the choice is another."""
        if self.settings.named is None:
            return None
        try:
            return named_sample({split: keys[split] for split in self.settings.splits}, self.settings.named)
        except UserError as error:
            raise UserError(f"{self.section}.keys: {error}") from error

    def _taken(self, keys: Sequence[str]) -> frozenset[str]:
        settings = self.settings
        if settings.rare_class is not None:
            rare = settings.rare_class
            return rare_class_sample(self.counts.among(keys), rare.samples, rare.temperature, settings.seed)
        if settings.per_class is not None:
            return per_class_sample(self.counts.among(keys), settings.per_class, settings.seed)
        assert settings.fraction is not None
        return fraction_sample(keys, settings.fraction, settings.seed)

    def expected(self, split: str, count: int, classes: int) -> int:
        """How many of so many images of a split are chosen, at most where that depends on their classes."""
        settings = self.settings
        if split not in settings.splits:
            return count
        if settings.rare_class is not None:
            return min(count, settings.rare_class.samples)
        if settings.per_class is not None:
            return min(count, settings.per_class * classes)
        if settings.fraction is not None:
            return share_of(count, settings.fraction)
        assert settings.named is not None
        return min(count, len(settings.named))

    def inputs(self, keys: Mapping[str, Sequence[str]]) -> dict[str, JSON]:
        """What a choice among these keys depends on; those asked for by name as a digest, and nothing drawn then."""
        settings = self.settings.model_dump(mode="json", exclude_none=True)
        if (named := self._named(keys)) is not None:
            settings["keys"] = fingerprint(sorted(named))
            del settings["seed"]
        return settings
