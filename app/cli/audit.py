"""`reelkeep audit`: where the credits went, the suspicious first."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from app.adapters.redis_ledger import RedisLedger
from app.assembly import open_ledger
from app.cli.commands import Command, shows_errors
from app.cli.terminal import add_plain_row, make_console, make_table, plural, show_progress
from app.domain.audit import Charge, Row, Totals, describe_row, describe_totals, examine, plain, show_credits
from app.domain.policy import Policy
from app.domain.sheet import write_line
from app.domain.view import show_time
from app.domain.work import Step
from app.pipeline.rebuild import map_in_threads
from app.settings import Settings, load_or_exit

EXIT_SUSPICIOUS = 1
PAGE = 500
COLUMNS = (
    *("findings", "why", "id", "taskId", "extends", "what", "index", "orders", "vendorId", "state"),
    *("creditsReserved", "creditsConsumed", "creditsReckoned", "delivered"),
    *("trackedAt", "sentAt", "verdictAt", "orderedAt", "askedAt", "storedAt"),
    *("code", "msg", "error", "files", "bytes", "sha256", "prompt"),
)


def _read_since(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """A date or a time as epoch seconds; without a zone it is UTC."""
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        example = "2026-08-06 or 2026-08-06T06:57:57Z"
        raise click.BadParameter(f"{value!r} is no date and no ISO 8601 time, such as {example}") from None


@click.command(
    cls=Command,
    examples=[
        ("reelkeep audit", "What the vendor should be asked about, and where the credits went."),
        ("reelkeep audit --suspicious --since 2026-08-01", "Only what is suspicious of what was tracked since then."),
        ("reelkeep audit --csv > credits.csv", "A line for everything that was paid for."),
    ],
    ends={0: "nothing is suspicious", 1: "something is, or the ledger cannot be read"},
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: a line for everything that was paid for.")
@click.option(
    "--since", metavar="DATE", callback=_read_since, help="Only what is tracked since a date or ISO 8601 time (UTC)."
)
@click.option("--suspicious", "only_suspicious", is_flag=True, help="List only what is suspicious.")
@click.option("--archived", "with_archived", is_flag=True, help="Also what has left Redis: reads its manifests.")
@shows_errors
def audit(as_json: bool, as_csv: bool, since: float | None, only_suspicious: bool, with_archived: bool) -> None:
    """Show what credits went into and what came of it.

    What is suspicious comes first: charged but failed, bought twice, charged more than the price, downgraded, never
    delivered. It is shown with ids, times, messages and hashes, to be sent to the vendor's support as it is. Totals are
    always of everything that is looked at: what is settled for REELKEEP_KEEP_DAYS is in the bucket alone.
    """
    if as_json and as_csv:
        raise click.UsageError("give --json or --csv, not both")
    settings = load_or_exit()
    ledger = open_ledger(settings)
    archived = int(ledger.stats().get("archived", 0))
    console, total = make_console(), sum(ledger.count().values()) + (archived if with_archived else 0)
    beside = None if as_json or as_csv else console
    found = read_rows(ledger, settings.policy, since, with_archived=with_archived)
    rows = show_progress(found, "examined", total, streams=as_csv, beside=beside)
    if as_csv:
        totals = _print_csv(rows, only_suspicious)
    elif as_json:
        totals = _print_json(rows, only_suspicious, ledger, settings)
    else:
        totals = _print_table(console, rows, only_suspicious, ledger, settings)
        if archived and not with_archived:
            advice = "older, and in the bucket alone: --archived looks at them too"
            console.print(Text(f"archived     {plural(archived, 'generation')}, {advice}"), soft_wrap=True)
    if totals.suspects:
        sys.exit(EXIT_SUSPICIOUS)


# --- reading ---------------------------------------------------------------------------------------------------------------


def read_rows(
    ledger: RedisLedger, policy: Policy, since: float | None, *, with_archived: bool = False
) -> Iterator[Row]:
    """Every row once, the suspicious first, newest first in each part. Keeps no more than the ids of the suspicious.

    :param since: epoch seconds; only what is tracked since then
    :param with_archived: also what is in the bucket alone
    :raises LedgerUnavailable:
    """
    # Twice, for what is suspicious may stand on the last page. A row that becomes so in between is given where it is found.
    suspicious: set[str] = set()
    for row in _examine_all(ledger, policy, since, with_archived):
        if row.findings:
            suspicious.add(_name(row))
            yield _add_sending(row, ledger)
    for row in _examine_all(ledger, policy, since, with_archived):
        if _name(row) not in suspicious:
            yield _add_sending(row, ledger)


def _examine_all(ledger: RedisLedger, policy: Policy, since: float | None, with_archived: bool) -> Iterator[Row]:
    yield from _examine_kept(ledger, policy, since)
    if with_archived:
        for draft in map_in_threads(ledger.read, ledger.list_archived()):
            if draft.generation is not None and (since is None or draft.generation.tracked_at >= since):
                yield examine(draft.generation, policy)


def _examine_kept(ledger: RedisLedger, policy: Policy, since: float | None) -> Iterator[Row]:
    cursor: str | None = None
    while True:
        page = ledger.page(None, PAGE, cursor)
        recent = [record for record in page.generations if since is None or record.tracked_at >= since]
        for record in recent:
            yield examine(record, policy)
        cursor = page.cursor
        # A generation that its submission predates may stand a little too far ahead: a whole page of older ones is the end.
        if cursor is None or (page.generations and not recent):
            return


def _name(row: Row) -> str:
    """The same for a submission and for the generation that comes of it."""
    return row.id or row.task_id


def _add_sending(row: Row, ledger: RedisLedger) -> Row:
    """When a generation was sent stands in its submission."""
    if row.sent_at is not None or not row.id:
        return row
    submission = ledger.read(row.id).submission
    return replace(row, sent_at=submission.sent_at) if submission else row


def _read_account(ledger: RedisLedger, settings: Settings) -> dict[str, Any]:
    """What is spent today, the budgets and the vendor's account, JSON-ready. Amounts are credits, ages seconds."""
    spent, health = ledger.spent_today(), ledger.health()
    trouble = plain(health.credits_error)
    warnings = []
    if trouble:
        warnings.append(f"the account's balance could not be read: {trouble}")
    elif health.credits is None:
        warnings.append("the account's balance is not known: no worker with REELKEEP_KIE_API_KEY has looked at it yet")
    least = settings.credits_warn_below
    if health.credits is not None and least is not None and health.credits < least:
        held, limit = show_credits(health.credits), show_credits(least)
        warnings.append(f"the account holds {held} credits, less than REELKEEP_CREDITS_WARN_BELOW ({limit})")
    age = None if health.credits_at is None else round(max(0.0, health.now - health.credits_at), 3)
    return {
        "spentToday": {"total": 0.0, **{name: round(credits, 6) for name, credits in spent.items()}},
        "budgets": {
            "total": settings.credits_per_day,
            str(Step.UPGRADE): settings.upgrade_credits_per_day,
            "generation": settings.credits_per_generation,
        },
        "credits": health.credits,
        "creditsAt": show_time(health.credits_at),
        "creditsAge": age,
        "creditsError": trouble or None,
        "warnBelow": least,
        "warnings": warnings,
    }


# --- JSON and CSV ----------------------------------------------------------------------------------------------------------


def _print_json(rows: Iterator[Row], only_suspicious: bool, ledger: RedisLedger, settings: Settings) -> Totals:
    totals, shown = Totals(), []
    for row in rows:
        totals = totals.plus(row)
        if row.findings or not only_suspicious:
            shown.append(describe_row(row))
    account, archived = _read_account(ledger, settings), int(ledger.stats().get("archived", 0))
    print(json.dumps({"rows": shown, "totals": describe_totals(totals), "account": account, "archived": archived}))
    return totals


def _print_csv(rows: Iterator[Row], only_suspicious: bool) -> Totals:
    totals = Totals()
    sys.stdout.write(write_line(COLUMNS))
    for row in rows:
        totals = totals.plus(row)
        if row.findings or not only_suspicious:
            for charge in row.charges:
                sys.stdout.write(write_line(_read_columns(row, charge)[name] for name in COLUMNS))
    return totals


def _read_columns(row: Row, charge: Charge) -> dict[str, str | int | None]:
    stored = charge.stored
    return {
        "findings": " ".join(dict.fromkeys(finding.name for finding in charge.findings)),
        "why": "; ".join(finding.sentence for finding in charge.findings),
        "id": row.id,
        "taskId": row.task_id,
        "extends": row.parent,
        "what": charge.what,
        "index": charge.index,
        "orders": charge.orders,
        "vendorId": charge.vendor_id,
        "state": charge.state,
        "creditsReserved": show_credits(charge.reserved),
        "creditsConsumed": None if charge.consumed is None else show_credits(charge.consumed),
        "creditsReckoned": None if charge.price is None else show_credits(charge.price),
        "delivered": "yes" if charge.delivered else "no",
        "trackedAt": show_time(row.tracked_at),
        "sentAt": show_time(row.sent_at),
        "verdictAt": show_time(row.verdict_at),
        "orderedAt": show_time(charge.ordered_at),
        "askedAt": show_time(charge.asked_at),
        "storedAt": show_time(max((file.stored_at or 0.0 for file in stored), default=None)),
        "code": charge.code or None,
        "msg": charge.msg,
        "error": charge.error,
        "files": " ".join(file.key for file in stored),
        "bytes": sum(file.bytes or 0 for file in stored),
        "sha256": " ".join(file.sha256 for file in stored),
        "prompt": row.prompt,
    }


# --- for people ------------------------------------------------------------------------------------------------------------


def _print_table(
    console: Console, rows: Iterator[Row], only_suspicious: bool, ledger: RedisLedger, settings: Settings
) -> Totals:
    table = make_table(
        "generation", "state", "tracked", "reserved", "taken", "delivered", whole=("generation", "state", "tracked")
    )
    totals = Totals()
    for row in rows:
        totals = totals.plus(row)
        if row.findings:
            for line in _tell_row(row):
                console.print(Text(line), soft_wrap=True)
            console.print()
        elif not only_suspicious:
            add_plain_row(table, *_shorten_row(row))
    if table.row_count:
        console.print(table)
        console.print()
    for line in (*_tell_totals(totals), *_tell_account(_read_account(ledger, settings))):
        console.print(Text(line), soft_wrap=True)
    return totals


def _tell_row(row: Row) -> Iterator[str]:
    """All that is known of a row, line by line."""
    yield f"{row.task_id or row.id}  {row.state}"
    for finding in row.findings:
        yield f"  ! {finding.name.replace('_', ' ')}: {finding.sentence}"
    times = {"tracked": row.tracked_at, "sent": row.sent_at, "verdict": row.verdict_at, "complete": row.complete_at}
    facts = {"id": row.id if row.task_id else "", "extends": row.parent, "prompt": row.prompt}
    yield from _tell_facts("  ", {**{name: show_time(at) for name, at in times.items()}, **facts})
    for charge in row.charges:
        yield from _tell_charge(charge)


def _tell_charge(charge: Charge) -> Iterator[str]:
    name = charge.what if charge.index is None else f"{charge.what} {charge.index}"
    taken = "not known" if charge.consumed is None else show_credits(charge.consumed)
    yield f"  {name}  {charge.state}  credits reserved {show_credits(charge.reserved)}, taken {taken}"
    code = str(charge.code) if charge.code else ""
    times = {"ordered": show_time(charge.ordered_at), "last asked": show_time(charge.asked_at)}
    facts = {"vendor's id": charge.vendor_id, **times, "code": code, "message": charge.msg, "error": charge.error}
    yield from _tell_facts("    ", facts)
    for file in charge.files:
        told = [f"{file.kind} {file.index}", str(file.state), f"{file.bytes} bytes" if file.stored else "", file.key]
        told += [f"sha256 {file.sha256}" if file.sha256 else "", show_time(file.stored_at) or "", file.note]
        yield "    " + "  ".join(text for text in told if text)


def _tell_facts(indent: str, facts: dict[str, str | None]) -> Iterator[str]:
    for name, value in facts.items():
        if value:
            yield f"{indent}{name:<12}{value}"


def _shorten_row(row: Row) -> tuple[str, ...]:
    """A row in a line."""
    files = [file for charge in row.charges for file in charge.stored]
    known = [charge.consumed for charge in row.charges if charge.consumed is not None]
    names = ", ".join(f"{file.kind} {file.index}" for file in files)
    return (
        row.task_id or row.id,
        str(row.state),
        (show_time(row.tracked_at) or "")[:10],
        show_credits(sum(charge.reserved for charge in row.charges)),
        show_credits(sum(known)) if known else "",
        f"{names} ({sum(file.bytes or 0 for file in files):,} bytes)" if files else "",
    )


def _tell_totals(totals: Totals) -> Iterator[str]:
    states = ", ".join(f"{count} {state}" for state, count in totals.generations.items() if count)
    yield f"generations  {sum(totals.generations.values())}" + (f" ({states})" if states else "")
    yield (
        f"credits      {show_credits(totals.reserved)} reserved, {show_credits(totals.consumed)} known to be taken, "
        f"{show_credits(totals.delivered)} for what was delivered, {show_credits(totals.suspicious)} suspicious"
    )
    yield f"stored       {plural(totals.files, 'file')}, {totals.bytes:,} bytes"
    found = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in totals.findings.items() if count)
    yield f"suspicious   {totals.suspects}" + (f" ({found})" if found else "")


def _tell_account(account: dict[str, Any]) -> Iterator[str]:
    spent, budgets = account["spentToday"], account["budgets"]
    today = [_tell_budget("", spent["total"], budgets["total"])]
    today.append(_tell_budget("upgrades ", spent.get(str(Step.UPGRADE), 0.0), budgets[str(Step.UPGRADE)]))
    yield f"spent today  {', '.join(today)} (UTC)"
    if account["credits"] is not None:
        seen = f", {_tell_age(account['creditsAge'])} ago" if account["creditsAge"] is not None else ""
        yield f"account      {show_credits(account['credits'])} credits{seen}"
    for warning in account["warnings"]:
        yield f"warning      {warning}"


def _tell_budget(name: str, spent: float, limit: float | None) -> str:
    return f"{name}{show_credits(spent)} " + ("(no budget)" if limit is None else f"of {show_credits(limit)}")


def _tell_age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
