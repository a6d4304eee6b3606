"""Wrong tokens: counted for each address across all web processes, answered 429, and never in the way of a right one."""

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import requests
from flask import Flask

from app.adapters.redis_ledger import RedisLedger
from app.domain.errors import LedgerUnavailable
from app.embedded.redis_server import redis_server
from app.embedded.service import free_port, running
from app.web.access import MOST_FAILURES, WINDOW, Access
from app.web.problems import Problem
from tests.integration.desk import front_door
from tests.integration.web import TOKEN, Web, web_service
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def served(redis_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with running(web_service(f"redis://127.0.0.1:{redis_port}/0", port), tmp_path_factory.mktemp("web") / "web.log"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def web(served: str, redis_url: str) -> Web:
    return Web(served, redis.Redis.from_url(redis_url), RedisLedger(redis_url))


def guess(url: str, token: str = "a-guess") -> requests.Response:
    return requests.get(f"{url}/generations", headers={"Authorization": f"Bearer {token}"}, timeout=20)


def test_too_many_wrong_tokens_are_answered_429_whichever_process_they_come_to(web: Web) -> None:
    statuses = Counter(guess(web.url, f"guess-{number}").status_code for number in range(MOST_FAILURES + 10))
    assert statuses == {401: MOST_FAILURES, 429: 10}
    answer = guess(web.url)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(answer.headers["Retry-After"]) <= WINDOW
    assert answer.json()["status"] == 429


def test_a_right_token_is_let_in_however_many_wrong_ones_come_from_the_same_address(web: Web) -> None:
    for _ in range(MOST_FAILURES + 1):
        guess(web.url)
    assert guess(web.url).status_code == 429
    assert guess(web.url, TOKEN).status_code == 200
    assert guess(web.url, "other-token").status_code == 200


def test_whoever_sends_no_token_has_guessed_nothing(web: Web) -> None:
    for _ in range(MOST_FAILURES + 5):
        assert requests.get(f"{web.url}/generations", timeout=20).status_code == 401
    assert web.redis.keys("reelkeep:tally:*") == []


def test_the_count_ends_with_its_window(web: Web) -> None:
    for _ in range(MOST_FAILURES + 1):
        guess(web.url)
    [key] = web.redis.keys("reelkeep:tally:*")  # type: ignore[misc]
    assert 0 < web.redis.pttl(key) <= WINDOW * 1000  # type: ignore[operator]
    web.redis.pexpire(key, 1)
    wait_for(lambda: guess(web.url).status_code == 401)


def test_without_redis_tokens_are_checked_all_the_same(tmp_path: Path) -> None:
    redis_port, port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    with (
        running(redis_server(tmp_path / "redis", redis_port), tmp_path / "redis.log") as process,
        running(web_service(f"redis://127.0.0.1:{redis_port}/0", port), tmp_path / "web.log"),
    ):
        process.send_signal(signal.SIGSTOP)
        try:
            assert {guess(url).status_code for _ in range(MOST_FAILURES + 5)} == {401}
            assert guess(url, TOKEN).status_code == 503, "let in, and nothing can be shown"
        finally:
            process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("", "a-socket", True),
    ],
)
def test_failures_are_counted_for_what_one_client_has_to_itself(
    redis_url: str, one: str, other: str, together: bool
) -> None:
    app, access = Flask("test"), Access(["right"], RedisLedger(redis_url))

    def limited(address: str) -> bool:
        with app.test_request_context(environ_base={"REMOTE_ADDR": address}):
            try:
                assert not access.admits("wrong")
            except Problem as problem:
                return problem.status == 429
            return False

    assert [limited(one) for _ in range(MOST_FAILURES)] == [False] * MOST_FAILURES
    assert limited(other) is together


@pytest.mark.parametrize("token", ["", "right ", "RIGHT", "rightright", "\x00", "\ud800", "ünï", "x" * 100_000])
def test_what_is_no_token_is_refused_whatever_it_is(redis_url: str, token: str) -> None:
    access = Access(["right", "longer-token"], RedisLedger(redis_url))
    with Flask("test").test_request_context():
        assert not access.admits(token)
        assert access.admits("right")


def test_where_no_token_is_set_nobody_is_let_in(redis_url: str) -> None:
    with front_door(redis_url, api_tokens=()).test_client() as client:
        for given in ("", "Bearer", "Bearer ", "Bearer None"):
            assert client.get("/generations", headers={"Authorization": given}).status_code == 401


def test_a_count_that_cannot_be_kept_lets_nobody_in() -> None:
    class Silent:
        def tally(self, name: str, window: float) -> tuple[int, float]:
            raise LedgerUnavailable("Redis does not answer")

    access = Access(["right"], Silent())  # type: ignore[arg-type]  # all of the ledger that is used
    with Flask("test").test_request_context():
        assert [access.admits(token) for token in ("wrong", "right")] == [False, True]
