"""Whatever becomes of workers and answers, a request is created at the vendor's once at most, and nothing falls silent."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.callbacks import Callback, Outcome
from app.domain.policy import Policy
from app.domain.requests import GenerateRequest
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.vendor import SubmitAnswer, SubmitProgress

POLICY = Policy()
NOTHING_SAID = SubmitAnswer(SubmitProgress.UNCERTAIN, msg="ReadTimeout")
NAMELESS_FAILURE = Callback(None, Outcome.FAILED, 501, "it broke")


@dataclass
class Worker:
    """Somebody who holds a claim, or believes so; and the answer that is on its way to it once it has sent."""

    fence: int
    #: the submission as it was when it was claimed
    found: Submission
    sending: int = 0
    answer: SubmitAnswer = NOTHING_SAID


@dataclass
class World:
    """A submission, the workers that have claimed it, what the vendor has truly created, and a clock that runs forward."""

    now: float = 1000.0
    workers: list[Worker] = field(default_factory=list)
    inbox: list[Callback] = field(default_factory=list)
    sendings: int = 0
    created: list[str] = field(default_factory=list)
    submission: Submission = field(
        default_factory=lambda: Submission(
            id="sub_0123456789abcdef0123456789abcdef",
            tracked_at=1000.0,
            request=GenerateRequest(prompt="a cat"),
            fingerprint="f",
            token="secret",
        )
    )

    def __post_init__(self) -> None:
        self.submission.work.at = 1000.0

    def claim(self) -> None:
        """A worker claims it, takes in the callbacks that wait, and keeps in mind what it has found."""
        fence = self.submission.claim(self.now, POLICY, early=bool(self.inbox))
        if fence is not None:
            while self.inbox:
                self.submission.hear_callback(self.inbox.pop(0), self.now)
            self.workers.append(Worker(fence, self.submission.model_copy(deep=True)))

    def send_and_be_taken(self) -> None:
        task_id = f"v{len(self.created) + 1}"
        if self._send(SubmitAnswer(SubmitProgress.CREATED, 200, "", task_id)):
            self.created.append(task_id)

    def send_and_be_refused(self) -> None:
        self._send(SubmitAnswer(SubmitProgress.REFUSED, 402, "no credits"))

    def send_and_be_put_off(self) -> None:
        self._send(SubmitAnswer(SubmitProgress.BUSY, 429, "too often", pause=5.0))

    def _send(self, answer: SubmitAnswer) -> bool:
        """Every worker that has not sent tries to."""
        for worker in [worker for worker in self.workers if not worker.sending]:
            sending = self.submission.may_send(worker.fence, self.now, POLICY)
            if sending is not None:
                self.sendings += 1
                worker.sending, worker.answer = sending, answer
                return True
        return False

    def answer_first(self) -> None:
        self._answer(0)

    def answer_last(self) -> None:
        self._answer(-1)

    def lose_answer(self) -> None:
        for worker in self.workers:
            worker.answer = NOTHING_SAID

    def _answer(self, which: int) -> None:
        sent = [worker for worker in self.workers if worker.sending]
        if sent:
            worker = sent[which]
            self.workers.remove(worker)
            self.submission.hear(worker.answer, worker.sending, self.now, POLICY, 0.5)

    def die(self) -> None:
        if self.workers:
            self.workers.pop(0)

    def put_off(self) -> None:
        for worker in self.workers:
            if worker.found.to_be_sent:
                self.submission.postpone(worker.fence, "no slot", self.now + 3.0)

    def wait(self) -> None:
        for worker in self.workers:
            if not worker.found.task_id:
                self.submission.wait(worker.fence, self.now, POLICY)

    def hand_over(self) -> None:
        for worker in [worker for worker in self.workers if worker.found.task_id]:
            self.workers.remove(worker)
            if self.submission.task_id:
                self.submission.link()

    def hand_over_a_mistake(self) -> None:
        """The generation of that id has come of another submission."""
        for worker in [worker for worker in self.workers if worker.found.task_id]:
            self.workers.remove(worker)
            if self.submission.task_id and not self.submission.linked:
                self.submission.unlearn(POLICY, self.now)

    def call_back(self) -> None:
        if self.created:
            self.inbox.append(Callback(self.created[0], Outcome.SUCCEEDED, 200))

    def call_back_without_id(self) -> None:
        if self.created:
            self.inbox.append(NAMELESS_FAILURE)

    def call_back_with_nothing(self) -> None:
        self.inbox.append(Callback(None, Outcome.ASK, 408))

    def name(self) -> None:
        """The user says which generation has come of it, whoever is at it just now."""
        if self.created and self.submission.open_question:
            self.submission.learn(self.created[0], self.now)

    def ask_again(self) -> None:
        self.submission.retry(self.now)

    def check(self) -> None:
        """What must hold after every event."""
        it = self.submission
        assert len(self.created) <= 1, "it was bought twice"
        assert it.sends == self.sendings, "a sending was not noted"
        assert not (self.created and it.to_be_sent and it.sent_at is None), "what was created is to be sent again"
        ended = it.linked or it.state in (State.FAILED, State.LOST)
        assert (it.work.at is not None) or ended, "it fell silent"
        assert it.task_id in ("", *self.created)

    def work_off(self) -> None:
        """The fleet does all that is left; the vendor answers at once, and creates."""
        for _ in range(5):
            self.now += POLICY.give_up_after
            self.claim()
            self.send_and_be_taken()
            self.answer_last()
            self.wait()
            self.hand_over()
            self.check()


EVENTS: tuple[Callable[[World], None], ...] = (
    World.claim,
    World.claim,
    World.claim,
    World.send_and_be_taken,
    World.send_and_be_taken,
    World.send_and_be_refused,
    World.send_and_be_put_off,
    World.send_and_be_put_off,
    World.answer_first,
    World.answer_last,
    World.lose_answer,
    World.die,
    World.put_off,
    World.wait,
    World.hand_over,
    World.call_back,
    World.call_back_without_id,
    World.call_back_with_nothing,
    World.name,
    World.ask_again,
    World.hand_over_a_mistake,
)
pauses = st.sampled_from([0.0, 1.0, 20.0, 61.0, 700.0, 90_000.0])
courses = st.lists(st.tuples(st.sampled_from(EVENTS), pauses), max_size=40)


def _play(world: World, course: list[tuple[Callable[[World], None], float]]) -> None:
    for event, pause in course:
        world.now += pause
        event(world)
        world.check()


@settings(max_examples=300, deadline=None)
@given(courses)
def test_any_course_of_events_creates_one_at_most_and_ends_with_an_id_or_by_name(
    course: list[tuple[Callable[[World], None], float]],
) -> None:
    world = World()
    _play(world, course)
    world.work_off()
    assert bool(world.submission.task_id) or world.submission.state in (State.FAILED, State.LOST)
    assert bool(world.submission.task_id) is not bool(world.submission.error)


@settings(max_examples=100, deadline=None)
@given(courses)
def test_whatever_was_created_is_found_by_its_callback_however_late(
    course: list[tuple[Callable[[World], None], float]],
) -> None:
    world = World()
    _play(world, course)
    world.work_off()
    world.call_back()
    world.work_off()
    assert (world.submission.task_id, world.submission.linked) == ("".join(world.created), bool(world.created))


@settings(max_examples=100, deadline=None)
@given(courses)
def test_a_submission_is_the_same_after_every_writing_and_reading(
    course: list[tuple[Callable[[World], None], float]],
) -> None:
    world = World()
    _play(world, course)
    written = world.submission.model_dump_json(exclude_defaults=True)
    assert Submission.model_validate_json(written) == world.submission
