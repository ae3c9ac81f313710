"""Choosing images, with their classes counted once and kept in the workspace."""

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
from pipeline.stages.tools import Tools
from pipeline.store import JSON, fingerprint
from pipeline.workspace.artifact import Artifact, discard


@dataclass(frozen=True)
class Countable:
    """Labels to count: the inputs that their counts depend on, and the task and units that count them."""

    inputs: Mapping[str, JSON]
    task: CountClasses
    units: Callable[[], Sequence[WorkUnit]]


@dataclass
class ImageSelector:
    """Chooses among the images of each split.

    Attributes:
        options: how to choose.
        section: the section of the configuration, for messages.
        path: path of the artifact with the class counts, if the choice depends on classes.
        stage: the stage that makes it.
        countable: gives what to count; called only if the choice depends on classes.
        input_names: what the inputs of the class counts are called in messages; see `describe_changes`.
    """

    options: SamplingOptions
    section: str
    path: Path
    stage: str
    countable: Callable[[], Countable]
    input_names: Mapping[str, str]

    def artifact(self) -> Artifact:
        """The class counts."""
        return Artifact(self.path, "classes", self.countable().inputs, input_names=self.input_names)

    def is_ready(self) -> bool:
        """Whether a choice needs no label to be read."""
        return not self.options.by_class or self.artifact().is_done()

    def prepare(self, tools: Tools) -> None:
        """Count classes, if the choice depends on them and they are not counted yet."""
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
        """Raise ArtifactMismatch if the existing class counts were made from other images."""
        if self.options.by_class:
            self.artifact().require_match(self.stage)

    def discard(self) -> None:
        """Remove the class counts."""
        if self.options.by_class:
            discard(self.path)

    @cached_property
    def counts(self) -> ClassCounts:
        """The class counts: those that were prepared, or counted again if they were removed since.

        Raises:
            ArtifactMismatch: the existing counts were made from other images.
            UserError: they are counted again, and no label could be read.
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
            UserError: a requested key is missing or ambiguous, or no image is left of a split.
        """
        chosen: dict[str, Sequence[str]] = dict(keys)
        named = self._named(keys)
        for split in self.options.splits:
            found = keys[split]
            taken = self._taken(found) if named is None else named
            chosen[split] = [key for key in found if key in taken]
            if not chosen[split]:
                reason = "none of them has a label" if self.options.by_class else "none of the keys belongs to it"
                raise UserError(f"{self.section}: it takes none of the {len(found)} images of {split!r}: {reason}")
        return chosen

    def _named(self, keys: Mapping[str, Sequence[str]]) -> frozenset[str] | None:
        """The full keys of a choice by name; None for any other choice."""
        if self.options.named is None:
            return None
        try:
            return named_sample({split: keys[split] for split in self.options.splits}, self.options.named)
        except UserError as error:
            raise UserError(f"{self.section}.keys: {error}") from error

    def _taken(self, keys: Sequence[str]) -> frozenset[str]:
        options = self.options
        if options.rare_class is not None:
            rare = options.rare_class
            return rare_class_sample(self.counts.among(keys), rare.samples, rare.temperature, options.seed)
        if options.per_class is not None:
            return per_class_sample(self.counts.among(keys), options.per_class, options.seed)
        assert options.fraction is not None
        return fraction_sample(keys, options.fraction, options.seed)

    def expected(self, split: str, count: int, classes: int) -> int:
        """How many of ``count`` images of a split are chosen; an upper bound if that depends on their classes."""
        options = self.options
        if split not in options.splits:
            return count
        if options.rare_class is not None:
            return min(count, options.rare_class.samples)
        if options.per_class is not None:
            return min(count, options.per_class * classes)
        if options.fraction is not None:
            return share_of(count, options.fraction)
        assert options.named is not None
        return min(count, len(options.named))

    def inputs(self, keys: Mapping[str, Sequence[str]]) -> dict[str, JSON]:
        """What a choice among these keys depends on; a choice by name has a digest of the keys, and no seed."""
        chosen = self.options.model_dump(mode="json", exclude_none=True)
        if (named := self._named(keys)) is not None:
            chosen["keys"] = fingerprint(sorted(named))
            del chosen["seed"]
        return chosen
