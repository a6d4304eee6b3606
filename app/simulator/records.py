"""What the vendor remembers: generations and upgrades. Times are epoch seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from app.simulator.files import File
from app.simulator.scenarios import Scenario

UpgradeKind = Literal["1080p", "4k"]


@dataclass
class Generation:
    """A generation or an extension (then with a parent)."""

    task_id: str
    scenario_name: str
    scenario: Scenario
    params: dict[str, Any]
    parent: str | None
    credits: float
    created_at: float
    visible_at: float
    ready_at: float
    results: list[File] = field(default_factory=list)
    origins: list[File] = field(default_factory=list)
    fulls: list[File] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)

    @property
    def callback_url(self) -> str | None:
        url: str | None = self.params.get("callBackUrl")
        return url

    def outcome(self, now: float) -> Literal["generating", "success", "failed"]:
        if now < self.ready_at:
            return "generating"
        return "failed" if self.scenario.failure else "success"

    def flag(self, now: float) -> int:
        """`successFlag` (veo-api §8)."""
        failure = self.scenario.failure
        return 0 if now < self.ready_at else failure.flag if failure else 1


@dataclass
class Upgrade:
    """A 1080p or 4K version that was ordered, or had been made before."""

    parent: Generation
    kind: UpgradeKind
    index: int
    #: The id the 4K runs under: a new one or the parent's; a 1080p has the parent's.
    task_id: str
    credits: float
    ordered_at: float
    ready_at: float
    callback_url: str | None = None
    videos: list[File] = field(default_factory=list)
    images: list[File] = field(default_factory=list)
    asks: int = 0
    deliveries: list[dict[str, Any]] = field(default_factory=list)

    @property
    def unavailable(self) -> bool:
        return not self.videos

    def outcome(self, now: float) -> Literal["processing", "success", "unavailable"]:
        if now < self.ready_at:
            return "processing"
        return "unavailable" if self.unavailable else "success"
