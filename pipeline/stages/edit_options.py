"""Options of edits of layouts and their labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from augment.options import Ascending, Distinct, Options, Positive, Splits
from pipeline.datasets import TRAIN_SPLIT

ClassNames = Annotated[tuple[str, ...], Field(min_length=1), Distinct]
Share = Annotated[float, Field(gt=0, le=1)]
# Metadata of an edited sample: what was done, and whether anything was.
EDITS, EDITED = "edits", "edited"


class PasteOptions(Options):
    """Objects of other images of the same split, put where they could stand, at their own height."""

    classes: ClassNames = Field(description="classes of the objects; each is chosen as often as the others")
    probability: Share = Field(default=1, description="share of the images that objects are pasted into")
    number: Annotated[tuple[Positive, Positive], Ascending] = Field(
        default=(1, 1), description="least and most objects for an image"
    )
    min_area: int = Field(default=128, ge=1, description="least pixels of an object, at the working size")
    cover: Share = Field(default=0.5, description="least share of a layout cell that an object covers to take it along")


class RemoveOptions(Options):
    """Objects that vanish, and what takes their place."""

    classes: ClassNames = Field(description="classes of the objects")
    probability: Share = Field(default=1, description="share of the objects of these classes that are removed")
    fill: Literal["surroundings", "prototype"] = Field(
        default="surroundings",
        description="fill with the nearest cells without objects, or with the mean layout of the class around",
    )


class PrototypeOptions(Options):
    """Classes to replace the layout of by the mean layout of the class over the training split."""

    classes: ClassNames = Field(description="the classes; cells with nothing else in them are replaced")
    probability: Share = Field(default=1, description="share of the images, for each class")


class BlendOptions(Options):
    """Layouts mixed with that of another image of the same split, where the labels of both are the same."""

    probability: Share = Field(default=1, description="share of the images")
    weight: Share = Field(default=0.5, description="share of the other layout")


class EditOptions(Options):
    """Edits of layouts and labels before generation: remove, prototype, blend and paste, in this order."""

    remove: RemoveOptions | None = Field(default=None, description="remove objects")
    prototype: PrototypeOptions | None = Field(default=None, description="replace the layout of classes")
    blend: BlendOptions | None = Field(default=None, description="mix layouts")
    paste: PasteOptions | None = Field(default=None, description="paste objects")
    splits: Splits = Field(default=(TRAIN_SPLIT,), description="splits to edit the layouts of; others stay as is")

    @model_validator(mode="after")
    def _edits(self) -> EditOptions:
        if not any((self.remove, self.prototype, self.blend, self.paste)):
            raise ValueError("give one of remove, prototype, blend and paste, or null to edit nothing")
        return self

    @property
    def named_classes(self) -> dict[str, tuple[str, ...]]:
        """The classes that each edit names."""
        sections = {"remove": self.remove, "prototype": self.prototype, "paste": self.paste}
        return {name: section.classes for name, section in sections.items() if section is not None}

    @property
    def needs_prototypes(self) -> bool:
        """Whether an edit fills cells with the mean layout of a class."""
        return self.prototype is not None or (self.remove is not None and self.remove.fill == "prototype")
