"""The most memory that tensors take at once, and the floating-point operations, of any computation."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

if TYPE_CHECKING:
    from collections.abc import Iterable


class Meter(TorchDispatchMode):
    """Measures what runs inside it, forward and backward, on tensors of any device.

    On `meta` nothing is computed, and all sizes are known. Each storage counts from the operation that makes it until
    it is freed. Memory that an operation takes only while it runs is not seen.

    Args:
        known: tensors that do not count.

    Attributes:
        peak: bytes, the most at once.
        flops: floating-point operations of matrix products, convolutions and attention; a multiplication and an
            addition are two.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.peak = self.flops = self._now = 0
        self._seen = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count what it makes."""
        options = kwargs or {}
        found = func(*args, **options)
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flops += count(*args, **options, out_val=found)
        for tensor in (found,) if isinstance(found, Tensor) else tree_leaves(found):
            if isinstance(tensor, Tensor):
                self._add(tensor)
        return found

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        # An address is used again.
        self._seen.discard(key)
        self._now -= size
