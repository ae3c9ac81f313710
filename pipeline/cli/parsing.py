"""From the words of a command line to a command; the parser of a command is built when that command is chosen."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import NamedTuple, NoReturn, Protocol, cast

# A key of the configuration that is written like an option.
KEY_WITH_DASHES = re.compile(r"--?[a-z_]\w*(\.\w+)*=")


class Command(NamedTuple):
    """One row of the table of commands; `module` defines `add_arguments` and `run`, see `CommandModule`."""

    help: str
    module: str


COMMANDS = {
    "run": Command("run a recipe; does only what is left to do", "pipeline.cli.run"),
    "plan": Command("show what a run would do; changes nothing", "pipeline.cli.plan"),
    "config": Command("print the configuration of a recipe, every key with its meaning", "pipeline.cli.config"),
    "status": Command("show the progress of every stage", "pipeline.cli.status"),
    "verify": Command(
        "check every byte of a store, or of all stores and artifacts of a workspace", "pipeline.cli.verify"
    ),
    "inspect": Command(
        "show what a dataset or a store contains, and what is missing or faulty", "pipeline.cli.inspect"
    ),
    "layouts": Command("show what layouts keep at each k, to choose the ks by", "pipeline.cli.layouts"),
    "quarantine": Command("list the samples that failed, each with the full reason", "pipeline.cli.quarantine"),
    "retry": Command("run the quarantined samples of a stage again", "pipeline.cli.retry"),
    "report": Command("write the HTML report of a workspace", "pipeline.cli.report"),
    "export": Command("write a store as a dataset in a format that other tools read", "pipeline.cli.export"),
    "adapt": Command("train the layout adapter of a recipe, and stop there", "pipeline.cli.adapt"),
    "adapter": Command("write the adapter of a workspace to a folder, with a model card", "pipeline.cli.adapter"),
    "render": Command("render street scenes in the Cityscapes on-disk format", "pipeline.cli.render"),
    "pretrain": Command("train a small base model and its adapter from scratch", "pipeline.cli.pretrain"),
    "doctor": Command("show what this machine can run, and what is missing", "pipeline.cli.doctor"),
}


class CommandModule(Protocol):
    """What the module of a command defines."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments; set `takes_overrides` where it accepts key=value."""

    def run(self, options: argparse.Namespace, overrides: Sequence[str]) -> int:
        """Run the command and return its exit code."""


@dataclass(frozen=True)
class Invocation:
    """A command with its arguments.

    Attributes:
        name: of the command.
        module: of the command.
        options: its known arguments.
        overrides: its `key=value` words.
    """

    name: str
    module: CommandModule
    options: argparse.Namespace
    overrides: list[str]

    def run(self) -> int:
        """Run it and return the exit code."""
        return self.module.run(self.options, self.overrides)


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def refuse(self, word: str, *, takes_overrides: bool = False) -> NoReturn:
        """Exit with status 2 because of an argument that this parser does not know."""
        known = re.findall(r"--[a-z][\w-]*", self.format_help()) if word.startswith("-") else []
        near = difflib.get_close_matches(word.partition("=")[0], known, n=1, cutoff=0.75)
        if not near and takes_overrides and KEY_WITH_DASHES.match(word):
            near = [word.lstrip("-")]
        hint = f", did you mean {near[0]}?" if near else ""
        self.error(f"unrecognized argument {word}{hint}")


class Version(argparse.Action):
    """Prints the version; read from the installed package only when requested."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Exit with status 0."""
        print(f"lumen {version('lumen-layouts')}")
        parser.exit()


def build_parser() -> Parser:
    """The parser of the words before the command; its help lists all commands."""
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items())
    parser = Parser(
        prog="lumen",
        usage="lumen [-h] [--version] COMMAND ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"Dataset generation with neural layouts.\n\ncommands:\n{rows}",
        epilog="lumen COMMAND --help shows the arguments of a command.",
    )
    parser.add_argument("--version", action=Version, nargs=0, help="show the version and exit")
    return parser


def build_command_parser(name: str) -> tuple[Parser, CommandModule]:
    """The parser of the words after a command, and the module of that command."""
    module = cast(CommandModule, import_module(COMMANDS[name].module))
    parser = Parser(prog=f"lumen {name}")
    module.add_arguments(parser)
    return parser, module


def parse(arguments: Sequence[str]) -> Invocation:
    """Split a command line into a command, its arguments and its overrides, in any order.

    Exits with status 0 after `--help` and `--version`, and with 2 on a mistake.
    """
    root = build_parser()
    index = next((index for index, word in enumerate(arguments) if not word.startswith("-")), len(arguments))
    _, unknown = root.parse_known_args(arguments[:index])
    if unknown:
        root.refuse(unknown[0])
    if index == len(arguments):
        root.error("name a COMMAND")
    name = arguments[index]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        root.error(f"unknown command {name!r}: {hint}the commands are {', '.join(COMMANDS)}")
    parser, module = build_command_parser(name)
    options, rest = parser.parse_known_args(arguments[index + 1 :])
    takes_overrides = getattr(options, "takes_overrides", False)
    if wrong := [word for word in rest if word.startswith("-") or not takes_overrides]:
        # An unknown option is the likelier mistake than its value.
        parser.refuse(min(wrong, key=lambda word: not word.startswith("-")), takes_overrides=takes_overrides)
    return Invocation(name, module, options, rest)
