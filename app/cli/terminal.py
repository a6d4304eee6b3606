"""What the commands share: help that teaches, how errors are shown, exit statuses, tables, progress, and how a command stops."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from app.domain.errors import LedgerUnavailable, ReelkeepError
from app.settings import EXIT_CONFIG

P = ParamSpec("P")
T = TypeVar("T")
#: exit status: it did not work, was not found, or something was found. A wrong command line is click's own 2
EXIT_FAILED = 1
#: Ctrl-C or SIGTERM before the end; whoever read our output has gone. What a shell says of a process that a signal ended
EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 128 + signal.SIGINT, 128 + signal.SIGPIPE
#: what every command may end with, beside its own 0 and 1
USUAL_ENDS = {
    2: "the command line is wrong",
    EXIT_CONFIG: "a setting is wrong or missing",
    EXIT_INTERRUPTED: "interrupted",
}
#: wide enough that nothing is ever cut where there is no terminal to fit
ENDLESS = 10_000
COLOURS = {
    **dict.fromkeys(("complete", "stored", "ok"), "green"),
    **dict.fromkeys(("waiting", "mirroring", "wanted", "requested"), "cyan"),
    **dict.fromkeys(("uncertain", "unavailable", "warning"), "yellow"),
    **dict.fromkeys(("failed", "lost", "problem"), "red"),
}


# --- commands ----------------------------------------------------------------------------------------------------------------


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


class Commands(click.Group):
    """A group that ends quietly when it is interrupted, and when nobody reads its output any more."""

    command_class = Command

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


# --- what is shown -----------------------------------------------------------------------------------------------------------


class _Console(Console):
    def print(self, *objects: Any, **options: Any) -> None:
        """As ever; where there is no terminal, without the blanks that fill a table's cells."""
        if self.is_terminal:
            super().print(*objects, **options)
            return
        with self.capture() as held:
            super().print(*objects, **options)
        self.file.write("\n".join(line.rstrip(" ") for line in held.get().split("\n")))

    def on_broken_pipe(self) -> None:
        """Leave it to `Commands`."""
        raise BrokenPipeError


def make_console(*, stderr: bool = False) -> Console:
    """A console that cuts nothing where there is no terminal. Colours go by NO_COLOR and by the terminal."""
    stream = sys.stderr if stderr else sys.stdout
    return _Console(stderr=stderr, width=None if stream.isatty() else ENDLESS, highlight=False)


def make_table(*names: str, whole: Iterable[str] = ()) -> Table:
    """An empty table. What is too wide for the terminal is wrapped.

    :param whole: columns that are not, as long as there are others
    """
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=name in whole, overflow="fold")
    return table


def add_plain_row(table: Table, *cells: str) -> None:
    """Add a row that shows texts as they are: the vendor's words may hold what rich takes for markup, or steer a terminal.

    A cell that is a state has its colour.
    """
    table.add_row(*(Text(printable(cell), style=COLOURS.get(cell, "")) for cell in cells))


def printable(text: str) -> str:
    """Nothing that steers a terminal or begins a line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def plural(number: int, noun: str) -> str:
    """`1 object`, `2 objects`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@contextmanager
def progress_bar(
    what: str, total: int | None, *, streams: bool = False, beside: Console | None = None
) -> Iterator[Callable[[int], None]]:
    """A bar on stderr for the length of a block, if that is a terminal; gives a function that takes how many more are done.

    :param total: None: not known
    :param streams: lines are printed meanwhile: no bar where both are one terminal
    :param beside: the console that they are printed on; it can keep both apart
    """
    console = beside if beside is not None and beside.is_terminal else make_console(stderr=True)
    hidden = not console.is_terminal or (streams and sys.stdout.isatty())
    counted = MofNCompleteColumn() if total is not None else TextColumn("{task.completed}")
    columns: tuple[ProgressColumn, ...] = (TextColumn(what), BarColumn(), counted, TimeElapsedColumn())
    # By itself rich would take what is printed to stdout for its own console's, which is stderr.
    with Progress(
        *columns, console=console, transient=True, disable=hidden, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        bar = progress.add_task("", total=total)
        yield lambda more: progress.advance(bar, more)


def show_progress(
    items: Iterable[T], what: str, total: int | None, *, streams: bool = False, beside: Console | None = None
) -> Iterator[T]:
    """Give items on, and show how many there were. The parameters are those of `progress_bar`."""
    with progress_bar(what, total, streams=streams, beside=beside) as advance:
        for item in items:
            advance(1)
            yield item
