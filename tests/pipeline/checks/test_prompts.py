"""Images show what their metadata claims, however long the captions are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment.errors import UserError
from augment.lumen.prompt_limit import load_prompt_limit
from augment.prompts import PromptOptions
from pipeline.checks.prompts import require_sources_fit
from pipeline.cli import guarded
from pipeline.config import Config
from pipeline.engine import ErrorBudget
from pipeline.store import SampleReader, Store
from tests.conftest import REPOSITORY
from tests.pipeline.checks.refusal import refusal
from tests.pipeline.workflow.test_run import kept

Configure = Callable[..., Config]
NIGHT = "{time_of_day: [night], weather: [rain]}"
DAY = "{time_of_day: [day], weather: [clear]}"


@pytest.fixture
def captioned(tmp_path: Path) -> Path:
    """A plain folder of three images with captions of 40 words."""
    root, draws = tmp_path / "captioned", np.random.default_rng(0)
    rows = []
    for split, count in (("train", 2), ("val", 1)):
        for number in range(count):
            name = f"images/{split}/{number}.png"
            for folder, shape in (("images", (32, 64, 3)), ("masks", (32, 64))):
                path = root / folder / split / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(draws.integers(0, 2, shape, dtype=np.uint8)).save(path)
            rows.append({"file_name": name, "text": " ".join(["a woman with a long red umbrella"] * 6)})
    (root / "classes.txt").write_text("road\nsky\n")
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return root


def paint(root: Path, space: Path, base: str, domains: str) -> SampleReader:
    """The synthetic store of a run with these domains."""
    settings = [
        *(f"dataset.root={root}", f"workspace={space}", "geometry.height=32", "geometry.width=64"),
        *(f"generator.base={base}", "generator.num_steps=2", "generator.precision=fp32", "generate.ks=[1]"),
        *("generate.variants=1", f"generate.prompts.domains={domains}", "cluster.executor=serial"),
        "cluster.default.threads=1",
        *(("layout.k_max=4", f"generator.adapter={base}/adapter") if "/" in base else ()),
    ]
    assert guarded(["run", "own", *settings, "--until", "generate"]) == 0
    return SampleReader(Store.open(str(space / "synthetic")))


def check(root: Path, tmp_path: Path, base: str, length: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Night differs from day, and the metadata says what was encoded."""
    night, day = (paint(root, tmp_path / name, base, domains) for name, domains in (("night", NIGHT), ("day", DAY)))
    limit = load_prompt_limit(base)
    for key in night.keys:
        one, other = night.read(key), day.read(key)
        assert (one.metadata["time_of_day"], one.metadata["weather"]) == ("night", "rain")
        for sample, ending in ((one, "night, rain"), (other, "day, clear")):
            assert str(sample.metadata["prompt"]).endswith(ending)
            assert limit.fits(str(sample.metadata["prompt"]))
            assert sample.metadata["prompt_shortened"] is True
        assert not np.array_equal(one.image, other.image)
    expected = f"{len(night.keys)} x prompt shortened to the {length} tokens that the text encoder takes"
    assert capsys.readouterr().out.count(expected) == 2


def test_long_captions_do_not_displace_chosen_attributes(
    captioned: Path, small_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(captioned, tmp_path, str(small_base), 12, capsys)


def test_case_of_long_captions_with_the_shipped_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(os.environ.get("LUMEN_CASES") or REPOSITORY.parent / "shared" / "cases") / "long_caption"
    if not root.is_dir():
        pytest.skip(f"no case at {root}; set LUMEN_CASES to the folder that holds long_caption/")
    check(root, tmp_path, "lumen-tiny", 16, capsys)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("generate.prompts.negative='a blurred, soft, dull, grey, wrong picture'", "generate.prompts.negative: it has"),
        ("generate.prompts.templates=['an extraordinarily long template {caption}']", "is too long even without"),
        ("generate.prompts.domains={weather: [torrential downpour, rain]}", "with torrential downpour is too long"),
        ("generate.prompts.domains={season: [winter]}", "generate.prompts.domains.season: the template '{caption}'"),
        (
            "generate.prompts={templates: ['{caption}', 'a street'], domains: {weather: [rain]}}",
            "generate.prompts.domains.weather: the template 'a street' leaves it out",
        ),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_prompts_that_leave_out_or_cannot_hold_attributes_are_refused_before_any_work(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, override: str, expected: str
) -> None:
    recipe = kept(configure(tmp_path / "new"), tmp_path / "recipe.yaml")
    assert expected in refusal(command, recipe, [override], capsys)
    assert not (tmp_path / "new").exists()


CITY = PromptOptions(templates=("{caption}, {city}",))


@pytest.mark.parametrize(
    ("long", "short", "minimum", "refused"),
    [(3, 0, 10, True), (3, 5, 2, True), (3, 5, 3, False), (0, 5, 0, False)],
)
def test_attributes_of_sources_are_checked_against_the_text_encoder_before_any_work(
    long: int, short: int, minimum: int, refused: bool
) -> None:
    sources = [{"city": "frankfurt am main an der oder"}] * long + [{"city": "bonn"}] * short
    budget = ErrorBudget(rate=0, minimum=minimum)
    if not refused:
        require_sources_fit(CITY, "lumen-tiny", sources, budget)
        return
    said = rf"'\{{caption\}}, \{{city\}}' with frankfurt.* for 3 of {len(sources)} sources: .*leave \{{city\}} out"
    with pytest.raises(UserError, match=said):
        require_sources_fit(CITY, "lumen-tiny", sources, budget)


def test_long_domains_are_reported_before_the_attributes_of_sources(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = kept(configure(tmp_path / "new"), tmp_path / "recipe.yaml")
    templates = 'generate.prompts.templates=["a {medium} street {weather}"]'
    domains = f'generate.prompts.domains={{weather: ["{"very " * 30}foggy"]}}'
    message = refusal("plan", recipe, [templates, domains], capsys)
    assert "shorten the template or the values of the domains" in message
