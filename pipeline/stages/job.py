"""A run as its steps see it: the configuration, the workspace, the real images, and the steps themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from augment.options import Options
from pipeline.stages.images import RealImages
from pipeline.workspace.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.config import Config

AnyStep = TypeVar("AnyStep")
Section = TypeVar("Section", bound=Options)


@dataclass
class Job:
    """What every step of a run is made of.

    It remembers what it has looked up, so a run that removes results makes a new one.
    """

    config: Config
    _steps: dict[Callable[[Job], Any], Any] = field(default_factory=dict, repr=False)

    @cached_property
    def workspace(self) -> Workspace:
        """Where the results are."""
        return Workspace.of(self.config)

    @cached_property
    def images(self) -> RealImages:
        """The images of the dataset that the run uses."""
        return RealImages(self.config, self.workspace)

    def step(self, kind: Callable[[Job], AnyStep]) -> AnyStep:
        """The step of that class, the same one each time."""
        if kind not in self._steps:
            self._steps[kind] = kind(self)
        found: AnyStep = self._steps[kind]
        return found

    def section(self, name: str, kind: type[Section]) -> Section:
        """The section of the configuration that holds the options of a stage."""
        found = getattr(self.config, name)
        assert isinstance(found, kind)
        return found
