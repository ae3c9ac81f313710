"""Images that a model has made say so to other programs; their pixels are the same."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from pipeline.export import export_store
from pipeline.store import Manifest, Sample, SampleReader, Store
from pipeline.store.codec import IMAGE_FORMATS, ImageFormat

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
LABEL = np.zeros((16, 24), np.uint8)
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def stored(folder: Path, kind: str, image_format: ImageFormat) -> dict[str, bytes]:
    store = Store.create(str(folder / kind), Manifest(kind, "camvid", {"height": 16, "width": 24}, {}, image_format))
    store.write_shard("train-000000", [Sample("train_a", IMAGE, LABEL, metadata={"split": "train"})])
    return SampleReader(store).read_members("train_a")


def source_type(data: bytes) -> str | None:
    """The IPTC's digital source type, in the XMP packet that Pillow finds."""
    with Image.open(io.BytesIO(data)) as image:
        packet = image.info.get("xmp")
    if packet is None:
        return None
    described = ElementTree.fromstring(packet).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    [values] = [item.attrib for item in described]
    return values["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"]


@pytest.mark.parametrize("image_format", sorted(IMAGE_FORMATS))
@pytest.mark.parametrize("kind", ["synthetic", "curated"])
def test_a_painted_image_is_marked_and_its_label_is_not(tmp_path: Path, kind: str, image_format: ImageFormat) -> None:
    members, real = stored(tmp_path, kind, image_format), stored(tmp_path, "real", image_format)
    assert source_type(members[image_format]) == SOURCE_TYPE
    assert (source_type(real[image_format]), source_type(members["label.png"])) == (None, None)
    assert len(members[image_format]) - len(real[image_format]) < 700
    pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in (members[image_format], real[image_format])]
    np.testing.assert_array_equal(*pixels)
    assert stored(tmp_path / "again", kind, image_format) == members


@pytest.mark.parametrize("image_format", sorted(IMAGE_FORMATS))
def test_an_exported_image_keeps_the_mark(tmp_path: Path, image_format: ImageFormat) -> None:
    stored(tmp_path, "synthetic", image_format)
    export_store(str(tmp_path / "synthetic"), str(tmp_path / "out"), "cityscapes")
    [image] = (tmp_path / "out" / "leftImg8bit").rglob("*.png")
    assert source_type(image.read_bytes()) == SOURCE_TYPE


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool: apt-get install libimage-exiftool-perl")
@pytest.mark.parametrize("image_format", sorted(IMAGE_FORMATS))
def test_exiftool_reads_the_mark(tmp_path: Path, image_format: ImageFormat) -> None:
    path = tmp_path / f"image.{image_format}"
    path.write_bytes(stored(tmp_path, "synthetic", image_format)[image_format])
    command = ["exiftool", "-j", "-n", "-XMP-iptcExt:DigitalSourceType", str(path)]
    [found] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert found["DigitalSourceType"] == SOURCE_TYPE
