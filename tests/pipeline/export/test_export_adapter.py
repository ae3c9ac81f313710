"""An adapter is trained on its own, taken elsewhere with all that it needs, and used from there."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from augment.lumen.model import Lumen
from pipeline.cli import guarded
from pipeline.config import Config
from pipeline.export.adapter_card import licence_of
from pipeline.workspace.artifact import read_record
from tests.pipeline.workflow.test_run import kept

Configure = Callable[..., Config]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_adapter_is_trained_alone_exported_and_used(
    configure: Configure, small_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = Path(shutil.copytree(small_base, tmp_path / "base"))
    (base / "README.md").write_text("---\nlicense: other\nlicense_name: street-licence\n---\n# Small\n")
    training = ["adapt.steps=2", "adapt.batch_size=2", "adapt.log_every=1", "adapt.objective.min_snr_gamma=5"]
    training += ["adapt.flip=true"]
    training += [f"generator.base={base}"]
    recipe = kept(configure(tmp_path / "space", *training), tmp_path / "recipe.yaml")
    out = tmp_path / "out"
    assert guarded(["adapt", str(recipe), f"workspace={tmp_path / 'space'}", "--export", str(out)]) == 0
    assert f"adapter: {tmp_path / 'space' / 'adapter'}" in capsys.readouterr().out
    assert not (tmp_path / "space" / "synthetic").exists()

    assert set(files_of(out)) == {
        *("README.md", "config.json", "diffusion_pytorch_model.safetensors"),
        *("basis/basis.json", "basis/basis.safetensors"),
    }
    card, record = (out / "README.md").read_text(), read_record(tmp_path / "space" / "adapter")
    log = (tmp_path / "space" / "adapter" / "training" / "loss.jsonl").read_text().splitlines()
    last = [row["denoising"] for row in map(json.loads, log) if "denoising" in row][-1]
    assert record is not None
    basis = json.loads((out / "basis" / "basis.json").read_text())["digest"]
    # The licence of the adapter that it starts from is not known.
    wanted = [
        "license: other",
        "licence: street-licence",
        "the adapter, whose licence is: unknown",
        "dinov2-vits14",
        basis,
        record.digest,
        f"| {last} | 2 |",
    ]
    wanted += ["2 steps of 2 in fp32", "adapt.steps=2", "adapt.objective.min_snr_gamma=5", str(base)]
    wanted += ["adapt.flip=true", "adapt.crops=0", "layout.views=0", "geometry.mode=resize", "geometry.tiles=null"]
    assert [words for words in wanted if words not in card] == []

    assert f"{record.facts['images']} images of split train" in card
    command = shlex.split(card.split("```sh\n")[1].split("```")[0].replace("\\\n", ""))
    settings = [word for word in command[3:] if not word.startswith("dataset.root=")]
    capsys.readouterr()
    plain = kept(configure(tmp_path / "space"), tmp_path / "plain.yaml")
    again = ["adapt", str(plain), f"workspace={tmp_path / 'space'}", f"generator.base={base}", *settings]
    assert guarded(again) == 0, "the command of the card gives the adapter that is there"
    assert read_record(tmp_path / "space" / "adapter") == record

    assert guarded(["adapter", "export", str(tmp_path / "space"), str(tmp_path / "again")]) == 0
    assert files_of(tmp_path / "again") == files_of(out)
    assert guarded(["adapter", "export", str(tmp_path / "space"), str(out)]) == 2
    assert "is not an empty folder" in capsys.readouterr().err

    other = kept(
        configure(tmp_path / "other", f"generator.adapter={out}", f"generator.base={base}"), tmp_path / "other.yaml"
    )
    assert guarded(["plan", str(other), f"workspace={tmp_path / 'other'}"]) == 0
    assert Lumen.load(str(base), out).basis.num_components == 4


def test_nothing_to_train_is_refused(configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = kept(configure(tmp_path / "space"), tmp_path / "recipe.yaml")
    assert guarded(["adapt", str(recipe)]) == 2
    assert "adapt.steps=0 trains nothing: give adapt.steps=N" in capsys.readouterr().err


def test_licence_is_that_of_the_card_of_the_base(tmp_path: Path) -> None:
    assert licence_of("lumen-tiny") == "apache-2.0"
    assert licence_of("owner/never-downloaded") == licence_of(str(tmp_path)) == "unknown"
