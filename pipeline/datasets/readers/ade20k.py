"""ADE20K with the 150 classes of its scene parsing benchmark, in the layout of ADEChallengeData2016."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from augment.errors import UserError
from pipeline.datasets.dataset import Annotations, Dataset
from pipeline.datasets.files.images import map_ids, read_label_ids
from pipeline.datasets.files.tree import Tree, without_mark
from pipeline.datasets.pairing.layout import require_layout, require_split
from pipeline.datasets.pairing.pairs import check_split
from pipeline.datasets.pairing.places import Place
from pipeline.datasets.record import Facts, Record, records_of
from pipeline.taxonomies import ADE20K, Taxonomy, train_id_table
from pipeline.taxonomies.ade20k import RAW_IDS

# Split -> its name in the release.
FOLDERS = {"train": "training", "val": "validation"}
SCENES_FILE = "sceneCategories.txt"
# Labels of images without a scene.
NO_SCENE = ("misc", "outliers")

_TRAIN_IDS = train_id_table(RAW_IDS, ADE20K)
_IS_RAW_ID = np.arange(256) <= max(RAW_IDS)


@dataclass(frozen=True)
class Ade20k(Dataset):
    """Reader of ``images/<training|validation>/<name>.jpg`` with ids 0..150 in ``annotations/.../<name>.png``.

    Id 0 is none of the 150 classes. The optional ``sceneCategories.txt`` gives each image its attribute ``scene``.
    Raises UserError if ``root`` is not such a folder.
    """

    tree: Tree
    name: str = "ade20k"
    taxonomy: Taxonomy = ADE20K

    def __post_init__(self) -> None:
        expected = "images/training/*.jpg and annotations/training/*.png"
        require_layout(self.tree, self.splits, "an ADE20K folder", expected)

    def splits(self) -> list[str]:
        """``train`` and ``val``, as far as they are on disk."""
        folders = self.tree.folders("images")
        return sorted(split for split, folder in FOLDERS.items() if folder in folders)

    def records(self, split: str) -> list[Record]:
        """Every image of a split, sorted by key.

        Raises UserError for a split that is absent, empty or labelled in part, and for a broken file of scenes.
        """
        folder = FOLDERS.get(split, split)
        image_folder, label_folder = f"images/{folder}", f"annotations/{folder}"
        require_split(split, self.splits(), self.tree.at(image_folder))
        image, label = Place(image_folder, (".jpg",)), Place(label_folder, (".png",))
        images, labels = image.find(self.tree), label.find(self.tree)
        check_split(self.tree, split, images, labels, image, label)
        scenes = self._scenes()
        return records_of(split, images, labels, lambda name, _: Facts(scene_attribute(scenes.get(name))))

    def annotations(self, record: Record) -> Annotations:
        """Train ids uint8 [H, W] (0..149, 255); see `Dataset`."""
        if record.label is None:
            return Annotations()
        ids = read_label_ids(self.tree, record.label)
        return Annotations(map_ids(ids, _TRAIN_IDS, _IS_RAW_ID, self.tree.at(record.label)))

    def _scenes(self) -> dict[str, str]:
        try:
            lines = without_mark(self.tree.location.read(SCENES_FILE)).decode().splitlines()
        except FileNotFoundError:
            return {}
        except UnicodeDecodeError as error:
            raise UserError(f"damaged text: {self.tree.at(SCENES_FILE)}: {error}") from error
        scenes = {}
        for number, line in enumerate(lines, start=1):
            match line.split():
                case [name, scene]:
                    scenes[name] = scene
                case [_, *_]:
                    raise UserError(
                        f"{self.tree.at(SCENES_FILE)}: line {number} is {line!r}: expected an image and its scene"
                    )
        return scenes


def scene_attribute(scene: str | None) -> dict[str, str]:
    """The attribute ``scene`` in words, such as ``airport terminal`` of ``airport_terminal``; empty if unknown."""
    return {"scene": " ".join(scene.replace("_", " ").split())} if scene and scene not in NO_SCENE else {}
