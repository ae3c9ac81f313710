"""The licences of the dataset and of segmenters' weights count too, and a forbidden use is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from augment.errors import UserError
from pipeline.checks.licences import require_licensed
from pipeline.config.compose import load_config
from pipeline.datasets.licences import dataset_licence
from pipeline.datasets.registry import kinds

NOT_DATASETS = {"folder", "coco"}
STATED_NOWHERE = {"camvid", "camvid-32"}


def test_each_kind_of_dataset_has_a_licence_or_is_known_to_have_none() -> None:
    unknown = {kind for kind in kinds() if ":" not in kind and dataset_licence(kind) is None}
    assert unknown == NOT_DATASETS | STATED_NOWHERE


@pytest.mark.parametrize(
    ("recipe", "given", "key"),
    [
        ("cityscapes", "dataset.root=/data", "dataset.kind=cityscapes"),
        ("quickstart", "downstream.pretrained=/weights/mit_b0.pth", "downstream.pretrained=/weights/mit_b0.pth"),
    ],
)
def test_commercial_use_is_refused_unless_it_is_accepted(recipe: str, given: str, key: str, tmp_path: Path) -> None:
    overrides = [f"workspace={tmp_path}", given]
    require_licensed(load_config(recipe, overrides, done=True))
    overrides.append("licences.commercial=true")
    with pytest.raises(UserError, match=f"^{key} is licensed for non-commercial use alone"):
        require_licensed(load_config(recipe, overrides, done=True))
    name = key.partition("=")[2]
    require_licensed(load_config(recipe, [*overrides, f"licences.accepted=[{name}]"], done=True))


def test_a_licence_that_the_user_states_counts_in_place_of_the_known_one(tmp_path: Path) -> None:
    given = [f"workspace={tmp_path}", "dataset.root=/data", "licences.commercial=true"]
    require_licensed(load_config("cityscapes", [*given, "licences.dataset=bought on 1 May"], done=True))
