"""What is settled for long leaves a real Redis for its manifest in a real bucket, and is known there: real vendor client, the
simulator's own books, the files behind the bucket."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.adapters.bucket import S3Bucket
from app.adapters.download_policy import DownloadPolicy
from app.adapters.downloader import Downloader
from app.adapters.redis_ledger import RedisLedger
from app.cli.main import main
from app.domain.archive import GONE
from app.domain.errors import LedgerUnavailable, StoreUnavailable
from app.domain.ledger import Entry, Recorded, Route, Trust
from app.domain.requests import GenerateRequest
from app.domain.states import State
from app.domain.work import Item, Kind, Lane, Step
from app.embedded import free_port
from app.pipeline.archive import archive_settled, reader_of
from app.pipeline.importing import track_old, watch
from app.pipeline.manifest import write_manifest
from app.pipeline.mirror import mirror
from app.pipeline.rebuild import Outcome, Site, rebuild
from app.pipeline.submit import Acceptance, accept
from app.pipeline.track import UpgradeRequest, request_upgrade, retry, track
from app.simulator.server import Options, Simulator
from tests.integration.desk import QUICK, TOKEN, Desk, front_door
from tests.integration.looks import queued

PREFIX = "veo/"
#: days: so few that all that is settled leaves
SOON = 1e-9
POLICY = DownloadPolicy(hosts=("127.0.0.1",), insecure=True, max_bytes=10**9, deadline=60, min_rate=0)


@dataclass
class House(Desk):
    """A desk with a bucket, and a worker that mirrors."""

    bucket: S3Bucket | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.bucket is not None
        self.fetcher = Downloader(POLICY, threading.Event())
        self.ledger = RedisLedger(self.redis_url, read_manifest=reader_of(self.bucket, PREFIX))

    def work(self, most: int = 50) -> int:
        done = super().work(most)
        assert self.bucket is not None
        for lane in (Lane.MIRROR, Lane.MANIFEST):
            while items := queued(self.queue, lane):
                self.queue.rpop(lane.queue)
                item = Item.parse(items[0])
                if item.step is Step.MIRROR:
                    mirror(item, self.ledger, self.fetcher, self.bucket, self.vendor, self.policy, PREFIX)
                else:
                    write_manifest(item, self.ledger, self.bucket, self.policy, PREFIX)
                done += 1
        return done

    def finish(self, record_id: str, state: str = "complete") -> str:
        """Work until it is settled; gives the vendor's id."""
        task_id = str(self.work_until_state(record_id, state)["taskId"])
        self.work_until(lambda: self.ledger.read(task_id).generation.settled_at)  # type: ignore[union-attr]
        while self.work():
            pass
        return task_id

    def archive(self, keep_days: float = SOON) -> None:
        """A whole round."""
        assert self.bucket is not None
        self.queue.hdel("reelkeep:health", "archived_at")
        while not self.queue.hexists("reelkeep:health", "archived_at"):
            self.queue.delete("reelkeep:turn:archive")
            archive_settled(self.ledger, self.bucket, PREFIX, keep_days, 15.0)

    def own_keys(self) -> set[str]:
        """Everything that is in Redis of single generations; not the counters, budgets and notes of all."""
        common = ("hour", "budget", "slots", "tally", "line", "turns", "paused", "turn")
        names = {key.removeprefix("reelkeep:") for key in self.queue.scan_iter("reelkeep:*")}
        return {name for name in names if name.partition(":")[0] not in {*common, "stats", "health", "seq"}}

    def is_here(self, task_id: str) -> bool:
        return bool(self.queue.exists(f"reelkeep:gen:{task_id}"))

    def call_back(self, task_id: str, route: Route = Route.GENERATION, token: str | None = None) -> Recorded:
        """The vendor's callback once more, months later."""
        info = {"resultUrls": [f"{self.simulator.url}/files/other.mp4"], "resolution": "1080p"}
        body = {"code": 200, "msg": "success", "data": {"taskId": task_id, "info": info}}
        entry = Entry(at=self.ledger.now(), route=route, trust=Trust.SIGNED, raw=json.dumps(body))
        return self.ledger.record(task_id, token, entry)


@pytest.fixture
def house(redis_url: str, reels: tuple[S3Bucket, Path]) -> Iterator[House]:
    with Simulator(Options(speed=1200, rate_limit=0)) as simulator:
        yield House(simulator, redis_url, bucket=reels[0])


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """All files of ours in the bucket, when each was written and how large it is, manifests apart."""
    found = [path for path in folder.rglob("*.*") if path.is_file() and path.suffix in (".mp4", ".jpg")]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size) for path in found}


# --- leaving ---------------------------------------------------------------------------------------------------------------


def test_what_is_settled_leaves_nothing_but_its_names(house: House) -> None:
    submitted = house.generate("plain", Kind.UHD)
    task_id = house.finish(submitted)
    before = house.show(task_id)
    alias = house.rendition(task_id, Kind.UHD).order.alias  # type: ignore[union-attr]
    assert house.own_keys() > {f"gen:{task_id}", f"sub:{submitted}", f"timeline:{task_id}", f"alias:{alias}", "tracked"}
    house.archive()
    assert {name.partition(":")[0] for name in house.own_keys()} == {"archived"}
    names = {name: to for key in house.own_keys() for name, to in house.queue.hgetall(f"reelkeep:{key}").items()}
    assert names == {task_id: "", submitted: task_id, alias: f"{task_id}/4k/0#1"}
    assert house.show(task_id) == house.show(submitted) == before
    assert (house.ledger.stats()["archived"], house.ledger.count()[State.COMPLETE]) == (1, 0)


@pytest.mark.parametrize(
    "scenario", ["several-results", "portrait", "failed-422", "failed-501", "fallback", "silent-video"]
)
def test_what_is_shown_stays_the_same(house: House, scenario: str) -> None:
    failed = scenario.startswith("failed")
    task_id = house.finish(house.generate(scenario, Kind.HD), "failed" if failed else "complete")
    before = house.show(task_id)
    house.archive()
    assert not house.is_here(task_id)
    assert house.show(task_id) == before


def test_what_is_not_settled_for_so_long_or_waits_for_something_stays(house: House) -> None:
    task_id = house.finish(house.generate("plain"))
    waiting = house.client.generate("scenario=no-callback a cat")
    track(waiting, [], {}, house.ledger, house.policy)
    house.archive(keep_days=1)
    assert house.is_here(task_id)
    assert house.bucket is not None
    house.queue.delete("reelkeep:health", "reelkeep:turn:archive")
    archive_settled(house.ledger, house.bucket, PREFIX, 0, 15.0)
    assert not house.queue.exists("reelkeep:turn:archive"), "0 is never"
    house.call_back(task_id)  # nobody has looked at it yet
    house.archive()
    assert house.is_here(task_id)
    assert house.is_here(waiting)


def test_an_upgrade_that_is_bought_anew_leaves_no_token_and_no_id_behind(house: House) -> None:
    task_id = house.finish(house.generate("plain", Kind.UHD))
    first = house.rendition(task_id, Kind.UHD).order
    assert first is not None

    def end(draft: Any) -> None:
        rendition = draft.generation.find(Kind.UHD, 0)
        rendition.drop_order()
        draft.generation._changed(draft.now)

    house.ledger.change(task_id, end)
    house.work_until(lambda: not house.work())
    house.archive()
    assert not house.is_here(task_id)
    assert not [key for key in house.own_keys() if key.startswith(("token:", "alias:"))]
    assert house.call_back(first.alias, Route.UHD) is Recorded.RECORDED
    while house.work():
        pass
    assert house.is_here(task_id)
    assert not house.is_here(first.alias), "no stranger"


@pytest.mark.parametrize("harm", ["missing", "older", "unreadable", "another's"])
def test_a_manifest_that_does_not_tell_all_keeps_the_record(
    house: House, reels: tuple[S3Bucket, Path], harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    task_id, sound = house.finish(house.generate("plain")), house.finish(house.generate("plain"))
    path = reels[1] / "veo" / task_id / "manifest.json"
    shown = json.loads(path.read_text())
    match harm:
        case "missing":
            path.unlink()
        case "older":
            path.write_text(json.dumps(shown | {"completeAt": None}))
        case "unreadable":
            path.write_bytes(b"\xff{")
        case "another's":
            path.write_text((reels[1] / "veo" / sound / "manifest.json").read_text())
    house.archive()
    assert house.is_here(task_id)
    assert not house.is_here(sound)
    assert task_id in house.ledger.health().warn_of_archive
    assert "REELKEEP_KEEP_DAYS" in house.ledger.health().warn_of_archive


def test_a_bucket_that_is_away_keeps_everything(house: House) -> None:
    task_id = house.finish(house.generate("plain"))
    archive_settled(house.ledger, S3Bucket("no-such-bucket"), PREFIX, SOON, 15.0)
    assert house.is_here(task_id)
    assert not house.ledger.health().warn_of_archive, "that is told of by the check of the bucket"
    house.archive()
    assert not house.is_here(task_id)


def test_a_large_number_leaves_bit_by_bit(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.pipeline.archive.MOST", 2)
    ids = {house.finish(house.generate("plain")) for _ in range(5)}
    left = [5]
    while left[-1]:
        house.queue.delete("reelkeep:turn:archive")
        assert house.bucket is not None
        archive_settled(house.ledger, house.bucket, PREFIX, SOON, 15.0)
        left.append(sum(house.is_here(task_id) for task_id in ids))
        assert left[-2] - left[-1] <= 2
    assert left == [5, 3, 1, 0]
    assert sorted(house.ledger.list_archived()) == sorted(ids)


# --- coming late -----------------------------------------------------------------------------------------------------------


def test_a_late_callback_brings_the_record_back_and_nothing_is_bought_or_stored_twice(
    house: House, reels: tuple[S3Bucket, Path]
) -> None:
    task_id = house.finish(house.generate("plain", Kind.UHD, Kind.HD))
    alias = house.rendition(task_id, Kind.UHD).order.alias  # type: ignore[union-attr]
    before, stored, bought = house.show(task_id), files(reels[1]), house.bought()
    sent = house.client.books()["requests"]
    house.archive()
    house.policy = replace(QUICK, upgrades=(Kind.UHD, Kind.HD))  # what strangers would get
    for late, route in (
        (task_id, Route.GENERATION),
        (alias, Route.UHD),
        (task_id, Route.UHD),
        (alias, Route.GENERATION),
    ):
        assert house.call_back(late, route) is Recorded.RECORDED
    while house.work():
        pass
    after = house.show(task_id)
    assert house.is_here(task_id)
    assert not house.is_here(alias)
    assert (after["state"], after["renditions"]) == ("complete", before["renditions"])
    assert after["callbacks"]["received"] == before["callbacks"]["received"] + 4
    assert (files(reels[1]), house.bought()) == (stored, bought)
    assert house.client.books()["requests"] == sent, "the vendor was not even asked"
    house.archive()
    assert not house.is_here(task_id)
    assert house.show(task_id) == after
    assert house.ledger.stats()["archived"] == 1


def test_the_token_of_its_callback_url_is_good_no_more_and_begins_nothing(house: House) -> None:
    submitted = house.generate("plain")
    task_id = house.finish(submitted)
    token = house.submission(submitted).token
    assert house.call_back(task_id, token=token) is Recorded.RECORDED
    while house.work():
        pass
    house.archive()
    before = house.own_keys()
    assert house.call_back(task_id, token=token) is Recorded.UNKNOWN_TOKEN
    assert house.own_keys() == before


def test_a_callback_that_comes_while_the_record_leaves_is_not_lost(house: House) -> None:
    """At each moment of the leaving: the record is here or there, and the callback is taken in once."""
    for moment in ("before the last look", "after the last look"):
        task_id = house.finish(house.generate("plain"))
        received = house.show(task_id)["callbacks"]["received"]
        judged = house.ledger.read(task_id).generation
        assert judged is not None
        if moment == "before the last look":
            house.call_back(task_id)
            assert not house.ledger.archive(judged)
        else:
            load = house.ledger._load

            def load_and_wait(name: str, load: Any = load, task_id: str = task_id) -> Any:
                found = load(name)
                if name == task_id:
                    house.ledger._load = load  # type: ignore[method-assign]
                    house.call_back(task_id)
                return found

            house.ledger._load = load_and_wait  # type: ignore[method-assign]
            assert not house.ledger.archive(judged)
        assert house.is_here(task_id)
        while house.work():
            pass
        assert house.show(task_id)["callbacks"]["received"] == received + 1


def test_whoever_is_killed_on_the_way_leaves_it_here_or_there(house: House) -> None:
    """Nothing but one script changes anything; whoever brings back and dies before the commit has changed nothing."""
    task_id = house.finish(house.generate("plain"))
    house.archive()
    before = {key: house.queue.dump(f"reelkeep:{key}") for key in house.own_keys()}

    class Killed(BaseException):
        pass

    def die(draft: Any) -> None:
        draft.generation.set_labels({"a": "b"}, draft.now)
        raise Killed

    with pytest.raises(Killed):
        house.ledger.change(task_id, die)
    assert {key: house.queue.dump(f"reelkeep:{key}") for key in house.own_keys()} == before
    assert house.show(task_id)["state"] == "complete"


def test_what_changes_nothing_leaves_it_where_it_is(house: House) -> None:
    task_id = house.finish(house.generate("plain"))
    house.archive()
    assert retry(task_id, house.ledger)[0] == 0
    assert not track(task_id, [], {}, house.ledger, house.policy).created
    assert not track_old(task_id, [], {}, house.ledger, house.policy)
    assert [one.fate for one in watch([task_id], house.ledger, lambda seconds: True)] == ["saved"]
    house.work()
    assert not house.is_here(task_id)


def test_an_upgrade_that_is_asked_for_is_bought_once(house: House) -> None:
    task_id = house.finish(house.generate("plain"))
    house.archive()
    for expected in (UpgradeRequest.ACCEPTED, UpgradeRequest.ALREADY):
        assert request_upgrade(task_id, Kind.UHD, 0, house.ledger, house.policy).outcome is expected
    house.finish(task_id)
    house.archive()
    assert request_upgrade(task_id, Kind.UHD, 0, house.ledger, house.policy).outcome is UpgradeRequest.ALREADY
    assert [row["kind"] for row in house.bought()] == ["4k"]
    assert not house.is_here(task_id)


def test_labels_are_added_and_the_manifest_tells_them(house: House) -> None:
    task_id = house.finish(house.generate("plain"))
    house.archive()
    track(task_id, [], {"shot": "7"}, house.ledger, house.policy)
    assert house.is_here(task_id)
    house.finish(task_id)
    house.archive()
    assert not house.is_here(task_id)
    assert house.show(task_id)["labels"] == {"shot": "7"}


def test_a_key_is_known_for_ever(house: House) -> None:
    request = GenerateRequest(prompt="scenario=plain a cat")
    first = accept(request, [], {}, "key-1", house.ledger, house.policy).submission
    assert first is not None
    house.finish(first.id)
    house.archive()
    again = accept(request, [], {}, "key-1", house.ledger, house.policy)
    assert (again.outcome, again.submission and again.submission.id) == (Acceptance.REPEATED, first.id)
    other = accept(GenerateRequest(prompt="a dog"), [], {}, "key-1", house.ledger, house.policy)
    assert other.outcome is Acceptance.OTHER_BODY
    while house.work():
        pass
    assert len(house.made()) == 1


def test_an_extension_of_it_is_taken_on(house: House) -> None:
    task_id = house.finish(house.generate("plain"))
    house.archive()
    extended = house.finish(house.extend(task_id))
    assert house.show(extended)["extends"] == task_id
    assert not house.is_here(task_id)


def test_rebuilding_knows_it(house: House) -> None:
    task_id = house.finish(house.generate("plain"))
    house.archive()
    assert house.bucket is not None
    site = Site(house.bucket, house.ledger, house.policy, PREFIX, repeats_are_questions=True)
    assert [(one.task_id, one.outcome) for one in rebuild(site)] == [(task_id, Outcome.KNOWN)]
    assert not house.is_here(task_id)


# --- when the bucket does not have it any more -------------------------------------------------------------------------------


def test_what_was_deleted_in_the_bucket_is_lost_by_name_and_buys_nothing(house: House) -> None:
    task_id = house.finish(house.generate("plain", Kind.UHD))
    house.archive()
    assert house.bucket is not None
    for key in list(house.bucket.keys(f"veo/{task_id}/")):
        house.bucket.client.delete_object(Bucket=house.bucket.name, Key=key)
    assert (house.show(task_id)["state"], house.show(task_id)["error"]) == ("lost", GONE)
    house.policy = replace(QUICK, upgrades=(Kind.UHD,))
    bought = house.bought()
    house.call_back(task_id)
    while house.work():
        pass
    assert house.is_here(task_id)
    assert house.bought() == bought


def test_a_bucket_that_does_not_answer_is_no_reason_to_begin_anew(house: House, redis_url: str) -> None:
    task_id = house.finish(house.generate("plain"))
    house.archive()

    def away(task_id: str) -> str | None:
        raise StoreUnavailable("away")

    for reader in (away, None, lambda task_id: "{"):
        ledger = RedisLedger(redis_url, read_manifest=reader)
        with pytest.raises(LedgerUnavailable, match="in the bucket alone"):
            track(task_id, [Kind.UHD], {}, ledger, house.policy)
    assert not house.is_here(task_id)


def test_nobody_begins_it_anew_who_looked_before_it_left(house: House) -> None:
    """Whoever read that there is no record of that id: the script knows better."""
    task_id = house.finish(house.generate("plain"))
    house.archive()
    look = house.ledger._look_in_archive
    looks = []

    def look_away_once(draft: Any) -> None:
        looks.append(draft)
        if len(looks) > 1:
            look(draft)

    house.ledger._look_in_archive = look_away_once  # type: ignore[method-assign]
    assert not track(task_id, [], {"a": "b"}, house.ledger, house.policy).created
    assert house.show(task_id)["state"] == "complete"


# --- web and command line ----------------------------------------------------------------------------------------------------


def test_the_api_shows_it_and_buys_for_it(house: House, reels: tuple[S3Bucket, Path]) -> None:
    submitted = house.generate("plain")
    task_id = house.finish(submitted)
    before = house.show(task_id)
    house.archive()
    web = front_door(house.redis_url, s3_bucket=reels[0].name).test_client()
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    for name in (task_id, submitted):
        assert web.get(f"/generations/{name}", headers=bearer).json == before
    assert web.get("/generations", headers=bearer).json["generations"] == []  # type: ignore[index]
    assert web.post(f"/generations/{task_id}/retry", headers=bearer).status_code == 202
    assert web.put(f"/generations/{task_id}", headers=bearer).status_code == 200
    assert not house.is_here(task_id)
    assert web.post(f"/generations/{task_id}/upgrades", headers=bearer, json={"kind": "4k"}).status_code == 202
    assert house.is_here(task_id)


def test_without_keys_for_the_bucket_the_api_says_so(
    house: House, reels: tuple[S3Bucket, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = house.finish(house.generate("plain"))
    house.archive()
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    nameless = front_door(house.redis_url, s3_bucket="no-such-bucket").test_client()
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    keyless = front_door(house.redis_url, s3_bucket=reels[0].name).test_client()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up-secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    silent = front_door(house.redis_url, s3_bucket=reels[0].name).test_client()
    for web in (nameless, keyless, silent):
        answer = web.get(f"/generations/{task_id}", headers=bearer)
        assert answer.status_code == 503
        assert f"{task_id} is in the bucket alone" in answer.json["detail"]  # type: ignore[index]
        assert "Signature" not in answer.text


def test_its_page_shows_it_or_says_why_not(
    house: House, reels: tuple[S3Bucket, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = house.finish(house.generate("plain"))
    house.archive()
    for name, status, words in (
        (reels[0].name, 200, "no timeline"),
        ("no-such-bucket", 503, f"{task_id} is in the bucket alone"),
    ):
        client = front_door(house.redis_url, s3_bucket=name).test_client()
        csrf = re.search(r'name="csrf" value="([0-9a-f]{64})"', client.get("/login").text)
        assert csrf is not None
        client.post("/login", data={"csrf": csrf[1], "token": TOKEN})
        page = client.get(f"/ui/generations/{task_id}")
        assert (page.status_code, words in page.text, "Nothing can be shown" in page.text) == (status, True, False)


def test_readiness_warns_of_what_cannot_leave(house: House, reels: tuple[S3Bucket, Path]) -> None:
    task_id = house.finish(house.generate("plain"))
    (reels[1] / "veo" / task_id / "manifest.json").unlink()
    web = front_door(house.redis_url).test_client()
    assert "REELKEEP_KEEP_DAYS" not in web.get("/readyz").text
    house.archive()
    assert [text for text in web.get("/readyz").json["warnings"] if task_id in text]  # type: ignore[index]


@pytest.fixture
def run(house: House, reels: tuple[S3Bucket, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command of the command line."""
    monkeypatch.setenv("REELKEEP_REDIS_URL", house.redis_url)
    monkeypatch.setenv("REELKEEP_S3_BUCKET", reels[0].name)
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


def test_the_command_line_shows_it(house: House, run: Callable[..., Result]) -> None:
    task_id = house.finish(house.generate("plain"))
    before = house.show(task_id)
    house.archive()
    assert json.loads(run("show", task_id, "--json").output) == before


def test_the_audit_looks_at_it_if_it_is_told_to(house: House, run: Callable[..., Result]) -> None:
    task_id, failed = (
        house.finish(house.generate("plain")),
        house.finish(house.generate("charged-but-failed"), "failed"),
    )
    before = json.loads(run("audit", "--json").output)
    house.archive()
    assert json.loads(run("audit", "--json").output) == before | {
        "rows": [],
        "totals": json.loads(run("audit", "--json", "--since", "2999-01-01").output)["totals"],
        "archived": 2,
    }
    assert "archived     2 generations" in run("audit").output
    after = json.loads(run("audit", "--json", "--archived").output)
    assert {row["taskId"] for row in after["rows"]} == {task_id, failed}
    assert after["totals"] == before["totals"]
    assert after["rows"][0]["taskId"] == failed, "the suspicious first"
    assert run("audit", "--archived", "--since", "2999-01-01", "--json").exit_code == 0
