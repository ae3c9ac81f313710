"""The entry point of `lumen`: run a command, report errors in one line, exit with its code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from augment.errors import UserError
from pipeline.cli.parsing import Invocation, parse

INTERRUPTED = 130
# Silences the libraries below. Workers inherit these; values that the user has set are kept.
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # Ray prints pages about a lost worker; the engine reports in one line which units run again, or why one does not.
    "RAY_DEDUP_LOGS_SKIP_REGEX": r"retries remaining, so the task will be retried|A worker died or was killed while",
    "PYTHONWARNINGS": "ignore",
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit: 0 when done, 1 when a run or a check failed, 2 for a mistake of the user."""
    sys.exit(guarded(sys.argv[1:] if arguments is None else arguments))


def guarded(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; expected errors are printed in one line."""
    command = parse(arguments)
    if command.name == "doctor":
        # It reports missing packages, so it must not import any.
        return command.run()
    from pipeline.engine import THREADING

    for name, value in {**QUIET, **THREADING}.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    return exit_code(command)


def exit_code(command: Invocation) -> int:
    """Run a command whose packages are installed; `LUMEN_TRACEBACK` shows tracebacks of errors in its input."""
    from pipeline.engine import RunFailed, is_disk_full
    from pipeline.store import CorruptStore, StoreUnavailable

    try:
        return command.run()
    except (UserError, RunFailed, CorruptStore, StoreUnavailable) as error:
        if os.environ.get("LUMEN_TRACEBACK"):
            raise
        complain(command, " ".join(str(error).split()))
        return 2 if isinstance(error, UserError) else 1
    except BrokenPipeError:
        # The reader of the output, such as head, has closed it; nothing more may be written to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # A full disk, a folder without write permission, a lost mount.
        if os.environ.get("LUMEN_TRACEBACK"):
            raise
        remedy = ": free some space, then run the same command again" if is_disk_full(error) else ""
        complain(command, f"{error}{remedy}")
        return 1
    except KeyboardInterrupt:
        again = "without --redo the" if getattr(command.options, "redo", None) else "the"
        complain(command, f"interrupted; {again} same command continues from here")
        return INTERRUPTED


def complain(command: Invocation, message: str) -> None:
    print(f"lumen {command.name}: {message}", file=sys.stderr)
