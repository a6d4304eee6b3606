"""Money is spent once: whatever is killed, lost, repeated or overtaken, for both forms of the vendor's API (design 2.3, 2.5)."""

from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.domain.generation import SAID_OTHERWISE
from app.domain.ledger import Trust
from app.domain.policy import Policy
from app.domain.rendition import Rendition, RenditionState
from app.domain.requests import ExtendRequest, GenerateRequest
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.vendor import Progress
from app.domain.work import UPGRADES, Item, Kind, Step
from app.pipeline.manifest import write_manifest
from app.pipeline.mirror import mirror
from app.pipeline.record import Delivery, record_callback
from app.pipeline.settle import settle
from app.pipeline.submit import accept, name_submission, submit
from app.pipeline.track import UpgradeRequest, request_upgrade, retry, track
from app.pipeline.upgrade import upgrade
from tests.unit.pipeline.crew import Crew, Fate, Worker
from tests.unit.pipeline.fakes import MemoryBucket, ScriptedFetcher
from tests.unit.pipeline.reference_vendor import DOUBTS, End, Key, Made, Mood, ReferenceVendor
from tests.unit.pipeline.shared_ledger import SharedLedger

POLICY = Policy(
    first_poll_after=60,
    poll_interval=30,
    poll_interval_max=1000,
    give_up_after=3000,
    upgrade_poll_after=100,
    lease=60,
    retry_max=10,
    link_lifetime=6000,
)
#: for everything, for upgrades, for one generation with its upgrades
BUDGETS = [None, 400.0], [None, 245.0], [None, 185.0, 180.0]
#: what kind, how it and its upgrades end, which upgrades are wanted
Wish = tuple[str, str, set[Kind]]

picks = st.integers(0, 50)
#: calls that a worker makes before something happens to it; None: until it calls the vendor
calls = st.one_of(st.none(), st.integers(0, 8))
fates = st.sampled_from(Fate)
moods = st.sampled_from([*[Mood.FINE] * 4, *Mood])
ends = st.sampled_from([*[End.GOOD] * 4, End.GOOD, End.BAD, End.BAD_THEN_GOOD, End.FALLBACK, End.BAD_NAMELESS])
upgrade_ends = st.sampled_from(
    [*[End.GOOD] * 3, End.BAD, End.BAD_THEN_GOOD, End.BAD_NAMELESS, End.BAD_NAMELESS_THEN_GOOD]
)
prompts = st.builds("{} {} {} {}".format, ends, upgrade_ends, upgrade_ends, st.sampled_from([0, 60]))
wishes = st.tuples(
    st.sampled_from(["new", "new", "extension", "elsewhere"]), prompts, st.sets(st.sampled_from(UPGRADES))
)


class Shop(RuleBasedStateMachine):
    """Users, workers, the vendor and the clock, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.crew = Crew()
        self.ledger = SharedLedger(self.crew)
        self.policy = POLICY
        self.workers: list[Worker] = []
        #: items whose steps were killed or cut off, or answered so that nothing is certain
        self.shaken: set[str] = set()
        #: how many orders of an upgrade users have asked for
        self.asked: Counter[Key] = Counter()
        #: what a callback spoke of
        self.heard_of: list[Made] = []
        self.stored: set[Key] = set()
        self.wishes = 0

    @initialize(
        repeats=st.booleans(),
        own_ids=st.booleans(),
        tells_credits=st.booleans(),
        budgets=st.tuples(*map(st.sampled_from, BUDGETS)),
        first=st.lists(wishes, min_size=1, max_size=2),
        rounds=st.integers(0, 5),
    )
    def open(
        self,
        repeats: bool,
        own_ids: bool,
        tells_credits: bool,
        budgets: tuple[float | None, ...],
        first: list[Wish],
        rounds: int,
    ) -> None:
        """Decide on the vendor's form and on budgets, and have some work begun.

        :param repeats: see `Vendor.repeats_are_questions`
        :param rounds: how far the first of it has come
        """
        self.vendor = ReferenceVendor(
            self.crew,
            lambda: self.ledger.now,
            repeats_are_questions=repeats,
            own_ids=own_ids,
            tells_credits=tells_credits,
        )
        self.vendor.on_purchase = self.check_intention
        day, upgrades, one = budgets
        self.policy = replace(POLICY, credits_per_day=day, upgrade_credits_per_day=upgrades, credits_per_generation=one)
        for wish in first:
            self.wish(wish, 0)
        self.work(rounds, Mood.FINE, late=False)

    # --- users ---------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.wishes < 3)
    @rule(wish=wishes, pick=picks)
    def wish(self, wish: Wish, pick: int) -> None:
        """Ask for a generation or an extension, or have one tracked that was submitted elsewhere."""
        kind, prompt, upgrades = wish
        self.wishes += 1
        known = self.ledger.generations()
        if kind == "elsewhere":
            made = self.vendor.create(prompt)
            track(made.task_id, sorted(upgrades), {}, self.ledger, self.policy)
            return
        request: GenerateRequest | ExtendRequest = GenerateRequest(prompt=prompt)
        if kind == "extension" and known:
            request = ExtendRequest(task_id=choose(known, pick).task_id, prompt=prompt)
        for _ in range(2):  # the user's own request may be sent twice
            accept(request, sorted(upgrades), {}, f"key {self.wishes}", self.ledger, self.policy)

    @precondition(lambda self: self.ledger.generations())
    @rule(pick=picks, kind=st.sampled_from(UPGRADES))
    def ask_for_upgrade(self, pick: int, kind: Kind) -> None:
        generation = choose(self.ledger.generations(), pick)
        before = generation.find(kind, 0)
        answer = request_upgrade(generation.task_id, kind, 0, self.ledger, self.policy)
        if answer.outcome is UpgradeRequest.ACCEPTED and before is not None and before.orders:
            self.asked[generation.task_id, kind, 0] += 1

    @precondition(lambda self: self.ledger.texts)
    @rule(pick=picks, find_out=st.booleans())
    def help_on(self, pick: int, find_out: bool) -> None:
        """Try again, or say which generation in the vendor's log has come of a submission."""
        if not find_out:
            retry(choose(list(self.ledger.texts), pick), self.ledger)
        elif self.submitted():
            made = choose(self.submitted(), pick)
            submission = next(it for it in self.ledger.submissions() if it.token == made.token)
            name_submission(submission.id, made.task_id, self.ledger)

    # --- the fleet -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.ledger.agenda())
    @rule(pick=picks, early=st.booleans(), calls=calls, fate=fates, mood=moods)
    def begin(self, pick: int, early: bool, calls: int | None, fate: Fate, mood: Mood) -> None:
        """A message is delivered, for what is due or for anything."""
        agenda = self.ledger.agenda()
        due = [item for item, at in agenda.items() if at <= self.ledger.now]
        item = choose(due if due and not early else list(agenda), pick)
        self.go_on(Worker(self.crew, str(item), partial(self.do, item)), calls, fate, mood)

    @precondition(lambda self: self.workers)
    @rule(pick=picks, calls=st.sampled_from([None, *range(5), *[100] * 5]), fate=fates, mood=moods)
    def carry_on(self, pick: int, calls: int | None, fate: Fate, mood: Mood) -> None:
        worker = choose(self.workers, pick)
        self.workers.remove(worker)
        self.go_on(worker, calls, fate, mood)

    @rule(seconds=st.sampled_from([1.0, 10.5, 31.0, 61.0, 110.0, 410.0, 3100.0]))
    def wait(self, seconds: float) -> None:
        self.ledger.now += seconds

    @rule(times=st.integers(1, 4), mood=moods, late=st.booleans())
    def work(self, times: int, mood: Mood, late: bool) -> None:
        """The fleet does what is due, time and again.

        :param late: whoever was at work before has taken longer than its claim lasts
        """
        self.ledger.now += POLICY.lease * late
        for _ in range(times):
            agenda = self.ledger.agenda()
            self.ledger.now = max(self.ledger.now, min(agenda.values(), default=0.0))
            for item in [item for item, at in agenda.items() if at <= self.ledger.now]:
                self.go_on(Worker(self.crew, str(item), partial(self.do, item)), 100, Fate.PAUSE, mood)

    def go_on(self, worker: Worker, calls: int | None, fate: Fate, mood: Mood) -> None:
        self.vendor.mood = mood
        met = worker.go_on(calls, fate)
        self.vendor.mood = Mood.FINE
        if (met and fate is not Fate.PAUSE) or mood in DOUBTS:
            self.shaken.add(worker.item)
        if not worker.done:
            self.workers.append(worker)

    def do(self, item: Item) -> None:
        if item.step is Step.SUBMIT:
            submit(item, self.ledger, self.vendor, self.policy, lambda token: token)
        elif item.step is Step.SETTLE:
            settle(item, self.ledger, self.vendor, self.policy)
        elif item.step is Step.UPGRADE:
            upgrade(item, self.ledger, self.vendor, self.policy, lambda token: token)
        elif item.step is Step.MIRROR:
            mirror(item, self.ledger, ScriptedFetcher(), MemoryBucket(), self.vendor, self.policy, "veo/")
        else:
            write_manifest(item, self.ledger, MemoryBucket(), self.policy, "veo/")

    # --- the vendor's news ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.news())
    @rule(pick=picks, times=st.integers(1, 3), how=st.sampled_from(["signed", "signed", "stale", "says nothing"]))
    def call_back(self, pick: int, times: int, how: str) -> None:
        made, body = choose(self.news(), pick)
        for _ in range(times):
            if how == "says nothing" and made.token:
                body = '{"code": 200, "msg": "", "data": null}'
            else:
                self.heard_of.append(made)
            self.deliver(made, body, Trust.STALE if how == "stale" else Trust.SIGNED)

    def deliver(self, made: Made, body: str, trust: Trust = Trust.SIGNED) -> None:
        delivery = Delivery(made.route, body.encode(), self.ledger.now, made.token)
        record_callback(delivery, self.ledger, lambda *_: trust)

    def news(self) -> list[tuple[Made, str]]:
        now = self.ledger.now
        heard_of = [made for made in self.vendor.everything if made.task_id]
        return [(made, body) for made in heard_of for body in made.callbacks(now)]

    def submitted(self) -> list[Made]:
        return [made for made in self.vendor.generations if made.token]

    # --- what always holds ---------------------------------------------------------------------------------------------

    def check_intention(self, token: str | None, key: Key | None) -> None:
        """The vendor hears of nothing whose intention is not in the ledger."""
        assert f"token:{token}" in self.ledger.names
        if key is not None:
            rendition = self.rendition(key)
            assert rendition is not None
            assert rendition.order is None or rendition.order.token != token or rendition.order.asks
        else:
            assert any(it.token == token and it.sent_at is not None for it in self.ledger.submissions())

    @invariant()
    def nothing_is_bought_twice(self) -> None:
        if not hasattr(self, "vendor"):
            return
        created = Counter(made.token for made in self.submitted())
        assert all(count == 1 for count in created.values())
        bought = Counter(made.key for made in self.vendor.upgrades)
        assert all(count <= 1 + self.asked[key] for key, count in bought.items() if key)

    @invariant()
    def no_budget_is_exceeded(self) -> None:
        if not hasattr(self, "vendor"):
            return
        ours = [made for made in self.vendor.everything if made.token or made.key]
        upgrades = sum(made.price for made in self.vendor.upgrades)
        total = sum(made.price for made in ours)
        assert self.ledger.total() >= total, "more was bought than is booked"
        assert self.ledger.total("upgrade") >= upgrades
        if self.policy.credits_per_day is not None:
            assert total <= self.policy.credits_per_day
        if self.policy.upgrade_credits_per_day is not None:
            assert upgrades <= self.policy.upgrade_credits_per_day
        if self.policy.credits_per_generation is not None:
            spent: Counter[str] = Counter()
            for made in ours:
                spent[made.key[0] if made.key else made.task_id] += int(made.price)
            assert all(credits <= self.policy.credits_per_generation for credits in spent.values())

    @invariant()
    def nothing_falls_silent(self) -> None:
        agenda = self.ledger.agenda()
        for submission in self.ledger.submissions():
            ended = submission.linked or submission.state in (State.FAILED, State.LOST)
            assert ended or submission.item in agenda, submission
        for generation in self.ledger.generations():
            assert not generation.undecided or Item(Step.SETTLE, generation.task_id) in agenda, generation
            for rendition in generation.renditions:
                assert rendition.ended or rendition.work.at is not None, rendition

    @invariant()
    def nothing_undoes_stored(self) -> None:
        stored = {
            (generation.task_id, rendition.kind, rendition.index)
            for generation in self.ledger.generations()
            for rendition in generation.renditions
            if rendition.state is RenditionState.STORED
        }
        assert self.stored <= stored
        self.stored = stored

    # --- the end -------------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "vendor"):
            return
        # Held by a budget, it would wait for ever here: there is one day only.
        self.policy = replace(self.policy, credits_per_day=None, upgrade_credits_per_day=None)
        for worker in self.workers:
            worker.go_on(1000, Fate.PAUSE)
        self.work_off()
        self.nothing_is_bought_twice()
        self.nothing_falls_silent()
        self.nothing_undoes_stored()
        for submission in self.ledger.submissions():
            self.check_submission(submission)
        for made in self.vendor.generations:
            self.check_generation(made)

    def work_off(self) -> None:
        """The fleet does all that is left, with a vendor that behaves well and delivers every callback."""
        delivered: set[tuple[int, str]] = set()
        for _ in range(300):
            for made, body in self.news():
                if (id(made), body) not in delivered:
                    delivered.add((id(made), body))
                    self.deliver(made, body)
            agenda = self.ledger.agenda()
            steps = 0
            while due := [item for item, at in agenda.items() if at <= self.ledger.now]:
                for item in due:
                    self.do(item)
                agenda = self.ledger.agenda()
                steps += 1
                assert steps < 30, f"due again and again: {due}"
            coming = [made.good_at for made in self.vendor.everything if made.good_at > self.ledger.now]
            times = [*agenda.values(), *coming]
            if not times:
                return
            self.ledger.now = min(times)
        raise AssertionError(f"never done: {self.ledger.agenda()}")

    def check_submission(self, submission: Submission) -> None:
        made = next((made for made in self.vendor.generations if made.token == submission.token), None)
        if made is not None and (made.end is not End.BAD_NAMELESS or submission.linked):
            assert (submission.linked, submission.task_id) == (True, made.task_id), submission
            generation = self.ledger.read(made.task_id).generation
            assert generation is not None
            assert generation.submission == submission.id
        elif made is not None:
            assert submission.state is State.FAILED, submission
        elif str(submission.item) in self.shaken:
            assert submission.state in (State.LOST, State.FAILED), submission
        else:
            assert submission.state is State.FAILED, submission  # the vendor refused it; all else goes again

    def check_generation(self, made: Made) -> None:
        generation = self.ledger.read(made.task_id).generation
        if generation is None:
            return  # see check_submission
        verdict = Progress.SUCCEEDED if made.succeeds else Progress.FAILED
        assert generation.verdict is verdict, generation
        for kind in UPGRADES:
            key = made.task_id, kind, 0
            rendition, bought = self.rendition(key), self.vendor.bought(key)
            assert rendition is not None or not bought
            if rendition is not None:
                self.check_upgrade(made, rendition, bought)
        if made.succeeds:
            assert generation.state is State.COMPLETE, generation
            assert (made.task_id, Kind.RESULT, 0) in self.stored

    def check_upgrade(self, base: Made, rendition: Rendition, bought: list[Made]) -> None:
        assert rendition.ended
        booked = self.ledger.total(f"upgrade/{base.task_id}/{rendition.kind}/{rendition.index}#")
        assert booked == rendition.cost, f"booked {booked:g} for {rendition}"
        assert rendition.cost >= sum(made.price for made in bought), rendition
        if bought and bought[-1].succeeds and not self.is_given_up(rendition, bought[-1]):
            assert rendition.state is RenditionState.STORED, (rendition, bought)
        elif bought and not any(made.succeeds for made in bought):
            assert rendition.state is RenditionState.UNAVAILABLE, (rendition, bought)
        elif not bought and not self.is_excused(base, rendition):
            raise AssertionError(f"forgotten: {rendition}")

    def is_given_up(self, rendition: Rendition, made: Made) -> bool:
        """Whether what was bought may be given up: a user has asked anew, or it seems to have failed, and nothing will ever speak
        of it again."""
        if made.token and (rendition.order is None or made.token != rendition.order.token):
            return True
        silent = not made.task_id or made in self.heard_of  # a 1080p of the dedicated form has no callback
        # There is no record that could be asked about it, and ordering once more could buy it: the user is told.
        if not made.task_id.startswith("upgrade") and rendition.error.endswith(SAID_OTHERWISE):
            return True
        too_late = rendition.error.startswith("nothing within")
        return silent and (too_late or (not made.task_id and made.recovers))

    def is_excused(self, base: Made, rendition: Rendition) -> bool:
        """Whether there is a reason for an upgrade that is wanted and was not bought."""
        item = Item(Step.UPGRADE, base.task_id, rendition.kind, rendition.index)
        reasons = ("nothing within", "over REELKEEP_CREDITS_PER_GENERATION")
        return (
            rendition.error.startswith(reasons)
            or base.end is End.FALLBACK
            or not base.succeeds
            or (not self.vendor.repeats_are_questions and str(item) in self.shaken)
        )

    def rendition(self, key: Key) -> Rendition | None:
        generation = self.ledger._load(key[0]).generation
        return generation.find(*key[1:]) if generation else None


def choose(among: Any, pick: int) -> Any:
    return among[pick % len(among)]


@pytest.mark.hypothesis
@pytest.mark.timeout(1200)  # a failure is shrunk before it is told
def test_nothing_is_bought_twice_nor_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.pipeline.lease.INSIST_EVERY", 0.0)
    # Claims last by the shop's clock: kept alive by the real one, a machine that stands still would change the course.
    for module in ("mirror", "manifest"):
        monkeypatch.setattr(f"app.pipeline.{module}.keep_alive", lambda *_: nullcontext())
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Shop, settings=settings(max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=quiet)
    )
