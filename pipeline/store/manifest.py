"""The manifest of a store: its kind, classes and geometry, and the inputs that it was made from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from augment.conditioning import LAYOUT
from pipeline.store.canonical import JSON, canonical_json, fingerprint
from pipeline.store.codec import IMAGE_FORMATS, ImageFormat
from pipeline.store.errors import CorruptStore
from pipeline.store.layout_format import SUFFIXES, LayoutFormat
from pipeline.taxonomies import Taxonomy, taxonomy_of_entry

SCHEMA_VERSION = 1
# Kind of a store of neural layouts.
LAYOUTS = "layouts"
# Kind of a store of what an adapter is trained on.
LATENTS = "latents"

_DIGEST = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b")


@dataclass(frozen=True)
class Manifest:
    """The content of ``store.json``.

    ``inputs`` holds everything that changes the samples (semantic config, model revisions, upstream digests)
    and nothing else; with the other fields it makes the fingerprint. ``geometry`` is {"height", "width"} in
    pixels, or empty where sizes vary. ``taxonomy`` is the `pipeline.taxonomies.taxonomy_entry` of the labels: its
    name, or all classes as JSON where it has no built-in name; None without labels.
    """

    kind: str
    taxonomy: str | Mapping[str, JSON] | None
    geometry: Mapping[str, int]
    inputs: Mapping[str, JSON] = field(default_factory=dict)
    image_format: ImageFormat = "png"
    schema_version: int = SCHEMA_VERSION
    layout_format: LayoutFormat = "float16"

    @property
    def content(self) -> dict[str, JSON]:
        """Everything that the fingerprint covers."""
        return {
            "kind": self.kind,
            "taxonomy": dict(self.taxonomy) if isinstance(self.taxonomy, Mapping) else self.taxonomy,
            "geometry": dict(self.geometry),
            "inputs": dict(self.inputs),
            "image_format": self.image_format,
            "schema_version": self.schema_version,
            # Earlier versions know this format alone and do not name it.
            **({} if self.layout_format == "float16" else {"layout_format": self.layout_format}),
        }

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the content, as 64 hexadecimal digits."""
        return fingerprint(self.content)

    def to_bytes(self) -> bytes:
        """The bytes of ``store.json``."""
        return canonical_json({**self.content, "fingerprint": self.fingerprint})

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """The manifest of these bytes; raises CorruptStore unless ``to_bytes`` gives exactly them."""
        try:
            fields = json.loads(data)
            stated = fields.pop("fingerprint")
            version = fields["schema_version"]
            if version != SCHEMA_VERSION:
                raise CorruptStore(f"schema version {version}, this program reads {SCHEMA_VERSION}")
            manifest = cls(**fields)
            if manifest.image_format not in IMAGE_FORMATS:
                raise CorruptStore(f"image format {manifest.image_format!r}")
            if manifest.layout_format not in SUFFIXES:
                raise CorruptStore(f"layout format {manifest.layout_format!r}")
            whole = manifest.fingerprint == stated and manifest.to_bytes() == data
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptStore(f"not a store manifest ({error})") from error
        if not whole:
            raise CorruptStore("the content does not match its fingerprint")
        return manifest


def taxonomy_of(manifest: Manifest) -> Taxonomy | None:
    """The taxonomy of a store's labels; None for a store without labels.

    Raises UserError for an unknown name and for an object that is no taxonomy.
    """
    return None if manifest.taxonomy is None else taxonomy_of_entry(manifest.taxonomy)


def conditioning_of(manifest: Manifest) -> str:
    """The kind of what a store of layouts holds: `layout`, or another conditioning; see `augment.conditioning`."""
    found = manifest.inputs.get("conditioning")
    return str(found["kind"]) if isinstance(found, Mapping) else LAYOUT


def differences(stored: JSON, requested: JSON, path: str = "", name: Callable[[str], str] = str) -> list[str]:
    """One line for each leaf in which two JSON values differ: ``path: stored X, requested Y``, digests cut to 8 digits.

    ``name`` gives the words to show for a path.
    """
    if isinstance(stored, Mapping) and isinstance(requested, Mapping):
        lines: list[str] = []
        for key in sorted({*stored, *requested}):
            inner = f"{path}.{key}" if path else key
            if key not in requested:
                lines.append(f"{name(inner)}: stored {_short(stored[key])}, not requested")
            elif key not in stored:
                lines.append(f"{name(inner)}: not stored, requested {_short(requested[key])}")
            else:
                lines.extend(differences(stored[key], requested[key], inner, name))
        return lines
    if canonical_json(stored) == canonical_json(requested):
        return []
    return [f"{name(path)}: stored {_short(stored)}, requested {_short(requested)}"]


def _short(value: JSON, limit: int = 60) -> str:
    text = _DIGEST.sub(r"\1", canonical_json(value).decode("utf-8"))
    return text if len(text) <= limit else text[: limit - 1] + "…"
