"""Samples to WebDataset members and back."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from pipeline.store.ai_mark import save_options
from pipeline.store.canonical import canonical_json
from pipeline.store.errors import CorruptStore, InvalidSample
from pipeline.store.layout_format import SUFFIXES, LayoutFormat, decode_layout, encode_layout
from pipeline.store.sample import Sample

ImageFormat: TypeAlias = Literal["png", "jpg", "webp"]

LABEL = "label.png"
INSTANCES = "instances.png"
METADATA = "json"

# Z_RLE takes a quarter of zlib's default time, for 7 % more bytes of a photograph and fewer of a label. Only JPEG is
# lossy; 4:4:4 keeps colour edges where the label has them.
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG", "compress_type": zlib.Z_RLE},
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "webp": {"format": "WEBP", "lossless": True, "quality": 50, "exact": True},
}
IMAGE_FORMATS = frozenset(_SAVE_OPTIONS)
# The extensions that a layout and its views may have, and the format that each means.
LAYOUT, VIEWS = (
    {f"{part}.{suffix}": layout_format for layout_format, suffix in SUFFIXES.items()} for part in ("layout", "views")
)
LAYOUT_FORMATS = {**LAYOUT, **VIEWS}
LATENTS = "latents.npy"
TEXT = "text.npz"


def encode(
    sample: Sample, image_format: ImageFormat = "png", layout_format: LayoutFormat = "float16", *, painted: bool = False
) -> dict[str, bytes]:
    """The members of a sample by extension, ``json`` always among them.

    ``png`` and ``webp`` are lossless, ``jpg`` and ``uint8`` layouts are not. Equal samples give equal bytes. An image
    that a model has ``painted`` carries the mark of `pipeline.store.ai_mark`. Raises InvalidSample where the metadata
    is not JSON, the image format cannot hold the size, or the layout format a value.
    """
    members: dict[str, bytes] = {}
    try:
        members[METADATA] = canonical_json(sample.metadata)
    except (TypeError, ValueError) as error:
        raise InvalidSample(f"bad metadata: {error}") from error
    if sample.image is not None:
        members[image_format] = encode_image(sample.image, image_format, painted=painted)
    if sample.label is not None:
        members[LABEL] = encode_image(sample.label, "png")
    if sample.instances is not None:
        members[INSTANCES] = encode_image(sample.instances, "png")
    for part, array in (("layout", sample.layout), ("views", sample.views)):
        if array is not None:
            members[f"{part}.{SUFFIXES[layout_format]}"] = encode_layout(array, layout_format)
    if sample.latents is not None:
        members[LATENTS] = encode_layout(sample.latents, "float16")
    if sample.text is not None:
        members[TEXT] = _encode_arrays(sample.text)
    return members


def encode_image(array: np.ndarray, image_format: ImageFormat, *, painted: bool = False) -> bytes:
    """An array, RGB or RGBA uint8 [H, W, 3 or 4] or ids uint8 or uint16 [H, W], as the bytes of an image file.

    An image that a model has ``painted`` carries the mark of `pipeline.store.ai_mark`. Raises InvalidSample where the
    format cannot hold its size.
    """
    buffer = io.BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(array)).save(
            buffer, **_SAVE_OPTIONS[image_format], **(save_options(image_format) if painted else {})
        )
    except (OSError, ValueError) as error:
        height, width = array.shape[:2]
        raise InvalidSample(f"not encodable: {height}x{width} as {image_format}: {error}") from error
    return buffer.getvalue()


def decode(key: str, members: Mapping[str, bytes]) -> Sample:
    """The sample of these members, which may be a subset of those written.

    Raises CorruptStore where a member does not decode, naming the key and the member.
    """
    arrays: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    for extension, data in members.items():
        try:
            if extension == METADATA:
                metadata = json.loads(data)
            elif extension == LABEL:
                arrays["label"] = _decode_image(data, ("L", "I;16"))
            elif extension == INSTANCES:
                arrays["instances"] = _decode_image(data, ("I;16",))
            elif extension in LAYOUT_FORMATS:
                arrays[extension.partition(".")[0]] = decode_layout(data, LAYOUT_FORMATS[extension])
            elif extension == LATENTS:
                arrays["latents"] = decode_layout(data, "float16")
            elif extension == TEXT:
                arrays["text"] = _decode_arrays(data)
            elif extension in IMAGE_FORMATS:
                arrays["image"] = _decode_image(data, ("RGB",))
            else:
                raise CorruptStore("unknown member")
        # Decoders raise errors of any type on damaged bytes, SystemError and MemoryError among them.
        except Exception as error:
            raise CorruptStore(f"{key}.{extension}: {error}") from error
    if not isinstance(metadata, dict):
        raise CorruptStore(f"{key}.{METADATA}: not a JSON object")
    try:
        return Sample(key=key, metadata=metadata, **arrays)
    except (InvalidSample, TypeError) as error:
        raise CorruptStore(f"{key}: {error}") from error


def _encode_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    parts: dict[str, Any] = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    np.savez(buffer, **parts)
    return buffer.getvalue()


def _decode_arrays(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data), allow_pickle=False) as loaded:
        return {name: loaded[name] for name in loaded.files}


def _decode_image(data: bytes, modes: tuple[str, ...]) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        if image.mode not in modes:
            raise CorruptStore(f"image mode {image.mode}, expected {' or '.join(modes)}")
        return np.array(image)
