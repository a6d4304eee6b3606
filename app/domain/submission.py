"""A submission: a generation or an extension that was asked for here and that the vendor has not confirmed yet.

The vendor has no idempotency keys (veo-api §1), so a request is sent once: only what has certainly not been created goes again.
What may have been created waits for its callback, whose URL holds a token that nobody else was given. Once the vendor's id is
known the submission has done its duty: the generation of that id carries on (`linked`).

As with generations, each method is one atomic transition and `now` is the ledger's clock.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, Field

from app.domain.callbacks import Callback, Outcome
from app.domain.news import Teller
from app.domain.outbox import Outbox
from app.domain.policy import Policy
from app.domain.requests import ExtendRequest, Request
from app.domain.states import State
from app.domain.vendor import SubmitAnswer, SubmitProgress
from app.domain.work import Item, Kind, Step, Work


class Submission(Teller):
    """One request to create something. Times are epoch seconds on the ledger's clock."""

    # Fields of a newer version are kept, so that old and new workers may run side by side.
    model_config = ConfigDict(extra="allow")

    #: our own id: `sub_` and 32 hex characters
    id: str
    tracked_at: float
    request: Request
    #: tells the same request from another one under the same idempotency key
    fingerprint: str
    labels: dict[str, str] = Field(default_factory=dict)
    upgrades: list[Kind] = Field(default_factory=list)
    #: secret part of the callback URL
    token: str
    #: credits reserved for it
    price: float = 0.0
    work: Work = Field(default_factory=Work)
    #: when the request went out, if it may have arrived, and how often one went out at all
    sent_at: float | None = None
    sends: int = 0
    #: when the first of them went out
    began: float | None = None
    #: what is known of it; None: not sent yet, or on its way
    progress: SubmitProgress | None = None
    #: no callback came in time to tell whether it was created
    given_up: bool = False
    #: the vendor's id
    task_id: str = ""
    #: the generation of that id knows all that there is to know
    linked: bool = False
    code: int = 0
    msg: str = ""
    error: str = ""
    #: events on their way to the user's receiver
    outbox: Outbox = Field(default_factory=Outbox)

    # --- reading -------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State | None:
        """The state that users see; None: its generation has taken over."""
        if self.linked:
            return None
        if self.task_id:
            return State.WAITING
        if self.progress is SubmitProgress.REFUSED:
            return State.FAILED
        if self.given_up:
            return State.LOST
        return State.UNCERTAIN if self.progress is SubmitProgress.UNCERTAIN else State.WAITING

    @property
    def item(self) -> Item:
        """What there is to do about it."""
        return Item(Step.SUBMIT, self.id)

    @property
    def parent(self) -> str:
        """The generation that is to be extended, if it is an extension."""
        return self.request.task_id if isinstance(self.request, ExtendRequest) else ""

    @property
    def what(self) -> str:
        """What it is to create."""
        return "extension" if isinstance(self.request, ExtendRequest) else "generation"

    @property
    def is_uncertain(self) -> bool:
        """Whether nobody knows if it was created."""
        return self.state is State.UNCERTAIN

    @property
    def to_be_sent(self) -> bool:
        """Whether the request is still to go out."""
        return not self.task_id and self.progress is None

    @property
    def open_question(self) -> bool:
        """Whether it was sent, and nobody knows which generation has come of it."""
        return not self.task_id and self.sent_at is not None and self.progress is not None

    @property
    def why_not_yet(self) -> str:
        """Why nothing can be done with its generation."""
        return f"{self.id} is {self.state}: the vendor has not confirmed it yet"

    @property
    def why_no_retry(self) -> str:
        """Why it is not sent again."""
        return f"{self.id} is {self.state}: {self.error or 'nothing has failed'}"

    def bills(self) -> dict[str, float]:
        """See `Generation.bills`."""
        refused = self.progress is SubmitProgress.REFUSED and self.sent_at is None
        return {str(self.item): 0.0} if refused else {}

    def agenda(self, *, pending: bool) -> dict[Item, float]:
        """See `Generation.agenda`."""
        outgoing = self.outbox.work.at
        due = {} if outgoing is None else {Item(Step.NOTIFY, self.id): outgoing}
        if pending and not self.work.leased:
            due[self.item] = 0.0
        elif self.work.at is not None:
            due[self.item] = self.work.at
        return due

    def find_work(self, item: Item) -> Work | None:
        """See `Generation.find_work`."""
        return self.outbox.work if item.step is Step.NOTIFY else self.work

    # --- what happens to it --------------------------------------------------------------------------------------------

    def claim(self, now: float, policy: Policy, *, early: bool) -> int | None:
        """Claim it. Gives the fencing number, or None when there is nothing to do for this worker.

        :param early: a callback waits
        """
        fence = self.work.claim(now, policy.lease, early=early)
        if fence is None:
            return None
        if self.to_be_sent and self.sent_at is not None:
            self._doubt("the worker ended before the vendor's answer was recorded", now)
        return fence

    def may_send(self, fence: int, now: float, policy: Policy) -> int | None:
        """Whether the request may go out now: the number of this sending, or None.

        Noted before it does: whoever finds this note without an answer must not send.
        """
        if not self.to_be_sent or self.sent_at is not None or not self.work.renew(fence, now, policy.lease):
            return None
        self.began = now if self.began is None else self.began
        self.sent_at = now
        self.sends += 1
        self.tell(now, "purchase.intended", kind=self.what, credits=self.price)
        return self.sends

    def postpone(self, fence: int, reason: str, until: float) -> None:
        """It may not go out yet: budget, rate limit."""
        if self.work.holds(fence):
            self.error = reason
            self.work.put_back(until)

    def hear(self, answer: SubmitAnswer, sending: int, now: float, policy: Policy, chance: float) -> None:
        """Take in the vendor's answer to a sending, also if the claim was lost meanwhile: nobody else has sent since."""
        if self.task_id or self.sends != sending or self.sent_at is None:
            return
        if answer.task_id:
            self.learn(answer.task_id, now)
        elif self.progress is not SubmitProgress.REFUSED:
            self._hear_no_id(answer, now, policy, chance)

    def learn(self, task_id: str, now: float) -> None:
        """The vendor's id is known: from the answer, from a callback, or from the user."""
        if not self.task_id:
            self.tell(now, "purchase.accepted", kind=self.what, credits=self.price)
        self.task_id, self.progress, self.given_up = task_id, SubmitProgress.CREATED, False
        self.error = ""
        if not self.work.leased:  # whoever holds it hands it over
            self.work.put_back(now)

    def hear_callback(self, callback: Callback, now: float) -> None:
        """A callback came in under this submission's token."""
        if self.task_id or not self.sends:
            return
        if callback.task_id is not None:
            self.learn(callback.task_id, now)
        elif callback.outcome is Outcome.FAILED and self.sent_at is not None:
            # `data` was null: it failed, and what its id was is not said (veo-api §4).
            self._refuse(callback.code, callback.msg, "it was created and failed", now)

    def wait(self, fence: int, now: float, policy: Policy) -> None:
        """Nothing to send and no id yet: look again when it is time to give up."""
        if not self.work.holds(fence):
            return
        if self.to_be_sent:
            return  # the claim lapses
        if self.progress is not SubmitProgress.UNCERTAIN:
            self.work.put_back(now if self.task_id and not self.linked else None)
        elif now >= self._end(policy):
            self.given_up = True
            self.work.put_back(None)
        else:
            self.work.put_back(self._end(policy))

    def unlearn(self, policy: Policy, now: float) -> None:
        """The generation of that id has come of another submission: what became of this one is as unknown as before."""
        self.task_id = ""
        self._doubt("a callback named a generation that another submission has brought about", now)
        self.work.put_back(self._end(policy))

    def link(self) -> None:
        """The generation has taken over."""
        self.linked = True
        self.work.put_back(None)

    def retry(self, now: float) -> bool:
        """Send what was certainly not created once more, and what is held at once. What may have been created is never sent
        again."""
        if self.sent_at is not None or self.task_id or self.work.leased:
            return False
        if self.progress is SubmitProgress.REFUSED:
            self.progress, self.code, self.msg, self.error, self.began = None, 0, "", "", None
        self.tell(now, "retry.asked")
        self.work.put_back(now)
        return True

    # --- inside --------------------------------------------------------------------------------------------------------

    def _hear_no_id(self, answer: SubmitAnswer, now: float, policy: Policy, chance: float) -> None:
        said = answer.msg or f"code {answer.code}"
        if answer.progress is SubmitProgress.BUSY and now - (self.began or now) < policy.give_up_after:
            self.progress, self.sent_at, self.code, self.msg = None, None, answer.code, answer.msg
            self.error = f"not taken yet, goes again: {said}"
            self.work.put_back(now + (policy.retry_pause(self.sends, chance) if answer.pause is None else answer.pause))
        elif answer.progress in (SubmitProgress.BUSY, SubmitProgress.REFUSED):
            busy = answer.progress is SubmitProgress.BUSY
            what = (
                f"not taken within {policy.give_up_after:g} s" if busy else "the vendor refused it, nothing was created"
            )
            self.sent_at = None
            self._refuse(answer.code, answer.msg, what, now)
        else:
            self.code, self.msg = answer.code, answer.msg
            self._doubt(said, now)
            self.work.put_back(self._end(policy))

    def _refuse(self, code: int, msg: str, what: str, now: float) -> None:
        if self.sent_at is None:
            self.tell(now, "purchase.refused", kind=self.what, reason=msg or f"code {code}")
        else:
            self.tell(now, "verdict", outcome="failed", source="callback", code=code)
        self.progress, self.code, self.msg, self.given_up = SubmitProgress.REFUSED, code, msg, False
        self.error = f"{what}: {msg or f'code {code}'}"
        self.work.put_back(None)

    def _doubt(self, why: str, now: float) -> None:
        self.tell(now, "purchase.uncertain", kind=self.what, reason=why)
        self.progress = SubmitProgress.UNCERTAIN
        self.error = (
            f"it may or may not have been created ({why}), so it is not sent again. If it was, its callback settles this, "
            "provided that the vendor reaches REELKEEP_PUBLIC_URL. If none comes, look for the prompt in the vendor's log: if it "
            f"is there, say `reelkeep track TASK_ID --submission {self.id}`; if not, submit it anew, under another key"
        )

    def _end(self, policy: Policy) -> float:
        return (self.sent_at or self.tracked_at) + policy.give_up_after


def fingerprint(request: Request, upgrades: list[Kind], labels: Mapping[str, str]) -> str:
    """The same for requests that ask for the same."""
    asked: dict[str, Any] = {"request": request.fields(), "upgrades": sorted(upgrades), "labels": dict(labels)}
    text = json.dumps([type(request).__name__, asked], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
