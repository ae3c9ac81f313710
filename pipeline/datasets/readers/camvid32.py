"""CamVid with its original 32 classes, labelled by colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from augment.errors import UserError
from pipeline.datasets.annotations.color_labels import map_colors
from pipeline.datasets.dataset import Annotations, Dataset
from pipeline.datasets.files.images import read_label_colors
from pipeline.datasets.files.tree import Tree, without_mark
from pipeline.datasets.pairing.layout import require_layout, require_split
from pipeline.datasets.pairing.pairs import check_split
from pipeline.datasets.pairing.places import Place, stem
from pipeline.datasets.readers.camvid import IMAGE_SUFFIXES, USUAL_SPLITS, attributes_of
from pipeline.datasets.record import Facts, Record, records_of
from pipeline.taxonomies import CAMVID32, Taxonomy
from pipeline.taxonomies.camvid import VOID_COLOR

# In the owner's archives: all frames in one folder, all labels in another.
ALL_IMAGES, ALL_LABELS = "701_StillsRaw_full", "LabeledApproved_full"
# In copies: a folder of images and one of labels for each split.
LABEL_FOLDER_SUFFIX = "_labels"
LABEL_SUFFIX = "_L"

_TRAIN_IDS = {VOID_COLOR: CAMVID32.ignore_index} | {color: place for place, color in enumerate(CAMVID32.palette)}


def usual_split(name: str) -> Literal["train", "val", "test"]:
    """The split of a frame, by its name, in the usual division into 367, 101 and 233 frames.

    Seq05VD and the second half of the sequence at dusk are for testing; the part of 0016E5 that is labelled 15 times a
    second is for validation.
    """
    sequence, _, frame = name.partition("_")
    if sequence == "Seq05VD" or (sequence == "0001TP" and frame > "008520"):
        return "test"
    return "val" if sequence == "0016E5" and "07959" <= frame <= "08159" else "train"


def _frame(path: str) -> str:
    """Name of the frame of a label."""
    return stem(path).removesuffix(LABEL_SUFFIX)


@dataclass(frozen=True)
class CamVid32(Dataset):
    """Reader of ``701_StillsRaw_full/<name>.png`` with RGB labels in ``LabeledApproved_full/<name>_L.png``.

    The owner defines no splits: ``train.txt``, ``val.txt`` and ``test.txt`` in the root list the names of each, else
    `usual_split` decides. Copies with ``<split>/`` and ``<split>_labels/`` in the root are read as well. Raises
    UserError if ``root`` is neither.
    """

    tree: Tree
    name: str = "camvid-32"
    taxonomy: Taxonomy = CAMVID32

    def __post_init__(self) -> None:
        expected = f"{ALL_IMAGES}/ and {ALL_LABELS}/, or train/ and train{LABEL_FOLDER_SUFFIX}/"
        require_layout(self.tree, self.splits, "a folder of CamVid with 32 classes", expected)

    def splits(self) -> list[str]:
        """Names of the splits: those that have a list, all usual ones, or those that have a folder; sorted."""
        folders = self.tree.folders()
        if ALL_IMAGES in folders:
            return sorted(self._lists() or USUAL_SPLITS)
        return [name for name in folders if name + LABEL_FOLDER_SUFFIX in folders or name in USUAL_SPLITS]

    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key; only a ``test`` split may come without labels.

        Raises UserError for a split that is absent, empty or labelled in part, and for a name in a list that has
        no image.
        """
        original = ALL_IMAGES in self.tree.folders()
        image_folder, label_folder = (ALL_IMAGES, ALL_LABELS) if original else (split, split + LABEL_FOLDER_SUFFIX)
        require_split(split, self.splits(), self.tree.at(image_folder))
        expected = f"{self.tree.at(label_folder)}/*{LABEL_SUFFIX}.png"
        image = Place(image_folder, IMAGE_SUFFIXES)
        label = Place(label_folder, (".png",), name_of=_frame, expected=expected)
        images, labels = image.find(self.tree), label.find(self.tree)
        if original:
            chosen = self._chosen(split, images, labels)
            images = {name: path for name, path in images.items() if name in chosen}
            labels = {name: path for name, path in labels.items() if name in chosen}
        check_split(self.tree, split, images, labels, image, label)
        return records_of(split, images, labels, lambda name, _: Facts(attributes_of(name)))

    def annotations(self, record: Record) -> Annotations:
        """Train ids uint8 [H, W] (0..30, 255 for void); see `Dataset`."""
        if record.label is None:
            return Annotations()
        colors = read_label_colors(self.tree, record.label)
        return Annotations(map_colors(colors, _TRAIN_IDS, self.tree.at(record.label)))

    def _lists(self) -> list[str]:
        return [split for split in USUAL_SPLITS if self.tree.location.exists(f"{split}.txt")]

    def _chosen(self, split: str, images: dict[str, str], labels: dict[str, str]) -> set[str]:
        """Names of a split's frames, with an image, a label or both."""
        if not self._lists():
            return {name for name in images | labels if usual_split(name) == split}
        listed = f"{split}.txt"
        lines = without_mark(self.tree.location.read(listed)).decode().splitlines()
        # A line may name the image by its path, and the label after it.
        chosen = {stem(line.split()[0]) for line in lines if line.strip()}
        if absent := sorted(chosen - images.keys()):
            raise UserError(
                f"{self.tree.at(listed)} names {len(absent)} frames that {self.tree.at(ALL_IMAGES)} lacks, such as "
                f"{absent[0]}: found {len(images)} images there"
            )
        return chosen
