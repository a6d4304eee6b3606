"""The vendor's files: real media with unique bytes, the links to them, and what is wrong with either."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from app.simulator import samples
from app.simulator.samples import Size
from app.simulator.scenarios import Fault, Scenario

#: Our words for the files of a generation.
Kind = Literal["result", "origin", "full", "1080p", "4k", "image"]
#: A link from download-url is good for 20 minutes (veo-api §10).
RENEWED_LIFE = 1200.0


@dataclass
class File:
    """One file that the vendor made, from `made_at` on (epoch seconds)."""

    task_id: str
    kind: Kind
    index: int
    name: str
    medium: bytes
    scenario: Scenario
    made_at: float
    fetches: int = 0
    links: list[Link] = field(default_factory=list)

    @property
    def content(self) -> bytes:
        return samples.marked(self.medium, self.name)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def size(self) -> int:
        return len(self.content)

    @property
    def media_type(self) -> str:
        return "image/jpeg" if self.kind == "image" else "video/mp4"


@dataclass(frozen=True)
class Link:
    """One address of a file."""

    path: str
    file: File
    expires_at: float
    alive: bool
    #: What the query must hold as `X-Amz-Signature`; None: nothing.
    signature: str | None = None

    @property
    def target(self) -> str:
        """Path and query."""
        signed = f"?X-Amz-Expires={RENEWED_LIFE:.0f}&X-Amz-Signature={self.signature}"
        return self.path + (signed if self.signature else "")


@dataclass(frozen=True)
class Visit:
    """What one fetch gets: a status, and for 200 the file with the fault to show."""

    status: int
    file: File | None = None
    fault: Fault | None = None


@dataclass
class Shelf:
    """All files and links. Callers hold the simulator's lock."""

    public_url: str
    clock: Callable[[], float]
    speed: float
    new_hex: Callable[[], str]
    links: dict[str, Link] = field(default_factory=dict)
    fetched: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    #: Faults that were shown, by name or status.
    faulted: Counter[str] = field(default_factory=Counter)

    def add(
        self,
        task_id: str,
        kind: Kind,
        index: int,
        scenario: Scenario,
        made_at: float,
        *,
        size: Size = "720p",
        portrait: bool = False,
    ) -> File:
        """A new file with its first link: `/v/<32hex>_<unix>.mp4`, `/p/` for 1080p (veo-api §11)."""
        suffix = "jpg" if kind == "image" else "mp4"
        name = f"{self.new_hex()}_{made_at:.0f}.{suffix}"
        shown = samples.video(size, portrait=portrait, silent=scenario.silent)
        file = File(task_id, kind, index, name, samples.picture() if kind == "image" else shown, scenario, made_at)
        folder = "p" if kind == "1080p" else "v"
        self._link(file, f"/{folder}/{name}", scenario.link_life, alive=scenario.links == "live")
        return file

    def first_urls(self, given: Sequence[File | None]) -> list[str | None]:
        """The addresses that the files had from the outset, as callbacks give them."""
        return [None if file is None else self.public_url + file.links[0].target for file in given]

    def current_urls(self, given: Sequence[File | None]) -> list[str | None]:
        """The addresses that the endpoints give now: others once a `moved` link failed somebody."""
        return [None if file is None else self.public_url + self._current(file).target for file in given]

    def renew(self, url: str) -> str | None:
        """A fresh link that is good for 20 minutes, as download-url gives it (veo-api §10); None: refused."""
        link = self.links.get(urlsplit(url).path) if url.startswith(self.public_url + "/") else None
        if link is None or link.file.scenario.links in ("dead", "moved"):
            return None
        if self.clock() >= link.file.made_at + link.file.scenario.file_life / self.speed:
            return None
        path = f"/d/{self.new_hex()}.{link.file.name.rpartition('.')[2]}"
        fresh = self._link(link.file, path, RENEWED_LIFE, alive=True, signature=self.new_hex())
        return self.public_url + fresh.target

    def visit(self, path: str, query: str, *, counts: bool = True) -> Visit:
        """What a fetch of this address gets now; one that counts uses up a fault of the file."""
        link = self.links.get(path)
        if link is None or link.file.made_at > self.clock():
            return Visit(404)
        if counts:
            self.fetched[path] += 1
        if link.signature is not None and parse_qs(query).get("X-Amz-Signature") != [link.signature]:
            return Visit(403)
        file = link.file
        if not link.alive or self.clock() >= link.expires_at:
            self.faulted["dead"] += counts
            return Visit(file.scenario.dead_status)
        faults = file.scenario.file_faults
        fault = faults[file.fetches] if file.fetches < len(faults) else None
        if counts:
            file.fetches += 1
            self.faulted[str(fault)] += fault is not None
        return Visit(200, file, fault)

    def _current(self, file: File) -> Link:
        if file.scenario.links != "moved" or not self.fetched[file.links[0].path]:
            return file.links[0]
        if len(file.links) == 1:
            path = f"/v/{self.new_hex()}_{self.clock():.0f}.{file.name.rpartition('.')[2]}"
            self._link(file, path, file.scenario.link_life, alive=True)
        return file.links[1]

    def _link(self, file: File, path: str, life: float, *, alive: bool, signature: str | None = None) -> Link:
        start = max(file.made_at, self.clock())
        link = Link(path, file, start + life / self.speed, alive, signature)
        file.links.append(link)
        self.links[path] = link
        return link
