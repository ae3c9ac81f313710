"""Licences of known datasets, and what each says of images that are made from the dataset, and of models.

As of November 2026, and no legal advice. An image that is painted on the layout of a photograph, with its labels,
counts as made from that photograph.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetLicence:
    """Licence of a dataset.

    Attributes:
        licence: its name.
        terms: URL of its text.
        use: what it says of what is made from the dataset.
        commercial: whether commercial use is allowed; None if it is under conditions.
    """

    licence: str
    terms: str
    use: str
    commercial: bool | None


_CITYSCAPES = DatasetLicence(
    "Cityscapes licence",
    "https://www.cityscapes-dataset.com/license/",
    "models may be trained on it and passed on, not commercially; neither the dataset nor modified versions may be "
    "passed on",
    False,
)
_ADE20K = DatasetLicence(
    "terms of ADE20K; annotations BSD-3-Clause",
    "https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/",
    "images for non-commercial research and education alone, and to be passed on to colleagues who agree to the terms",
    False,
)
_BDD100K = DatasetLicence(
    "BDD100K licence",
    "https://doc.bdd100k.com/license.html",
    "may be changed and passed on with its notice, for education, research and not-for-profit purposes; commercially "
    "by members of Berkeley DeepDrive alone",
    False,
)
_COCO_STUFF = DatasetLicence(
    "annotations CC BY 4.0; each image the terms that its owner gave it on Flickr",
    "https://github.com/nightrome/cocostuff#licensing",
    "annotations may be trained on and passed on with attribution; images as the licence of each says, some of which "
    "exclude commercial use",
    None,
)
# Scenes are procedural: no data of others is in them.
_RENDERED = DatasetLicence(
    "Apache-2.0, as LUMEN", "https://www.apache.org/licenses/LICENSE-2.0", "may be trained on and passed on", True
)
# CamVid is not here: no licence was found on its authors' page. The kinds `folder` and `coco` are formats.
_BY_KIND = {
    "cityscapes": _CITYSCAPES,
    "cityscapes-coarse": _CITYSCAPES,
    "ade20k": _ADE20K,
    "ade20k-full": _ADE20K,
    "bdd100k": _BDD100K,
    "bdd100k-100k": _BDD100K,
    "coco-stuff": _COCO_STUFF,
    "rendered": _RENDERED,
}


def dataset_licence(kind: str) -> DatasetLicence | None:
    """The licence of the dataset that a kind reads; None if it is not known, or the kind is a mere format."""
    return _BY_KIND.get(kind)
