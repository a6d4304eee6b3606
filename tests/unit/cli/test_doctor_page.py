"""docs/doctor.md names what the doctor finds: no row without a check, and no check without a row."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "doctor.md").read_text()
SETTINGS = "app/cli/doctor_settings.py"
OTHERS = ("app/cli/doctor_checks.py", "app/cli/doctor.py", "app/domain/redis_state.py", "app/adapters/bucket_probe.py")
#: what a check hands on in the words of others, and how the page tells of it
HANDED_ON = {
    "fault": "the settings' own line",
    "f'bucket {name}: {text}'": "there is no such bucket",
    "str(error)": "the vendor refuses the key",
    "f'{where}: {error}'": "Redis does not answer",
    "found['sweep']": "no sweep has run yet",
    "found['work']": "items keep failing",
    "health.warn_of_receiver": "your receiver has not taken the oldest event",
}
#: rows that sum up what others say in many ways
SUMMED_UP = (
    "the broker's address",
    "bucket …: cannot …",
    "the vendor refuses the key",
    "Redis's or the vendor's clock",
)
#: the modules of those others
SAID_ELSEWHERE = (
    "app/web/health.py",
    "app/domain/health.py",
    "app/adapters/redis_ledger.py",
    "app/adapters/bucket_faults.py",
)
#: so many letters of a text are looked for: the page may leave the rest out
ENOUGH = 20


def rows(section: str) -> list[str]:
    """What the doctor says, as the page has it."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")][1:]


def levels(section: str) -> dict[str, str]:
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    split = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    return {words: level for words, level in split}


def read(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def literals(node: ast.AST) -> list[str]:
    """The texts in an expression, in pieces between what differs from case to case."""
    return [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def texts(path: str) -> str:
    """All that a module may say, with … for what differs."""

    def show(node: ast.AST) -> str:
        if isinstance(node, ast.JoinedStr):
            return "".join("…" if isinstance(part, ast.FormattedValue) else show(part) for part in node.values)
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""

    return "\n".join(map(show, ast.walk(read(path))))


def beginning(row: str) -> str:
    """The longest part of a row that stands in the source as it is."""
    return max(re.split(r"…|\(.*?\)", row), key=len).strip(" :,")


@pytest.mark.parametrize("row", rows("Settings and variables")[1:])
def test_each_row_about_settings_is_said(row: str) -> None:
    assert beginning(row) in texts(SETTINGS), beginning(row)


def test_each_check_of_settings_has_a_row() -> None:
    made = [
        node.func.id
        for node in ast.walk(read(SETTINGS))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_warn", "_fail")
    ]
    told = list(levels("Settings and variables").values())[1:]  # the first is the settings' own line
    assert (made.count("_warn"), made.count("_fail")) == (told.count("warning"), told.count("problem"))


def complaints() -> Iterator[tuple[str, list[str]]]:
    """Every other warning and problem: its text as it is written, and the literals of it."""
    for path in OTHERS:
        for function in (node for node in ast.walk(read(path)) if isinstance(node, ast.FunctionDef)):
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                if not (isinstance(call.func, ast.Name) and call.func.id == "Remark" and is_bad(call)):
                    continue
                said = call.args[2]
                known = [*literals(said), *(text for name in names(said) for text in assigned(function, name))]
                yield ast.unparse(said), known


def is_bad(call: ast.Call) -> bool:
    return any(isinstance(part, ast.Attribute) and part.attr in ("WARNING", "PROBLEM") for part in ast.walk(call))


def names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def assigned(function: ast.FunctionDef, name: str) -> Iterator[str]:
    """The literals that a variable may hold."""
    for node in ast.walk(function):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
        )
        if any(name in names(target) for target in targets):
            yield from literals(node)


@pytest.mark.parametrize(("written", "known"), list(complaints()))
def test_each_other_check_has_a_row(written: str, known: list[str]) -> None:
    page = "\n".join(rows("Redis and the broker") + rows("Bucket, vendor, and the rest"))
    if written in HANDED_ON:
        assert HANDED_ON[written] in PAGE
    else:
        parts = [text.strip(" :,;.()→") for text in known]
        assert any(part[:ENOUGH].strip() in page for part in parts if len(part) >= 8), (written, parts)


@pytest.mark.parametrize("row", rows("Redis and the broker") + rows("Bucket, vendor, and the rest"))
def test_each_other_row_is_said(row: str) -> None:
    said = "\n".join(map(texts, (*OTHERS, *SAID_ELSEWHERE)))
    if row.startswith(SUMMED_UP):
        return
    parts = [part.strip(" ,;") for part in re.split(r"…|\(.*?\)|: |\d+ s", row)]
    assert any(part in said for part in parts if len(part) >= 8), parts
