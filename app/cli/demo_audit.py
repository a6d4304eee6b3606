"""The demo's audit: what Reelkeep says, what is in the bucket, and what the vendor's books say must agree."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.cli.demo_paths import Sent
from app.simulator.client import SimulatorClient


@dataclass(frozen=True)
class Finding:
    """How one path ended."""

    sent: Sent
    got: str
    #: what is wrong; none: all is as it must be
    faults: list[str] = field(default_factory=list)


def is_settled(sent: Sent, shown: Mapping[str, Any] | None) -> bool:
    """Whether a generation has come to its end, as far as it says so itself."""
    if shown is None or shown["state"] in ("waiting", "mirroring"):
        return False
    ended = all(rendition["state"] in ("stored", "failed", "unavailable") for rendition in shown["renditions"])
    return ended and shown["callbacks"]["received"] >= sent.path.expected.least_callbacks


def audit(
    all_sent: Sequence[Sent], shown: Mapping[str, Mapping[str, Any]], bucket: Path, vendor: SimulatorClient, prefix: str
) -> tuple[list[Finding], list[str]]:
    """Compare everything.

    :param shown: generations as Reelkeep shows them, by the vendor's id and by ours
    :param bucket: the folder in which the S3 endpoint keeps the objects as plain files
    :return: a finding for each path, and the objects that should not be there
    """
    books = vendor.books()
    files = {str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file()}
    rightful: set[str] = set()
    findings = []
    for sent in all_sent:
        finding, keys = _audit_path(sent, shown.get(sent.record_id), bucket, books, vendor, prefix)
        findings.append(finding)
        rightful |= keys | {file for file in files if sent.parent and file.startswith(f"{prefix}{sent.parent}/")}
    return findings, sorted(files - rightful)


def _audit_path(
    sent: Sent,
    generation: Mapping[str, Any] | None,
    bucket: Path,
    books: Mapping[str, Any],
    vendor: SimulatorClient,
    prefix: str,
) -> tuple[Finding, set[str]]:
    expected = sent.path.expected
    if generation is None:
        return Finding(sent, "unknown", ["Reelkeep does not know it"]), set()
    task_id = generation["taskId"]
    by_state: dict[str, list[Mapping[str, Any]]] = {}
    for rendition in generation["renditions"]:
        by_state.setdefault(rendition["state"], []).append(rendition)
    faults = []
    if generation["state"] != expected.state:
        faults.append(f"state {generation['state']}, not {expected.state}")
    for state in ("stored", "unavailable", "failed"):
        got = sorted(_name(rendition) for rendition in by_state.get(state, []))
        if got != sorted(getattr(expected, state)):
            faults.append(f"{state}: {', '.join(got) or 'none'}")
    for rendition in by_state.get("stored", []):
        faults += _compare(task_id, rendition, bucket, books, vendor)
    bought = Counter(f"{row['kind']}/{row['index']}" for row in _purchases(books, task_id) if row["credits"])
    if bought != Counter(expected.bought):
        faults.append(f"bought: {dict(bought) or 'nothing'}")
    if sent.answers != sent.path.answers:
        faults.append(f"answered {sent.answers}")
    created = sum(row["prompt"] == sent.path.prompt for row in books["generations"].values())
    if created != expected.created:
        faults.append(f"created {created} times")
    manifest = f"{prefix}{task_id}/manifest.json"
    if task_id and not (bucket / manifest).is_file():
        faults.append("no manifest")
    keys = {rendition["key"] for rendition in by_state.get("stored", [])} | {manifest}
    stored = [_name(rendition) for rendition in by_state.get("stored", [])]
    return Finding(sent, show_end(generation["state"], stored), faults), keys


def show_end(state: str, stored: Sequence[str]) -> str:
    """How a path ended, in few words: what is stored if it is complete, else the state."""
    kinds = Counter(name.partition("/")[0] for name in stored)
    shown = " ".join(kind if count == 1 else f"{kind}×{count}" for kind, count in kinds.items())
    return shown if state == "complete" else f"{state} {shown}".strip()


def _compare(
    task_id: str, rendition: Mapping[str, Any], bucket: Path, books: Mapping[str, Any], vendor: SimulatorClient
) -> list[str]:
    """Byte for byte, against what the vendor made."""
    wanted = (task_id, rendition["kind"], rendition["index"])
    paths = [path for path, row in books["files"].items() if (row["taskId"], row["kind"], row["index"]) == wanted]
    kept = bucket / rendition["key"]
    if not paths or not kept.is_file():
        return [f"{_name(rendition)}: {'not in the bucket' if paths else 'the vendor made no such file'}"]
    content = kept.read_bytes()
    same = content == vendor.true_bytes(paths[0]) and hashlib.sha256(content).hexdigest() == rendition["sha256"]
    return [] if same else [f"{_name(rendition)}: not the vendor's bytes"]


def _purchases(books: Mapping[str, Any], task_id: str) -> list[Mapping[str, Any]]:
    return [row for row in books["purchases"] if row["taskId"] == task_id]


def _name(rendition: Mapping[str, Any]) -> str:
    return f"{rendition['kind']}/{rendition['index']}"
