"""Importing old ids: what still lives at the vendor's is saved, what is gone is named.

Nothing is fetched here. An id is tracked, and the workers ask about it, within the limit on questions, and mirror.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.domain.generation import Generation
from app.domain.ledger import Draft, Ledger
from app.domain.policy import Policy
from app.domain.states import State
from app.domain.vendor import Progress
from app.domain.work import Kind, is_task_id

#: names of a CSV's column of ids, however they are written; the first that is there is taken
COLUMNS = ("taskid", "id")
DELIMITERS = ",;\t"
#: how many generations are looked at before a pause, and seconds of it
BATCH, LOOK_EVERY = 500, 0.5


@dataclass(frozen=True)
class BadLine:
    """A line without a usable id."""

    #: from 1
    number: int
    text: str


class Fate(StrEnum):
    """What became of an imported id."""

    SAVED = "saved"
    #: it succeeded once, and a file of it is gone everywhere
    EXPIRED = "expired"
    #: the vendor does not know it, or never gave a verdict
    UNKNOWN = "unknown"
    FAILED = "failed"
    UNDER_WAY = "underWay"


@dataclass(frozen=True)
class Imported:
    """An id, and what became of it."""

    task_id: str
    fate: Fate
    #: why it is not saved
    reason: str = ""


def read_ids(lines: Iterable[str]) -> Iterator[str | BadLine]:
    """Read ids, one a line, or of a CSV's column `taskId`, `task_id` or `id`.

    Blank lines and lines that begin with # are skipped, repeats left out. A bad line is given as such, and the rest goes on.
    """
    seen: set[str] = set()
    for number, text in _read_cells(iter(lines)):
        if not is_task_id(text):
            yield BadLine(number, text)
        elif text not in seen:
            seen.add(text)
            yield text


def track_old(
    task_id: str, upgrades: Sequence[Kind], labels: Mapping[str, str], ledger: Ledger, policy: Policy
) -> bool:
    """Track a generation that was made long ago, and have it asked about at once. Gives whether it was new.

    One that is known stays as it is, but for labels that are new.

    :param upgrades: of result 0; those of the settings are for new generations
    :raises LedgerUnavailable:
    """

    def transition(draft: Draft) -> bool:
        is_new = draft.generation is None and not draft.pending
        draft.generation = draft.generation or Generation.track(task_id, draft.now, policy)
        if is_new:
            draft.generation.old = True
            draft.generation.upgrades = list(upgrades)
            draft.generation.settle.at = draft.now
        draft.generation.set_labels(dict(labels), draft.now)
        return is_new

    return ledger.change(task_id, transition)


def watch(task_ids: Iterable[str], ledger: Ledger, pause: Callable[[float], bool]) -> Iterator[Imported]:
    """Give each generation once it has come to an end; those that have not when it is time to stop, last of all.

    :param pause: waits for some seconds, and says whether to stop
    :raises LedgerUnavailable:
    """
    waiting = deque(task_ids)
    while waiting:
        for _ in range(min(len(waiting), BATCH)):
            seen = _look(waiting.popleft(), ledger)
            if seen.fate is Fate.UNDER_WAY:
                waiting.append(seen.task_id)
            else:
                yield seen
        if waiting and pause(LOOK_EVERY):
            break
    for task_id in waiting:
        yield _look(task_id, ledger)


def _look(task_id: str, ledger: Ledger) -> Imported:
    generation = ledger.read(task_id).generation
    if generation is None:
        return Imported(task_id, Fate.UNDER_WAY)
    lost = (rendition.error for rendition in generation.renditions if rendition.error)
    reason = generation.error or next(lost, "") or generation.msg
    fate = judge(generation)
    return Imported(task_id, fate, "" if fate is Fate.SAVED else reason)


def judge(generation: Generation) -> Fate:
    """What has become of an imported generation."""
    if generation.state is State.COMPLETE:
        return Fate.SAVED
    if generation.undecided or not generation.all_ended or generation.state is State.MIRRORING:
        return Fate.UNDER_WAY
    if generation.state is State.FAILED:
        return Fate.FAILED
    return Fate.EXPIRED if generation.verdict is Progress.SUCCEEDED else Fate.UNKNOWN


# --- reading ---------------------------------------------------------------------------------------------------------------


def _read_cells(lines: Iterator[str]) -> Iterator[tuple[int, str]]:
    """What should be ids, with the numbers of their lines."""
    numbered = ((number, line.strip()) for number, line in enumerate(lines, 1))
    filled = ((number, text) for number, text in numbered if text and not text.startswith("#"))
    for number, text in filled:
        found = _find_column(text)
        if found is not None:
            yield from _read_column(lines, *found, number)
            return
        yield number, text
        break
    yield from filled


def _find_column(text: str) -> tuple[str, int] | None:
    """The delimiter and the place of the column of ids, if this is the header of a CSV."""
    for delimiter in DELIMITERS:
        names = [name.strip().casefold().replace("_", "") for name in text.replace('"', "").split(delimiter)]
        for name in COLUMNS:
            if name in names:
                return delimiter, names.index(name)
    return None


def _read_column(lines: Iterator[str], delimiter: str, column: int, header: int) -> Iterator[tuple[int, str]]:
    """:param header: the number of the line that the header ends with"""
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            row = next(reader, None)
        except csv.Error:
            row = ["?"]
        if row is None:
            return
        if "".join(row).strip() and not row[0].startswith("#"):
            yield header + reader.line_num, row[column].strip() if column < len(row) else ""
