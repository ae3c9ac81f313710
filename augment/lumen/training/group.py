"""The processes that train one model together: which samples each takes, and how their gradients are added.

Not `DistributedDataParallel`: it orders its buckets again after the first step of every process, and from three
processes on the order decides how sums are rounded, so that a resumed training would not take the same steps.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist

from augment.errors import PeerLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

T = TypeVar("T")

# Of one exchange: large enough for the full speed of a network, small enough to begin before the backward pass ends.
BUCKET_BYTES = 25 << 20


@dataclass(frozen=True)
class Group:
    """This process among those that train together; alone without arguments.

    Attributes:
        rank: 0..`size` - 1. Rank 0 keeps the checkpoint, the average and the logs.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Group:
        """The process group of `torch.distributed` where one is set up, else this process alone."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def rows(self, count: int) -> range:
        """Positions in a batch of `count` samples that this process takes; their numbers differ by at most one."""
        return range(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def add(self, values: Tensor) -> Tensor:
        """Replace `values` by their sum over all processes."""
        if self.size > 1:
            with exchanging():
                dist.all_reduce(values)
        return values

    def share(self, value: T) -> T:
        """The value of rank 0, pickled to the others."""
        if self.size == 1:
            return value
        values = [value]
        with exchanging():
            dist.broadcast_object_list(values, src=0)
        return values[0]

    def receive(self, tensors: Iterable[Tensor]) -> None:
        """Replace the tensors by those of rank 0, which must be on the device of the group."""
        if self.size > 1:
            with exchanging():
                for tensor in tensors:
                    dist.broadcast(tensor, src=0)


class GradientSum:
    """Adds the gradients of all processes while the backward pass goes on.

    The gradients are views of a few flat buffers, in an order that never changes, so that sums are the same bits in
    every run on this number of processes.

    Args:
        group: more than one process.
        parameters: all that are trained, in the same order everywhere.
    """

    def __init__(self, group: Group, parameters: Sequence[Tensor]) -> None:
        self._group = group
        self._buffers: list[Tensor] = []
        self._sizes: list[int] = []
        self._left: list[int] = []
        self._works: list[Any] = []
        self._armed = False
        # The last layers have their gradients first.
        for members in _buckets(list(reversed(parameters))):
            flat = torch.zeros(sum(p.numel() for p in members), dtype=members[0].dtype, device=members[0].device)
            start = 0
            for parameter in members:
                parameter.grad = flat[start : start + parameter.numel()].view_as(parameter)
                start += parameter.numel()
                parameter.register_post_accumulate_grad_hook(self._hook(len(self._buffers)))
            self._buffers.append(flat)
            self._sizes.append(len(members))

    def begin(self) -> None:
        """Set all gradients to zero."""
        self._armed = False
        for flat in self._buffers:
            flat.zero_()

    def arm(self) -> None:
        """The next backward pass is the last of the step: exchange each buffer as soon as it is complete."""
        self._armed, self._works, self._left = True, [], list(self._sizes)

    def finish(self) -> None:
        """Wait for the sums; buffers with parameters that took no part are exchanged here."""
        with exchanging():
            while len(self._works) < len(self._buffers):
                self._exchange()
            for work in self._works:
                work.wait()

    def _hook(self, bucket: int) -> Callable[[Tensor], None]:
        def count(_parameter: Tensor) -> None:
            if not self._armed:
                return
            self._left[bucket] -= 1
            # In the order of the buffers, as every process must do the same.
            while len(self._works) < len(self._buffers) and self._left[len(self._works)] == 0:
                with exchanging():
                    self._exchange()

        return count

    def _exchange(self) -> None:
        self._works.append(dist.all_reduce(self._buffers[len(self._works)], async_op=True))


def _buckets(parameters: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Runs of successive parameters of one type and about `BUCKET_BYTES` together."""
    members: list[Tensor] = []
    for parameter in parameters:
        size = sum(p.numel() * p.element_size() for p in members)
        if members and (size >= BUCKET_BYTES or parameter.dtype != members[0].dtype):
            yield members
            members = []
        members.append(parameter)
    if members:
        yield members


@contextmanager
def exchanging() -> Iterator[None]:
    """Raise `PeerLost` for an error of an exchange, since the others fail when one process ends."""
    try:
        yield
    except torch.OutOfMemoryError:
        # Of this process itself, and a new group would have no more memory.
        raise
    except RuntimeError as error:
        raise PeerLost(" ".join(str(error).split())) from error
