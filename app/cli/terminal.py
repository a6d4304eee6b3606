"""What the commands show: tables, colours, progress."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

T = TypeVar("T")
#: wide enough that nothing is ever cut where there is no terminal to fit
ENDLESS = 10_000
COLOURS = {
    **dict.fromkeys(("complete", "stored", "ok"), "green"),
    **dict.fromkeys(("waiting", "mirroring", "wanted", "requested"), "cyan"),
    **dict.fromkeys(("uncertain", "unavailable", "warning"), "yellow"),
    **dict.fromkeys(("failed", "lost", "problem"), "red"),
}


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
