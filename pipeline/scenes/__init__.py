"""Procedural street scenes in the Cityscapes on-disk layout."""

from pipeline.scenes.scene import Scene, render_scene
from pipeline.scenes.writer import write_dataset

__all__ = ["Scene", "render_scene", "write_dataset"]
