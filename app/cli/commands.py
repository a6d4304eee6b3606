"""What the commands share: how they are found, help that teaches, how errors are told, exit statuses, how a command stops.

`reelkeep --help` and completion load this and click alone.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, ParamSpec

import click

from app.domain.errors import LedgerUnavailable, ReelkeepError

P = ParamSpec("P")
#: exit status: it did not work, was not found, or something was found. A wrong command line is click's own 2
EXIT_FAILED = 1
#: Ctrl-C or SIGTERM before the end; whoever read our output has gone. What a shell says of a process that a signal ended
EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 128 + signal.SIGINT, 128 + signal.SIGPIPE
#: what every command may end with, beside its own 0 and 1
USUAL_ENDS = {
    2: "the command line is wrong",
    os.EX_CONFIG: "a setting is wrong or missing",
    EXIT_INTERRUPTED: "interrupted",
}


class Command(click.Command):
    """A command whose help ends with examples and exit statuses."""

    def __init__(
        self, *args: Any, examples: Sequence[tuple[str, str]] = (), ends: Mapping[int, str] | None = None, **kwargs: Any
    ) -> None:
        """:param examples: command lines, and what each is for :param ends: exit statuses of its own"""
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.ends = {0: "it worked", EXIT_FAILED: "it did not work: stderr says why", **(ends or {}), **USUAL_ENDS}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples and exit statuses."""
        with formatter.section("Examples"):
            for line, use in self.examples:
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
                formatter.indent()
                formatter.write_text(use)
                formatter.dedent()
        with formatter.section("Exit status"):
            formatter.write_dl([(str(status), meaning) for status, meaning in self.ends.items()])
        super().format_epilog(ctx, formatter)


class Unloaded(click.Command):
    """A command as lists and completion show it. Its module, and whatever that needs, is loaded when it is called."""

    def __init__(self, name: str, place: str, short_help: str) -> None:
        """:param place: where the command is: `module:name` :param short_help: the first sentence of its help"""
        super().__init__(name, short_help=short_help)
        self.place = place

    def load(self) -> click.Command:
        """The command itself."""
        module, _, name = self.place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


class Commands(click.Group):
    """A group whose commands are `Unloaded`. Ends quietly when it is interrupted, or nobody reads its output any more."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called, or whose words are to be completed."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, Unloaded) else command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()  # now, and not where Python would complain of it
        except KeyboardInterrupt:
            exit_interrupted()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(EXIT_BROKEN_PIPE)


def shows_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Show our errors in words on stderr, with exit status 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ReelkeepError as error:
            more = "; `reelkeep doctor` says more" if type(error) is LedgerUnavailable else ""
            complain(f"{error}{more}")
            sys.exit(EXIT_FAILED)

    return run


def complain(text: str) -> None:
    """Say something on stderr."""
    print(f"reelkeep: {text}", file=sys.stderr, flush=True)


def exit_interrupted(text: str = "interrupted") -> NoReturn:
    """End as an interrupted command does. :param text: what is left to do"""
    complain(text)
    sys.exit(EXIT_INTERRUPTED)


def stop_signal() -> threading.Event:
    """An event that is set by Ctrl-C, SIGTERM, or the end of the terminal."""
    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda *_: stop.set())
    return stop


def tell_end(name: str, status: int, log: Path) -> None:
    """Say that a process ended by itself."""
    print(f"{name} ended with status {status} and is started again; its log: {log}", file=sys.stderr, flush=True)


def read_labels(_context: click.Context, _parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    """An option's callback: labels given as NAME=VALUE."""
    labels = dict(pair.partition("=")[::2] for pair in pairs)
    if not all(labels) or any("=" not in pair for pair in pairs):
        raise click.BadParameter("must be NAME=VALUE")
    return labels
