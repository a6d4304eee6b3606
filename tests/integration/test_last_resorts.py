"""The mirror on a real bucket, where a paid file would be lost otherwise: it is refused for ever, or was stored unseen."""

import hashlib
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from botocore.model import OperationModel

from app.adapters.bucket import S3Bucket
from app.adapters.download_policy import DownloadPolicy
from app.adapters.downloader import Downloader
from app.domain.errors import StoreUnavailable
from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.rendition import Rendition, RenditionState
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict
from app.domain.work import Item, Kind, Step
from app.embedded import free_port, running, s3_environment, s3_server
from app.pipeline.mirror import mirror
from tests.support.films import box
from tests.support.range_server import Shelf, serve
from tests.unit.pipeline.fakes import MemoryLedger

FILM = (Path(__file__).parents[1] / "media" / "result-720p.mp4").read_bytes()
AGAIN = FILM + box(b"free", b"made anew")
PIECE = 32_768
ODD = random.Random(7).randbytes(len(FILM))
KEYS = {"access_key": "reelkeep", "secret_key": "made-up-secret"}
KEY = "veo/t1/result-0.mp4"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    with running(s3_server(folder / "data", port, buckets=["reels"], **KEYS), folder / "log"):
        yield s3_environment(port, **KEYS)


class Site:
    """A generation with one result, where it is served, and where it is to be kept."""

    def __init__(self, shelf: Shelf, url: str) -> None:
        self.shelf, self.bucket, self.policy = shelf, S3Bucket("reels"), Policy()
        self.ledger = MemoryLedger(generation=Generation.track("t1", 1000.0, self.policy))
        assert self.ledger.generation is not None
        self.ledger.generation.hear(Verdict(Progress.SUCCEEDED, 200, "", Urls(result=(url,))), "poll", 1000.0)
        limits = {"max_bytes": 10**6, "in_memory": PIECE, "large": 2 * PIECE, "piece": PIECE}
        policy = DownloadPolicy(hosts=("127.0.0.1",), insecure=True, deadline=20, min_rate=0, **limits)
        self.fetcher = Downloader(policy, threading.Event())

    def attempt(self, bucket: S3Bucket | None = None) -> Rendition:
        self.ledger.now += 1000.0
        item = Item(Step.MIRROR, "t1", Kind.RESULT, 0)
        mirror(item, self.ledger, self.fetcher, bucket or self.bucket, None, self.policy, "veo/")
        assert self.ledger.generation is not None
        return self.ledger.generation.renditions[0]

    def lay(self, task_id: str) -> None:
        """What was made first is in the bucket, as the generation's own or as another's."""
        facts = {"sha256": hashlib.sha256(FILM).hexdigest(), "task-id": task_id}
        self.bucket.client.put_object(Bucket="reels", Key=KEY, Body=FILM, Metadata=facts)

    def content(self, key: str) -> bytes:
        return self.bucket.client.get_object(Bucket="reels", Key=key)["Body"].read()


@pytest.fixture
def site(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    shelf = Shelf(FILM)
    with serve(shelf) as url:
        site = Site(shelf, url)
        yield site
        S3Bucket("reels").parts("veo/").discard()
    site.bucket.client.close()


def test_bad_pieces_that_may_not_be_deleted_are_left_out_in_the_third_attempt(site: Site) -> None:
    def refuse(model: OperationModel, **_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, model.name)

    for name in ("DeleteObject", "DeleteObjects"):
        site.bucket.client.meta.events.register(f"before-call.s3.{name}", refuse)
    site.shelf.body, site.shelf.breaks, site.shelf.statuses = ODD, [2 * PIECE + 9], {2: 503}
    assert "HTTP 503" in site.attempt().error
    assert len(list(site.bucket.keys("veo/.parts/"))) == 2
    site.shelf.body, site.shelf.breaks = FILM, []  # under the same ETag: what was kept is not what was served
    assert site.attempt().state is RenditionState.MIRRORING
    assert site.shelf.asked[-1] == (f"bytes={2 * PIECE}-", '"one"')
    assert site.attempt().state is RenditionState.STORED
    assert site.shelf.asked[-1] == (None, None)
    assert site.content(KEY) == FILM


def test_what_is_refused_again_and_again_is_kept_byte_for_byte_until_a_sound_file_comes(site: Site) -> None:
    site.shelf.body = ODD
    for _ in range(3):
        rendition = site.attempt()
    sha256 = hashlib.sha256(ODD).hexdigest()
    key = f"veo/.refused/t1/result-0-{sha256[:16]}"
    assert (list(site.bucket.keys("veo/")), site.content(key)) == ([key], ODD)
    head = site.bucket.client.head_object(Bucket="reels", Key=key)
    metadata = {name.lower(): value for name, value in head["Metadata"].items()}
    assert (head["ContentType"], metadata["sha256"], metadata["task-id"]) == ("application/octet-stream", sha256, "t1")
    assert metadata["why"] in rendition.error
    assert rendition.error.endswith(f"; refused bytes are kept at {key}: see whether they play")
    assert (rendition.state, rendition.key) == (RenditionState.MIRRORING, "")
    site.shelf.body = FILM
    assert site.attempt().state is RenditionState.STORED
    assert list(site.bucket.keys("veo/")) == ["veo/t1/manifest.json", KEY]


def test_of_what_came_without_a_length_nobody_knows_whether_it_is_whole(site: Site) -> None:
    site.shelf.body, site.shelf.length_is_named = ODD, False
    for _ in range(3):
        rendition = site.attempt()
    assert "SHA-256" not in rendition.error
    assert list(site.bucket.keys("veo/")) == []


def test_a_file_whose_confirmation_was_lost_is_not_lost_when_the_vendor_makes_it_anew(site: Site) -> None:
    class Unheard(S3Bucket):
        def _confirm(self, *_: object) -> None:
            raise StoreUnavailable("the answer was lost")

    assert site.attempt(Unheard("reels")).error == "the answer was lost"
    site.shelf.body, site.shelf.headers = AGAIN, {"ETag": '"two"'}
    rendition = site.attempt()
    assert (rendition.state, rendition.sha256) == (RenditionState.STORED, hashlib.sha256(FILM).hexdigest())
    assert site.content(KEY) == FILM


@pytest.mark.parametrize("task_id", ["t2", ""])
def test_a_sound_file_that_is_not_the_generations_own_is_a_conflict(site: Site, task_id: str) -> None:
    site.lay(task_id)
    site.shelf.body = AGAIN
    rendition = site.attempt()
    assert (rendition.state, "nothing was overwritten" in rendition.error) == (RenditionState.FAILED, True)
    assert site.content(KEY) == FILM
