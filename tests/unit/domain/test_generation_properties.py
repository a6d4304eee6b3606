"""Order and repetition do not matter (design 2.5): any course of events with a success in it reaches the same end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.callbacks import Outcome
from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.rendition import OrderClaim, Rendition, RenditionState
from app.domain.states import State
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import Kind

POLICY = Policy(upgrades=(Kind.UHD,))
URLS = Urls(result=("https://x/0.mp4", "https://x/1.mp4"), origin=("https://x/o.mp4",))
SUCCESS = Verdict(Progress.SUCCEEDED, 200, "done", URLS, credits=60.5)
READY = OrderAnswer(OrderProgress.READY, 422, "", Urls(result=("https://x/4k.mp4",), image=("https://x/4k.jpg",)), "a1")
END = {(Kind.RESULT, 0), (Kind.RESULT, 1), (Kind.ORIGIN, 0), (Kind.UHD, 0), (Kind.IMAGE, 0)}


@dataclass
class World:
    """A generation, the workers that hold (or believe that they hold) claims, and a clock that runs forward."""

    now: float = 1000.0
    generation: Generation = field(default_factory=lambda: Generation.track("t1", 1000.0, POLICY))
    downloads: list[tuple[Rendition, int]] = field(default_factory=list)
    orders: list[tuple[Rendition, OrderClaim]] = field(default_factory=list)
    manifests: list[tuple[int, int, float | None]] = field(default_factory=list)
    #: when each order's request was sent, by the order's token
    sent_at: dict[str, list[float]] = field(default_factory=dict)
    tokens: int = 0
    stored: dict[tuple[Kind, int], str] = field(default_factory=dict)
    files: int = 0

    def succeed(self) -> None:
        self.generation.hear(SUCCESS, "poll", self.now)

    def fail(self) -> None:
        self.generation.hear(Verdict(Progress.FAILED, 500, "broken"), "callback", self.now)

    def generate(self) -> None:
        self.generation.hear(Verdict(Progress.GENERATING), "poll", self.now)
        self.generation.await_verdict(self.now, POLICY)

    def give_up(self) -> None:
        self.now += POLICY.give_up_after
        self.generation.await_verdict(self.now, POLICY)

    def call_back(self) -> None:
        self.generation.count_callback("generation succeeded 200", self.now)

    def contradict(self) -> None:
        """A worker takes a callback in, and may die before it has asked the vendor."""
        if self.generation.settle.claim(self.now, POLICY.lease, early=True) is not None:
            self.generation.doubt(Outcome.SUCCEEDED, self.now)

    def have_trouble(self) -> None:
        self.generation.await_verdict(self.now, POLICY, "HTTP 502")

    def deny(self) -> None:
        self.generation.deny_upgrade(Kind.UHD, 0, "nobody asked", self.now)

    def ask_again(self) -> None:
        self.generation.retry(self.now)

    def want_again(self) -> None:
        if self.generation.verdict is Progress.SUCCEEDED:
            self.generation.want_upgrade(Kind.UHD, 0, self.now)

    def want_listed(self) -> None:
        self.generation.want_upgrades([Kind.UHD], self.now)

    def claim_download(self) -> None:
        for rendition in self.generation.renditions:
            fence = self.generation.claim_mirror(rendition, self.now, POLICY)
            if fence is not None:
                self.downloads.append((rendition, fence))
                return

    def finish_download(self) -> None:
        """Each finished download brings other bytes: which of them was stored first can be told."""
        self.files += 1
        media = Media("video/mp4", "mp4", 1280, 720, 8.0)
        self._end_download(lambda it: self.generation.store(it, "key", 1, f"{self.files:064x}", media, self.now))

    def break_download(self) -> None:
        self._end_download(lambda it: self.generation.retry_later(it, "cut short", self.now, POLICY, 0.5))

    def hand_over(self) -> None:
        self._end_download(lambda it: self.generation.hand_over(it, self.now))

    def find_dead(self) -> None:
        self._end_download(lambda it: self.generation.find_dead(it, "HTTP 404", self.now, POLICY, 0.5))

    def lose_file(self) -> None:
        self._end_download(lambda it: self.generation.fail(it, "link dead everywhere", self.now))

    def _end_download(self, outcome: Callable[[Rendition], None]) -> None:
        if self.downloads:
            rendition, fence = self.downloads.pop(0)
            if rendition.work.holds(fence):
                outcome(rendition)

    def claim_order(self) -> None:
        self.tokens += 1
        claim = self.generation.claim_upgrade(Kind.UHD, 0, self.now, POLICY, f"secret{self.tokens}")
        rendition = self.generation.find(Kind.UHD, 0)
        if claim is not None and rendition is not None:
            self.orders.append((rendition, claim))

    def send_order(self) -> None:
        """The worker that has believed for longest that it holds the order sends it, if it may."""
        if self.orders:
            rendition, claim = self.orders[0]
            if self.generation.may_send_order(rendition, claim.fence, self.now, POLICY):
                self.sent_at.setdefault(claim.token, []).append(self.now)

    def answer_ordered(self) -> None:
        self._answer(OrderAnswer(OrderProgress.ORDERED, 200, task_id="a1"))

    def answer_uncertain(self) -> None:
        self._answer(OrderAnswer(OrderProgress.UNCERTAIN, 0, "timed out"))

    def answer_gone(self) -> None:
        self._answer(OrderAnswer(OrderProgress.UNAVAILABLE, 422, "unavailable"))

    def answer_broken(self) -> None:
        self._answer(OrderAnswer(OrderProgress.UNCERTAIN, 500))

    def answer_ready(self) -> None:
        self._answer(READY)

    def expect_order(self) -> None:
        self._expect("")

    def expect_no_order(self) -> None:
        self._expect("unavailable")

    def _expect(self, failure: str) -> None:
        rendition = self.generation.find(Kind.UHD, 0)
        if rendition is not None:
            self.generation.expect_upgrade(rendition, failure, self.now, POLICY)

    def _answer(self, answer: OrderAnswer) -> None:
        if self.orders:
            rendition, claim = self.orders.pop(0)
            if rendition.work.holds(claim.fence):
                self.generation.hear_order(rendition, answer, self.now, POLICY)

    def claim_manifest(self) -> None:
        fence = self.generation.claim_manifest(self.now, POLICY)
        if fence is not None:
            self.manifests.append((fence, self.generation.changes, self.generation.completion(self.now)))

    def finish_manifest(self) -> None:
        if self.manifests:
            self.generation.finish_manifest(*self.manifests.pop(0), self.now)

    def check(self) -> None:
        """What must hold after every event."""
        for rendition in self.generation.renditions:
            place = (rendition.kind, rendition.index)
            if rendition.state is RenditionState.STORED:
                assert self.stored.setdefault(place, rendition.sha256) == rendition.sha256
                assert rendition.work.at is None
            else:
                assert place not in self.stored, "stored was undone"
            assert rendition.ended or rendition.work.at is not None, "a rendition fell silent"
            if rendition.state is RenditionState.FAILED:  # what reads a manifest of something lost leans on this
                assert self.generation.verdict is Progress.SUCCEEDED
            order = rendition.order
            assert order is None or order.asks == len(self.sent_at.get(order.token, ())), "a sending was not noted"
        for times in self.sent_at.values():
            assert all(later - sooner >= POLICY.poll_interval for sooner, later in pairwise(times))
        if self.generation.undecided:
            assert self.generation.settle.at is not None, "the generation fell silent"
        assert self.generation.state is not State.WAITING or self.generation.undecided
        if self.generation.changes > self.generation.written and self.stored:
            assert self.generation.manifest.at is not None, "a change is written nowhere"
        if self.generation.state is State.COMPLETE:
            assert all(r.ended for r in self.generation.renditions)

    def work_off(self) -> None:
        """The fleet does all that is left, with time enough for every lease and pause."""
        for _ in range(5):
            self.now += 10_000.0
            self.ask_again()
            self.generation.await_verdict(self.now, POLICY)
            self.want_again()
            self.claim_order()
            while self.orders:
                self.answer_ready()
                self.check()
            for _ in self.generation.renditions:
                self.claim_download()
            while self.downloads:
                self.finish_download()
                self.check()
            self.claim_manifest()
            while self.manifests:
                self.finish_manifest()
                self.check()


EVENTS: tuple[Callable[[World], None], ...] = (
    World.succeed,
    World.fail,
    World.generate,
    World.give_up,
    World.call_back,
    World.contradict,
    World.have_trouble,
    World.deny,
    World.ask_again,
    World.want_again,
    World.want_listed,
    World.claim_download,
    World.claim_download,
    World.finish_download,
    World.finish_download,
    World.break_download,
    World.hand_over,
    World.find_dead,
    World.lose_file,
    World.claim_order,
    World.claim_order,
    World.send_order,
    World.send_order,
    World.answer_ordered,
    World.answer_uncertain,
    World.answer_gone,
    World.answer_broken,
    World.answer_ready,
    World.expect_order,
    World.expect_no_order,
    World.claim_manifest,
    World.finish_manifest,
)
courses = st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from([0.0, 1.0, 20.0, 61.0, 700.0])), max_size=40)


def _play(world: World, course: list[tuple[Callable[[World], None], float]]) -> None:
    for event, pause in course:
        world.now += pause
        event(world)
        world.check()


@settings(max_examples=300, deadline=None)
@given(courses, courses)
def test_any_course_of_events_with_a_success_in_it_ends_complete(
    before: list[tuple[Callable[[World], None], float]], after: list[tuple[Callable[[World], None], float]]
) -> None:
    world = World()
    _play(world, [*before, (World.succeed, 0.0), *after])
    world.work_off()
    generation = world.generation
    assert generation.state is State.COMPLETE
    assert set(world.stored) == END
    assert {(r.kind, r.index, r.state) for r in generation.renditions} == {
        (*place, RenditionState.STORED) for place in END
    }
    assert (generation.verdict, generation.code, generation.msg) == (Progress.SUCCEEDED, 200, "done")
    assert (generation.given_up, generation.error, generation.agenda(pending=False)) == (False, "", {})


@settings(max_examples=100, deadline=None)
@given(courses)
def test_any_course_of_events_without_a_success_stores_nothing(
    course: list[tuple[Callable[[World], None], float]],
) -> None:
    world = World()
    _play(world, [(event, pause) for event, pause in course if event is not World.succeed])
    assert world.stored == {}
    assert world.sent_at == {}
    assert world.generation.state in (State.WAITING, State.FAILED, State.LOST)


@settings(max_examples=100, deadline=None)
@given(courses)
def test_a_generation_is_the_same_after_every_writing_and_reading(
    course: list[tuple[Callable[[World], None], float]],
) -> None:
    world = World()
    _play(world, course)
    written = world.generation.model_dump_json(exclude_defaults=True)
    assert Generation.model_validate_json(written) == world.generation
