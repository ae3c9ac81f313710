"""A layout together with its labels, in which every cell has one source."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from augment.errors import NotFinite, UserError
from augment.stride import STRIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Label: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
    Cells: TypeAlias = NDArray[np.bool_]

# In `Scene.origin`, in place of a source: the cell is the prototype of a class.
PROTOTYPE = -1


@dataclass(frozen=True, eq=False)
class Scene:
    """A layout and the label, instances and origin of its cells; edits return a new one and change none.

    The invariant of every edit: a cell is copied whole from one cell of one source, or is the prototype of one class.
    Its 64 pixels of label and instances come from the same cell, or are that class without an object. So no pixel has
    a label that disagrees with the layout there. `origin` says where each cell comes from.

    Attributes:
        layout: `float16 [K, h, w]`, finite.
        label: train ids `uint8|uint16 [8 h, 8 w]`; None without labels.
        instances: `uint16 [8 h, 8 w]`, a number for each object and 0 where there is none; None if it is not known.
        ignore_index: train id of pixels without a class.
        sources: keys of the scenes that cells come from.
        origin: `int32 [h, w, 3]`, the source of each cell as an index into `sources`, and its row and column there; or
            `PROTOTYPE`, the train id of the class, and the row of the prototype.
        mixed: `bool [h, w]`, cells whose layout is the mean with a cell of another scene that has the same label.
    """

    layout: NDArray[np.float16]
    label: Label | None
    instances: NDArray[np.uint16] | None
    ignore_index: int
    sources: tuple[str, ...]
    origin: NDArray[np.int32] = field(repr=False)
    mixed: Cells = field(repr=False)

    @classmethod
    def of(
        cls,
        key: str,
        layout: NDArray[np.float16],
        label: Label | None = None,
        instances: NDArray[np.uint16] | None = None,
        ignore_index: int = 255,
    ) -> Scene:
        """The unedited scene of an image.

        Args:
            key: names the image in the `sources` of edited scenes.
            layout, label, instances, ignore_index: see `Scene`.

        Raises:
            UserError: the label or the instances are not 8 times as large as the layout, or of another dtype.
            NotFinite: the layout holds NaN or infinite values.
        """
        _, height, width = layout.shape
        size = height * STRIDE, width * STRIDE
        for name, plane, dtypes in (("label", label, ("uint8", "uint16")), ("instances", instances, ("uint16",))):
            if plane is not None and (plane.dtype.name not in dtypes or plane.shape != size):
                raise UserError(
                    f"{key}: {name} {plane.dtype.name}{list(plane.shape)} does not fit a layout of {height}x{width} "
                    f"cells: give {' or '.join(dtypes)}{list(size)}"
                )
        if not np.isfinite(layout).all():
            raise NotFinite(f"{key}: its layout holds NaN or infinite values: extract it again")
        rows, columns = np.indices((height, width), np.int32)
        origin = np.stack([np.zeros_like(rows), rows, columns], axis=2)
        return cls(layout, label, instances, ignore_index, (key,), origin, np.zeros((height, width), np.bool_))

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells, h and w."""
        return self.layout.shape[1], self.layout.shape[2]

    def changes(self, before: Scene) -> Cells:
        """The cells `bool [h, w]` that differ in origin from a scene of the same grid."""
        if self.sources[: len(before.sources)] != before.sources:
            raise ValueError("the scene is not made from the one before")
        return (self.origin != before.origin).any(axis=2) | (self.mixed != before.mixed)

    def require_like(self, other: Scene) -> None:
        """Raise UserError unless both have as many components, and labels and instances of one kind."""
        facts = [_facts(self), _facts(other)]
        if wrong := [name for name in facts[0] if facts[0][name] != facts[1][name]]:
            (mine, theirs), name = (each[wrong[0]] for each in facts), wrong[0]
            raise UserError(
                f"{name} of {self.sources[0]} is {mine} and that of {other.sources[0]} is {theirs}: "
                "edit scenes of one dataset and one basis together"
            )


@dataclass(frozen=True, eq=False)
class Writing:
    """Copies of the arrays of a scene, for an edit to write to."""

    layout: NDArray[np.float16]
    label: Label | None
    instances: NDArray[np.uint16] | None
    origin: NDArray[np.int32]
    mixed: Cells

    @classmethod
    def to(cls, scene: Scene) -> Writing:
        """Copies of all arrays."""
        label = None if scene.label is None else scene.label.copy()
        instances = None if scene.instances is None else scene.instances.copy()
        return cls(scene.layout.copy(), label, instances, scene.origin.copy(), scene.mixed.copy())

    def of(self, scene: Scene, sources: tuple[str, ...]) -> Scene:
        """The scene with these arrays."""
        return replace(scene, sources=sources, **{name: getattr(self, name) for name in self.__dataclass_fields__})


def _facts(scene: Scene) -> dict[str, object]:
    return {
        "the number of components": len(scene.layout),
        "the dtype of the label": None if scene.label is None else scene.label.dtype.name,
        "the presence of instances": scene.instances is not None,
        "the ignored id": scene.ignore_index,
    }


def in_blocks(plane: NDArray[np.generic]) -> NDArray[np.generic]:
    """A view of pixels `[8 h, 8 w]` by cells, `[h, 8, w, 8]`."""
    height, width = plane.shape
    return plane.reshape(height // STRIDE, STRIDE, width // STRIDE, STRIDE)


def share_in(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share (0..1) of the pixels of each cell `[h, w]` that a mask `bool [8 h, 8 w]` has."""
    return in_blocks(mask).mean(axis=(1, 3))


def cells_of(mask: NDArray[np.bool_], cover: float) -> Cells:
    """The cells `bool [h, w]` of which a mask `bool [8 h, 8 w]` covers the share `cover` or more, above 0."""
    share = share_in(mask)
    return (share >= cover) & (share > 0)


def pixels_of(cells: Cells) -> NDArray[np.bool_]:
    """The pixels `bool [8 h, 8 w]` of cells `bool [h, w]`."""
    return cells.repeat(STRIDE, axis=0).repeat(STRIDE, axis=1)
