"""What the vendor remembers: generations and upgrades. Times are epoch seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.simulator.files import File
from app.simulator.scenarios import Failure, Scenario

UpgradeKind = Literal["1080p", "4k"]
#: The API that made it: paths of its own (veo-api §2-§8), or createTask (veo-api §13).
Form = Literal["dedicated", "unified"]
#: Files by the name of their list in the vendor's answers; None: the entry is null.
Made = Mapping[str, Sequence[File | None]]


@dataclass(kw_only=True)
class _Record:
    task_id: str
    form: Form
    #: By the price list.
    credits: float
    #: Credits that were taken.
    charged: float
    created_at: float
    visible_at: float
    ready_at: float
    callback_url: str | None = None
    deliveries: list[dict[str, Any]] = field(default_factory=list)


@dataclass(kw_only=True)
class Generation(_Record):
    """A generation or an extension (then with a parent)."""

    scenario_name: str
    scenario: Scenario
    params: dict[str, Any]
    parent: str | None
    portrait: bool
    results: list[File | None] = field(default_factory=list)
    origins: list[File | None] = field(default_factory=list)
    fulls: list[File | None] = field(default_factory=list)

    @property
    def made(self) -> Made:
        return {"resultUrls": self.results, "originUrls": self.origins, "fullResultUrls": self.fulls}

    @property
    def failure(self) -> Failure | None:
        """How it ends badly; None: well."""
        return self.scenario.failure

    @property
    def passing_failure(self) -> Failure:
        """What a failure callback says that is not the last word."""
        return Failure(code=500, msg="Internal Error, Please try again later.")

    def outcome(self, now: float) -> Literal["generating", "success", "failed"]:
        if now < self.ready_at:
            return "generating"
        return "failed" if self.failure else "success"

    def flag(self, now: float) -> int:
        """`successFlag` (veo-api §8)."""
        return 0 if now < self.ready_at else self.failure.flag if self.failure else 1


@dataclass(kw_only=True)
class Upgrade(_Record):
    """A 1080p or 4K version that was ordered, or had been made before.

    Its task id is a new one or the parent's; the parent's for a 1080p of the dedicated form.
    """

    parent: Generation
    kind: UpgradeKind
    index: int
    videos: list[File | None] = field(default_factory=list)
    images: list[File | None] = field(default_factory=list)
    #: When somebody ordered it or asked about it.
    asked_at: list[float] = field(default_factory=list)

    @property
    def scenario(self) -> Scenario:
        return self.parent.scenario

    @property
    def made(self) -> Made:
        return {"resultUrls": self.videos, "imageUrls": self.images}

    @property
    def failure(self) -> Failure | None:
        """How it ends badly; None: well."""
        return None if self.videos else self.passing_failure

    @property
    def passing_failure(self) -> Failure:
        """What a failure callback says, the last word or not."""
        return unavailable(self.kind)

    def outcome(self, now: float) -> Literal["processing", "success", "unavailable"]:
        if now < self.ready_at:
            return "processing"
        return "unavailable" if self.failure else "success"


def unavailable(kind: UpgradeKind) -> Failure:
    """There is no such version of a video (veo-api §7; of a 1080p nothing is documented)."""
    name = {"1080p": "1080P", "4k": "4K"}[kind]
    return Failure(
        code=500, msg=f"The {name} version of this video is unavailable. Please try a different video.", flag=3
    )
