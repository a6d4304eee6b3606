"""The ledger rebuilt from a real S3 endpoint into a real redis-server."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result

from app.adapters.bucket import S3Bucket
from app.adapters.redis_ledger import RedisLedger
from app.cli.main import main
from app.domain.container import Media
from app.domain.errors import StoreUnavailable
from app.domain.generation import Generation
from app.domain.ledger import Draft, Entry, Route, Trust
from app.domain.manifest_reading import UNSURE
from app.domain.policy import Policy
from app.domain.rendition import RenditionState
from app.domain.requests import GenerateRequest
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.view import describe
from app.domain.work import Item, Kind, Step
from app.embedded import free_port
from app.pipeline.manifest import manifest_key, render
from app.pipeline.rebuild import Archive, Outcome, Rebuilt, Site, rebuild
from app.pipeline.submit import Acceptance, accept
from app.pipeline.track import look_up
from app.simulator.server import Options, Simulator
from tests.integration.desk import QUICK, Desk

POLICY = Policy()
#: 2026-08-06T06:57:57Z
THEN = 1785999477.0
VIDEO = Media("video/mp4", "mp4", 1280, 720, 8.0, True)
URLS = Urls(result=("https://x/0.mp4",))
Run = Callable[..., Result]


@pytest.fixture
def site(bucket: S3Bucket, ledger: RedisLedger) -> Site:
    return Site(bucket, ledger, POLICY, "veo/", repeats_are_questions=True)


def run(site: Site) -> dict[str, Rebuilt]:
    return {one.task_id: one for one in rebuild(site)}


def complete(task_id: str, upgrades: tuple[Kind, ...] = ()) -> Generation:
    """One with a stored result; upgrades are still to be ordered."""
    generation = Generation.track(task_id, THEN, replace(POLICY, upgrades=upgrades))
    generation.hear(Verdict(Progress.SUCCEEDED, 200, "done", URLS), "poll", THEN)
    rendition = generation.renditions[0]
    assert generation.claim_mirror(rendition, THEN, POLICY) is not None
    generation.store(rendition, f"veo/{task_id}/result-0.mp4", 5, "ab" * 32, VIDEO, THEN)
    generation.complete_at = generation.completion(THEN)
    return generation


def order(generation: Generation, kind: Kind, answer: OrderAnswer, at: float = THEN) -> None:
    claim = generation.claim_upgrade(kind, 0, at, POLICY, "old-token")
    rendition = generation.find(kind, 0)
    assert claim is not None
    assert rendition is not None
    assert generation.may_send_order(rendition, claim.fence, at, POLICY)
    generation.hear_order(rendition, answer, at, POLICY)


def put(bucket: S3Bucket, generation: Generation, *, without: str = "") -> None:
    """The manifest and the objects that it lists."""
    for rendition in generation.renditions:
        if rendition.key and rendition.key != without:
            bucket.put_json(rendition.key, "video")
    bucket.put_json(manifest_key("veo/", generation.task_id), render(generation))


def everything(client: redis.Redis) -> dict[Any, Any]:
    """All that is in Redis."""
    return {key: client.dump(key) for key in client.keys("reelkeep:*")}  # type: ignore[union-attr]


# --- what is there ---------------------------------------------------------------------------------------------------------


def test_a_bucket_of_several_pages_is_rebuilt_whole(
    site: Site, reels: tuple[S3Bucket, Path], ledger: RedisLedger
) -> None:
    ids = [f"task-{number}" for number in range(550)]
    for task_id in ids:  # past the endpoint, which would take its time
        folder = reels[1] / "veo" / task_id
        folder.mkdir(parents=True)
        (folder / "result-0.mp4").write_bytes(b"video")
        (folder / "manifest.json").write_text(render(complete(task_id)))
    found = run(site)
    assert len(list(site.bucket.keys("veo/"))) > 1000, "one page of the endpoint's list"
    assert found == {task_id: Rebuilt(task_id, Outcome.REBUILT) for task_id in ids}
    assert sum(ledger.count().values()) == len(ids)
    assert ledger.health().overdue == 0.0, "there is nothing to do"
    for task_id in (ids[0], ids[-1]):
        known = ledger.read(task_id).generation
        assert known is not None
        assert describe(known) == describe(complete(task_id))


def test_doing_it_again_changes_nothing(site: Site, bucket: S3Bucket, client: redis.Redis) -> None:
    one = complete("t1", (Kind.UHD,))
    order(one, Kind.UHD, OrderAnswer(OrderProgress.ORDERED, 200, task_id="alias-1"))
    put(bucket, one)
    put(bucket, complete("t2"))
    assert {it.outcome for it in run(site).values()} == {Outcome.REBUILT}
    before = everything(client)
    assert run(site) == {task_id: Rebuilt(task_id, Outcome.KNOWN) for task_id in ("t1", "t2")}
    assert everything(client) == before


def test_what_the_ledger_knows_is_left_alone(site: Site, bucket: S3Bucket, ledger: RedisLedger) -> None:
    put(bucket, complete("t1"))
    ledger.change("t1", lambda draft: setattr(draft, "generation", Generation.track("t1", draft.now, POLICY)))
    before = ledger.read("t1").generation
    assert run(site)["t1"].outcome is Outcome.KNOWN
    assert ledger.read("t1").generation == before


def test_a_callback_that_came_before_is_taken_in_by_what_is_rebuilt(
    site: Site, bucket: S3Bucket, ledger: RedisLedger
) -> None:
    put(bucket, complete("t1"))
    entry = Entry(at=1.0, route=Route.GENERATION, trust=Trust.SIGNED, raw='{"code":200,"data":{"taskId":"t1"}}')
    ledger.record("t1", None, entry)
    assert run(site)["t1"].outcome is Outcome.REBUILT
    draft = ledger.read("t1")
    assert draft.generation is not None
    assert (draft.generation.state, len(draft.pending)) == ("complete", 1)


def test_a_dry_run_says_the_same_and_changes_nothing(site: Site, bucket: S3Bucket, client: redis.Redis) -> None:
    put(bucket, complete("t1"), without="veo/t1/result-0.mp4")
    put(bucket, complete("t2", (Kind.UHD,)))
    bucket.put_json("veo/orphan/result-0.mp4", "video")
    told = run(replace(site, dry_run=True))
    assert client.dbsize() == 0
    assert told == run(site)
    assert client.dbsize()


def test_only_what_is_under_the_prefix_and_ours_is_looked_at(site: Site, bucket: S3Bucket, ledger: RedisLedger) -> None:
    put(bucket, complete("t1"))
    for key in ("veo/notes.txt", "veo/holiday/cat.jpg", "veo/a b/result-0.mp4", "old/t2/result-0.mp4", "veo2/t3/x.mp4"):
        bucket.put_json(key, "foreign")
    assert set(run(site)) == {"t1"}
    assert sum(ledger.count().values()) == 1


def test_a_callback_about_an_upgrade_leads_to_it_again(site: Site, bucket: S3Bucket, ledger: RedisLedger) -> None:
    one = complete("t1", (Kind.UHD,))
    order(one, Kind.UHD, OrderAnswer(OrderProgress.ORDERED, 200, task_id="alias-1"))
    put(bucket, one)
    run(site)
    entry = Entry(at=1.0, route=Route.UHD, trust=Trust.SIGNED, raw='{"code":200,"data":{"taskId":"alias-1"}}')
    ledger.record("alias-1", None, entry)
    (pending,) = ledger.read("t1").pending
    assert (pending.kind, pending.index, pending.order) == (Kind.UHD, 0, 1)
    assert ledger.read("alias-1").pending == []


def test_what_was_submitted_here_is_not_submitted_again_under_the_same_key(
    site: Site, bucket: S3Bucket, ledger: RedisLedger, redis_url: str
) -> None:
    request = GenerateRequest(prompt="a cat", image_urls=["https://x/1.png?sig=secret"])
    accepted = accept(request, [Kind.UHD], {"shot": "7"}, "key-1", ledger, POLICY).submission
    assert accepted is not None
    one = complete("t1")
    one.adopt(accepted, THEN)
    put(bucket, one)
    redis.Redis.from_url(redis_url).flushall()
    run(site)
    again = accept(request, [Kind.UHD], {"shot": "7"}, "key-1", ledger, POLICY)
    assert (again.outcome, again.submission and again.submission.task_id) == (Acceptance.REPEATED, "t1")
    assert accept(request, [], {}, "key-1", ledger, POLICY).outcome is Acceptance.OTHER_BODY
    found = look_up(accepted.id, ledger, POLICY)
    assert found is not None
    assert found.task_id == "t1"


def test_what_was_spent_today_counts_today(site: Site, bucket: S3Bucket, ledger: RedisLedger) -> None:
    now = ledger.now()
    today, cheaper, refused = (complete(task_id, (Kind.UHD,)) for task_id in ("today", "cheaper", "refused"))
    order(today, Kind.UHD, OrderAnswer(OrderProgress.ORDERED, 200, task_id="a1"), now)
    order(cheaper, Kind.UHD, OrderAnswer(OrderProgress.ORDERED, 200, task_id="a2", credits=100.0), now)
    order(refused, Kind.UHD, OrderAnswer(OrderProgress.UNAVAILABLE, 422, "too old"), now)
    long_ago = complete("long-ago", (Kind.UHD,))
    order(long_ago, Kind.UHD, OrderAnswer(OrderProgress.ORDERED, 200, task_id="a3"), now - 2 * 86400)
    for one in (today, cheaper, refused, long_ago):
        put(bucket, one)
    run(site)
    assert ledger.spent_today() == {"total": 220.0, "upgrade": 220.0}
    run(site)
    assert ledger.spent_today() == {"total": 220.0, "upgrade": 220.0}


def test_what_may_have_been_spent_today_counts_today(site: Site, bucket: S3Bucket, ledger: RedisLedger) -> None:
    """What was asked for yesterday and sent today, and what was bought today before the present order."""
    now = ledger.now()
    yesterday = now - 86400
    sent_today, bought_twice, submitted = (complete(name, (Kind.UHD,)) for name in ("sent-today", "twice", "submitted"))
    order(sent_today, Kind.UHD, OrderAnswer(OrderProgress.NOT_YET, 402, "no credits"), yesterday)
    order(sent_today, Kind.UHD, OrderAnswer(OrderProgress.ORDERED, 200, task_id="a1"), now)
    order(bought_twice, Kind.UHD, OrderAnswer(OrderProgress.ORDERED, 200, task_id="a2"), now - 60)
    bought_twice.hear_order(
        bought_twice.renditions[1], OrderAnswer(OrderProgress.UNAVAILABLE, 500, "broken"), now - 30, POLICY
    )
    bought_twice.want_upgrade(Kind.UHD, 0, now)
    order(bought_twice, Kind.UHD, OrderAnswer(OrderProgress.ORDERED, 200, task_id="a3"), now)
    accepted = accept(GenerateRequest(prompt="a cat"), [], {}, "key-1", ledger, POLICY).submission
    assert accepted is not None
    submitted.adopt(accepted, THEN)
    submitted.tracked_at, submitted.verdict_at = yesterday, now
    for one in (sent_today, bought_twice, submitted):
        put(bucket, one)
    ledger._redis.flushall()
    run(site)
    assert ledger.spent_today() == {"total": 420.0, "upgrade": 360.0, "submit": 60.0}


# --- what is not ----------------------------------------------------------------------------------------------------------


def test_an_object_that_is_gone_is_wanted_again(site: Site, bucket: S3Bucket, ledger: RedisLedger) -> None:
    put(bucket, complete("t1"), without="veo/t1/result-0.mp4")
    assert run(site)["t1"] == Rebuilt("t1", Outcome.REBUILT, unfinished=True, missing=("veo/t1/result-0.mp4",))
    known = ledger.read("t1").generation
    assert known is not None
    assert (known.state, known.renditions[0].state) == ("mirroring", "wanted")


def test_a_list_that_is_in_no_order_makes_nothing_missing(site: Site, bucket: S3Bucket) -> None:
    class Unordered:
        """As some stores list."""

        def __init__(self, bucket: Archive) -> None:
            self.get_json, self.has = bucket.get_json, bucket.has
            self._bucket = bucket

        def keys(self, prefix: str) -> Iterator[str]:
            keys = list(self._bucket.keys(prefix))
            random.Random(7).shuffle(keys)
            return iter(keys)

    for number in range(10):
        put(bucket, complete(f"t{number}"))
    found = list(rebuild(replace(site, bucket=Unordered(bucket))))
    assert {one.outcome for one in found} <= {Outcome.REBUILT, Outcome.KNOWN}
    assert sorted(one.task_id for one in found if one.outcome is Outcome.REBUILT) == [f"t{n}" for n in range(10)]
    assert not [one for one in found if one.missing or one.unfinished]


@pytest.mark.parametrize(
    ("repeats", "wished", "upgrades"),
    [
        (True, (), [Kind.UHD]),
        (True, (Kind.HD,), [Kind.HD, Kind.UHD]),
        # Where every request buys, one might buy what has been bought.
        (False, (Kind.HD, Kind.UHD), []),
    ],
)
def test_objects_without_a_manifest_have_their_generation_asked_about(
    site: Site, bucket: S3Bucket, ledger: RedisLedger, repeats: bool, wished: tuple[Kind, ...], upgrades: list[Kind]
) -> None:
    for name in ("result-0.mp4", "4k-0.mp4", "4k-0.jpg"):
        bucket.put_json(f"veo/t1/{name}", "video")
    lenient = replace(site, repeats_are_questions=repeats, policy=replace(POLICY, upgrades=wished))
    assert run(lenient)["t1"] == Rebuilt("t1", Outcome.WITHOUT_MANIFEST, unfinished=True)
    known = ledger.read("t1").generation
    assert known is not None
    assert (known.upgrades, known.old) == (upgrades, True)
    assert Item(Step.SETTLE, "t1") in known.agenda(pending=False)
    assert ledger.wake() > 1.0, "it was due at once, and is enqueued"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"format": 99}', "its format is '99', and only 1 is known here"),
        ("not json", "it is not JSON"),
        (render(complete("t2")), "it is of t2"),
    ],
)
def test_what_cannot_be_read_is_named_and_not_guessed(
    site: Site, bucket: S3Bucket, ledger: RedisLedger, text: str, words: str
) -> None:
    put(bucket, complete("t0"))
    bucket.put_json("veo/t1/manifest.json", text)
    bucket.put_json("veo/t1/result-0.mp4", "video")
    found = run(site)
    assert found["t1"] == Rebuilt("t1", Outcome.UNREADABLE, trouble=words)
    assert found["t0"].outcome is Outcome.REBUILT
    assert ledger.read("t1").generation is None


def test_a_manifest_that_the_store_does_not_give_is_named_and_the_rest_goes_on(site: Site, bucket: S3Bucket) -> None:
    class Forbidding:
        def __init__(self, bucket: Archive) -> None:
            self.keys, self.has = bucket.keys, bucket.has
            self._bucket = bucket

        def get_json(self, key: str) -> str | None:
            if "/t1/" in key:
                raise StoreUnavailable("cannot read: AccessDenied")
            return self._bucket.get_json(key)

    for number in range(3):
        put(bucket, complete(f"t{number}"))
    found = run(replace(site, bucket=Forbidding(bucket)))
    assert found["t1"] == Rebuilt("t1", Outcome.UNREADABLE, trouble="cannot read: AccessDenied")
    assert [found[name].outcome for name in ("t0", "t2")] == [Outcome.REBUILT] * 2


def test_a_bucket_that_cannot_be_listed_is_an_error(site: Site) -> None:
    with pytest.raises(StoreUnavailable, match="cannot list: NoSuchBucket"):
        list(rebuild(replace(site, bucket=S3Bucket("nowhere"))))


def test_the_bucket_says_whether_it_has_an_object(bucket: S3Bucket) -> None:
    bucket.put_json("veo/t1/manifest.json", "{}")
    assert bucket.has("veo/t1/manifest.json")
    assert not bucket.has("veo/t1/result-0.mp4")
    with pytest.raises(StoreUnavailable, match="cannot look for: 403"):
        S3Bucket(bucket.name, _stranger(bucket)).has("veo/t1/manifest.json")


def _stranger(bucket: S3Bucket) -> Any:
    """A client with wrong keys."""
    import boto3

    endpoint = bucket.client.meta.endpoint_url
    given = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=endpoint, **given)  # type: ignore[call-overload]


# --- where every request buys ----------------------------------------------------------------------------------------------


@pytest.fixture
def desk(redis_url: str) -> Iterator[Desk]:
    """A worker that speaks the unified form, in which every order is paid for (veo-api §13)."""
    with Simulator(Options(speed=600, rate_limit=0)) as simulator:
        yield Desk(simulator, redis_url, form="jobs")


def store_result(desk: Desk, task_id: str) -> None:
    def store(draft: Draft) -> None:
        assert draft.generation is not None
        rendition = draft.generation.renditions[0]
        assert draft.generation.claim_mirror(rendition, draft.now, QUICK) is not None
        draft.generation.store(rendition, f"veo/{task_id}/result-0.mp4", 5, "ab" * 32, VIDEO, draft.now)

    desk.ledger.change(task_id, store)


@pytest.mark.parametrize("late", [False, True], ids=["manifest-after-the-order", "manifest-before-the-order"])
def test_an_upgrade_is_bought_once_though_the_ledger_is_lost(desk: Desk, bucket: S3Bucket, late: bool) -> None:
    sub = desk.generate("plain", Kind.UHD)
    desk.work_until(lambda: desk.show(sub)["renditions"])
    task_id = desk.generation(sub).task_id
    store_result(desk, task_id)
    desk.work_until(lambda: describe(desk.generation(sub))["renditions"][1]["orderId"])
    shown = desk.generation(sub)
    if late:
        update = {"order": None, "orders": 0, "state": RenditionState.WANTED}
        shown.renditions[1] = shown.renditions[1].model_copy(update=update)
    put(bucket, shown)

    desk.queue.flushall()
    site = Site(bucket, desk.ledger, QUICK, "veo/", desk.vendor.repeats_are_questions)
    assert run(site)[task_id] == Rebuilt(task_id, Outcome.REBUILT, unfinished=not late)
    if late:
        desk.work()
        assert (desk.rendition(sub, Kind.UHD).state, desk.rendition(sub, Kind.UHD).error) == ("unavailable", UNSURE)
    else:
        desk.work_until(lambda: desk.rendition(sub, Kind.UHD).url)
    assert len(desk.bought()) == 1


# --- the command -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def reelkeep(redis_url: str, bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)  # away from any .env
    monkeypatch.setattr("app.cli.rebuild.stop_signal", Event)  # pytest's own handlers stay

    def invoke(*arguments: str, **env: str) -> Result:
        settings = {"REELKEEP_REDIS_URL": redis_url, "REELKEEP_S3_BUCKET": bucket.name, **env}
        return CliRunner().invoke(main, ["rebuild", *arguments], env=settings)

    return invoke


def test_the_command_tells_all_of_it(reelkeep: Run, bucket: S3Bucket) -> None:
    put(bucket, complete("t1"))
    put(bucket, complete("t2", (Kind.UHD,)))
    put(bucket, complete("t3"), without="veo/t3/result-0.mp4")
    bucket.put_json("veo/orphan/result-0.mp4", "video")
    nameless = complete("t4")
    nameless.submission, nameless.request = f"sub_{'1' * 32}", {"model": "veo9"}
    put(bucket, nameless)
    told = {
        "dryRun": True,
        "interrupted": False,
        "rebuilt": 4,
        "known": 0,
        "unfinished": ["t2", "t3"],
        "missingObjects": ["veo/t3/result-0.mp4"],
        "withoutManifest": ["orphan"],
        "unreadable": {},
        "partly": {"t4": f"what was asked for cannot be read: sub_{'1' * 32} does not lead to it"},
    }
    dry = reelkeep("--dry-run", "--json")
    assert (dry.exit_code, dry.stderr, json.loads(dry.stdout)) == (0, "", told)
    text = reelkeep("--dry-run").stdout
    assert text.splitlines()[:4] == ["4 would be rebuilt, 0 known already", "2 unfinished, goes on:", "  t2", "  t3"]
    assert json.loads(reelkeep("--json").stdout) == told | {"dryRun": False}
    assert reelkeep().stdout == "0 rebuilt, 5 known already\n"


def test_a_manifest_that_cannot_be_read_is_an_exit_status(reelkeep: Run, bucket: S3Bucket) -> None:
    put(bucket, complete("t0"))
    bucket.put_json("veo/t1/manifest.json", "{}")
    result = reelkeep()
    assert result.exit_code == 1
    assert result.stdout.startswith("1 rebuilt, 0 known already\n1 unreadable, left as it is:\n  t1: it is no manifest")


def test_the_form_of_the_api_decides_what_may_be_asked(reelkeep: Run, bucket: S3Bucket, ledger: RedisLedger) -> None:
    put(bucket, complete("t1", (Kind.UHD,)))
    assert reelkeep(REELKEEP_KIE_API="jobs").exit_code == 0
    known = ledger.read("t1").generation
    assert known is not None
    assert known.renditions[1].error == UNSURE


@pytest.mark.parametrize(
    ("env", "status", "words"),
    [
        ({"REELKEEP_S3_BUCKET": "nowhere"}, 1, "reelkeep: bucket nowhere, veo/: cannot list: NoSuchBucket\n"),
        ({"REELKEEP_S3_BUCKET": ""}, 78, "reelkeep: REELKEEP_S3_BUCKET: missing"),
        ({"REELKEEP_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}, 1, "reelkeep: Redis: "),
    ],
)
def test_what_is_away_is_said_in_one_line(
    reelkeep: Run, bucket: S3Bucket, env: dict[str, str], status: int, words: str
) -> None:
    put(bucket, complete("t1"))
    result = reelkeep(**env)
    assert (result.exit_code, result.stdout) == (status, "")
    assert result.stderr.startswith(words)
    assert result.stderr.count("\n") == 1


def test_told_to_stop_it_says_that_there_may_be_more(
    reelkeep: Run, bucket: S3Bucket, ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Event()
    stop.set()
    monkeypatch.setattr("app.cli.rebuild.stop_signal", lambda: stop)
    for number in range(40):
        put(bucket, complete(f"t{number}"))
    result = reelkeep("--json")
    assert (result.exit_code, result.stderr) == (130, "reelkeep: interrupted; run it again to do the rest\n")
    assert (json.loads(result.stdout)["interrupted"], json.loads(result.stdout)["rebuilt"]) == (True, 1)
    assert sum(ledger.count().values()) < 40
