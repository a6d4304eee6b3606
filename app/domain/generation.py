"""A generation and its renditions: what is known, what is wanted, and what may happen to them.

Methods change the object in place and touch nothing outside. The ledger reads a generation, lets one of these methods run and
writes it back only if nobody else wrote in between; so each method is one atomic transition, and `now` is the ledger's clock.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import ConfigDict, Field

from app.domain.asked import NOTHING_ASKED, Asked, compare, lines, satisfies
from app.domain.callbacks import Outcome, read_text
from app.domain.container import Media
from app.domain.news import LONGEST_REASON, Fact, Teller
from app.domain.outbox import Outbox
from app.domain.policy import DEAD_ROUNDS, INVISIBLE, Policy
from app.domain.rendition import FRESH, Order, OrderClaim, Rendition, RenditionState
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import UPGRADES, Item, Kind, Step, Work, order_account

#: answers with code 500 in a row that confirm a reported failure of an upgrade
DENIALS = 3
#: noted where an upgrade is final and a callback speaks of it as made
SAID_OTHERWISE = "; a callback says that it exists: ask for the upgrade to have it looked for"
#: why an old generation is lost
UNKNOWN_ID = "the vendor does not know this id"
#: why a rendition is given up of which a manifest told, but not where the vendor has it
FORGOTTEN = "where the vendor has it was forgotten with the ledger"
#: what callbacks about the generation itself are noted as
OWN = "generation"
#: different things that callbacks may say of one generation before more of them count as repeats
MOST_HEARD = 32
#: What is at risk: a file that so many attempts did not bring, or whose link ends within so many seconds; a verdict that took so
#: many times the wait for the first poll, an upgrade so many times the wait for it.
MANY_ATTEMPTS, NEAR_END, OVERDUE = 3, 2 * 86400.0, 4.0


class Generation(Teller):
    """One Veo task at the vendor's, and all that we know and want of it. Times are epoch seconds on the ledger's clock."""

    # Fields of a newer version are kept, so that old and new workers may run side by side.
    model_config = ConfigDict(extra="allow")

    task_id: str
    tracked_at: float
    labels: dict[str, str] = Field(default_factory=dict)
    #: our id of its submission, if it was submitted here; what was asked for then; the generation that it extends
    submission: str = ""
    request: dict[str, Any] = Field(default_factory=dict)
    parent: str = ""
    #: see `Submission.fingerprint`
    fingerprint: str = ""
    #: it was made long ago: what the vendor does not know of it now, it will not know later
    old: bool = False
    #: credits reserved for it, its upgrades not counted
    price: float = 0.0
    #: what the video was asked to be like
    asked: Asked = NOTHING_ASKED
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
    #: when the vendor says that it was made, by its clock: its links end by that
    made_at: float | None = None
    complete_at: float | None = None
    code: int = 0
    msg: str = ""
    fallback: bool = False
    #: what the vendor says it took, upgrades not counted
    credits: float | None = None
    error: str = ""
    #: what is missing from the vendor's account of a success; asked about until the time to give up
    missing: str = ""
    #: callbacks received, and how many of them were repeats
    received: int = 0
    duplicates: int = 0
    #: what callbacks have said so far, to know a repeat by
    heard: list[str] = Field(default_factory=list)
    heard_at: float | None = None
    #: until the verdict: when the first callback came, by the clock of the process that recorded it. For people, not for rules
    called_at: float | None = None
    #: while a verdict is overdue: when it will be given up
    too_late_at: float | None = None
    settle: Work = Field(default_factory=Work)
    manifest: Work = Field(default_factory=Work)
    #: counts what a manifest would show; the newest count that a manifest was written for
    changes: int = 0
    written: int = 0
    #: why the manifest could not be written, and how often in a row
    manifest_error: str = ""
    manifest_failures: int = 0
    renditions: list[Rendition] = Field(default_factory=list)
    #: events on their way to the user's receiver
    outbox: Outbox = Field(default_factory=Outbox)

    # --- reading -------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state that users see."""
        if self.verdict is Progress.FAILED:
            return State.FAILED
        if self._lost_renditions():
            return State.LOST
        if self.verdict is not Progress.SUCCEEDED:
            return State.LOST if self.given_up else State.WAITING
        return State.COMPLETE if self.complete_at is not None else State.MIRRORING

    @property
    def undecided(self) -> bool:
        """Whether the vendor has to be asked for a verdict, or for what is missing from it."""
        if self.verdict is Progress.SUCCEEDED:
            return bool(self.missing or self._list_forgotten()) and not self.given_up
        return self.doubt_since is not None or not (self.given_up or self.verdict is Progress.FAILED)

    @property
    def settled_at(self) -> float | None:
        """When the last thing happened to it, if it is complete or has failed and nothing is left to do; None: it is not."""
        end = {State.COMPLETE: self.complete_at, State.FAILED: self.verdict_at}.get(self.state)
        if end is None or self.changes != self.written or self.agenda(pending=False):
            return None
        return max(end, self.heard_at or 0.0)

    @property
    def all_ended(self) -> bool:
        """Nothing is left to fetch or to buy."""
        decided = self.given_up or self.verdict is Progress.FAILED or bool(self.renditions)
        return decided and all(rendition.ended for rendition in self.renditions)

    def find(self, kind: Kind, index: int) -> Rendition | None:
        """The rendition of a kind and index, if it is wanted."""
        return next((r for r in self.renditions if r.kind is kind and r.index == index), None)

    @property
    def cost(self) -> float:
        """What it and its upgrades are reckoned to have cost, in credits."""
        own = self.price if self.credits is None else self.credits
        return own + sum(rendition.cost for rendition in self.renditions)

    def bills(self) -> dict[str, float]:
        """What is known for certain to have been paid, in credits, by the account that it was reserved under."""
        paid: dict[str, float] = {}
        if self.submission and self.credits is not None:
            paid[str(Item(Step.SUBMIT, self.submission))] = self.credits
        for rendition in self.renditions:
            order = rendition.order
            # Without an order, it is the next one that something may have been reserved for.
            number = rendition.orders + (order is None)
            account = order_account(self.task_id, rendition.kind, rendition.index, number)
            if order is not None and order.credits is not None:
                paid[account] = order.credits
            elif rendition.refused or (order is None and rendition.state is RenditionState.UNAVAILABLE):
                paid[account] = 0.0
        return paid

    def asked_for(self, kind: Kind, index: int) -> bool:
        """Whether an upgrade is wanted already, and has not come to be unavailable."""
        rendition = self.find(kind, index)
        return rendition is not None and rendition.state is not RenditionState.UNAVAILABLE

    def why_not_extend(self) -> str:
        """Why it cannot be extended; empty: it can (veo-api §3)."""
        if self.verdict is not Progress.SUCCEEDED:
            return "it has no verdict yet" if self.state is State.WAITING else f"it is {self.state}"
        if any(r.kind is Kind.HD and r.state is not RenditionState.UNAVAILABLE for r in self.renditions):
            return "its 1080p was made or is wanted, and the vendor extends no generation whose 1080p was made"
        return ""

    def why_not_upgrade(self, kind: Kind, index: int) -> str:
        """Why one of its results cannot be upgraded; empty: it can."""
        if self.fallback:
            return "the fallback model made this video: it cannot be upgraded"
        if self.state is State.WAITING:
            return 'the generation has no verdict yet; PUT it with "upgrades" to have it upgraded when it succeeds'
        result = self.find(Kind.RESULT, index)
        if self.verdict is not Progress.SUCCEEDED or result is None:
            return f"the generation is {self.state} and has no result {index} that could be upgraded"
        if satisfies(kind, lines(result.look)):
            return f"result {index} has {lines(result.look)} lines already: a {kind} would bring nothing"
        return ""

    @property
    def is_uncertain(self) -> bool:
        """Whether an upgrade of it may or may not have been bought."""
        return any(
            order.taken and not order.confirmed and not rendition.ended and not rendition.url
            for rendition in self.renditions
            if (order := rendition.order) is not None
        )

    @property
    def risk_until(self) -> float | None:
        """When it will be too late for what is overdue or keeps failing; None: nothing is."""
        ends = [self.too_late_at, *(rendition.too_late_at for rendition in self.renditions)]
        return min((end for end in ends if end is not None), default=None)

    @property
    def upgrade_kinds(self) -> set[Kind]:
        """The upgrades that it has or is to have."""
        return {*self.upgrades, *(rendition.kind for rendition in self.renditions if rendition.kind in UPGRADES)}

    def find_work(self, item: Item) -> Work | None:
        """The work that an item stands for."""
        if item.kind is None:
            return {Step.SETTLE: self.settle, Step.NOTIFY: self.outbox.work}.get(item.step, self.manifest)
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
        if self.outbox.work.at is not None:
            due[Item(Step.NOTIFY, self.task_id)] = self.outbox.work.at
        for rendition in self.renditions:
            if rendition.work.at is not None:
                step = Step.MIRROR if rendition.url else Step.UPGRADE
                due[Item(step, self.task_id, rendition.kind, rendition.index)] = rendition.work.at
        return due

    def places(self, now: float) -> dict[Item, float]:
        """By when what is to be mirrored should be: see `Rendition.place`."""
        return {
            Item(Step.MIRROR, self.task_id, rendition.kind, rendition.index): rendition.place(self.made_at, now)
            for rendition in self.renditions
            if rendition.work.at is not None and rendition.url
        }

    # --- what users ask for --------------------------------------------------------------------------------------------

    @classmethod
    def track(cls, task_id: str, now: float, policy: Policy) -> "Generation":
        """A generation that we hear of for the first time."""
        generation = cls(task_id=task_id, tracked_at=now, waiting_since=now, upgrades=list(policy.upgrades))
        generation.settle.at = now + policy.first_poll_after
        generation.tell(now, "generation.tracked")
        return generation

    def adopt(self, submission: Submission, now: float) -> bool:
        """Carry on what was submitted here. False: it is another submission's."""
        if self.submission not in ("", submission.id):
            return False
        if not self.submission:
            self.tracked_at = min(self.tracked_at, submission.tracked_at)
            self.submission, self.parent, self.price = submission.id, submission.parent, submission.price
            self.request, self.asked = submission.request.shown(), submission.request.asked
            self.fingerprint = submission.fingerprint
            self.tell(now, "generation.linked", id=submission.id)
            self._changed(now)
        self.set_labels(submission.labels, now)
        self.want_upgrades(submission.upgrades, now)
        return True

    def want_upgrades(self, kinds: list[Kind], now: float) -> None:
        """Want upgrades of result 0; those wanted already stay as they are, those unavailable too."""
        if new := [kind for kind in kinds if kind not in self.upgrades]:
            self.upgrades += new
            self._changed(now)
        eligible = self.verdict is Progress.SUCCEEDED and self.find(Kind.RESULT, 0) is not None
        if eligible and not self._must_be_looked_at():
            for kind in self.upgrades:
                rendition = self.find(kind, 0)
                # What existed at the vendor's without being asked for here has no order: now it is asked for.
                if rendition is None and (needless := self._why_needless(kind)):
                    self._end_upgrade(self._want(kind, 0, now), needless, now)
                elif rendition is None or rendition.denied:
                    self.want_upgrade(kind, 0, now)

    def want_upgrade(self, kind: Kind, index: int, now: float) -> None:
        """Want one upgrade of a succeeded generation, once more if it was unavailable.

        The fallback model's videos have none (veo-api §4).
        """
        rendition = self.find(kind, index)
        if rendition is not None:
            rendition.unasked = False
        if rendition is None:
            rendition = self._want(kind, index, now)
            if self.fallback:
                self._end_upgrade(rendition, "made by the fallback model: cannot be upgraded", now)
        elif rendition.state is RenditionState.UNAVAILABLE and not self.fallback:
            # A new order: with its own intention, its own callback URL, its own place in the budget.
            rendition.drop_order()
            self._try_again(rendition, now)

    def set_labels(self, labels: dict[str, str], now: float) -> None:
        """Add labels; equal keys are overwritten."""
        merged = self.labels | labels
        if merged != self.labels:
            self.labels = merged
            self._changed(now)

    def hurry(self, rendition: Rendition, now: float) -> None:
        """Look at once whether an upgrade that was held, by a budget or a limit, may be ordered now."""
        if rendition.kind in UPGRADES and not rendition.ended and rendition.order is None and not rendition.work.leased:
            rendition.work.put_back(now)

    def retry(self, now: float) -> int:
        """Try again what failed. Gives how many renditions (or the verdict, counted as one) are under way again.

        An upgrade that is unavailable is left as it is: trying again may cost credits, so it has to be asked for by name.
        """
        reopened = self.verdict is Progress.SUCCEEDED and bool(self.missing) and self.given_up
        if reopened:
            self.given_up = False
            self.settle.put_back(now)
        elif self.verdict is not Progress.SUCCEEDED and (self.given_up or self.verdict is Progress.FAILED):
            self.verdict, self.given_up, self.doubt_since = Progress.GENERATING, False, None
            self.code, self.msg, self.error, self.verdict_at, self.verdict_from = 0, "", "", None, ""
            self.waiting_since, self.too_late_at = now, None
            self.settle.put_back(now)
            self.tell(now, "retry.asked")
            self._changed(now)
            return 1
        for rendition in self.renditions:
            self.hurry(rendition, now)
        again = [rendition for rendition in self.renditions if rendition.state is RenditionState.FAILED]
        for rendition in again:
            self._try_again(rendition, now)
        if again or reopened:
            self.tell(now, "retry.asked")
        return len(again) + reopened

    # --- news ----------------------------------------------------------------------------------------------------------

    def count_callback(
        self, said: str, now: float, *, route: str = "", trust: str = "", came_at: float | None = None
    ) -> bool:
        """Count a callback by what it said. False: it is a repeat.

        :param said: begins with `OWN` if it is about the generation itself, and not about an upgrade
        :param route: where it came in
        :param trust: what authenticates it
        :param came_at: when it was recorded
        """
        self.received += 1
        self.heard_at = now
        self._changed(now)
        is_repeat = said in self.heard or len(self.heard) >= MOST_HEARD
        late = said.startswith(OWN) and self._went_uncalled
        facts = {"trust": trust or None, "route": route or None, "duplicate": is_repeat or None}
        self.tell(now, "callback.received", **facts, late=late)
        if self.verdict is not Progress.SUCCEEDED and self.called_at is None:
            self.called_at = min(now, came_at or now)
        if is_repeat:
            self.duplicates += 1
            return False
        self.heard.append(said)
        return True

    def note_answer(self, answer: str, now: float, kind: Kind | None = None, index: int | None = None) -> None:
        """The vendor was asked for a verdict, or about an upgrade.

        :param answer: what it said, or why it could not be asked
        """
        asked = {"kind": kind and str(kind), "index": index}
        self.tell(now, "poll.answered", answer=read_text(answer)[:LONGEST_REASON], **asked)

    def doubt(self, outcome: Outcome, now: float) -> None:
        """A callback about the verdict came: if it contradicts a failure or a giving-up, the vendor is asked anew."""
        if self.verdict is Progress.SUCCEEDED:
            self.given_up = False  # if results are missing, they are asked about once more
            return
        contradicted = self.verdict is Progress.FAILED and outcome is not Outcome.FAILED
        if contradicted or self.given_up:
            self.doubt_since = now

    def hear(self, verdict: Verdict, source: str, now: float) -> None:
        """Take in a verdict, from wherever it came. Success outranks failure; repeats change nothing.

        :param source: `callback` or `poll`: what brought it
        """
        # While it runs, that nothing was taken says that it has not been yet: it would free a budget that is still needed.
        if verdict.credits or verdict.progress in (Progress.SUCCEEDED, Progress.FAILED):
            self.hear_credits(verdict.credits, now)
        if self.asked == NOTHING_ASKED != verdict.asked:
            self.asked = verdict.asked
            self._changed(now)
        if verdict.progress is Progress.SUCCEEDED:
            self._note_missing(verdict.urls, now)
        if verdict.progress is Progress.SUCCEEDED and verdict.urls:
            self._succeed(verdict, source, now)
            self.called_at = None
        elif verdict.progress is Progress.FAILED and self.verdict is Progress.GENERATING:
            self._set_verdict(verdict, source, now)
            self.called_at = None
        elif verdict.progress is Progress.FAILED and now - (self.doubt_since or now) > INVISIBLE:
            self._end_doubt(now)  # said again, and not in the moments in which the vendor's records may lag
        elif (
            verdict.progress is Progress.UNKNOWN and self.old and not self.heard and self.verdict is Progress.GENERATING
        ):
            self._lose(UNKNOWN_ID, now)

    def hear_credits(self, credits: float | None, now: float) -> None:
        """What the vendor says that it took for the generation, if it says so."""
        if credits is not None and credits != self.credits:
            if self.submission:
                before = self.price if self.credits is None else self.credits
                kind = "extension" if self.parent else "generation"
                self.tell(now, "purchase.billed", kind=kind, credits=credits, more=credits - before)
            self.credits = credits
            self._changed(now)

    def await_turn(self, until: float) -> None:
        """The vendor may not be asked before `until`: enough others are asked about just now."""
        self.settle.put_back(until)

    def await_verdict(self, now: float, policy: Policy, trouble: str = "") -> None:
        """Ask again later if there is no verdict yet, or give up when it is too late.

        :param trouble: why the vendor could not be asked. While that lasts nothing is given up that the vendor may still hold.
        """
        if not self.undecided:
            self.too_late_at = None
            self.settle.put_back(None)
            return
        if not self.given_up:
            self._tell(f"the vendor cannot be asked: {trouble}" if trouble else "", now)
        began = self.waiting_since if self.doubt_since is None else self.doubt_since
        if self.verdict is Progress.SUCCEEDED and self.verdict_at is not None:
            began = max([self.verdict_at, *(rendition.since for rendition in self._list_forgotten())])
        end = began + (max(policy.give_up_after, policy.link_lifetime) if trouble else policy.give_up_after)
        if now >= end:
            self._give_up(now, policy)
            return
        self.too_late_at = end if now - began >= OVERDUE * policy.first_poll_after else None
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
        if rendition.state is not RenditionState.STORED:
            seconds = None if rendition.known_at is None else round(max(0.0, now - rendition.known_at), 2)
            self._tell_of(rendition, now, "rendition.stored", bytes=size, attempt=rendition.attempts, seconds=seconds)
        rendition.end(RenditionState.STORED)
        rendition.key, rendition.bytes, rendition.sha256 = key, size, sha256
        rendition.width, rendition.height, rendition.seconds = media.width, media.height, media.seconds
        rendition.audio = media.audio
        rendition.stored_at, rendition.url, rendition.link, rendition.dead_rounds = now, "", "", 0
        self._compare()
        self._changed(now)
        self.want_upgrades([], now)

    def retry_later(self, rendition: Rendition, error: str, now: float, policy: Policy, chance: float) -> None:
        """An attempt failed. It is tried again until the link's life ends; a failed download fails no generation."""
        rendition.dead_rounds, rendition.dead_since = 0, None
        self._try_later(rendition, error, now, policy, chance)

    def _try_later(self, rendition: Rendition, error: str, now: float, policy: Policy, chance: float) -> None:
        rendition.error = error
        if now - rendition.since >= policy.link_lifetime:
            self.fail(rendition, f"given up at the end of the link's life: {error}", now)
            return
        self._tell_of(rendition, now, "attempt.failed", attempt=rendition.attempts, reason=error)
        if rendition.attempts >= MANY_ATTEMPTS:
            rendition.too_late_at = rendition.link_end(self.made_at)
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
            self._tell_of(rendition, now, "link.renewed", how="address" if url else "link")
            rendition.url, rendition.link, rendition.link_until = url or rendition.url, link, now + FRESH

    def find_dead(self, rendition: Rendition, error: str, now: float, policy: Policy, chance: float) -> None:
        """A link was dead, and the vendor had no other. Believed after several rounds and some time: CDNs have bad minutes."""
        rendition.link = ""
        rounds, since = rendition.dead_rounds + 1, rendition.dead_since or now
        if rounds >= DEAD_ROUNDS and (self.old or now - since >= policy.dead_after):
            self.fail(rendition, f"link dead everywhere: {error}", now)
        else:
            rendition.dead_rounds, rendition.dead_since = rounds, since
            self._try_later(rendition, error, now, policy, chance)

    def fail(self, rendition: Rendition, error: str, now: float) -> None:
        """Give a rendition up, by name."""
        if rendition.state is not RenditionState.STORED:
            self._tell_of(rendition, now, "rendition.failed", reason=error)
        rendition.end(RenditionState.FAILED, error)
        self._changed(now)
        self.want_upgrades([], now)

    # --- upgrades ------------------------------------------------------------------------------------------------------

    def claim_upgrade(self, kind: Kind, index: int, now: float, policy: Policy, token: str) -> OrderClaim | None:
        """Claim the ordering of (or asking about) an upgrade, and record the intention before anything is sent.

        :param token: used if this is the first time
        """
        rendition = self.find(kind, index)
        if rendition is None or rendition.url or kind not in UPGRADES:
            return None
        fence = rendition.work.claim(now, policy.lease)
        if fence is None:
            return None
        if rendition.order is None and (excess := self.over_budget(kind, policy)):
            self._end_upgrade(rendition, excess, now)
            return None
        if rendition.order is None:
            price = policy.price(kind)
            rendition.order = Order(intended_at=now, token=token, asked_at=rendition.last_asked, price=price)
            rendition.orders += 1
            self._tell_of(rendition, now, "purchase.intended", credits=price)
            # A manifest has to tell of an order: who reads it after the ledger was lost must not order anew.
            self._changed(now)
        order = rendition.order
        if not rendition.ended:
            rendition.state = RenditionState.REQUESTED
        return OrderClaim(
            fence,
            rendition.orders,
            order.token,
            order.alias,
            sent=order.asks > 0,
            reported=order.reported,
            reopened=order.reopened,
        )

    def over_budget(self, kind: Kind, policy: Policy, *, planned: bool = False) -> str:
        """Why one more upgrade exceeds the budget of this generation; empty: it does not.

        :param planned: count the upgrades that are wanted and not ordered yet too
        """
        limit, price = policy.credits_per_generation, policy.price(kind)
        waiting = [r for r in self.renditions if r.kind in UPGRADES and r.order is None and not r.ended]
        spent = self.cost + (sum(policy.price(r.kind) for r in waiting) if planned else 0.0)
        if limit is None or spent + price <= limit:
            return ""
        return f"over REELKEEP_CREDITS_PER_GENERATION: {spent:.12g} spent or planned, {price:.12g} more exceed {limit:.12g}"

    def may_send_order(
        self, rendition: Rendition, fence: int, now: float, policy: Policy, *, repeats: bool = True
    ) -> bool:
        """Whether the ordering request may be sent now; noted, so that two never go out within the poll interval (veo-api §6).

        :param repeats: whether the vendor takes a repeated order for a question; if not, it goes out once
        """
        order = rendition.order
        if order is None or not rendition.work.renew(fence, now, policy.lease):
            return False
        if now - order.asked_at < policy.repeat_pause(rendition.kind) or (order.arrived and not repeats):
            return False
        # The request before this one went unanswered: whatever comes of this one, that one may have been charged.
        if order.arrived and not order.taken:
            order.taken = True
            self._tell_of(rendition, now, "purchase.uncertain", reason="the request before went unanswered")
        order.asked_at, order.arrived = now, True
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
        said_otherwise = rendition.state is RenditionState.UNAVAILABLE and revive and not failure
        # Only by the record of its own id: ordering once more could buy it on a callback's word.
        revived = said_otherwise and bool(order.alias)
        if said_otherwise and not revived and not rendition.error.endswith(SAID_OTHERWISE):
            rendition.error += SAID_OTHERWISE
            self._changed(now)
        if rendition.ended and not revived:
            return
        if revived:
            self._try_again(rendition, now)
            rendition.state, order.reopened, order.confirmed = RenditionState.REQUESTED, True, True
        order.reported, order.news = failure, True
        if not rendition.work.leased:
            soonest = now if order.alias else max(now, order.asked_at + policy.repeat_pause(rendition.kind))
            rendition.work.put_back(soonest if revived else min(soonest, rendition.work.at or soonest))

    def name_order(self, rendition: Rendition, task_id: str | None) -> None:
        """The vendor runs an order under an id of its own."""
        if rendition.order is not None and task_id and task_id != self.task_id:
            rendition.order.alias = task_id

    def bill_order(self, rendition: Rendition, credits: float | None, now: float) -> None:
        """What the vendor says that it took for an upgrade, if it says so."""
        order = rendition.order
        if order is None or credits is None or credits == order.credits:
            return
        if order.confirmed:
            self._tell_of(rendition, now, "purchase.billed", credits=credits, more=credits - order.cost)
        order.credits = credits

    def hear_order(self, rendition: Rendition, answer: OrderAnswer, now: float, policy: Policy) -> None:
        """Take in the vendor's answer about an upgrade."""
        order = rendition.order
        if rendition.ended:
            self._hear_of_picture(rendition, answer, now, policy)
            return
        if rendition.url or order is None:
            return
        known = order.alias, order.taken, order.confirmed, order.credits
        self.name_order(rendition, answer.task_id)
        if answer.credits or answer.progress in (OrderProgress.READY, OrderProgress.UNAVAILABLE):
            self.bill_order(rendition, answer.credits, now)
        refused = answer.progress in (OrderProgress.NOT_YET, OrderProgress.UNAVAILABLE)
        order.arrived = order.arrived and not refused
        # What was sent and has an id of its own, or a callback, was taken: that it failed then is no refusal of the order.
        heard_of = order.asks > 0 and bool(order.alias or order.reported)
        order.taken = order.taken or order.arrived or heard_of
        first = answer.progress is OrderProgress.ORDERED and order.asks > 0 and not order.confirmed and not order.news
        order.confirmed = order.confirmed or answer.progress in (OrderProgress.ORDERED, OrderProgress.READY)
        if known != (order.alias, order.taken, order.confirmed, order.credits):
            self._changed(now)
        was_taken, was_confirmed = known[1], known[2]
        if order.confirmed and not was_confirmed:
            self._tell_of(rendition, now, "purchase.accepted", credits=order.cost)
        elif order.taken and not was_taken:
            self._tell_of(rendition, now, "purchase.uncertain", reason=answer.msg or f"code {answer.code}")
        rendition.error = answer.msg if answer.progress in (OrderProgress.NOT_YET, OrderProgress.UNCERTAIN) else ""
        # A code 500 may be a passing fault; several in a row, after a callback that reported failure, are the confirmation.
        order.denials = order.denials + 1 if order.reported and answer.code in (500, 501) else 0
        # While the vendor cannot be reached, nothing that was paid for is given up before its link's life would be over.
        age = now - order.intended_at
        too_late = age >= (policy.give_up_after if answer.code else max(policy.give_up_after, policy.link_lifetime))
        if answer.progress is OrderProgress.READY and any(answer.urls.result):
            self._receive_upgrade(rendition, answer.urls, now)
        elif answer.progress is OrderProgress.UNAVAILABLE or order.denials >= DENIALS:
            self._end_upgrade(rendition, answer.msg or f"the vendor answered code {answer.code}", now)
        elif too_late:
            last = answer.msg or order.reported or f"code {answer.code}"
            self._end_upgrade(rendition, f"nothing within {age:.0f} s; last: {last}", now)
        else:
            pause = policy.poll_pause(age, expected=False)
            overdue = order.taken and age >= OVERDUE * policy.upgrade_pause(rendition.kind)
            rendition.too_late_at = order.intended_at + policy.give_up_after if overdue else None
            rendition.work.put_back(now + (policy.upgrade_pause(rendition.kind) if first else pause))
        order.news = False

    def deny_upgrade(self, kind: Kind, index: int, reason: str, now: float) -> None:
        """Note an upgrade that exists at the vendor's, but that nobody asked for here."""
        if self.find(kind, index) is None:
            rendition = self._want(kind, index, now)
            rendition.unasked = True
            self._end_upgrade(rendition, reason, now)

    def seek(self, rendition: Rendition, now: float) -> None:
        """Have the vendor asked where a rendition is whose URL is forgotten: by its record of the generation, or of the order."""
        rendition.work.put_back(None)
        video = self._find_video(rendition)
        if video is None:
            self.given_up = False
            self.settle.put_back(now)
        elif video.url:  # it was found, so that nobody asks about its order just now
            self.fail(rendition, f"{FORGOTTEN}; to be tried again once its {video.kind} is stored: reelkeep retry", now)
        elif video.ended:
            video.work.put_back(now)

    # --- the manifest --------------------------------------------------------------------------------------------------

    def claim_manifest(self, now: float, policy: Policy) -> int | None:
        """Claim the writing of the manifest."""
        return self.manifest.claim(now, policy.lease)

    def finish_manifest(self, fence: int, changes: int, complete_at: float | None, now: float) -> bool:
        """A manifest that shows `changes` was written. False: another may have been written meanwhile; write anew."""
        if not self.manifest.holds(fence):
            self._changed(now)
            return False
        self.tell(now, "manifest.written")
        self.written = max(self.written, changes)
        self.manifest_error, self.manifest_failures = "", 0
        self.manifest.put_back(now if self.changes > self.written else None)
        if self.changes == self.written and self.all_ended:
            self.complete_at = complete_at
        return True

    def postpone_manifest(self, fence: int, error: str, now: float, policy: Policy, chance: float) -> None:
        """The manifest could not be written: say why, and try again later."""
        if self.manifest.holds(fence):
            self.tell(now, "manifest.failed", reason=error)
            self.manifest_error = error
            self.manifest_failures += 1
            self.manifest.put_back(now + policy.retry_pause(self.manifest_failures, chance))

    def completion(self, now: float) -> float | None:
        """When the generation counts as complete if its manifest is written now; None: it does not."""
        whole = self.verdict is Progress.SUCCEEDED and self.all_ended
        return (self.complete_at or now) if whole and not self._lost_renditions() else None

    # --- inside --------------------------------------------------------------------------------------------------------

    def _succeed(self, verdict: Verdict, source: str, now: float) -> None:
        self.made_at = self.made_at or verdict.made_at
        if self.verdict is not Progress.SUCCEEDED:
            self._set_verdict(verdict, source, now)
            self.fallback = verdict.fallback
        for kind, index, url in _by_rendition(verdict):
            rendition = self.find(kind, index)
            if rendition is None:
                self._locate(self._want(kind, index, now), url, now)
            elif rendition.state is RenditionState.UNAVAILABLE:
                self._try_again(rendition, now)
                self._locate(rendition, url, now)
            elif rendition.forgotten and not rendition.ended:
                self._receive_url(rendition, url, now)
        if verdict.main is Kind.RESULT:
            self.want_upgrades([], now)

    def _note_missing(self, urls: Urls, now: float) -> None:
        """A success whose `resultUrls` is not whole is asked about again."""
        gaps = urls.result.count("")
        missing = "the vendor says that it succeeded, but names no result" if not urls.result else ""
        if gaps:
            missing = f"the vendor's list of results has {len(urls.result)} entries, of which {gaps} name no file"
        if missing != self.missing:
            self.missing = missing
            self._changed(now)

    def _must_be_looked_at(self) -> bool:
        """Whether it takes a look at the file to know if an upgrade is wanted: a large one was asked for, and may have come."""
        result = self.find(Kind.RESULT, 0)
        return self.asked.resolution in UPGRADES and result is not None and not result.ended

    def _why_needless(self, kind: Kind) -> str:
        """Why an upgrade of result 0 is not bought although it is wanted; empty: it is."""
        result = self.find(Kind.RESULT, 0)
        have = lines(result.look) if result else None
        return f"not bought: the result itself has {have} lines" if satisfies(kind, have) else ""

    def _compare(self) -> None:
        """Hold what is stored against what was asked for."""
        # Where there is an original, it and not the result may have the shape that was asked for (veo-api §4).
        has_origin = any(rendition.kind is Kind.ORIGIN for rendition in self.renditions)
        asked = self.asked.model_copy(update={"aspect_ratio": ""}) if has_origin else self.asked
        for rendition in self.renditions:
            if rendition.state is RenditionState.STORED:
                base = self.find(Kind.RESULT, rendition.index)
                stored = base is not None and base.state is RenditionState.STORED
                look = base.look if base is not None and stored else None
                rendition.mismatch = compare(rendition.kind, asked, rendition.look, look)

    def _list_forgotten(self, video: Rendition | None = None) -> list[Rendition]:
        """Of what the vendor has to tell once more where it is: by the order of a video, or by its record of the generation."""
        return [r for r in self.renditions if r.forgotten and not r.ended and self._find_video(r) is video]

    def _find_video(self, rendition: Rendition) -> Rendition | None:
        """The 4K whose order brings a picture (veo-api §7); None: nothing that comes so."""
        video = self.find(Kind.UHD, rendition.index) if rendition.kind is Kind.IMAGE else None
        return video if video is not None and video.order is not None else None

    def _lost_renditions(self) -> bool:
        """Whether a video is lost. A preview picture is no loss."""
        return any(r.state is RenditionState.FAILED and r.kind is not Kind.IMAGE for r in self.renditions)

    def _end_doubt(self, now: float) -> None:
        """It stays what it was before."""
        self.doubt_since = None
        if not self.given_up:
            self._tell("", now)

    def _tell(self, error: str, now: float) -> None:
        """Show this as what is wrong just now; empty: nothing is."""
        if error != self.error:
            self.error = error
            self._changed(now)

    def _give_up(self, now: float, policy: Policy) -> None:
        self.settle.put_back(None)
        self.too_late_at = None
        if self.verdict is Progress.SUCCEEDED:  # what is missing stays visible
            self.given_up = True
            for rendition in self._list_forgotten():
                self.fail(rendition, f"{FORGOTTEN}: the vendor has not said within {policy.give_up_after:g} s", now)
            return
        if self.doubt_since is not None:
            self._end_doubt(now)
            return
        said = f"; its callbacks said: {', '.join(self.heard)}" if self.heard else ""
        self._lose(f"no verdict within {policy.give_up_after:g} s{said}", now)

    def _lose(self, error: str, now: float) -> None:
        self.settle.put_back(None)
        self.given_up, self.verdict_at, self.error, self.too_late_at = True, now, error, None
        self._changed(now)

    def _set_verdict(self, verdict: Verdict, source: str, now: float) -> None:
        self.verdict, self.given_up, self.doubt_since = verdict.progress, False, None
        self.verdict_at, self.verdict_from = now, source
        self.code, self.msg, self.error = verdict.code, verdict.msg, ""
        self.too_late_at = None
        uncalled = self._went_uncalled
        self.tell(now, "verdict", outcome=str(verdict.progress), source=source, code=verdict.code, missing=uncalled)
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
        self._receive_url(rendition, next(url for url in urls.result if url), now)
        if urls.image and self.find(Kind.IMAGE, rendition.index) is None:
            self._locate(self._want(Kind.IMAGE, rendition.index, now), urls.image[0], now)
        self._end_search(rendition, urls, "the vendor names none", now)

    def _hear_of_picture(self, video: Rendition, answer: OrderAnswer, now: float, policy: Policy) -> None:
        """Take in an answer about a 4K that has ended, but whose picture is still sought."""
        age = now - max((picture.since for picture in self._list_forgotten(video)), default=0.0)
        if answer.progress in (OrderProgress.READY, OrderProgress.UNAVAILABLE) or age >= policy.give_up_after:
            video.work.put_back(None)
            self._end_search(video, answer.urls, answer.msg or f"the vendor answered code {answer.code}", now)
        else:
            video.work.put_back(now + policy.poll_pause(age, expected=False))

    def _end_search(self, video: Rendition, urls: Urls, reason: str, now: float) -> None:
        """The vendor has told all that it will of a 4K, and of the picture beside it if that was sought.

        :param reason: why it is not there, if it is not
        """
        for picture in self._list_forgotten(video):
            if urls.image:
                self._receive_url(picture, urls.image[0], now)
            else:
                self.fail(picture, f"{FORGOTTEN}: {reason}", now)

    def _receive_url(self, rendition: Rendition, url: str, now: float) -> None:
        rendition.error, rendition.forgotten = "", False
        rendition.state = RenditionState.WANTED
        self._locate(rendition, url, now)
        rendition.work.put_back(now)

    def _try_again(self, rendition: Rendition, now: float) -> None:
        rendition.state, rendition.error, rendition.since = RenditionState.WANTED, "", now
        rendition.dead_rounds, rendition.dead_since = 0, None
        rendition.known_at = now if rendition.url else None
        rendition.work.put_back(now)
        if rendition.forgotten:
            self.seek(rendition, now)
        if rendition.order is not None:
            rendition.order.intended_at, rendition.order.denials = now, 0
        self.complete_at = None
        self._changed(now)

    def _end_upgrade(self, rendition: Rendition, reason: str, now: float) -> None:
        rendition.end(RenditionState.UNAVAILABLE, reason)
        self._tell_of(rendition, now, "rendition.unavailable", reason=reason)
        if rendition.refused:
            self._tell_of(rendition, now, "purchase.refused", reason=reason)
        self._end_search(rendition, Urls(), reason, now)
        self._changed(now)

    def _locate(self, rendition: Rendition, url: str, now: float) -> None:
        """It is known where the vendor serves it: the first callback about a verdict was the first word of it."""
        rendition.url, rendition.too_late_at = url, None
        rendition.known_at = now if self.called_at is None else self.called_at
        if (end := rendition.link_end(self.made_at)) - now < NEAR_END:
            rendition.too_late_at = end

    def _tell_of(self, rendition: Rendition, now: float, name: str, **facts: Fact) -> None:
        self.tell(now, name, kind=str(rendition.kind), index=rendition.index, **facts)

    @property
    def _went_uncalled(self) -> bool:
        """A poll has brought the verdict of a new generation, and no callback about it has come so far."""
        return self.verdict_from == "poll" and not self.old and not any(said.startswith(OWN) for said in self.heard)

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
            if url:
                yield kind, index, url
