"""`reelkeep rebuild`: the ledger from the bucket's manifests."""

import json
import sys
from dataclasses import dataclass, field
from typing import Any

import click

from app.assembly import open_bucket, open_ledger
from app.cli.commands import EXIT_FAILED, Command, exit_interrupted, shows_errors, stop_signal
from app.cli.terminal import show_progress
from app.pipeline.rebuild import Outcome, Rebuilt, Site
from app.pipeline.rebuild import rebuild as rebuild_from
from app.settings import load_or_exit


@dataclass
class Report:
    """What has been found so far. Names are kept only of what needs a look."""

    rebuilt: int = 0
    known: int = 0
    unfinished: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    without_manifest: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    #: rebuilt, but not all of it
    partly: dict[str, str] = field(default_factory=dict)

    def add(self, one: Rebuilt) -> None:
        """Count one more."""
        self.rebuilt += one.outcome is Outcome.REBUILT
        self.known += one.outcome is Outcome.KNOWN
        self.missing += one.missing
        if one.outcome is Outcome.WITHOUT_MANIFEST:
            self.without_manifest.append(one.task_id)
        elif one.unfinished:
            self.unfinished.append(one.task_id)
        if one.trouble:
            (self.unreadable if one.outcome is Outcome.UNREADABLE else self.partly)[one.task_id] = one.trouble

    def describe(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "rebuilt": self.rebuilt,
            "known": self.known,
            "unfinished": self.unfinished,
            "missingObjects": self.missing,
            "withoutManifest": self.without_manifest,
            "unreadable": self.unreadable,
            "partly": self.partly,
        }


@click.command(
    cls=Command,
    examples=[
        ("reelkeep rebuild --dry-run", "What the manifests would bring back."),
        ("reelkeep rebuild", "Bring it back; nothing is fetched or bought again."),
    ],
    ends={1: "a manifest could not be read, or the bucket or the ledger"},
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@shows_errors
def rebuild(dry_run: bool, as_json: bool) -> None:
    """Rebuild a lost ledger from the bucket's manifests.

    Every video that is stored is known again, and nothing is downloaded or bought again; what was unfinished goes on. What the
    ledger knows is left alone, so it may be run at any time and again.
    """
    settings = load_or_exit("bucket")
    site = Site(
        bucket=open_bucket(settings),
        ledger=open_ledger(settings),
        policy=settings.policy,
        prefix=settings.s3_prefix,
        repeats_are_questions=settings.kie_api == "veo",
        dry_run=dry_run,
    )
    report, stop = Report(), stop_signal()
    # How many there are is not known before the whole bucket has been listed.
    for one in show_progress(rebuild_from(site), "generations", None):
        report.add(one)
        if stop.is_set():
            break
    if as_json:
        print(json.dumps({"dryRun": dry_run, "interrupted": stop.is_set(), **report.describe()}))
    else:
        _print(report, dry_run)
    if stop.is_set():
        exit_interrupted("interrupted; run it again to do the rest")
    if report.unreadable:
        sys.exit(EXIT_FAILED)


def _print(report: Report, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    lists: list[tuple[str, list[str]]] = [
        ("unfinished, goes on", report.unfinished),
        (f"{'object' if len(report.missing) == 1 else 'objects'} missing, wanted again", report.missing),
        (f"without manifest, {would}asked about", report.without_manifest),
        ("unreadable, left as it is", [f"{name}: {why}" for name, why in report.unreadable.items()]),
        ("rebuilt in part", [f"{name}: {why}" for name, why in report.partly.items()]),
    ]
    print(f"{report.rebuilt} {would}rebuilt, {report.known} known already")
    for title, names in lists:
        if names:
            print(f"{len(names)} {title}:")
            print("\n".join(f"  {name}" for name in names))
