"""A generation and its renditions: what is known, what is wanted, and what may happen to them.

Methods change the object in place and touch nothing outside. The ledger reads a generation, lets one of these methods run and
writes it back only if nobody else wrote in between; so each method is one atomic transition, and `now` is the ledger's clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, Field

from app.domain.callbacks import Outcome
from app.domain.container import Media
from app.domain.policy import DEAD_ROUNDS, Policy
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import UPGRADES, Item, Kind, Step, Work


class State(StrEnum):
    """A generation's state as users see it (design 3.4)."""

    WAITING = "waiting"
    MIRRORING = "mirroring"
    COMPLETE = "complete"
    FAILED = "failed"
    LOST = "lost"


class RenditionState(StrEnum):
    """A rendition's state as users see it (design 3.4)."""

    WANTED = "wanted"
    REQUESTED = "requested"
    MIRRORING = "mirroring"
    STORED = "stored"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"


END_STATES = frozenset({RenditionState.STORED, RenditionState.FAILED, RenditionState.UNAVAILABLE})

#: different things that callbacks may say of one generation before more of them count as repeats
MOST_HEARD = 32


class Order(BaseModel):
    """The purchase of one upgrade. That it exists is the recorded intention: it is written before the first request."""

    #: when the intention was recorded, epoch seconds
    intended_at: float
    #: when the vendor's ordering request was last sent; it may not be repeated sooner than the poll interval
    asked_at: float = 0.0
    asks: int = 0
    #: secret part of this order's callback URL
    token: str = ""
    #: the id that the vendor runs it under, if it is another than the parent's
    alias: str = ""
    #: what a callback on the token's URL said of it, if that was a failure; confirmed by asking
    reported: str = ""


class Rendition(BaseModel):
    """One file of a generation."""

    kind: Kind
    index: int = 0
    state: RenditionState = RenditionState.WANTED
    work: Work = Field(default_factory=Work)
    #: since when it has been tried for: its link's life is counted from here
    since: float
    #: where the vendor serves it; empty: not known yet, or no longer needed
    url: str = ""
    #: a fresh link to the same file, to be tried first
    link: str = ""
    attempts: int = 0
    error: str = ""
    #: how many times in a row the link was dead and could not be renewed
    dead_rounds: int = 0
    order: Order | None = None
    key: str = ""
    bytes: int | None = None
    sha256: str = ""
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    stored_at: float | None = None

    @property
    def ended(self) -> bool:
        """Stored, or a named failure."""
        return self.state in END_STATES

    def end(self, state: RenditionState, error: str = "") -> None:
        """Come to an end. Nothing undoes `stored`."""
        if self.state is RenditionState.STORED:
            return
        self.state, self.error = state, error
        self.work.put_back(None)


@dataclass(frozen=True)
class OrderClaim:
    """The right to ask the vendor about an upgrade."""

    fence: int
    token: str
    #: the vendor's id of the upgrade, if it runs under one of its own
    alias: str
    #: whether the ordering request may be sent now: never two within the poll interval (veo-api §6)
    may_send: bool


class Generation(BaseModel):
    """One Veo task at the vendor's, and all that we know and want of it. Times are epoch seconds on the ledger's clock."""

    task_id: str
    tracked_at: float
    labels: dict[str, str] = Field(default_factory=dict)
    #: upgrades wanted for result 0
    upgrades: list[Kind] = Field(default_factory=list)
    #: the vendor's verdict: `generating` until there is one
    verdict: Progress = Progress.GENERATING
    #: no verdict came in time
    given_up: bool = False
    #: when the present wait for a verdict began
    waiting_since: float
    verdict_at: float | None = None
    verdict_from: str = ""
    complete_at: float | None = None
    code: int = 0
    msg: str = ""
    fallback: bool = False
    credits: float | None = None
    error: str = ""
    #: callbacks received, and how many of them were repeats
    received: int = 0
    duplicates: int = 0
    #: what callbacks have said so far, to know a repeat by
    heard: list[str] = Field(default_factory=list)
    heard_at: float | None = None
    settle: Work = Field(default_factory=Work)
    manifest: Work = Field(default_factory=Work)
    #: counts what a manifest would show; the newest count that a manifest was written for
    changes: int = 0
    written: int = 0
    renditions: list[Rendition] = Field(default_factory=list)

    # --- reading -------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state that users see."""
        if self.verdict is Progress.FAILED:
            return State.FAILED
        if self.given_up or any(rendition.state is RenditionState.FAILED for rendition in self.renditions):
            return State.LOST
        if self.verdict is not Progress.SUCCEEDED:
            return State.WAITING
        return State.COMPLETE if self.complete_at is not None else State.MIRRORING

    @property
    def all_ended(self) -> bool:
        """Nothing is left to fetch or to buy."""
        decided = self.given_up or self.verdict is Progress.FAILED or bool(self.renditions)
        return decided and all(rendition.ended for rendition in self.renditions)

    def find(self, kind: Kind, index: int) -> Rendition | None:
        """The rendition of a kind and index, if it is wanted."""
        return next((r for r in self.renditions if r.kind is kind and r.index == index), None)

    def asked_for(self, kind: Kind, index: int) -> bool:
        """Whether an upgrade has been asked for here, whatever became of it."""
        rendition = self.find(kind, index)
        if rendition is None:
            return False
        return rendition.state is not RenditionState.UNAVAILABLE or rendition.order is not None

    def agenda(self, *, pending: bool) -> dict[Item, float]:
        """All that is to be done and when: what the ledger's index by time is made from.

        :param pending: recorded callbacks wait to be settled
        """
        due: dict[Item, float] = {}
        if pending and not self.settle.leased:
            due[Item(Step.SETTLE, self.task_id)] = 0.0
        elif self.settle.at is not None:
            due[Item(Step.SETTLE, self.task_id)] = self.settle.at
        if self.manifest.at is not None:
            due[Item(Step.MANIFEST, self.task_id)] = self.manifest.at
        for rendition in self.renditions:
            if rendition.work.at is not None:
                step = Step.MIRROR if rendition.url else Step.UPGRADE
                due[Item(step, self.task_id, rendition.kind, rendition.index)] = rendition.work.at
        return due

    # --- what users ask for --------------------------------------------------------------------------------------------

    @classmethod
    def track(cls, task_id: str, now: float, policy: Policy) -> "Generation":
        """A generation that we hear of for the first time."""
        generation = cls(task_id=task_id, tracked_at=now, waiting_since=now, upgrades=list(policy.upgrades))
        generation.settle.at = now + policy.first_poll_after
        return generation

    def want_upgrades(self, kinds: list[Kind], now: float) -> None:
        """Want upgrades of result 0; those wanted already stay as they are."""
        self.upgrades += [kind for kind in kinds if kind not in self.upgrades]
        if self.verdict is Progress.SUCCEEDED:
            for kind in self.upgrades:
                self.want_upgrade(kind, 0, now)

    def want_upgrade(self, kind: Kind, index: int, now: float) -> None:
        """Want one upgrade of a succeeded generation. The fallback model's videos have none (veo-api §4)."""
        rendition = self.find(kind, index)
        if rendition is None:
            rendition = self._want(kind, index, now)
        elif rendition.state is RenditionState.UNAVAILABLE and rendition.order is None and not self.fallback:
            self._try_again(rendition, now)  # it existed at the vendor's, but nobody had asked for it here
        else:
            return
        if self.fallback:
            self._end_upgrade(rendition, "made by the fallback model: cannot be upgraded", now)

    def set_labels(self, labels: dict[str, str], now: float) -> None:
        """Add labels; equal keys are overwritten."""
        merged = self.labels | labels
        if merged != self.labels:
            self.labels = merged
            self._changed(now)

    def retry(self, now: float) -> int:
        """Try again what failed. Gives how many renditions (or the verdict, counted as one) are under way again."""
        if self.state is State.FAILED or self.given_up:
            self.verdict, self.given_up, self.error = Progress.GENERATING, False, ""
            self.waiting_since = now
            self.settle.put_back(now)
            return 1
        again = [rendition for rendition in self.renditions if self._can_retry(rendition)]
        for rendition in again:
            self._try_again(rendition, now)
        return len(again)

    # --- news ----------------------------------------------------------------------------------------------------------

    def count_callback(self, said: str, now: float) -> bool:
        """Count a callback by what it said. False: it is a repeat."""
        self.received += 1
        self.heard_at = now
        self._changed(now)
        if said in self.heard or len(self.heard) >= MOST_HEARD:
            self.duplicates += 1
            return False
        self.heard.append(said)
        return True

    def needs_verdict(self, outcome: Outcome | None) -> bool:
        """Whether the vendor is to be asked: no verdict yet, or a failure that a callback now contradicts."""
        if self.verdict is Progress.SUCCEEDED:
            return False
        waiting = self.verdict is not Progress.FAILED and not self.given_up
        return waiting or outcome in (Outcome.SUCCEEDED, Outcome.ASK)

    def hear(self, verdict: Verdict, source: str, now: float) -> None:
        """Take in a verdict, from wherever it came. Success outranks failure; repeats change nothing.

        :param source: `callback` or `poll`: what brought it
        """
        if verdict.credits is not None:
            self.credits = verdict.credits
        if verdict.progress is Progress.SUCCEEDED and verdict.urls:
            self._succeed(verdict, source, now)
        elif verdict.progress is Progress.FAILED and self.verdict not in (Progress.SUCCEEDED, Progress.FAILED):
            self._set_verdict(verdict, source, now)

    def await_verdict(self, now: float, policy: Policy) -> None:
        """Ask again later if there is no verdict yet, or give up when it is too late."""
        if self.verdict is Progress.SUCCEEDED or self.verdict is Progress.FAILED:
            self.settle.put_back(None)
            return
        end = self.waiting_since + policy.give_up_after
        if now >= end:
            said = f"; its callbacks said: {', '.join(self.heard)}" if self.heard else ""
            self.given_up, self.verdict_at = True, now
            self.error = f"no verdict within {policy.give_up_after:g} s{said}"
            self.settle.put_back(None)
            self._changed(now)
            return
        since = self.waiting_since if self.heard_at is None else self.heard_at
        self.settle.put_back(min(end, now + policy.poll_pause(now - since, expected=self.heard_at is not None)))

    # --- mirroring -----------------------------------------------------------------------------------------------------

    def claim_mirror(self, rendition: Rendition, now: float, policy: Policy) -> int | None:
        """Claim a download. Gives the fencing number, or None when there is nothing to do for this worker."""
        if rendition.ended or not rendition.url:
            return None
        fence = rendition.work.claim(now, policy.lease)
        if fence is not None:
            rendition.state = RenditionState.MIRRORING
            rendition.attempts += 1
        return fence

    def hand_over(self, rendition: Rendition, now: float) -> None:
        """The worker stops: this was no attempt, and another worker may begin at once."""
        rendition.attempts -= 1
        rendition.work.put_back(now)

    def store(self, rendition: Rendition, key: str, size: int, sha256: str, media: Media, now: float) -> None:
        """A rendition is safe: checked, uploaded and confirmed."""
        rendition.end(RenditionState.STORED)
        rendition.key, rendition.bytes, rendition.sha256 = key, size, sha256
        rendition.width, rendition.height, rendition.seconds = media.width, media.height, media.seconds
        rendition.stored_at, rendition.url, rendition.link, rendition.dead_rounds = now, "", "", 0
        self._changed(now)

    def retry_later(self, rendition: Rendition, error: str, now: float, policy: Policy, chance: float) -> None:
        """An attempt failed. It is tried again until the link's life ends; a failed download fails no generation."""
        rendition.error, rendition.dead_rounds = error, 0
        if now - rendition.since >= policy.link_lifetime:
            self.fail(rendition, f"given up at the end of the link's life: {error}", now)
            return
        rendition.work.put_back(now + policy.retry_pause(rendition.attempts, chance))

    def find_dead(self, rendition: Rendition, error: str, now: float, policy: Policy, chance: float) -> None:
        """A link was dead and the vendor had no other. Believed only after several rounds: CDNs have bad minutes."""
        rounds = rendition.dead_rounds + 1
        if rounds >= DEAD_ROUNDS:
            self.fail(rendition, f"link dead everywhere: {error}", now)
        else:
            self.retry_later(rendition, error, now, policy, chance)
            rendition.dead_rounds = rounds

    def fail(self, rendition: Rendition, error: str, now: float) -> None:
        """Give a rendition up, by name."""
        rendition.end(RenditionState.FAILED, error)
        self._changed(now)

    # --- upgrades ------------------------------------------------------------------------------------------------------

    def claim_upgrade(self, kind: Kind, index: int, now: float, policy: Policy, token: str) -> OrderClaim | None:
        """Claim the ordering of (or asking about) an upgrade, and record the intention before anything is sent.

        :param token: used if this is the first time
        """
        rendition = self.find(kind, index)
        if rendition is None or rendition.ended or rendition.url or kind not in UPGRADES:
            return None
        fence = rendition.work.claim(now, policy.lease)
        if fence is None:
            return None
        if rendition.order is None:
            rendition.order = Order(intended_at=now, token=token)
        order = rendition.order
        may_send = now - order.asked_at >= policy.poll_interval
        if may_send:
            order.asked_at = now
            order.asks += 1
        rendition.state = RenditionState.REQUESTED
        return OrderClaim(fence, order.token, order.alias, may_send)

    def postpone_upgrade(self, rendition: Rendition, reason: str, until: float) -> None:
        """The order may not be sent yet: no budget, or the vendor's rate limit."""
        if not rendition.ended and not rendition.work.leased:
            rendition.error = reason
            rendition.work.put_back(until)

    def expect_upgrade(self, rendition: Rendition, reported: str, now: float, policy: Policy) -> None:
        """A callback about an upgrade came: ask about it at once, or as soon as the vendor may be asked again."""
        order = rendition.order
        if rendition.ended or rendition.url or order is None:
            return
        order.reported = reported or order.reported
        if not rendition.work.leased:
            soonest = now if order.alias else max(now, order.asked_at + policy.poll_interval)
            rendition.work.put_back(min(soonest, rendition.work.at or soonest))

    def hear_order(self, rendition: Rendition, answer: OrderAnswer, now: float, policy: Policy) -> None:
        """Take in the vendor's answer about an upgrade."""
        order = rendition.order
        if rendition.ended or rendition.url or order is None:
            return
        if answer.task_id and answer.task_id != self.task_id:
            order.alias = answer.task_id
        rendition.error = answer.msg if answer.progress in (OrderProgress.NOT_YET, OrderProgress.UNCERTAIN) else ""
        # Code 500 alone may be a passing fault; after a callback that reported failure it is the confirmation.
        confirmed = bool(order.reported) and answer.code in (500, 501)
        if answer.progress is OrderProgress.READY and answer.urls.result:
            self._receive_upgrade(rendition, answer.urls, now)
        elif answer.progress is OrderProgress.UNAVAILABLE or confirmed:
            self._end_upgrade(rendition, answer.msg or f"the vendor answered code {answer.code}", now)
        elif now - order.intended_at >= policy.give_up_after:
            last = answer.msg or order.reported or f"code {answer.code}"
            self._end_upgrade(rendition, f"nothing within {policy.give_up_after:g} s; last: {last}", now)
        else:
            first = answer.progress is OrderProgress.ORDERED and order.asks == 1
            waited = now - order.intended_at
            pause = policy.upgrade_pause(rendition.kind) if first else policy.poll_pause(waited, expected=False)
            rendition.work.put_back(now + pause)

    def deny_upgrade(self, kind: Kind, index: int, reason: str, now: float) -> None:
        """Note an upgrade that exists at the vendor's, but that nobody asked for here."""
        if self.find(kind, index) is None:
            self._end_upgrade(self._want(kind, index, now), reason, now)

    # --- the manifest --------------------------------------------------------------------------------------------------

    def claim_manifest(self, now: float, policy: Policy) -> int | None:
        """Claim the writing of the manifest."""
        return self.manifest.claim(now, policy.lease)

    def finish_manifest(self, fence: int, changes: int, complete_at: float | None, now: float) -> bool:
        """A manifest that shows `changes` was written. False: another may have been written meanwhile; write anew."""
        if not self.manifest.holds(fence):
            self._changed(now)
            return False
        self.written = max(self.written, changes)
        self.manifest.put_back(now if self.changes > self.written else None)
        if self.changes == self.written and self.all_ended:
            self.complete_at = complete_at
        return True

    def completion(self, now: float) -> float | None:
        """When the generation counts as complete if its manifest is written now; None: it does not."""
        whole = self.verdict is Progress.SUCCEEDED and self.all_ended
        failed = any(rendition.state is RenditionState.FAILED for rendition in self.renditions)
        return (self.complete_at or now) if whole and not failed else None

    # --- inside --------------------------------------------------------------------------------------------------------

    def _succeed(self, verdict: Verdict, source: str, now: float) -> None:
        if self.verdict is not Progress.SUCCEEDED:
            self._set_verdict(verdict, source, now)
            self.fallback = verdict.fallback
        for kind, index, url in _by_rendition(verdict):
            if self.find(kind, index) is None:
                self._want(kind, index, now).url = url
        if verdict.main is Kind.RESULT:
            self.want_upgrades([], now)

    def _set_verdict(self, verdict: Verdict, source: str, now: float) -> None:
        self.verdict, self.given_up = verdict.progress, False
        self.verdict_at, self.verdict_from = now, source
        self.code, self.msg, self.error = verdict.code, verdict.msg, ""
        self.settle.put_back(None)
        self._changed(now)

    def _want(self, kind: Kind, index: int, now: float) -> Rendition:
        rendition = Rendition(kind=kind, index=index, since=now)
        rendition.work.at = now
        self.renditions.append(rendition)
        self.complete_at = None
        self._changed(now)
        return rendition

    def _receive_upgrade(self, rendition: Rendition, urls: Urls, now: float) -> None:
        rendition.url, rendition.error = urls.result[0], ""
        rendition.state = RenditionState.WANTED
        rendition.work.put_back(now)
        if urls.image and self.find(Kind.IMAGE, rendition.index) is None:
            self._want(Kind.IMAGE, rendition.index, now).url = urls.image[0]

    def _try_again(self, rendition: Rendition, now: float) -> None:
        rendition.state, rendition.error, rendition.dead_rounds = RenditionState.WANTED, "", 0
        rendition.since = now
        rendition.work.put_back(now)
        if rendition.order is not None:
            rendition.order.intended_at, rendition.order.reported = now, ""
        self.complete_at = None
        self._changed(now)

    def _can_retry(self, rendition: Rendition) -> bool:
        if rendition.state is RenditionState.UNAVAILABLE:
            # Without an order nobody asked for it here: trying again would buy it unasked.
            return rendition.order is not None and not self.fallback
        return rendition.state is RenditionState.FAILED

    def _end_upgrade(self, rendition: Rendition, reason: str, now: float) -> None:
        rendition.end(RenditionState.UNAVAILABLE, reason)
        self._changed(now)

    def _changed(self, now: float) -> None:
        """Something that a manifest shows has changed: have it written, once there is something to show."""
        self.changes += 1
        if not self.manifest.leased and (self.all_ended or any(r.stored_at for r in self.renditions)):
            self.manifest.at = now


def _by_rendition(verdict: Verdict) -> Iterator[tuple[Kind, int, str]]:
    urls = verdict.urls
    kinds = ((verdict.main, urls.result), (Kind.ORIGIN, urls.origin), (Kind.FULL, urls.full), (Kind.IMAGE, urls.image))
    for kind, found in kinds:
        for index, url in enumerate(found):
            yield kind, index, url
