"""Options of sampling: which images of a dataset are taken."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator, model_validator

from augment.options import DONE, AbsolutePath, Options, Positive, PositiveFloat, Seed, Splits
from pipeline.datasets.record import TRAIN_SPLIT
from pipeline.datasets.sampling import TEMPERATURE


class RareClassOptions(Options):
    """Rare-class sampling: class c is chosen with P(c) ~ exp((1 - f_c) / T), f_c its share of the pixels."""

    samples: Positive = Field(description="images to take of each split, all of them different")
    temperature: PositiveFloat = Field(
        default=TEMPERATURE, description="T: the lower, the more often the rarest classes"
    )


class SamplingOptions(Options):
    """Which images are taken; give exactly one of rare_class, per_class, keys and fraction."""

    rare_class: RareClassOptions | None = Field(default=None, description="more images of rare classes")
    per_class: Positive | None = Field(
        default=None, description="at least this many images of each class, or all that show it"
    )
    keys: tuple[str, ...] | AbsolutePath | None = Field(
        default=None, description="these keys, such as train_0001 or 0001.png, or a file with a key a line"
    )
    fraction: float | None = Field(default=None, gt=0, le=1, description="a random share of the images")
    splits: Splits = Field(default=(TRAIN_SPLIT,), description="splits to sample, each by itself; others stay whole")
    seed: Seed = Field(default=0, description="seed of the random choices")

    @field_validator("keys", mode="before")
    @classmethod
    def _quoted(cls, keys: object) -> object:
        # YAML reads 0017 as another number, and the name that it was cannot be restored.
        if isinstance(keys, list | tuple) and (wrong := [key for key in keys if not isinstance(key, str)]):
            raise ValueError(f"{wrong[0]!r} is no text: write every key in quotes, such as 'train_0017' or '0017'")
        return keys

    @model_validator(mode="after")
    def _one_way(self, info: ValidationInfo) -> SamplingOptions:
        given = [name for name in ("rare_class", "per_class", "keys", "fraction") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give one of rare_class, per_class, keys and fraction, not {' and '.join(given) or 'none'}"
            )
        if info.context != DONE and self.named is not None and not self.named:
            raise ValueError("keys: the list is empty")
        return self

    @property
    def by_class(self) -> bool:
        """Whether labels must be read to choose."""
        return self.rare_class is not None or self.per_class is not None

    @cached_property
    def named(self) -> tuple[str, ...] | None:
        """The keys that were given, read from their file where they are in one; None for other ways to choose."""
        if not isinstance(self.keys, Path):
            return self.keys
        try:
            lines = self.keys.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"keys: {self.keys} cannot be read as a list of keys ({error})") from error
        return tuple(line.strip() for line in lines if line.strip())
