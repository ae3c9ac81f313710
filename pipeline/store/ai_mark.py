"""The mark of an image that a model has made, for programs that read XMP metadata.

The value is `trainedAlgorithmicMedia` of the IPTC's vocabulary of digital source types
(https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia), in the property
`Iptc4xmpExt:DigitalSourceType` of the IPTC Photo Metadata Standard. The packet is RDF as in ISO 16684-1; PNG has it as
iTXt `XML:com.adobe.xmp`, JPEG as APP1, WebP as the chunk `XMP `. Pixels do not change.
"""

from __future__ import annotations

from typing import Any

from PIL.PngImagePlugin import PngInfo

TRAINED_ALGORITHMIC_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
# The same bytes for every image, so that a store is reproducible.
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    f' Iptc4xmpExt:DigitalSourceType="{TRAINED_ALGORITHMIC_MEDIA}"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
# Kinds of stores with images that a model has made.
PAINTED = frozenset({"synthetic", "curated"})


def save_options(image_format: str) -> dict[str, Any]:
    """What Pillow needs to save an image of this format with the mark."""
    if image_format != "png":
        return {"xmp": XMP.encode()}
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP)
    return {"pnginfo": info}
