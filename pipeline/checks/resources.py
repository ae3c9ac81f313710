"""Does a run ask for resources that there are?"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from augment.errors import UserError

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.engine.ray_pool import Node
    from pipeline.stages.step import Step


def require_resources(config: Config, steps: Sequence[Step]) -> None:
    """Compare what the workers of each stage take with this machine, where the run is on it alone; starts no Ray.

    Of a cluster that is to be joined, only whether one answers is looked at; see `require_room`.

    Args:
        config: of the run.
        steps: the steps to do.

    Raises:
        UserError: a worker, or the number of workers asked for, would never find room, or no cluster answers.
    """
    stages = [step.name for step in steps if step.in_workers]
    if joins_cluster(config):
        from pipeline.engine.ray_cluster import require_cluster

        try:
            require_cluster(config.cluster.address)
        except UserError as error:
            needing = next((stage for stage in stages if config.cluster.resources(stage).num_gpus), None)
            if needing is None or gpus_here():
                raise
            raise UserError(
                f"{error} (which has no GPU, and {key_of(config, needing)}.num_gpus asks for one)"
            ) from error
        return
    asking = [(key_of(config, stage), config.cluster.resources(stage)) for stage in stages]
    needed = max((asked.num_gpus for _, asked in asking), default=0)
    gpus = gpus_here() if needed else 0
    for key, asked in asking:
        if asked.num_gpus > gpus:
            found = f"{gpus} GPU{'s' if gpus > 1 else ''}" if gpus else "no GPU that torch can use"
            raise UserError(
                f"{key}.num_gpus={asked.num_gpus:g}: this machine has {found}: set it to 0, as cluster=local does for "
                "all stages, or give cluster.address of a Ray cluster that has"
            )
    cpus = os.cpu_count() or 1
    for key, asked in asking:
        if config.cluster.executor == "ray" and asked.num_cpus > cpus:
            raise UserError(f"{key}.num_cpus={asked.num_cpus:g}: this machine has {cpus} CPU cores: lower it")
    # Where the number of workers is left open, what one takes is all that matters.
    if config.cluster.executor == "ray" and any(asked.workers != "auto" for _, asked in asking):
        from pipeline.engine.ray_pool import CORELESS, RESERVED_CPUS

        # As `connect` starts it.
        here = {"CPU": cpus + RESERVED_CPUS, "GPU": gpus, CORELESS: RESERVED_CPUS}
        require_pools(config, steps, [here])


def require_room(config: Config, steps: Sequence[Step], report: Callable[[str], None]) -> None:
    """Join the Ray cluster and compare what the workers of each stage take with its nodes.

    Args:
        config: of the run.
        steps: the steps to do.
        report: takes a line where the cluster is slow to answer.

    Raises:
        UserError: no cluster answers, or the workers would never find room on it.
    """
    from pipeline.engine.ray_cluster import connect
    from pipeline.engine.ray_pool import node_resources

    connect(config.cluster.address, report)
    require_pools(config, steps, node_resources())


def require_pools(config: Config, steps: Sequence[Step], nodes: Sequence[Node]) -> None:
    """Check that nodes have room for the workers of each stage; raises UserError."""
    from pipeline.engine.ray_pool import RESERVED_CPUS, coreless_slots, pool_size

    for step in steps:
        if step.in_workers:
            # A training reads its data itself, so that no CPU slot is reserved to read with.
            reserved = coreless_slots(nodes) if step.trains else RESERVED_CPUS
            pool_size(key_of(config, step.name), step.resources, nodes, max(1, step.parts()), reserved)


def joins_cluster(config: Config) -> bool:
    """Whether the run is one of a Ray cluster that is there already."""
    given = config.cluster.address or os.environ.get("RAY_ADDRESS")
    return config.cluster.executor == "ray" and bool(given)


def key_of(config: Config, stage: str) -> str:
    """The part of the configuration that says what a worker of a stage takes."""
    return f"cluster.stages.{stage}" if stage in config.cluster.stages else "cluster.default"


def gpus_here() -> int:
    """GPUs that torch can use on this machine."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
