"""The command line: `lumen COMMAND ...`."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from augment.errors import UserError
from pipeline.config import Config
from pipeline.config.compose import load_config, recipes
from pipeline.stages.registry import stage_names

if TYPE_CHECKING:
    from pipeline.datasets import DatasetOptions
    from pipeline.workflow.progress import Row

INTERRUPTED = 130
# A setting of `lumen inspect`, as opposed to the folder, and the keys that an inspection has other means for.
SETTING = re.compile(r"\+{0,2}dataset\.[\w.]+=")
NOT_LOOKED_AT = ("kind", "root", "splits", "limit", "sampling", "taxonomy", "render")
# What the libraries below would say of themselves. Workers inherit it; a user's own setting goes first.
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # Of a lost worker, in pages; the engine says in a line which units are run again, and in the end why one is not.
    "RAY_DEDUP_LOGS_SKIP_REGEX": r"retries remaining, so the task will be retried|A worker died or was killed while",
    "PYTHONWARNINGS": "ignore",
}


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


class Version(argparse.Action):
    """Tells the version, which only the installed package knows, where it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Exit with status 0."""
        say(f"lumen {version('lumen-layouts')}")
        parser.exit()


def build_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(prog="lumen", description="Dataset generation with neural layouts.")
    parser.add_argument("--version", action=Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="run a recipe, doing what is left to do")
    add_config(run)
    part = run.add_mutually_exclusive_group()
    part.add_argument("--until", choices=stage_names(), metavar="STAGE", help="stop after this stage")
    part.add_argument("--only", choices=stage_names(), metavar="STAGE", help="run this stage alone")
    run.add_argument("--redo", choices=stage_names(), metavar="STAGE", help="make this stage and all after it anew")

    plan = commands.add_parser("plan", help="show what a run would do; changes nothing")
    add_config(plan)
    plan.add_argument("--until", choices=stage_names(), metavar="STAGE", help="of a run that stops after this stage")
    plan.add_argument("--json", action="store_true", help="as JSON")

    status = commands.add_parser("status", help="show how far every stage is")
    status.add_argument("workspace", type=Path, metavar="WORKSPACE")
    status.add_argument("--json", action="store_true", help="as JSON")

    verify = commands.add_parser(
        "verify", help="check every byte of a store, or of all stores and artifacts of a workspace"
    )
    verify.add_argument("path", metavar="PATH")

    inspect = commands.add_parser("inspect", help="tell what a dataset or a store holds, and what it lacks")
    inspect.add_argument("target", metavar="TARGET", help="a store, a workspace, or a kind of dataset")
    inspect.add_argument("root", nargs="?", metavar="ROOT", help="folder or URL of the dataset, where a kind is given")
    inspect.add_argument("--split", help="this split alone")
    inspect.add_argument("--limit", type=int, metavar="N", help="at most N images of a split, from all over it")
    inspect.add_argument(
        "--sheet", type=Path, metavar="FILE", help="draw samples and labels into this PNG; FILE-STORE.png for several"
    )
    inspect.add_argument(
        "--distance",
        type=int,
        choices=range(8),
        default=4,
        metavar="BITS",
        help="near-duplicates differ in at most so many of 64 bits (0 to 7, default 4)",
    )
    inspect.add_argument("--json", action="store_true", help="all figures as JSON")

    quarantine = commands.add_parser("quarantine", help="list the samples that failed, each with the whole reason")
    quarantine.add_argument("workspace", type=Path, metavar="WORKSPACE")
    quarantine.add_argument("--stage", choices=stage_names(), metavar="STAGE", help="of this stage alone")
    quarantine.add_argument("--json", action="store_true", help="as JSON, with the traceback of each")

    retry = commands.add_parser("retry", help="run the quarantined samples of a stage again")
    retry.add_argument("workspace", type=Path, metavar="WORKSPACE")
    retry.add_argument("stage", choices=stage_names(), metavar="STAGE", help="one that writes a store")

    report = commands.add_parser("report", help="write the HTML report of a workspace")
    report.add_argument("workspace", type=Path, metavar="WORKSPACE")

    export = commands.add_parser("export", help="write a store as a dataset in a format that other tools read")
    export.add_argument("store", metavar="STORE", help="folder or URL of a store with images")
    export.add_argument("destination", metavar="DEST", help="folder or URL that is absent or empty")
    export.add_argument("--format", required=True, choices=("cityscapes", "folder", "coco"), help="what to write")
    export.add_argument("--split", action="append", default=[], metavar="S", help="this split alone; may be repeated")
    export.add_argument("--limit", type=int, metavar="N", help="at most N samples of a split, from all over it")

    render = commands.add_parser("render", help="draw street scenes in the Cityscapes on-disk format")
    render.add_argument("folder", type=Path, metavar="DIR")
    render.add_argument("--train", type=int, default=64, help="training scenes (default 64)")
    render.add_argument("--val", type=int, default=16, help="validation scenes (default 16)")
    render.add_argument("--seed", type=int, default=0, help="seed of the scenes (default 0)")
    render.add_argument("--height", type=int, default=512, help="pixels (default 512)")
    render.add_argument("--width", type=int, default=1024, help="pixels (default 1024)")
    render.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one for each core)")

    pretrain = commands.add_parser("pretrain", help="train a small base model and its adapter from scratch")
    pretrain.usage = f"{pretrain.prog} CONFIG [key=value ...]"
    pretrain.add_argument("config", metavar="CONFIG", help="e.g. pretrain/lumen-tiny, or the path of a YAML file")

    commands.add_parser("doctor", help="tell what this machine can run, and what is missing")
    return parser


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"{parser.prog} CONFIG [key=value ...] [options]"
    parser.epilog = "key=value sets any key of the configuration, e.g. generate.variants=4 dataset=camvid"
    parser.add_argument("config", metavar="CONFIG", help=f"one of {', '.join(recipes())}, or the path of a YAML file")
    parser.add_argument("--workspace", help="folder that all stages write to")
    parser.add_argument("--executor", choices=("ray", "serial"), help="Ray workers, or this process alone")


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split a command line into known arguments and overrides, in whichever order they stand."""
    parser = build_parser()
    known, rest = parser.parse_known_args(arguments)
    if rest and (("config" not in known and known.command != "inspect") or any(item.startswith("-") for item in rest)):
        wrong = next((item for item in rest if item.startswith("-")), rest[0])
        parser.error(f"{known.command}: unrecognized argument {wrong}")
    return known, rest


def config_of(options: argparse.Namespace, overrides: Sequence[str]) -> Config:
    """The configuration that the command line names."""
    extra = [f"workspace={options.workspace}"] if options.workspace else []
    extra += [f"cluster.executor={options.executor}"] if options.executor else []
    return load_config(options.config, [*overrides, *extra])


def say(line: str) -> None:
    print(line, flush=True)


def as_json(rows: Sequence[Row]) -> str:
    return json.dumps([row.to_json() for row in rows], indent=2)


def run_command(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Run a recipe."""
    from pipeline.stages.report import PAGE, ReportStep
    from pipeline.workflow.run import run
    from pipeline.workflow.selection import Selection
    from pipeline.workspace.workspace import Workspace

    config = config_of(options, overrides)
    run(config, Selection(options.until, options.only, options.redo), say)
    if (options.only or options.until or "report") == "report" and config.evaluate.split is not None:
        say(f"report: {ReportStep.path_in(Workspace.of(config)) / PAGE}")
    return 0


def plan_command(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Show what a run would do."""
    from pipeline.stages.store_step import StoreStep
    from pipeline.workflow.progress import plan_table, rows_of
    from pipeline.workflow.run import heading, outlook
    from pipeline.workflow.selection import Selection, chosen_of, steps_of

    config = config_of(options, overrides)
    steps = chosen_of(steps_of(config), Selection(until=options.until))
    standings, remarks = outlook(config, steps)
    rows = rows_of(standings)
    remarks += [remark for step in steps if isinstance(step, StoreStep) and (remark := step.remark())]
    say(as_json(rows) if options.json else "\n".join([heading(config), *plan_table(rows), *remarks]))
    return 0


def status_command(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Show how far a workspace is."""
    from pipeline.stages.store_step import StoreStep
    from pipeline.workflow.kept_config import read_config
    from pipeline.workflow.outdated import outdated
    from pipeline.workflow.progress import progress_so_far, status_table
    from pipeline.workflow.run import heading
    from pipeline.workflow.selection import steps_of
    from pipeline.workspace.workspace import Workspace

    config = read_config(options.workspace, done=True)
    steps = steps_of(config)
    rows = progress_so_far(steps)
    remedies = {step.name: step.remedy() for step in steps if isinstance(step, StoreStep)}
    if options.json:
        say(as_json(rows))
        return 0
    say("\n".join([heading(config), *status_table(rows, remedies)]))
    if line := outdated(Workspace.of(config)):
        say(line)
    return 0


def verify_command(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Check a store or a workspace."""
    from pipeline.workflow.verify import verify

    found = verify(options.path)
    for line in (*found.faults, *found.checked):
        say(line)
    if found.unchecked:
        say(f"not checked: {', '.join(found.unchecked)}")
    if found.outdated:
        say(found.outdated)
    say(f"{len(found.faults) or 'no'} fault{'s' if len(found.faults) > 1 else ''}")
    return 1 if found.faults else 0


def dataset_settings(target: str, root: str | None, settings: Sequence[str]) -> DatasetOptions | None:
    """What `dataset.KEY=VALUE` states of a dataset that is looked at; None where nothing is stated."""
    from pipeline.config.compose import settings_of, validate
    from pipeline.datasets import TRAIN_SPLIT, DatasetOptions
    from pipeline.datasets.options import DatasetSettings

    if not settings:
        return None
    if wrong := next((item for item in settings if item.split("=")[0].split(".")[1] in NOT_LOOKED_AT), None):
        looked_at = [name for name in DatasetOptions.model_fields if name not in NOT_LOOKED_AT]
        raise UserError(f"{wrong!r}: of a dataset that is looked at only {', '.join(looked_at)} can be set")
    stated = settings_of(settings, DatasetSettings)["dataset"]
    held_out = stated.get("held_out")
    if isinstance(held_out, dict) and "split" in held_out:
        stated = {**stated, "splits": [TRAIN_SPLIT, held_out["split"]]}
    # Scenes that are rendered are laid out as those are, and there is nothing to render here.
    kind = "cityscapes" if target == "rendered" else target
    return validate({"dataset": {"kind": kind, "root": root or ".", **stated}}, DatasetSettings).dataset


def inspect_command(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Tell what a dataset, a store or the stores of a workspace hold."""
    from pipeline.inspection import inspect, lines_of, subjects_of, write_sheets

    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit {options.limit}: give 1 or more")
    if options.sheet and options.sheet.suffix.lower() != ".png":
        raise UserError(f"--sheet {options.sheet}: give a file that ends in .png")
    # A setting before the folder, or without one, stands where the folder is looked for.
    settings = [word for word in (options.root, *overrides) if word is not None]
    root = next((word for word in settings if not SETTING.match(word)), None)
    if root is not None:
        settings.remove(root)
    if wrong := next((word for word in settings if not SETTING.match(word)), None):
        raise UserError(
            f"{wrong!r}: of a dataset that is looked at only dataset.KEY=VALUE can be set, after its folder"
        )
    stated = dataset_settings(options.target, root, settings)
    subjects = subjects_of(options.target, root, options.split, options.limit, stated)
    sheets = write_sheets(subjects, options.sheet) if options.sheet else []
    reports = {name: inspect(subject, options.distance) for name, subject in subjects.items()}
    if options.json:
        say(json.dumps({name: report.to_json() for name, report in reports.items()}, indent=2))
    else:
        say("\n\n".join("\n".join(lines_of(report)) for report in reports.values()))
        for sheet in sheets:
            say(f"contact sheet: {sheet}")
    return 0 if all(report.is_sound for report in reports.values()) else 1


def quarantine_command(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """List quarantined samples."""
    from pipeline.workflow.quarantine import lines_of, quarantined

    found = quarantined(options.workspace, options.stage)
    shown = json.dumps([each.to_json() for each in found], indent=2)
    say(shown if options.json else "\n".join(lines_of(found, options.workspace)))
    return 0


def retry_command(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Run quarantined samples again."""
    from pipeline.workflow.kept_config import read_config
    from pipeline.workflow.run import retry

    return 1 if retry(read_config(options.workspace), options.stage, say).failures else 0


def report_command(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Write the report of a workspace."""
    from downstream.report import build_report
    from pipeline.workflow.kept_config import read_config
    from pipeline.workspace.workspace import Workspace

    config = read_config(options.workspace, done=True)
    if config.evaluate.split is None:
        raise UserError(f"{options.workspace} has nothing to report: evaluate.split is null, so nothing was measured")
    space = Workspace.of(config)
    page = build_report(space.root, split=config.evaluate.split, store_root=space.store_root, name=config.name)
    say(f"report: {page}")
    return 0


def export_command(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Write a store as a dataset."""
    from pipeline.export import export_store

    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit {options.limit}: give 1 or more")
    done = export_store(options.store, options.destination, options.format, options.split, options.limit)
    # Our reader of folders takes masks for all images of a split, or for none, unless it is told otherwise.
    in_part = options.format == "folder" and done.labelled_in_part
    hint = f", {done.labelled} of them labelled: read it with dataset.folder.partly_labelled=true" if in_part else ""
    say(f"{done.samples} samples in {options.destination}{hint}")
    return 0


def render_command(options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Draw street scenes."""
    from pipeline.scenes import write_dataset

    counts = {"train": options.train, "val": options.val}
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: give 0 or more")
    write_dataset(options.folder, counts, options.seed, options.height, options.width, options.workers)
    say(f"{sum(counts.values())} scenes in {options.folder}")
    return 0


def pretrain_command(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Train a base model."""
    from pipeline.config.compose import load
    from pipeline.workflow.pretrain import PretrainConfig, run

    config = load(options.config, overrides, PretrainConfig)
    run(config, say)
    say(f"model: {config.destination}")
    return 0


def doctor_command(_options: argparse.Namespace, _overrides: Sequence[str]) -> int:
    """Tell what this machine can run."""
    from pipeline.workflow.doctor import examine

    findings = examine(Path.cwd())
    for finding in findings:
        say(f"{'ok     ' if finding.ok else 'MISSING'}  {finding.name}: {finding.detail}")
    return 0 if all(finding.ok for finding in findings) else 1


COMMANDS = {
    "run": run_command,
    "plan": plan_command,
    "status": status_command,
    "verify": verify_command,
    "inspect": inspect_command,
    "quarantine": quarantine_command,
    "retry": retry_command,
    "report": report_command,
    "export": export_command,
    "render": render_command,
    "pretrain": pretrain_command,
    "doctor": doctor_command,
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit: 0 when done, 1 when a run or check failed, 2 for a mistake of the user's."""
    sys.exit(guarded(sys.argv[1:] if arguments is None else arguments))


def guarded(arguments: Sequence[str]) -> int:
    """Run a command; what can go wrong in the user's world is told in one line."""
    options, overrides = parse(arguments)
    if options.command == "doctor":
        # It tells what is missing, and so needs nothing that may be.
        return doctor_command(options, overrides)
    from pipeline.engine import THREADING, RunFailed, is_disk_full
    from pipeline.store import CorruptStore, StoreUnavailable

    for name, value in {**QUIET, **THREADING}.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        return COMMANDS[options.command](options, overrides)
    except (UserError, RunFailed, CorruptStore, StoreUnavailable) as error:
        if os.environ.get("LUMEN_TRACEBACK"):
            raise
        print(f"lumen {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    except BrokenPipeError:
        # Whoever read the output, such as head, has seen enough; nothing more may be written to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # A full disk, a folder that may not be written, a mount that went away.
        if os.environ.get("LUMEN_TRACEBACK"):
            raise
        remedy = ": make room, then give the same command again" if is_disk_full(error) else ""
        print(f"lumen {options.command}: {error}{remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        again = "without --redo the" if getattr(options, "redo", None) else "the"
        print(f"lumen {options.command}: interrupted; {again} same command goes on from here", file=sys.stderr)
        return INTERRUPTED
