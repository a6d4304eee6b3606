"""A ledger in memory that many workers share: any number of records, each written only if nobody else has written meanwhile."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TypeVar

from app.domain.errors import LedgerUnavailable
from app.domain.generation import Generation
from app.domain.ledger import Draft, Entry, Limit, Pending, Recorded, Slot
from app.domain.submission import Submission
from app.domain.work import Item, Kind, Step, is_submission_id
from tests.unit.pipeline.crew import Away, Crew
from tests.unit.pipeline.fakes import MemoryLedger

T = TypeVar("T")
#: seconds until a budget that is used up is looked at again; there is one day only
DAY = 5000.0


class SharedLedger(MemoryLedger):
    """Follows the scripts in `app/adapters/ledger_scripts`. Records are kept as text, as Redis keeps them."""

    def __init__(self, crew: Crew) -> None:
        super().__init__()
        self.crew = crew
        self.texts: dict[str, str] = {}
        self.inboxes: dict[str, list[Pending]] = defaultdict(list)
        self.names: dict[str, str] = {}
        self.booked: dict[str, float] = {}
        self.paused_until: dict[str, float] = {}

    # --- what tests ask ------------------------------------------------------------------------------------------------

    def generations(self) -> list[Generation]:
        return [draft.generation for draft in map(self._load, list(self.texts)) if draft.generation]

    def submissions(self) -> list[Submission]:
        return [draft.submission for draft in map(self._load, list(self.texts)) if draft.submission]

    def agenda(self) -> dict[Item, float]:
        """All that is to be done and when, as the index by time has it."""
        due: dict[Item, float] = {}
        for record_id in {**self.texts, **self.inboxes}:
            draft = self._load(record_id)
            if draft.record is not None:
                due |= draft.record.agenda(pending=bool(draft.pending))
            elif draft.pending:
                due[Item(Step.SETTLE, record_id)] = 0.0
        return due

    def total(self, step: str = "") -> float:
        """Credits booked, for one step or all."""
        return sum(credits for name, credits in self.booked.items() if name.startswith(step))

    # --- the port ------------------------------------------------------------------------------------------------------

    def record(self, task_id: str | None, token: str | None, entry: Entry) -> Recorded:
        def effect() -> Recorded:
            name = "" if token is None else self.names.get(f"token:{token}")
            if name is None:
                return Recorded.UNKNOWN_TOKEN
            is_generation = name and not is_submission_id(name) and "/" not in name
            if task_id and (not name or is_generation):
                name = self.names.get(f"alias:{task_id}", task_id)
            record_id, _, upgrade = name.partition("/")
            kind, _, rest = upgrade.partition("/")
            index, _, order = rest.partition("#")
            pending = Pending(entry, Kind(kind) if kind else None, int(index or 0), int(order or 0))
            self.inboxes[record_id].append(pending)
            return Recorded.RECORDED

        return self._call(effect)

    def change(self, record_id: str, transition: Callable[[Draft], T], focus: Item | None = None) -> T:
        draft, seen = self._load(record_id), self._seen(record_id)
        outcome = transition(draft)

        def effect() -> T:
            nonlocal draft, outcome
            if seen != self._seen(record_id):  # somebody else wrote in between
                draft = self._load(record_id)
                outcome = transition(draft)
            before = self._load(record_id).record
            billed = before.bills() if before else {}
            for account, credits in (draft.record.bills() if draft.record else {}).items():
                if account in self.booked and (not credits or billed.get(account) != credits):
                    self.booked[account] = credits
            if draft.record is not None:
                self.texts[record_id] = draft.record.model_dump_json(exclude_defaults=True)
            del self.inboxes[record_id][: draft.settled]
            self.names |= {f"token:{token}": name for token, name in draft.tokens.items()}
            self.names |= {f"alias:{alias}": name for alias, name in draft.aliases.items()}
            return outcome

        return self._call(effect)

    def read(self, record_id: str) -> Draft:
        return self._call(lambda: self._load(record_id))

    def reserve(self, name: str, credits: float, limits: Mapping[str, float]) -> float | None:
        def effect() -> float | None:
            step = name.partition("/")[0]
            more = credits - self.booked.get(name, 0.0)
            totals = {"total": self.total(), step: self.total(step)}
            if more > 0 and any(totals[key] + more > limits[key] for key in totals if key in limits):
                return self.now + DAY
            self.booked[name] = max(credits, self.booked.get(name, 0.0))
            return None

        return self._call(effect)

    def take_slot(self, limit: Limit, item: Item, *, waits: bool = True) -> Slot:
        def effect() -> Slot:
            until = self.paused_until.get(limit.name, 0.0)
            return Slot(until if until > self.now else None)

        return self._call(effect)

    def confirm_slot(self, limit: Limit, slot: Slot) -> None:
        self._call(lambda: None)

    def pause(self, limit: Limit, seconds: float) -> None:
        def effect() -> None:
            self.paused_until[limit.name] = self.now + seconds

        self._call(effect)

    # --- inside --------------------------------------------------------------------------------------------------------

    def _call(self, effect: Callable[[], T]) -> T:
        try:
            return self.crew.call(effect)
        except Away:
            raise LedgerUnavailable("Redis is away") from None

    def _seen(self, record_id: str) -> tuple[str | None, int]:
        return self.texts.get(record_id), len(self.inboxes[record_id])

    def _load(self, record_id: str) -> Draft:
        text, pending = self.texts.get(record_id), list(self.inboxes[record_id])
        if text is None:
            return Draft(self.now, None, pending, record_id=record_id)
        if is_submission_id(record_id):
            return Draft(self.now, None, pending, submission=Submission.model_validate_json(text), record_id=record_id)
        return Draft(self.now, Generation.model_validate_json(text), pending, record_id=record_id)
