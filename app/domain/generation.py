"""A generation and its renditions: what is known, what is wanted, and what may happen to them.

Methods change the object in place and touch nothing outside. The ledger reads a generation, lets one of these methods run and
writes it back only if nobody else wrote in between; so each method is one atomic transition, and `now` is the ledger's clock.
"""

from collections.abc import Iterator
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from app.domain.callbacks import Outcome
from app.domain.container import Media
from app.domain.policy import DEAD_ROUNDS, INVISIBLE, Policy
from app.domain.rendition import Order, OrderClaim, Rendition, RenditionState
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


#: answers with code 500 in a row that confirm a reported failure of an upgrade
DENIALS = 3
#: different things that callbacks may say of one generation before more of them count as repeats
MOST_HEARD = 32


class Generation(BaseModel):
    """One Veo task at the vendor's, and all that we know and want of it. Times are epoch seconds on the ledger's clock."""

    # Fields of a newer version are kept, so that old and new workers may run side by side.
    model_config = ConfigDict(extra="allow")

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
    #: since when a callback contradicts that the generation has failed or is lost; the vendor is asked until it is clear
    doubt_since: float | None = None
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
    #: why the manifest could not be written, and how often in a row
    manifest_error: str = ""
    manifest_failures: int = 0
    renditions: list[Rendition] = Field(default_factory=list)

    # --- reading -------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state that users see."""
        if self.verdict is Progress.FAILED:
            return State.FAILED
        if self.given_up or self._lost_renditions():
            return State.LOST
        if self.verdict is not Progress.SUCCEEDED:
            return State.WAITING
        return State.COMPLETE if self.complete_at is not None else State.MIRRORING

    @property
    def undecided(self) -> bool:
        """Whether the vendor has to be asked for a verdict."""
        if self.verdict is Progress.SUCCEEDED:
            return False
        return self.doubt_since is not None or not (self.given_up or self.verdict is Progress.FAILED)

    @property
    def all_ended(self) -> bool:
        """Nothing is left to fetch or to buy."""
        decided = self.given_up or self.verdict is Progress.FAILED or bool(self.renditions)
        return decided and all(rendition.ended for rendition in self.renditions)

    def find(self, kind: Kind, index: int) -> Rendition | None:
        """The rendition of a kind and index, if it is wanted."""
        return next((r for r in self.renditions if r.kind is kind and r.index == index), None)

    def asked_for(self, kind: Kind, index: int) -> bool:
        """Whether an upgrade is wanted already, and has not come to be unavailable."""
        rendition = self.find(kind, index)
        return rendition is not None and rendition.state is not RenditionState.UNAVAILABLE

    def work(self, item: Item) -> Work | None:
        """The work that an item stands for."""
        if item.kind is None:
            return self.settle if item.step is Step.SETTLE else self.manifest
        rendition = self.find(item.kind, item.index)
        return rendition.work if rendition else None

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
        """Want upgrades of result 0; those wanted already stay as they are, those unavailable too."""
        self.upgrades += [kind for kind in kinds if kind not in self.upgrades]
        if self.verdict is Progress.SUCCEEDED:
            for kind in self.upgrades:
                rendition = self.find(kind, 0)
                # What existed at the vendor's without being asked for here has no order: now it is asked for.
                if rendition is None or (rendition.state is RenditionState.UNAVAILABLE and rendition.orders == 0):
                    self.want_upgrade(kind, 0, now)

    def want_upgrade(self, kind: Kind, index: int, now: float) -> None:
        """Want one upgrade of a succeeded generation, once more if it was unavailable.

        The fallback model's videos have none (veo-api §4).
        """
        rendition = self.find(kind, index)
        if rendition is None:
            rendition = self._want(kind, index, now)
            if self.fallback:
                self._end_upgrade(rendition, "made by the fallback model: cannot be upgraded", now)
        elif rendition.state is RenditionState.UNAVAILABLE and not self.fallback:
            # A new order: with its own intention, its own callback URL, its own place in the budget.
            rendition.last_asked = rendition.order.asked_at if rendition.order else rendition.last_asked
            rendition.order = None
            self._try_again(rendition, now)

    def set_labels(self, labels: dict[str, str], now: float) -> None:
        """Add labels; equal keys are overwritten."""
        merged = self.labels | labels
        if merged != self.labels:
            self.labels = merged
            self._changed(now)

    def retry(self, now: float) -> int:
        """Try again what failed. Gives how many renditions (or the verdict, counted as one) are under way again.

        An upgrade that is unavailable is left as it is: trying again may cost credits, so it has to be asked for by name.
        """
        if self.state is State.FAILED or self.given_up:
            self.verdict, self.given_up, self.doubt_since = Progress.GENERATING, False, None
            self.code, self.msg, self.error, self.verdict_at, self.verdict_from = 0, "", "", None, ""
            self.waiting_since = now
            self.settle.put_back(now)
            self._changed(now)
            return 1
        again = [rendition for rendition in self.renditions if rendition.state is RenditionState.FAILED]
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

    def doubt(self, outcome: Outcome, now: float) -> None:
        """A callback about the verdict came: if it contradicts a failure or a giving-up, the vendor is asked anew."""
        contradicted = self.verdict is Progress.FAILED and outcome is not Outcome.FAILED
        if contradicted or self.given_up:
            self.doubt_since = now

    def hear(self, verdict: Verdict, source: str, now: float) -> None:
        """Take in a verdict, from wherever it came. Success outranks failure; repeats change nothing.

        :param source: `callback` or `poll`: what brought it
        """
        if verdict.credits is not None:
            self.credits = verdict.credits
        if verdict.progress is Progress.SUCCEEDED and verdict.urls.result:
            self._succeed(verdict, source, now)
        elif verdict.progress is Progress.FAILED and self.verdict is Progress.GENERATING:
            self._set_verdict(verdict, source, now)
        elif verdict.progress is Progress.FAILED and now - (self.doubt_since or now) > INVISIBLE:
            self._end_doubt()  # said again, and not in the moments in which the vendor's records may lag

    def await_verdict(self, now: float, policy: Policy, trouble: str = "") -> None:
        """Ask again later if there is no verdict yet, or give up when it is too late.

        :param trouble: why the vendor could not be asked. While that lasts nothing is given up that the vendor may still hold.
        """
        if not self.undecided:
            self.settle.put_back(None)
            return
        if not self.given_up:
            self.error = f"the vendor cannot be asked: {trouble}" if trouble else ""
        began = self.waiting_since if self.doubt_since is None else self.doubt_since
        end = began + (max(policy.give_up_after, policy.link_lifetime) if trouble else policy.give_up_after)
        if now >= end:
            self._give_up(now, policy)
            return
        since = max(began, self.heard_at or 0.0)
        expected = self.heard_at is not None
        self.settle.put_back(min(end, now + policy.poll_pause(now - since, expected=expected)))

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
        rendition.dead_rounds, rendition.dead_since = 0, None
        self._try_later(rendition, error, now, policy, chance)

    def _try_later(self, rendition: Rendition, error: str, now: float, policy: Policy, chance: float) -> None:
        rendition.error = error
        if now - rendition.since >= policy.link_lifetime:
            self.fail(rendition, f"given up at the end of the link's life: {error}", now)
            return
        rendition.work.put_back(now + policy.retry_pause(rendition.attempts, chance))

    def drop_link(self, rendition: Rendition, error: str, now: float, policy: Policy, chance: float) -> None:
        """The fresh link, if there was one, is of no use. The file's own URL is tried again."""
        rendition.link = ""
        self._try_later(rendition, error, now, policy, chance)

    def follow_link(
        self, rendition: Rendition, url: str, link: str, error: str, now: float, policy: Policy, chance: float
    ) -> None:
        """A link was dead, but the vendor has another: a new URL of the file, or a fresh link that lives for minutes.

        If it was a fresh link that was dead, this counts as a dead round all the same: the vendor may sign links to what is gone.
        """
        if rendition.link:
            self.find_dead(rendition, error, now, policy, chance)
        else:
            self._try_later(rendition, f"{error}; trying a fresh link", now, policy, chance)
        if not rendition.ended:
            rendition.url, rendition.link = url or rendition.url, link

    def find_dead(self, rendition: Rendition, error: str, now: float, policy: Policy, chance: float) -> None:
        """A link was dead, and the vendor had no other. Believed after several rounds and some time: CDNs have bad minutes."""
        rendition.link = ""
        rounds, since = rendition.dead_rounds + 1, rendition.dead_since or now
        if rounds >= DEAD_ROUNDS and now - since >= policy.dead_after:
            self.fail(rendition, f"link dead everywhere: {error}", now)
        else:
            rendition.dead_rounds, rendition.dead_since = rounds, since
            self._try_later(rendition, error, now, policy, chance)

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
            rendition.order = Order(intended_at=now, token=token, asked_at=rendition.last_asked)
            rendition.orders += 1
        rendition.state = RenditionState.REQUESTED
        order = rendition.order
        return OrderClaim(fence, order.token, order.alias, sent=order.asks > 0)

    def may_send_order(self, rendition: Rendition, fence: int, now: float, policy: Policy) -> bool:
        """Whether the ordering request may be sent now; noted, so that two never go out within the poll interval (veo-api §6)."""
        order = rendition.order
        if order is None or not rendition.work.renew(fence, now, policy.lease):
            return False
        if now - order.asked_at < policy.poll_interval:
            return False
        order.asked_at = now
        order.asks += 1
        return True

    def postpone_upgrade(self, rendition: Rendition, reason: str, until: float, now: float) -> None:
        """The order may not be sent yet: no budget, or the vendor's rate limit."""
        lapsed = rendition.work.at is not None and rendition.work.at <= now
        if not rendition.ended and (lapsed or not rendition.work.leased):
            rendition.error = reason
            rendition.work.put_back(until)

    def expect_upgrade(
        self, rendition: Rendition, failure: str, now: float, policy: Policy, *, revive: bool = True
    ) -> None:
        """A callback about an ordered upgrade came: ask about it at once, or as soon as the vendor may be asked again.

        :param failure: what it said if it reported a failure, else empty: then even an upgrade that was taken, and found
            unavailable, is asked about once more, for success outranks failure
        :param revive: whether it may have that effect: not a repeat, nor what says nothing for sure
        """
        order = rendition.order
        if order is None or rendition.url:
            return
        # Only what the vendor has taken: asking about anything else could buy it on a callback's word.
        revived = rendition.state is RenditionState.UNAVAILABLE and order.taken and revive and not failure
        if rendition.ended and not revived:
            return
        if revived:
            self._try_again(rendition, now)
            rendition.state = RenditionState.REQUESTED
        order.reported, order.news = failure, True
        if not rendition.work.leased:
            soonest = now if order.alias else max(now, order.asked_at + policy.poll_interval)
            rendition.work.put_back(soonest if revived else min(soonest, rendition.work.at or soonest))

    def hear_order(self, rendition: Rendition, answer: OrderAnswer, now: float, policy: Policy) -> None:
        """Take in the vendor's answer about an upgrade."""
        order = rendition.order
        if rendition.ended or rendition.url or order is None:
            return
        if answer.task_id and answer.task_id != self.task_id:
            order.alias = answer.task_id
        refused = answer.progress in (OrderProgress.NOT_YET, OrderProgress.UNAVAILABLE)
        order.taken = order.taken or (order.asks > 0 and not refused)
        rendition.error = answer.msg if answer.progress in (OrderProgress.NOT_YET, OrderProgress.UNCERTAIN) else ""
        # A code 500 may be a passing fault; several in a row, after a callback that reported failure, are the confirmation.
        order.denials = order.denials + 1 if order.reported and answer.code in (500, 501) else 0
        asked_long_ago = now - order.intended_at >= policy.give_up_after
        if answer.progress is OrderProgress.READY and answer.urls.result:
            self._receive_upgrade(rendition, answer.urls, now)
        elif answer.progress is OrderProgress.UNAVAILABLE or order.denials >= DENIALS:
            self._end_upgrade(rendition, answer.msg or f"the vendor answered code {answer.code}", now)
        elif (
            asked_long_ago and answer.code
        ):  # while the vendor cannot be reached, nothing that was paid for is given up
            last = answer.msg or order.reported or f"code {answer.code}"
            self._end_upgrade(rendition, f"nothing within {policy.give_up_after:g} s; last: {last}", now)
        else:
            first = answer.progress is OrderProgress.ORDERED and order.asks == 1 and not order.news
            pause = policy.poll_pause(now - order.intended_at, expected=False)
            rendition.work.put_back(now + (policy.upgrade_pause(rendition.kind) if first else pause))
        order.news = False

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
        self.manifest_error, self.manifest_failures = "", 0
        self.manifest.put_back(now if self.changes > self.written else None)
        if self.changes == self.written and self.all_ended:
            self.complete_at = complete_at
        return True

    def postpone_manifest(self, fence: int, error: str, now: float, policy: Policy, chance: float) -> None:
        """The manifest could not be written: say why, and try again later."""
        if self.manifest.holds(fence):
            self.manifest_error = error
            self.manifest_failures += 1
            self.manifest.put_back(now + policy.retry_pause(self.manifest_failures, chance))

    def completion(self, now: float) -> float | None:
        """When the generation counts as complete if its manifest is written now; None: it does not."""
        whole = self.verdict is Progress.SUCCEEDED and self.all_ended
        return (self.complete_at or now) if whole and not self._lost_renditions() else None

    # --- inside --------------------------------------------------------------------------------------------------------

    def _succeed(self, verdict: Verdict, source: str, now: float) -> None:
        if self.verdict is not Progress.SUCCEEDED:
            self._set_verdict(verdict, source, now)
            self.fallback = verdict.fallback
        for kind, index, url in _by_rendition(verdict):
            rendition = self.find(kind, index)
            if rendition is None:
                self._want(kind, index, now).url = url
            elif rendition.state is RenditionState.UNAVAILABLE:
                self._try_again(rendition, now)
                rendition.url = url
        if verdict.main is Kind.RESULT:
            self.want_upgrades([], now)

    def _lost_renditions(self) -> bool:
        """Whether a video is lost. A preview picture is no loss."""
        return any(r.state is RenditionState.FAILED and r.kind is not Kind.IMAGE for r in self.renditions)

    def _end_doubt(self) -> None:
        """It stays what it was before."""
        self.doubt_since = None
        if not self.given_up:
            self.error = ""

    def _give_up(self, now: float, policy: Policy) -> None:
        self.settle.put_back(None)
        if self.doubt_since is not None:
            self._end_doubt()
            return
        said = f"; its callbacks said: {', '.join(self.heard)}" if self.heard else ""
        self.given_up, self.verdict_at = True, now
        self.error = f"no verdict within {policy.give_up_after:g} s{said}"
        self._changed(now)

    def _set_verdict(self, verdict: Verdict, source: str, now: float) -> None:
        self.verdict, self.given_up, self.doubt_since = verdict.progress, False, None
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
        rendition.state, rendition.error, rendition.since = RenditionState.WANTED, "", now
        rendition.dead_rounds, rendition.dead_since = 0, None
        rendition.work.put_back(now)
        if rendition.order is not None:
            rendition.order.intended_at, rendition.order.denials = now, 0
        self.complete_at = None
        self._changed(now)

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
