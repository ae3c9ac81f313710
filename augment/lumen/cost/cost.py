"""What one device is expected to take, and how that is kept, as it takes seconds to count. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from augment.cache import files_digest, kept
from augment.lumen import zoo


@dataclass(frozen=True)
class Cost:
    """What one device is expected to take.

    Attributes:
        weights: bytes of the frozen models.
        state: bytes of the weights that are trained, their gradients and the state of their optimizer.
        working: bytes of everything else, the most at once.
        flops: floating-point operations of all samples that were asked for, in one step or one image each.
    """

    weights: int
    state: int
    working: int
    flops: int

    @property
    def memory(self) -> int:
        """Bytes in all."""
        return self.weights + self.state + self.working


@dataclass(frozen=True)
class Models:
    """The names of base model and adapter.

    Attributes:
        base: see `load_diffusion_model`.
        adapter: its folder; None is a new one.
        num_components: of a new adapter.
        revision: commit of a base on the hub; None is the newest.
    """

    base: str
    adapter: Path | None
    num_components: int
    revision: str | None = None


def kept_cost(models: Models, facts: Sequence[Any], count: Callable[[], Cost]) -> Cost:
    """A cost as it was counted before for the same configurations of the models and the same facts; see `kept`.

    With a base that is neither in a folder nor in the hub's cache it is always counted.

    Args:
        models: of which it is.
        facts: all else that the cost depends on, as values of JSON.
        count: counts it.
    """
    folder = _folder(models.base, models.revision)
    if folder is None:
        return count()
    configs = files_digest(folder, [*folder.glob("*.json"), *folder.glob("*/*.json")])
    adapter = models.adapter and files_digest(models.adapter, [models.adapter / "config.json"])
    return Cost(**kept("costs", [configs, adapter, models.num_components, *facts], lambda: asdict(count())))


def _folder(base: str, revision: str | None) -> Path | None:
    """The folder with the configurations of a base."""
    source = Path(zoo.source(base))
    if source.is_dir():
        return source
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(base, "model_index.json", revision=revision)
    return Path(index).parent if isinstance(index, str) else None
