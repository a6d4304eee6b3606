"""The demo's paths: what is sent through the product, and what must come of it."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import requests

from app.simulator.client import SimulatorClient

#: what an attacker would have us store
FOREIGN_URL = "http://attacker.example/video.mp4"


@dataclass(frozen=True)
class Expected:
    """What must have become of a generation."""

    state: str = "complete"
    #: renditions that must be in the bucket, as `kind/index`
    stored: tuple[str, ...] = ("result/0",)
    unavailable: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    #: upgrades that the vendor must have sold, once each
    bought: tuple[str, ...] = ()
    least_callbacks: int = 0
    #: generations that the vendor must have created
    created: int = 1


@dataclass(frozen=True)
class DemoPath:
    """One way that things can go."""

    title: str
    scenario: str
    expected: Expected = Expected()  # frozen
    upgrades: tuple[str, ...] = ()
    #: whether the user tells us of it; if not, its callback does
    tracked: bool = True
    #: whether Reelkeep submits it; if not, the user's application does
    here: bool = False
    #: further fields of the request
    fields: Mapping[str, str] = field(default_factory=dict)
    #: how often the user asks for it, under one Idempotency-Key
    asks: int = 1
    #: what is done to it besides, once it is submitted
    attack: str = ""
    extends: bool = False
    answers: tuple[int, ...] = ()

    @property
    def prompt(self) -> str:
        """Chooses the simulator's scenario, and is unlike any other path's."""
        return f"scenario={self.scenario} {self.title}"


@dataclass(frozen=True)
class Sent:
    """A path under way."""

    path: DemoPath
    #: the vendor's id, or that of our submission
    record_id: str
    #: answers to the callbacks that the demo itself forged
    answers: tuple[int, ...] = ()
    #: the generation that is extended
    parent: str | None = None


class User(Protocol):
    """Whoever uses Reelkeep's API."""

    def submit(self, path: DemoPath, parent: str | None) -> str:
        """Submit a generation, or an extension of `parent`; gives our id."""
        ...

    def track(self, task_id: str, upgrades: tuple[str, ...]) -> None:
        """Tell Reelkeep of a generation."""
        ...

    def await_success(self, task_id: str) -> None:
        """Wait until Reelkeep knows that a generation has succeeded."""
        ...


_4K = Expected(stored=("result/0", "4k/0", "image/0"), bought=("4k/0",))
_NO_4K = Expected(stored=("result/0",), unavailable=("4k/0",), bought=("4k/0",))


def _failed(title: str, scenario: str) -> DemoPath:
    return DemoPath(title, scenario, Expected(state="failed", stored=()))


PATHS = (
    # First, so that their submissions and those of the "application" below share the vendor's rate limit in this order.
    DemoPath("submitted here", "plain", here=True),
    DemoPath("submitted twice under one key", "plain", here=True, asks=2),
    DemoPath("submitted, vendor busy (429 twice)", "submit-busy", here=True),
    DemoPath("submitted, answer lost, callback comes", "submit-uncertain", here=True),
    DemoPath(
        "submitted, answer lost, no callback",
        "submit-uncertain-silent",
        Expected(state="uncertain", stored=()),
        here=True,
    ),
    DemoPath("submitted, refused", "submit-refused", Expected(state="failed", stored=(), created=0), here=True),
    DemoPath("extended here", "extension", Expected(stored=("result/0", "full/0")), here=True, extends=True),
    DemoPath(
        "4K asked for, 4K came: none bought",
        "plain",
        Expected(unavailable=("4k/0",)),
        upgrades=("4k",),
        here=True,
        fields={"resolution": "4k"},
    ),
    DemoPath(
        "4K asked for, 720p came: 4K bought",
        "downgraded",
        _4K,
        upgrades=("4k",),
        here=True,
        fields={"resolution": "4k"},
    ),
    DemoPath("plain success", "plain"),
    DemoPath("never tracked: the callback alone", "plain", tracked=False),
    DemoPath("several results", "several-results", Expected(stored=("result/0", "result/1", "result/2"))),
    DemoPath("portrait, with its original", "portrait", Expected(stored=("result/0", "origin/0"))),
    DemoPath("extension: segment and whole", "extension", Expected(stored=("result/0", "full/0")), extends=True),
    DemoPath(
        "fallback model, 4K wanted",
        "fallback",
        Expected(stored=("result/0",), unavailable=("4k/0",)),
        upgrades=("4k",),
    ),
    _failed("failure 400", "failed-400"),
    _failed("failure 422", "failed-422"),
    _failed("failure 500", "failed-500"),
    _failed("failure 501", "failed-501"),
    _failed("failure upstream (flag 3)", "failed-upstream"),
    _failed("failure, callback without id", "null-data-failure"),
    DemoPath("the callback three times", "duplicate-callbacks", Expected(least_callbacks=3)),
    DemoPath("failure, then success", "reordered-callbacks", Expected(least_callbacks=2)),
    DemoPath("success, then failure", "late-failure", Expected(least_callbacks=2)),
    DemoPath("the callback never comes", "no-callback"),
    DemoPath("slow to appear", "slow-to-appear"),
    DemoPath("callback signed an hour ago", "stale-signature", Expected(least_callbacks=1)),
    DemoPath("download fails twice", "download-fails-twice"),
    DemoPath("download cut short", "truncated-download"),
    DemoPath("a web page instead of the video", "html-download"),
    DemoPath("link dead, renewed by download-url", "renewable-link"),
    DemoPath("link dead, file has moved", "moved-link"),
    DemoPath("link dead everywhere", "dead-link", Expected(state="lost", stored=(), failed=("result/0",))),
    DemoPath("1080p", "plain", Expected(stored=("result/0", "1080p/0"), bought=("1080p/0",)), upgrades=("1080p",)),
    DemoPath("4K under a new id", "4k-new-id", _4K, upgrades=("4k",)),
    DemoPath("4K under the parent's id", "4k-parent-id", _4K, upgrades=("4k",)),
    DemoPath(
        "4K already made",
        "4k-already-made",
        Expected(stored=("result/0", "4k/0", "image/0")),
        upgrades=("4k",),
    ),
    DemoPath("4K unavailable", "4k-unavailable", _NO_4K, upgrades=("4k",)),
    DemoPath("4K unavailable, callback has no id", "4k-unavailable-null-data", _NO_4K, upgrades=("4k",)),
    DemoPath("4K whose callback never comes", "4k-no-callback", _4K, upgrades=("4k",)),
    DemoPath("4K ordered, answer HTTP 500", "4k-uncertain", _4K, upgrades=("4k",)),
    DemoPath("forged callback, foreign URLs", "plain", attack="forged", answers=(200,)),
    DemoPath("unsigned callback", "plain", attack="unsigned", answers=(401,)),
)


def submit(path: DemoPath, vendor: SimulatorClient, user: User, callback_url: str, key: str) -> Sent:
    """Submit a path's generation, through Reelkeep or as the user's application would, and do to it what the path says.

    :param key: the webhook key: an attacker who has caught one signature can send any body with it
    """
    parent = _make_parent(vendor, user) if path.extends else None
    if path.here:
        return Sent(path, [user.submit(path, parent) for _ in range(path.asks)][-1], parent=parent)
    if parent is not None:
        task_id = _create(lambda: vendor.extend(parent, path.prompt, callback_url))
    else:
        task_id = _create(lambda: vendor.generate(path.prompt, callback_url))
    if path.tracked:
        user.track(task_id, path.upgrades)
    answers: tuple[int, ...] = ()
    if path.attack:
        answers = (_attack(task_id, callback_url, key if path.attack == "forged" else None),)
    return Sent(path, task_id, answers, parent)


def _make_parent(vendor: SimulatorClient, user: User) -> str:
    """A generation that has succeeded, and that Reelkeep knows."""
    parent = _create(lambda: vendor.generate("scenario=plain the video to extend"))
    user.track(parent, ())
    user.await_success(parent)
    return parent


def _create(create: Callable[[], str]) -> str:
    """Submit, and wait out the vendor's rate limit of 20 requests in 10 s."""
    while True:
        try:
            return create()
        except RuntimeError as refused:
            if "429" not in str(refused):
                raise
            time.sleep(0.5)


def _attack(task_id: str, callback_url: str, key: str | None) -> int:
    """Send a body with foreign URLs; with a good signature if there is a key: it does not cover the body."""
    body = {"code": 200, "msg": "ok", "data": {"taskId": task_id, "info": {"resultUrls": [FOREIGN_URL]}}}
    headers = {"Content-Type": "application/json"}
    if key is not None:
        timestamp = str(int(time.time()))
        digest = hmac.new(key.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256).digest()
        headers |= {"X-Webhook-Timestamp": timestamp, "X-Webhook-Signature": base64.b64encode(digest).decode()}
    return requests.post(callback_url, data=json.dumps(body), headers=headers, timeout=10).status_code
