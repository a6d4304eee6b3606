"""Generations as CSV, a line each: what `reelkeep list --csv` prints and the dashboard exports."""

import csv
import io
import json
import re
from collections.abc import Iterable

from app.domain.generation import Generation
from app.domain.submission import Submission
from app.domain.view import describe

COLUMNS = (
    *("taskId", "id", "state", "error", "code", "msg", "mismatch", "extends", "labels", "upgrades"),
    *("trackedAt", "verdictAt", "completeAt", "verdictFrom", "creditsReserved", "creditsConsumed"),
    *("renditions", "files", "bytes", "sha256", "prompt"),
)
#: where a formula may begin: in front, or behind a semicolon, at which spreadsheets of many countries part the cells
_FORMULA = re.compile(r'(^|;)(?=["\s]*[=+\-@＝＋－＠])')

Cell = str | int | float | None


def guard(cell: Cell) -> Cell:
    """A cell of one line that no spreadsheet takes for a formula: a `'` stands before what begins as one."""
    if not isinstance(cell, str):
        return cell
    line = "".join(letter if letter.isprintable() else " " for letter in cell).strip()
    return _FORMULA.sub(r"\1'", line)


def write_line(cells: Iterable[Cell]) -> str:
    """Cells as a line of CSV, with its end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([guard(cell) for cell in cells])
    return line.getvalue()


HEAD = write_line(COLUMNS)


def write_record(record: Generation | Submission) -> str:
    """A generation, or a submission that none has come of yet, as a line of CSV."""
    shown = describe(record)
    stored = [rendition for rendition in shown["renditions"] if rendition["state"] == "stored"]
    made = {
        "labels": json.dumps(shown["labels"], ensure_ascii=False) if shown["labels"] else "",
        "upgrades": " ".join(shown["upgrades"]),
        "renditions": " ".join(f"{it['kind']}-{it['index']}:{it['state']}" for it in shown["renditions"]),
        "files": " ".join(it["key"] or "" for it in stored),
        "bytes": sum(it["bytes"] or 0 for it in stored),
        "sha256": " ".join(it["sha256"] or "" for it in stored),
        "prompt": str((shown["request"] or {}).get("prompt", "")),
    }
    return write_line({**shown, **made}[name] for name in COLUMNS)  # type: ignore[misc]  # the names of both are COLUMNS
