"""Check that the CPUs and GPUs that a run requests exist, on this machine or on its Ray cluster."""

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
    """Check that this machine has room for the workers of each stage; starts no Ray.

    If the run joins a cluster, check only that the cluster answers; `require_room` does the rest.

    Args:
        config: of the run.
        steps: the steps to do.

    Raises:
        UserError: a worker, or the requested number of workers, would never find room, or no cluster answers.
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
                f"{error} (which has no GPU, and {key_of(config, needing)}.num_gpus requests one)"
            ) from error
        return
    requests = [(key_of(config, stage), config.cluster.resources(stage)) for stage in stages]
    needed = max((requested.num_gpus for _, requested in requests), default=0)
    gpus = gpus_here() if needed else 0
    for key, requested in requests:
        if requested.num_gpus > gpus:
            found = f"{gpus} GPU{'s' if gpus > 1 else ''}" if gpus else "no GPU that torch can use"
            raise UserError(
                f"{key}.num_gpus={requested.num_gpus:g}: this machine has {found}: set it to 0, as cluster=local does "
                "for all stages, or set cluster.address to a Ray cluster that has enough"
            )
    cpus = os.cpu_count() or 1
    for key, requested in requests:
        if config.cluster.executor == "ray" and requested.num_cpus > cpus:
            raise UserError(f"{key}.num_cpus={requested.num_cpus:g}: this machine has {cpus} CPU cores: lower it")
    # With `auto`, the pool takes as many workers as fit, so only the size of one matters.
    if config.cluster.executor == "ray" and any(requested.workers != "auto" for _, requested in requests):
        from pipeline.engine.ray_pool import CORELESS, RESERVED_CPUS

        # As `connect` starts it.
        here = {"CPU": cpus + RESERVED_CPUS, "GPU": gpus, CORELESS: RESERVED_CPUS}
        require_pools(config, steps, [here])


def require_room(config: Config, steps: Sequence[Step], report: Callable[[str], None]) -> None:
    """Join the Ray cluster and check that its nodes have room for the workers of each stage.

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
            # A training reads its data itself, so no CPU slot is reserved for read tasks.
            reserved = coreless_slots(nodes) if step.trains else RESERVED_CPUS
            pool_size(key_of(config, step.name), step.resources, nodes, max(1, step.parts()), reserved)


def require_whole_gpus(config: Config, stage: str, parts: int) -> None:
    """Check that workers that train together have a GPU each, if they have any.

    Args:
        config: of the run.
        stage: its name.
        parts: the most workers that may train together.

    Raises:
        UserError: they would share one, which NCCL refuses.
    """
    requested, key = config.cluster.resources(stage), key_of(config, stage)
    alone = config.cluster.executor != "ray" or requested.workers == 1 or parts == 1
    if 0 < requested.num_gpus < 1 and not alone:
        raise UserError(
            f"{key}.num_gpus={requested.num_gpus:g}: workers of {stage} train together and need a GPU each: set it to "
            f"1, or cluster.stages.{stage}.workers=1"
        )


def joins_cluster(config: Config) -> bool:
    """Whether the run joins a running Ray cluster."""
    given = config.cluster.address or os.environ.get("RAY_ADDRESS")
    return config.cluster.executor == "ray" and bool(given)


def key_of(config: Config, stage: str) -> str:
    """The key of the configuration that sets the resources of a stage's workers."""
    return f"cluster.stages.{stage}" if stage in config.cluster.stages else "cluster.default"


def gpus_here() -> int:
    """GPUs that torch can use on this machine."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
