"""Commands print what they promise and exit with 0, 1 or 2."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pipeline.cli import guarded
from pipeline.cli.parsing import COMMANDS, build_command_parser, build_parser, parse

# Packages that importing the command line must not need, and what a machine without them runs.
HEAVY = ["torch", "numpy", "pyarrow", "pydantic", "ray", "hydra", "omegaconf", "fsspec", "msgspec", "PIL"]


def without(packages: list[str], arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run `lumen` in a process that finds neither the packages nor their metadata, as where they are not installed."""
    program = (
        "import sys, importlib.metadata as metadata\n"
        f"sys.modules.update(dict.fromkeys({packages}))\n"
        "found = metadata.Distribution.from_name\n"
        "def from_name(name):\n"
        f"    if name in {packages}: raise metadata.PackageNotFoundError(name)\n"
        "    return found(name)\n"
        "metadata.Distribution.from_name = from_name\n"
        "from pipeline.cli import main\n"
        f"main({arguments})\n"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_overrides_are_accepted_anywhere() -> None:
    found = parse(["run", "a=1", "quickstart", "--until", "fit", "b.c=[1,2]", "--executor", "serial"])
    assert (found.options.config, found.overrides) == ("a=1", ["quickstart", "b.c=[1,2]"])
    found = parse(["run", "quickstart", "--until", "fit", "b.c=[1,2]", "--redo", "shard", "d=4"])
    options = found.options
    assert (options.config, options.until, options.redo, found.overrides) == (
        "quickstart",
        "fit",
        "shard",
        ["b.c=[1,2]", "d=4"],
    )


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run"], ["lumen run: ", "CONFIG"]),
        (["run", "quickstart", "--nonsense"], ["lumen run: unrecognized argument --nonsense (see lumen run --help)"]),
        (["run", "quickstart", "--untl", "fit"], ["argument --untl, did you mean --until? (see lumen run --help)"]),
        (["run", "quickstart", "--seed=3"], ["argument --seed=3, did you mean seed=3? (see lumen run --help)"]),
        (["run", "quickstart", "--until", "sleep"], ["lumen run: ", "sleep", "generate"]),
        (["status", "a", "b"], ["lumen status: unrecognized argument b (see lumen status --help)"]),
        (["status", "a", "--jsn"], ["lumen status: unrecognized argument --jsn, did you mean --json?"]),
        (["doctor", "a=b"], ["lumen doctor: unrecognized argument a=b (see lumen doctor --help)"]),
        (["--nonsense", "run"], ["lumen: unrecognized argument --nonsense (see lumen --help)"]),
        (["--verson"], ["lumen: unrecognized argument --verson, did you mean --version?"]),
        (["dance"], ["lumen: unknown command 'dance': the commands are run, plan, ", "doctor"]),
        (["verfy", "a"], ["lumen: unknown command 'verfy': did you mean 'verify'? the commands are "]),
        ([], ["lumen: name a COMMAND (see lumen --help)"]),
    ],
    ids=str,
)
def test_wrong_usage_is_one_line_that_names_the_help_of_its_command(
    arguments: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        guarded(arguments)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert [part for part in parts if part not in message] == []
    assert message.count("\n") == 1


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        guarded(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"lumen {version('lumen-layouts')}\n"


def stages_in(lines: list[str]) -> list[str]:
    """The stages in the table of a plan; remarks, with a colon after the name, follow it."""
    words = [line.split()[0] for line in lines]
    return [word for word in words if not word.endswith(":")]


def test_plan_names_the_workspace_prints_every_stage_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["plan", "quickstart", "--workspace", str(tmp_path / "space")]
    assert guarded(command) == 0
    first, _, *lines = capsys.readouterr().out.splitlines()
    assert first == f"quickstart in {tmp_path / 'space'}"
    stages = ["shard", "fit", "probe", "extract", "encode", "adapt", "generate"]
    stages += ["judge", "curate", "compare", "evaluate", "report"]
    assert stages_in(lines) == stages
    assert guarded([*command, "--until", "adapt"]) == 0
    assert stages_in(capsys.readouterr().out.splitlines()[2:]) == stages[:6]
    assert list(tmp_path.iterdir()) == []


def test_status_as_json_counts_what_is_done(generated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(["status", str(generated), "--json"]) == 0
    rows = {row["stage"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["generate"]["units_done"], rows["generate"]["samples_done"]) == (16, 28)
    assert rows["generate"]["bytes"] > 0
    assert rows["compare"]["units_done"] == 0


def test_status_names_the_workspace(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(["status", str(copied)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"quickstart in {copied}"


def test_status_needs_no_dataset(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = OmegaConf.load(copied / "config.yaml")
    kept.dataset = {"kind": "cityscapes", "root": str(copied / "unmounted")}
    OmegaConf.save(kept, copied / "config.yaml")
    assert guarded(["status", str(copied)]) == 0
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert lines["shard"][1:3] == ["4/?", "7/?"]
    assert lines["adapt"][1:3] == ["1/1", "-"]
    assert "does not exist" in " ".join(lines["?:"]) and "unmounted" in " ".join(lines["?:"])
    assert guarded(["status", str(copied), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert (row["units"], row["units_done"], row["samples"], row["samples_done"]) == (None, 4, None, 7)
    assert guarded(["plan", str(copied / "config.yaml")]) == 2
    assert "unmounted" in capsys.readouterr().err


def test_status_needs_no_model_and_no_list_of_keys(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = OmegaConf.load(copied / "config.yaml")
    kept.generator.base = kept.generator.adapter = kept.backbone.name = "/unmounted/model"
    kept.dataset.sampling = {"keys": "/unmounted/keys.txt"}
    OmegaConf.save(kept, copied / "config.yaml")
    assert guarded(["status", str(copied)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["shard"].split()[1:3] == ["4/?", "7/?"]
    assert lines["adapt"].split()[1:3] == ["1/1", "-"]
    assert lines["?:"].startswith("?: unknown: keys: /unmounted/keys.txt")
    assert guarded(["run", str(copied / "config.yaml")]) == 2
    assert "generator.base: there is no folder /unmounted/model" in capsys.readouterr().err


def test_status_blames_the_read_kept_configuration_for_what_is_wrong_in_it(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "config.yaml").write_text((copied / "config.yaml").read_text() + "newer: 1\n")
    assert guarded(["status", str(copied)]) == 2
    assert f"{copied / 'config.yaml'}: unknown key 'newer'" in capsys.readouterr().err


def test_run_names_its_workspace_and_the_report_only_where_that_is_of_this_run(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "report").mkdir()
    (copied / "report" / "index.html").write_text("of an earlier run")
    assert guarded(["run", str(copied / "config.yaml"), "--until", "generate"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"quickstart in {copied}"
    assert not [line for line in lines if "report" in line]


def test_a_workspace_is_run_with_its_own_configuration(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (copied / "config.yaml").read_bytes()
    assert guarded(["plan", str(copied), "--until", "generate"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"quickstart in {copied}"
    assert guarded(["run", str(copied), "--until", "generate"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"quickstart in {copied}"
    assert [line.split() for line in lines[1:]] == [[line.split()[0], "done"] for line in lines[1:]]
    assert (copied / "config.yaml").read_bytes() == before
    assert guarded(["plan", str(copied), "generate.variants=9", "--until", "generate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[-1]["units"] == 72


def test_verify_exits_with_0_or_1(generated: Path, copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(["verify", str(generated)]) == 0
    assert "no fault" in capsys.readouterr().out
    next((copied / "real" / "shards").glob("*.tar")).unlink()
    assert guarded(["verify", str(copied)]) == 1
    assert guarded(["verify", str(copied / "real")]) == 1
    assert guarded(["verify", str(copied / "layouts")]) == 0


@pytest.mark.parametrize("command", ["status", "verify", "quarantine", "report"])
def test_folder_that_is_no_workspace_is_the_users_mistake(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded([command, str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert str(tmp_path) in message
    assert message.count("\n") == 1


def test_render_writes_the_scenes_it_is_requested(tmp_path: Path) -> None:
    sizes = ["--train", "2", "--val", "1", "--height", "64", "--width", "128", "--workers", "1"]
    assert guarded(["render", str(tmp_path / "scenes"), *sizes]) == 0
    assert len(list(tmp_path.glob("scenes/leftImg8bit/train/*/*_leftImg8bit.png"))) == 2
    assert len(list(tmp_path.glob("scenes/gtFine/val/*/*_gtFine_labelIds.png"))) == 1


def test_doctor_reports_missing_packages() -> None:
    packages = ["torch", "pyarrow", "ray"]
    done = without(packages, ["doctor"])
    assert (done.returncode, done.stderr) == (1, "")
    lines = {line.split(":")[0].split(None, 1)[1]: line for line in done.stdout.splitlines()}
    for package in packages:
        assert lines[package] == f"MISSING  {package}: missing: pip install lumen-layouts"
    assert {"python", "cpu", "gpu", "lumen-tiny", "disk"} <= set(lines)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["status", "--help"], ["verify", "--help"]], ids=str)
def test_help_needs_no_heavy_package(arguments: list[str]) -> None:
    done = without(HEAVY, arguments)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_has_help() -> None:
    text = build_parser().format_help()
    assert {"run", "plan", "status", "verify", "quarantine", "retry", "report", "render", "doctor"} <= set(COMMANDS)
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name}\s+{re.escape(command.help)}$", text, re.MULTILINE), name
        parser, module = build_command_parser(name)
        assert parser.prog == f"lumen {name}"
        assert callable(module.run)
        assert parser.format_help().startswith(f"usage: lumen {name}")
