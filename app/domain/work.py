"""Work: what can be due, and the right to do it.

Everything unfinished is an *item* with a time at which somebody has to look at it. An item's text is all that a Celery
message carries; what there is to do, and whether there still is, stands in the ledger.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict

#: The vendor's ids are opaque (veo-api §1). One becomes part of keys and paths only if it looks like this.
TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
#: Our own ids of what was submitted here, which has no id of the vendor's until it is created.
SUBMISSION_ID = re.compile(r"sub_[0-9a-f]{32}", re.ASCII)


def is_task_id(value: object) -> bool:
    """Whether a value can be the vendor's id of a generation."""
    return isinstance(value, str) and TASK_ID.fullmatch(value) is not None and not is_submission_id(value)


def is_submission_id(value: object) -> bool:
    """Whether a value is one of our ids of submissions."""
    return isinstance(value, str) and SUBMISSION_ID.fullmatch(value) is not None


class Kind(StrEnum):
    """Which file of a generation a rendition is. With an index from 0 it names the rendition."""

    RESULT = "result"
    ORIGIN = "origin"
    FULL = "full"
    HD = "1080p"
    UHD = "4k"
    IMAGE = "image"


#: the renditions that are bought
UPGRADES = (Kind.HD, Kind.UHD)


class Step(StrEnum):
    """What a Celery task does with an item."""

    SUBMIT = "submit"
    SETTLE = "settle"
    UPGRADE = "upgrade"
    MIRROR = "mirror"
    MANIFEST = "manifest"
    #: done by threads of the workers' own, and not by Celery: see `OUTGOING`
    NOTIFY = "notify"


class Lane(StrEnum):
    """Work that may wait for each other: quick steps never stand behind downloads, nor behind a bucket that does not answer."""

    QUICK = "quick"
    MIRROR = "mirror"
    MANIFEST = "manifest"

    @property
    def queue(self) -> str:
        """The name of the Celery queue."""
        return f"reelkeep.{self}"


LANES = {
    Step.SUBMIT: Lane.QUICK,
    Step.SETTLE: Lane.QUICK,
    Step.UPGRADE: Lane.QUICK,
    Step.MANIFEST: Lane.MANIFEST,
    Step.MIRROR: Lane.MIRROR,
}

#: The lane of `notify`: in the index by time as all others are, but in no queue. A receiver that says nothing holds whoever waits
#: for it, and must not hold what takes messages off a queue.
OUTGOING = "events"

SWEEP_TASK = "reelkeep.sweep"
SWEEP_QUEUE = "reelkeep.sweep"
CHECK_TASK = "reelkeep.check_outside"


def task_name(step: Step) -> str:
    """The name of the Celery task that does a step."""
    return f"reelkeep.{step}"


def order_name(task_id: str, kind: Kind, index: int, order: int) -> str:
    """What an upgrade's n-th order is called in the ledger's indexes: `<task_id>/<kind>/<index>#<n>`."""
    return f"{task_id}/{kind}/{index}#{order}"


def order_account(task_id: str, kind: Kind, index: int, order: int) -> str:
    """What the credits for an upgrade's n-th order are reserved under."""
    return f"{Step.UPGRADE}/{order_name(task_id, kind, index, order)}"


@dataclass(frozen=True, order=True)
class Item:
    """One thing to do: `submit/<id>`, `settle/<task_id>`, `manifest/…`, `notify/…`, `mirror/<task_id>/<kind>/<index>`,
    `upgrade/…`."""

    step: Step
    #: the vendor's id; for `submit` our own of the submission; for `notify` either
    task_id: str
    kind: Kind | None = None
    index: int = 0

    def __str__(self) -> str:
        name = f"{self.step}/{self.task_id}"
        return name if self.kind is None else f"{name}/{self.kind}/{self.index}"

    @property
    def facts(self) -> dict[str, object]:
        """What the log says of work on it."""
        of = {"id" if self.step is Step.SUBMIT else "task_id": self.task_id}
        return {"step": str(self.step), **of, **({"kind": str(self.kind), "index": self.index} if self.kind else {})}

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an item's text. :raises ValueError: it is none."""
        step, _, rest = text.partition("/")
        task_id, _, rendition = rest.partition("/")
        is_ours = step == Step.SUBMIT or (step == Step.NOTIFY and is_submission_id(task_id))
        if not (is_submission_id if is_ours else is_task_id)(task_id):
            raise ValueError(f"no work item: {text[:200]!r}")
        if not rendition:
            return cls(Step(step), task_id)
        kind, _, index = rendition.partition("/")
        return cls(Step(step), task_id, Kind(kind), int(index))


class Work(BaseModel):
    """When something is next looked at, and who may do it.

    A claim is a lease with a fencing number: it lapses by itself, and what a former holder brings too late is refused.
    """

    model_config = ConfigDict(extra="allow")

    #: epoch seconds on the ledger's clock: due then, or (leased) free again then. None: nothing to do
    at: float | None = None
    #: somebody is at it until `at`
    leased: bool = False
    #: how often it was claimed; the newest claim's number is the only one that may write
    fence: int = 0

    def claim(self, now: float, lease: float, *, early: bool = False) -> int | None:
        """Take the work for `lease` seconds. Gives the fencing number, or None: not due, or in other hands.

        :param early: there is a reason to look before the time has come
        """
        if self.at is None and not early:
            return None
        if self.at is not None and self.at > now and (self.leased or not early):
            return None
        self.at = now + lease
        self.leased = True
        self.fence += 1
        return self.fence

    def holds(self, fence: int) -> bool:
        """Whether this claim is still the newest and not given back."""
        return self.leased and self.fence == fence

    def renew(self, fence: int, now: float, lease: float) -> bool:
        """Prolong a claim. False: it is lost."""
        if not self.holds(fence):
            return False
        self.at = now + lease
        return True

    def put_back(self, at: float | None) -> None:
        """End the claim: due again at a time, or never."""
        self.at = at
        self.leased = False
