"""The deployment files fit Ray's own schema, the pinned versions and the recipes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml

from pipeline.config.compose import load_config

REPOSITORY = Path(__file__).parents[2]
DOCKER = REPOSITORY / "docker"


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((DOCKER / name).read_text())


def lumen_commands() -> Iterator[tuple[str, list[str]]]:
    """Every ``lumen run`` in a deployment file or its comments, as file and arguments."""
    for name in ("ray-cluster.yaml", "rayjob.yaml"):
        for command in re.findall(r"lumen run ([^'\n]+)", (DOCKER / name).read_text()):
            yield name, shlex.split(command)
    [submitted] = re.findall(r"sbatch docker/slurm\.sh (.+)", (DOCKER / "slurm.sh").read_text())
    [added] = re.findall(r'lumen run "\$@" (.+)', (DOCKER / "slurm.sh").read_text())
    yield "slurm.sh", shlex.split(f"{submitted} {added}")


def test_every_deployment_starts_a_run() -> None:
    assert sorted(name for name, _ in lumen_commands()) == ["ray-cluster.yaml", "rayjob.yaml", "slurm.sh"]


@pytest.mark.parametrize(("name", "arguments"), lumen_commands())
def test_the_run_is_a_valid_recipe_on_a_cluster(name: str, arguments: list[str]) -> None:
    config = load_config(arguments[0], arguments[1:])
    assert config.cluster.executor == "ray", name
    assert config.cluster.address == "auto", name


def test_the_cluster_file_satisfies_ray() -> None:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(load("ray-cluster.yaml"), schema)


def test_the_job_runs_the_pinned_ray_and_mounts_what_it_names() -> None:
    job = load("rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert f"ray=={cluster['rayVersion']}" in (REPOSITORY / "constraints.txt").read_text().splitlines()
    root = job["spec"]["entrypoint"].split("dataset.root=")[1].split()[0]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert set(mounts) == volumes
            assert any(Path(root).is_relative_to(path) for path in mounts.values())
            assert container["resources"]["limits"] == container["resources"]["requests"]


def test_the_job_gives_each_worker_what_the_stages_request() -> None:
    job = load("rayjob.yaml")
    arguments = shlex.split(job["spec"]["entrypoint"])[2:]
    config = load_config(arguments[0], arguments[1:])
    [group] = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    for stage in config.cluster.stages.values():
        assert stage.num_gpus <= int(limits["nvidia.com/gpu"])
        assert stage.num_cpus < int(limits["cpu"])


@pytest.mark.parametrize("script", [DOCKER / "slurm.sh", REPOSITORY / ".ci" / "run"], ids=lambda path: path.name)
def test_the_scripts_parse(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    assert script.stat().st_mode & 0o111, f"{script} is not executable"


def test_the_image_is_built_from_the_pinned_versions() -> None:
    instructions = re.sub(r"\\\n", " ", (DOCKER / "Dockerfile").read_text())
    installs = re.findall(r"(?<!\w)pip install [^&\n]+", instructions)
    assert len(installs) >= 3
    assert all("-c constraints.txt" in install for install in installs)
