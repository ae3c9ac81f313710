"""A run as its steps see it: the configuration, the workspace, the real images, and the steps themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.stages.images import RealImages
from pipeline.workspace.workspace import Workspace

if TYPE_CHECKING:
    from augment.options import Options
    from pipeline.config import Config
    from pipeline.stages.step import Step

S = TypeVar("S", bound="Step")
Section = TypeVar("Section", bound="Options")


@dataclass
class Job:
    """What every step of a run is made of.

    What it has looked up it remembers: make a new one after results were removed.
    """

    config: Config
    _steps: dict[type[Any], Any] = field(default_factory=dict, repr=False)

    @cached_property
    def workspace(self) -> Workspace:
        """Where the results are."""
        return Workspace.of(self.config)

    @cached_property
    def images(self) -> RealImages:
        """The images of the dataset that the run uses."""
        return RealImages(self.config, self.workspace)

    def step(self, kind: type[S]) -> S:
        """The step of that class."""
        if kind not in self._steps:
            self._steps[kind] = kind(self)
        found = self._steps[kind]
        assert isinstance(found, kind)
        return found

    def section(self, name: str, kind: type[Section]) -> Section:
        """The section of the configuration that holds the options of a stage."""
        found = getattr(self.config, name)
        assert isinstance(found, kind)
        return found
