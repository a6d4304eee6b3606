"""The dashboard on a real redis-server: who is let in, what is shown, what the buttons do. In a real browser: tests/e2e."""

import csv
import html
import json
import re
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from flask import Flask
from itsdangerous import TimestampSigner
from pydantic import SecretStr
from werkzeug.test import TestResponse

from app.adapters.presign import Presigner
from app.adapters.redis_ledger import RedisLedger
from app.domain.errors import LedgerUnavailable
from app.domain.generation import Generation
from app.domain.ledger import Entry, Page, Route, Trust
from app.domain.rendition import RenditionState
from app.domain.requests import GenerateRequest
from app.domain.states import State
from app.domain.vendor import Progress
from app.domain.work import Kind
from app.embedded.redis_server import redis_server
from app.embedded.s3_server import s3_environment, s3_server
from app.embedded.service import free_port, running
from app.pipeline.submit import accept
from app.pipeline.track import track
from app.web.access import MOST_FAILURES
from app.web.dashboard import doing, export, routes
from app.web.dashboard.sessions import COOKIE, LIFETIME
from tests.integration.desk import TOKEN, front_door
from tests.support.course import POLICY, call_back, complete, fail, settle_now
from tests.support.crowd import crowd
from tests.support.waiting import wait_for

PAGES = ["/", "/ui/now", "/ui/generations", "/ui/generations/t1"]
POSTS = [
    "/ui/generations/retry",
    "/ui/generations/t1/retry",
    "/ui/generations/t1/upgrades",
    "/ui/generations/t1/replay",
    "/logout",
]
NASTY = "<script>alert('x')</script>\"'&"


class Visitor:
    """Somebody with a browser that knows cookies and forms."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()

    def get(self, path: str, **query: str) -> TestResponse:
        return self.client.get(path, query_string=query or None, buffered=True)

    def text(self, path: str, **query: str) -> str:
        """A page that is there, as a person reads it."""
        answer = self.get(path, **query)
        assert answer.status_code == 200, (path, answer.status_code)
        return read(answer)

    def csrf(self, page: str) -> str:
        match = re.search(r'name="csrf" value="([0-9a-f]{64})"', self.get(page).text)
        assert match
        return match[1]

    def post(self, path: str, page: str = "/", **fields: str) -> TestResponse:
        return self.client.post(path, data={"csrf": self.csrf(page)} | fields)

    def send(self, path: str, page: str = "/", **fields: str) -> str:
        """A form that is taken; what the next page says."""
        answer = self.post(path, page, **fields)
        assert answer.status_code == 303, (path, answer.status_code, answer.text)
        return self.text(answer.location)

    def log_in(self, token: str = TOKEN, **fields: str) -> TestResponse:
        return self.post("/login", "/login", token=token, **fields)


def read(answer: TestResponse) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", answer.text)))


@pytest.fixture
def app(redis_url: str) -> Flask:
    return front_door(redis_url)


@pytest.fixture
def visitor(app: Flask) -> Visitor:
    return Visitor(app)


@pytest.fixture
def user(visitor: Visitor) -> Visitor:
    assert visitor.log_in().status_code == 303
    return visitor


def ids(page: str) -> list[str]:
    """The generations on a list's page."""
    return re.findall(r'<a class="id" href="/ui/generations/([^"]+)"', page)


def everything(redis_url: str) -> dict[str, Any]:
    client = redis.Redis.from_url(redis_url)
    return {key: client.dump(key) for key in client.keys("*")}  # type: ignore[union-attr]


# --- who is let in ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, "/ui/generations.csv", "/ui/nowhere", "/ui/"])
def test_visitors_are_sent_to_the_login_and_come_back_from_there(visitor: Visitor, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 303
    assert answer.location.startswith("/login")
    assert visitor.get(answer.location).status_code == 200
    back = visitor.log_in(next=path).location
    assert back == path


def test_the_cookie_is_for_this_site_and_for_no_script(visitor: Visitor) -> None:
    set_cookie = visitor.log_in().headers["Set-Cookie"]
    assert set_cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=Lax", f"Max-Age={LIFETIME}", "Path=/"} <= set(set_cookie.split("; "))
    assert "Secure" not in set_cookie.split("; ")
    assert TOKEN not in set_cookie


@pytest.mark.parametrize(("base", "public"), [("https://a.test", ""), ("http://a.test", "https://a.test")])
def test_over_https_the_cookie_is_never_sent_without_it(redis_url: str, base: str, public: str) -> None:
    client = front_door(redis_url, public_url=public).test_client()
    set_cookie = client.get("/login", base_url=base).headers["Set-Cookie"]
    assert "Secure" in set_cookie.split("; ")


def test_a_wrong_token_is_told_so_and_counted(visitor: Visitor) -> None:
    answers = [visitor.log_in("a-guess") for _ in range(MOST_FAILURES + 1)]
    assert [answer.status_code for answer in answers] == [401] * MOST_FAILURES + [429]
    assert "no token of ours" in read(answers[0])
    assert "a-guess" not in answers[0].text
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert answers[-1].content_type == "text/html; charset=utf-8"
    assert "Too many wrong tokens came from your address." in read(answers[-1])
    assert "Bearer" not in answers[-1].text
    assert 'name="token"' in answers[-1].text, "the form is still there"
    assert visitor.get("/").status_code == 303
    assert visitor.log_in().status_code == 303, "a right one is let in all the same"


@pytest.mark.parametrize("token", ["", " ", "x" * 100_000, "\x00", "ünï", NASTY])
def test_what_is_no_token_lets_nobody_in(visitor: Visitor, token: str) -> None:
    assert visitor.log_in(token).status_code == 401


def test_where_no_token_is_set_the_login_says_so(redis_url: str) -> None:
    visitor = Visitor(front_door(redis_url, api_tokens=()))
    assert "REELKEEP_API_TOKENS is not set" in visitor.text("/login")
    assert visitor.log_in("").status_code == 401
    assert visitor.get("/").status_code == 303


@pytest.mark.parametrize(
    "path", ["//evil.test/ui/", "https://evil.test", "/\\evil.test", "/ui/\\evil", "/generations", ""]
)
def test_the_login_leads_to_no_other_place(visitor: Visitor, path: str) -> None:
    assert visitor.log_in(next=path).location == "/"


def cookie_of(visitor: Visitor) -> str:
    cookie = visitor.client.get_cookie(COOKIE)
    assert cookie is not None
    return cookie.value


def test_a_session_ends_with_its_token_and_no_other_does(redis_url: str) -> None:
    both = front_door(redis_url, api_tokens=(SecretStr("first"), SecretStr("second")))
    first, second = Visitor(both), Visitor(both)
    first.log_in("first")
    second.log_in("second")
    only_second = front_door(redis_url, api_tokens=(SecretStr("second"),))
    for visitor, status in ((first, 303), (second, 200)):
        later = Visitor(only_second)
        later.client.set_cookie(COOKIE, cookie_of(visitor))
        assert later.get("/").status_code == status


def test_a_session_ends_after_twelve_hours(user: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    now = TimestampSigner("key").get_timestamp()
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: now + LIFETIME - 60)
    assert user.get("/").status_code == 200
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: now + LIFETIME + 60)
    assert user.get("/").status_code == 303
    csrf = {"csrf": "0" * 64}
    assert user.client.post("/ui/generations/t1/retry", data=csrf).location.startswith("/login")


def test_cookies_that_are_none_of_ours_let_nobody_in(app: Flask, redis_url: str) -> None:
    elsewhere = Visitor(front_door(redis_url, api_tokens=(SecretStr("another"),)))
    elsewhere.log_in("another")
    known = Visitor(app)
    known.log_in()
    visiting = Visitor(app)
    visiting.get("/login")
    good = cookie_of(known)
    forged = [cookie_of(elsewhere), cookie_of(visiting), good[:-2] + "xx", good.split(".")[0], "", "x" * 4000, "a.b.c"]
    for cookie in forged:
        visitor = Visitor(app)
        visitor.client.set_cookie(COOKIE, cookie)
        assert visitor.get("/").status_code == 303, cookie


def test_a_session_that_was_ended_is_dead_everywhere_and_no_other_is(
    app: Flask, redis_url: str, client: redis.Redis
) -> None:
    ended, other = Visitor(app), Visitor(app)
    ended.log_in()
    other.log_in()
    cookie, csrf = cookie_of(ended), ended.csrf("/")
    ended.post("/logout")
    for process in (app, front_door(redis_url)):
        thief = Visitor(process)
        thief.client.set_cookie(COOKIE, cookie)
        assert thief.get("/").location.startswith("/login")
        assert thief.get("/ui/generations.csv").location.startswith("/login")
        retry = thief.client.post("/ui/generations/retry", data={"csrf": csrf})
        assert retry.location.startswith("/login")
        assert thief.get("/login").status_code == 200, "it is not sent back and forth"
        assert thief.log_in().location == "/"
    assert other.get("/").status_code == 200
    [key] = client.keys("reelkeep:revoked:*")  # type: ignore[misc]
    assert LIFETIME - 60 < client.ttl(key) <= LIFETIME


def test_visitors_end_no_session(visitor: Visitor, client: redis.Redis) -> None:
    csrf = visitor.csrf("/login")
    assert visitor.client.post("/logout", data={"csrf": csrf}).location.startswith("/login")
    assert client.keys("reelkeep:revoked:*") == []


def test_a_logout_without_redis_says_what_it_could_not_do(tmp_path: Path) -> None:
    port = free_port()
    app = front_door(f"redis://127.0.0.1:{port}/0")
    user = Visitor(app)
    with running(redis_server(tmp_path / "redis", port), tmp_path / "redis.log"):
        assert user.log_in().status_code == 303
        csrf = user.csrf("/")
    assert user.get("/").status_code == 503
    assert "Log out" not in user.get("/").text, "nobody knows whether it was ended"
    assert user.get("/login").status_code == 303
    answer = user.client.post("/logout", data={"csrf": csrf})
    assert answer.status_code == 503
    assert "You are logged out in this browser, but a copy of its cookie would still be let in." in read(answer)
    assert user.get("/").location.startswith("/login")


def test_who_logs_out_is_out(user: Visitor) -> None:
    assert user.post("/logout").location == "/login"
    assert user.get("/").status_code == 303


# --- forms and headers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", POSTS)
def test_forms_of_others_are_refused_and_change_nothing(
    app: Flask, user: Visitor, ledger: RedisLedger, redis_url: str, path: str
) -> None:
    complete(ledger, "t1")
    other = Visitor(app)
    other.log_in()
    before = everything(redis_url)
    for csrf in (
        "",
        "0" * 64,
        other.csrf("/"),
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        "x" * 9000,
    ):
        answer = user.client.post(path, data={"csrf": csrf, "kind": "4k"})
        assert answer.status_code == 403
        assert "Load the page anew" in read(answer)
    assert everything(redis_url) == before
    assert user.get("/").status_code == 200, "still logged in"


def test_a_login_form_of_others_is_refused(visitor: Visitor) -> None:
    assert visitor.client.post("/login", data={"token": TOKEN}).status_code == 403


@pytest.mark.parametrize(
    "path",
    ["/login", *PAGES, "/ui/generations.csv", "/ui/nowhere", "/ui/generations/unknown", "/ui/static/style.css"],
)
def test_every_page_is_fenced_in(user: Visitor, ledger: RedisLedger, path: str) -> None:
    complete(ledger, "t1")
    headers = user.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["media-src"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store" or "static" in path


@pytest.mark.parametrize("path", PAGES)
def test_nothing_on_a_page_comes_from_elsewhere_or_stands_in_line(
    user: Visitor, ledger: RedisLedger, path: str
) -> None:
    complete(ledger, "t1")
    text = user.get(path).text
    assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:", text)
    assert all(link.startswith("/") or link == "#main" for link in re.findall(r'(?:src|href)="([^"]*)"', text))
    assert not re.search(r"<script(?! src=)", text)


# --- the first screen ------------------------------------------------------------------------------------------------------


def sweep(ledger: RedisLedger, **facts: str) -> None:
    """Note what a sweep finds where all is well."""
    ledger.note_health(
        {"sweep_at": "", "bucket_at": "", "bucket_error": "", "credits": "500", "credits_at": ""} | facts
    )


def headline(user: Visitor) -> str:
    match = re.search(r'<h1 id="headline">(.*?)</h1>', user.get("/").text, re.DOTALL)
    assert match
    return html.unescape(re.sub(r"<[^>]+>", "", match[1])).strip()


def test_all_is_well(user: Visitor, ledger: RedisLedger) -> None:
    sweep(ledger)
    complete(ledger, "t1")
    assert headline(user) == "✓ All is well"
    text = user.text("/")
    assert "Nothing is late, stuck or near the end of its link." in text
    assert "1 ✓ complete" in text
    assert "Callbacks received 1 " in text
    assert "500 credits left" in text
    fragment = read(user.get("/ui/now"))
    assert re.sub(r"\d+ s ago", "", fragment) in re.sub(r"\d+ s ago", "", text), "what the script puts there was there"


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"bucket_error": "bucket videos: access denied"}, "! Bucket: bucket videos: access denied"),
        ({"sweep_at": "1"}, "! Sweep: the last sweep was"),
        ({"credits_error": "401"}, "! Vendor account: the balance could not be read: 401"),
    ],
)
def test_what_is_not_well_is_the_headline(
    user: Visitor, ledger: RedisLedger, facts: dict[str, str], sentence: str
) -> None:
    sweep(ledger, **facts)
    assert headline(user).startswith(sentence)


def test_what_is_at_risk_is_named_with_what_to_do(user: Visitor, ledger: RedisLedger) -> None:
    sweep(ledger)
    track("t1", [], {"shop": "north"}, ledger, POLICY)
    call_back(ledger, "t1")
    settle_now(ledger, "t1")
    for _ in range(3):
        fail(ledger, "t1", "HTTP 502 from tempfile.aiquickdraw.com")
        ledger.change("t1", lambda draft: draft.generation and draft.generation.renditions[0].work.put_back(draft.now))
    assert headline(user) == "! 1 generation is at risk; it is lost in 14 d unless something is done"
    text = user.text("/")
    assert "result: 3 attempts failed; the last: HTTP 502 from tempfile.aiquickdraw.com" in text
    assert "It is tried again by itself." in text
    assert "shop=north" in text


def test_what_is_uncertain_or_lost_is_named_with_its_list(user: Visitor, ledger: RedisLedger) -> None:
    sweep(ledger)
    complete(ledger, "t1")
    track("t2", [], {}, ledger, POLICY)
    ledger.change("t2", lambda draft: draft.generation and give_up(draft.generation, draft.now))

    def doubt(draft: Any) -> None:
        draft.generation.want_upgrade(Kind.UHD, 0, draft.now)
        draft.generation.claim_upgrade(Kind.UHD, 0, draft.now, POLICY, "planted")
        draft.generation.find(Kind.UHD, 0).order.taken = True

    ledger.change("t1", doubt)
    text = user.get("/").text
    assert headline(user) == "! 1 purchase is uncertain: bought or not, the vendor has not said"
    assert "1 generation was lost in the last 24 hours" in text
    for state, task_id in (("uncertain", "t1"), ("lost", "t2")):
        assert f'<a href="/ui/generations?state={state}">Show the list</a>' in text
        assert ids(user.get("/ui/generations", state=state).text) == [task_id]
    assert "nothing is bought again" in user.text("/ui/generations/t1")
    assert "nothing is bought again" not in user.text("/ui/generations/t2")


def test_why_something_is_lost_or_failed_stands_in_the_list_and_on_its_page(user: Visitor, ledger: RedisLedger) -> None:
    for task_id in ("t1", "t2"):
        track(task_id, [], {}, ledger, POLICY)
    call_back(ledger, "t1")
    settle_now(ledger, "t1")

    def lose(draft: Any) -> None:
        rendition = draft.generation.renditions[0]
        rendition.state, rendition.error = RenditionState.FAILED, "link dead everywhere: HTTP 404"

    ledger.change("t1", lose)
    settle_now(ledger, "t2", Progress.FAILED)
    listed = user.text("/ui/generations")
    assert "lost link dead everywhere: HTTP 404" in listed
    assert "failed success" not in listed
    assert re.search(r"t2 .*? failed .*? none [^y]", listed), "nothing is to come of it any more"
    page = user.get("/ui/generations/t2").text
    assert '<p class="fault">Broken</p>' in page
    assert "None are known yet." not in page
    assert "Link dead everywhere: HTTP 404" in user.text("/ui/generations/t1").partition("What was asked for")[0]


def give_up(generation: Generation, now: float) -> None:
    """No verdict came in time."""
    generation.await_verdict(now + 2 * POLICY.give_up_after, POLICY)


def test_counters_lead_to_lists_of_as_many(user: Visitor, ledger: RedisLedger) -> None:
    for number in range(3):
        complete(ledger, f"c{number}")
    track("w", [], {}, ledger, POLICY)
    text = user.get("/").text
    for state, number in ((State.COMPLETE, 3), (State.WAITING, 1), (State.UNCERTAIN, 0), (State.LOST, 0)):
        link = f"/ui/generations?state={state}"
        tile = re.search(rf'href="{re.escape(link)}".*?class="number">(\d+)<', text, re.DOTALL)
        assert tile
        assert int(tile[1]) == number == len(ids(user.get(link).text))


def test_budgets_are_shown(redis_url: str, ledger: RedisLedger) -> None:
    user = Visitor(front_door(redis_url, credits_per_day=1000, upgrade_credits_per_day=400))
    user.log_in()
    ledger.reserve("upgrade/t1/4k/0#1", 120, {})
    text = user.text("/")
    assert "Credits spent 120 of 1,000" in text
    assert "Of them for upgrades 120 of 400" in text


def test_without_redis_a_page_says_so(redis_url: str) -> None:
    app = front_door(f"redis://127.0.0.1:{free_port()}/0")
    user = Visitor(app)
    answer = user.log_in()
    assert answer.status_code == 303
    answer = user.get("/")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "Nothing can be shown until it does" in read(answer)
    assert '<a href="/">Try again</a>' in answer.text


# --- the list --------------------------------------------------------------------------------------------------------------


ALL = {"w", "f", *(f"c{number}" for number in range(10))}


@pytest.fixture
def listed(ledger: RedisLedger) -> RedisLedger:
    """Ten complete ones with a label, one that failed, one that waits with a 4K."""
    for number in range(10):
        complete(ledger, f"c{number}", {"shop": "north" if number % 2 else "south"})
    track("f", [], {"shop": "north"}, ledger, POLICY)
    settle_now(ledger, "f", Progress.FAILED)
    track("w", [Kind.UHD], {"note": "needle in hay"}, ledger, POLICY)
    return ledger


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ALL),
        ({"state": "failed"}, {"f"}),
        (dict.fromkeys(("state", "kind", "label", "since", "until", "text", "cursor"), ""), ALL),
        ({"kind": "4k"}, {"w"}),
        ({"label": "shop=north"}, {"f", "c1", "c3", "c5", "c7", "c9"}),
        ({"label": " shop = south "}, {"c0", "c2", "c4", "c6", "c8"}),
        ({"label": "shop=north", "state": "complete"}, {"c1", "c3", "c5", "c7", "c9"}),
        ({"text": "NEEDLE"}, {"w"}),
        ({"text": "nowhere"}, set()),
        ({"state": "uncertain"}, set()),
        ({"since": "2020-01-01T00:00"}, ALL),
        ({"since": "2099-01-01"}, set()),
        ({"until": "2020-01-01T00:00"}, set()),
    ],
)
def test_the_list_shows_what_is_looked_for(
    user: Visitor, listed: RedisLedger, query: dict[str, str], expected: set[str]
) -> None:
    answer = user.get("/ui/generations", **query)
    assert set(ids(answer.text)) == expected
    assert ("Nothing fits." in read(answer)) is not bool(expected)


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ({"state": "nonsense"}, "state"),
        ({"kind": "8k"}, "kind"),
        ({"label": "no-value"}, "label"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-13-01T00:00"}, "until"),
        ({"cursor": "../../x"}, "cursor"),
        ({"text": "x" * 201}, "text"),
        ({"state": NASTY}, "state"),
    ],
)
def test_a_filter_that_cannot_be_is_told_beside_its_field(user: Visitor, query: dict[str, str], fault: str) -> None:
    answer = user.get("/ui/generations", **query)
    assert answer.status_code == 400
    assert f"{fault}: " in read(answer)
    assert NASTY not in answer.text
    if fault in ("label", "since", "text"):
        assert html.escape(query[fault]) in answer.text, "what was typed is kept"
        assert 'aria-invalid="true"' in answer.text


def test_an_empty_list_says_how_to_begin_and_offers_nothing_to_try_again(user: Visitor) -> None:
    assert "Nothing is tracked yet. Say reelkeep generate or reelkeep track" in user.text("/ui/generations")
    for query in ({}, {"state": "failed"}):
        text = user.get("/ui/generations", **query).text
        assert "That is all" not in text
        assert 'role="table"' not in text
        assert "Try them again" not in text


def test_pages_show_each_once(user: Visitor, listed: RedisLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "ROWS", 5)
    seen: list[str] = []
    path = "/ui/generations?label=shop%3Dnorth"
    while path:
        page = user.get(path).text
        seen += ids(page)
        after = re.search(r'rel="next" href="([^"]+)"', page)
        path = html.unescape(after[1]) if after else ""
    assert len(seen) == 6
    assert set(seen) == {"f", "c1", "c3", "c5", "c7", "c9"}


def rows_of(answer: TestResponse) -> list[dict[str, str]]:
    """An exported file, as a spreadsheet reads it."""
    return list(csv.DictReader(StringIO(answer.data.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize("at_once", [1, 3, 200])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ALL),
        ({"state": "failed"}, {"f"}),
        ({"label": "shop=north", "state": "complete"}, {"c1", "c3", "c5", "c7", "c9"}),
        ({"text": "NEEDLE"}, {"w"}),
        ({"text": "nowhere"}, set()),
    ],
)
def test_all_that_a_filter_shows_is_exported_once(
    user: Visitor,
    listed: RedisLedger,
    monkeypatch: pytest.MonkeyPatch,
    query: dict[str, str],
    expected: set[str],
    at_once: int,
) -> None:
    monkeypatch.setattr(routes, "AT_ONCE", at_once)
    monkeypatch.setattr(export, "AT_ONCE", at_once)
    answer = user.get("/ui/generations.csv", **query)
    assert answer.status_code == 200
    assert answer.content_type == "text/csv; charset=utf-8"
    assert re.fullmatch(
        r'attachment; filename="reelkeep-[-0-9T]+Z\.csv"',
        answer.headers["Content-Disposition"],
    )
    found = [row["taskId"] for row in rows_of(answer)]
    assert len(found) == len(expected)
    assert set(found) == expected


def test_the_list_leads_to_its_export(user: Visitor, listed: RedisLedger) -> None:
    page = user.get("/ui/generations", label="shop=north", cursor="99999999999~z").text
    [link] = re.findall(r'href="([^"]+)">Export as CSV', page)
    assert {row["taskId"] for row in rows_of(user.get(html.unescape(link)))} == {"f", "c1", "c3", "c5", "c7", "c9"}
    assert "Export" not in user.text("/ui/generations", state="lost"), "there is nothing"


def test_an_exported_row_says_what_the_api_says(user: Visitor, listed: RedisLedger) -> None:
    rows = {row["taskId"]: row for row in rows_of(user.get("/ui/generations.csv"))}
    assert rows["c1"]["state"] == "complete"
    assert rows["c1"]["labels"] == '{"shop": "north"}'
    assert rows["c1"]["files"] == "veo/c1/result-0.mp4"
    assert rows["c1"]["renditions"] == "result-0:stored"
    assert (rows["c1"]["bytes"], rows["c1"]["sha256"]) == ("3009049", "ab" * 32)
    assert rows["c1"]["creditsConsumed"] == "60.0"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", rows["c1"]["completeAt"])
    assert (rows["w"]["upgrades"], rows["w"]["completeAt"], rows["w"]["id"]) == ("4k", "", "")


@pytest.mark.parametrize(
    "hostile",
    [
        "=cmd|'/C calc'!A0",
        "+1+1",
        "-2+3",
        "@SUM(1)",
        "\t=1+1",
        "\r\n=1+1",
        "a\r=1+1,b",
        'a","=1+1',
        "Grüße; =1+1;",
        "＝1+1",
        NASTY,
    ],
)
def test_no_exported_cell_is_a_formula_or_breaks_out(user: Visitor, ledger: RedisLedger, hostile: str) -> None:
    track("-t1", [], {hostile: hostile}, ledger, POLICY)
    settle_now(ledger, "-t1", Progress.FAILED)
    submission = accept(GenerateRequest(prompt=hostile), [], {hostile: "é 猫"}, "key", ledger, POLICY).submission
    assert submission is not None

    def break_it(draft: Any) -> None:
        draft.generation.msg = draft.generation.error = hostile

    ledger.change("-t1", break_it)
    answer = user.get("/ui/generations.csv")
    text = answer.data.decode("utf-8-sig")
    rows = rows_of(answer)
    assert {row["taskId"] or row["id"] for row in rows} == {"'-t1", submission.id}
    assert len(text.splitlines()) == 3
    assert not [text for text in text if not text.isprintable() and text != "\n"]
    # Read with a semicolon, as Excel does in many countries, it has other cells.
    cells = [cell for delimiter in ",;" for row in csv.reader(StringIO(text), delimiter=delimiter) for cell in row]
    assert not [cell for cell in cells if cell.strip('" ').startswith(("=", "+", "-", "@", "＝"))]
    words = re.findall(r"\w+", hostile)
    for row in rows:
        told = row["msg"] if row["taskId"] else row["prompt"]
        assert re.findall(r"\w+", told) == words, "it can still be read"
        assert all(word in row["labels"] for word in words)
    assert any("é 猫" in row["labels"] for row in rows)


def test_an_export_ends_in_time_and_says_where_the_rest_is(
    user: Visitor, listed: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "AT_ONCE", 2)
    monkeypatch.setattr(export, "LONGEST", -1.0)
    found: list[str] = []
    path = "/ui/generations.csv?label=shop%3Dnorth"
    for _ in range(3):
        cells = [row["taskId"] for row in rows_of(user.get(path))]
        found += cells[:2]
        path = "".join(re.findall(r"^not all: .* the rest is at (/ui/generations\.csv\?\S+)$", cells[-1]))
    assert path == ""
    assert len(found) == 6
    assert set(found) == {"f", "c1", "c3", "c5", "c7", "c9"}


def test_an_export_that_loses_redis_says_so(
    user: Visitor, listed: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "AT_ONCE", 2)
    answer = user.client.get("/ui/generations.csv")
    next(answer.iter_encoded())

    def fail(*_: object) -> Page:
        raise LedgerUnavailable("Redis does not answer")

    monkeypatch.setattr(RedisLedger, "page", fail)
    assert "not all: Redis does not answer; the rest is at /ui/generations.csv?cursor=" in answer.text
    assert user.get("/ui/generations.csv").status_code == 503, "nothing was begun"


def test_one_export_at_a_time_holds_a_thread(user: Visitor, listed: RedisLedger) -> None:
    first = user.client.get("/ui/generations.csv")
    refused = user.get("/ui/generations.csv")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert "Another export is under way" in read(refused)
    first.close()
    for _ in range(2):
        assert user.client.head("/ui/generations.csv", buffered=True).status_code == 200
        assert user.client.get("/ui/generations.csv", buffered=True).status_code == 200


def test_an_export_of_a_filter_that_cannot_be_is_refused(user: Visitor) -> None:
    answer = user.get("/ui/generations.csv", state=NASTY)
    assert answer.status_code == 400
    assert NASTY not in answer.text


def test_an_export_of_many_takes_no_more_room_than_one_of_few(
    user: Visitor, ledger: RedisLedger, client: redis.Redis
) -> None:
    rooms = []
    for first, more in ((0, 1000), (1000, 5000)):
        crowd(client, more, first=first)
        answer = user.client.get("/ui/generations.csv")
        tracemalloc.start()
        lines = sum(part.count(b"\n") for part in answer.iter_encoded())
        rooms.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        answer.close()
        assert lines == 1 + first + more
    assert rooms[1] < 1.2 * rooms[0], "bytes"


def test_an_export_gives_others_their_turn(user: Visitor, client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process serves many, and nobody else runs while it computes."""
    crowd(client, 400)
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    with user.client.get("/ui/generations.csv") as answer:
        read, parts = len(pauses), [len(part.splitlines()) for part in answer.iter_encoded()]
    assert max(parts) <= 20
    assert read >= 200 / 20, "the first page"
    assert len(pauses) >= (400 + 400) / 12, "each is read and written"


def test_a_whole_id_is_found_at_once(user: Visitor, listed: RedisLedger) -> None:
    assert user.get("/ui/generations", text="c3").location == "/ui/generations/c3"
    assert user.get("/ui/generations", text="c3", state="lost").status_code == 200


def test_all_that_a_filter_shows_is_tried_again_and_nothing_else(user: Visitor, ledger: RedisLedger) -> None:
    for number in range(4):
        track(f"f{number}", [], {"shop": "north" if number else "south"}, ledger, POLICY)
        settle_now(ledger, f"f{number}", Progress.FAILED)
    complete(ledger, "c", {"shop": "north"})
    said = user.send("/ui/generations/retry", "/ui/generations", label="shop=north")
    assert "Looked at 4; 3 had failed and are under way again." in said
    states = {name: ledger.read(name).generation.state for name in ("f0", "f1", "f2", "f3", "c")}  # type: ignore[union-attr]
    assert states == {"f0": "failed", "f1": "waiting", "f2": "waiting", "f3": "waiting", "c": "complete"}
    assert "Looked at" not in user.text("/ui/generations"), "said once"


def test_only_so_many_are_tried_again_at_once(
    user: Visitor, ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doing, "MOST_AT_ONCE", 2)
    for number in range(5):
        track(f"f{number}", [], {}, ledger, POLICY)
        settle_now(ledger, f"f{number}", Progress.FAILED)
    texts = [user.send("/ui/generations/retry", "/ui/generations", state="failed") for _ in range(3)]
    assert ["there are more, do it again" in text for text in texts] == [True, True, False]
    assert "1 had failed and are under way again" in texts[-1]


def test_a_bulk_retry_of_a_filter_that_cannot_be_is_refused(user: Visitor, redis_url: str) -> None:
    assert user.post("/ui/generations/retry", "/ui/generations", state="nonsense").status_code == 400


# --- one generation --------------------------------------------------------------------------------------------------------


def test_one_generation_with_what_happened_to_it(user: Visitor, ledger: RedisLedger) -> None:
    complete(ledger, "t1", {"shop": "north"})
    text = user.text("/ui/generations/t1")
    for shown in (
        "✓ complete",
        "shop=north",
        "1280 × 720",
        "2.9 MiB",
        "veo/t1/result-0.mp4",
        "SHA-256",
        "60 with its upgrades",
    ):
        assert shown in text, shown
    said = [
        "Tracked from here on",
        "Callback signed",
        "Verdict succeeded",
        "Stored result",
        "Manifest written",
        "Complete",
    ]
    places = [text.index(headline, text.index("Timeline")) for headline in said]
    assert places == sorted(places)
    assert re.search(r"\+\d+ m?s", text)
    assert "Buy the 4k" in text
    assert "Try again what failed" not in text


def test_callbacks_are_shown_without_secrets(user: Visitor, ledger: RedisLedger) -> None:
    track("t1", [], {}, ledger, POLICY)
    inner = json.dumps({"callBackUrl": "https://us.test/callbacks/veo/4k/planted-token", "prompt": "<b>a cat</b>"})
    body = {
        "code": 200,
        "msg": "see https://tempfile.aiquickdraw.com/v/a.mp4?X-Amz-Signature=planted-signature",
        "data": {
            "taskId": "t1",
            "paramJson": inner,
            "info": {"resultUrls": ["https://h.test/a.mp4?sig=planted-query"]},
        },
    }
    ledger.record("t1", None, Entry(at=ledger.now(), route=Route.GENERATION, trust=Trust.SIGNED, raw=json.dumps(body)))
    settle_now(ledger, "t1")
    answer = user.get("/ui/generations/t1")
    assert "https://tempfile.aiquickdraw.com/v/a.mp4?…" in read(answer)
    assert "planted" not in answer.text
    assert "a cat" in read(answer)


@pytest.mark.parametrize(
    "path", ["unknown", "sub_" + "0" * 32, "x" * 129, "a b", "%3Cscript%3E", "..%2F..%2Fetc", "t1/nothing"]
)
def test_what_is_not_there_is_a_page(user: Visitor, path: str) -> None:
    answer = user.get(f"/ui/generations/{path}")
    assert answer.status_code == 404
    assert answer.content_type == "text/html; charset=utf-8"
    assert "To the first screen" in read(answer)
    assert "<script>" not in answer.text


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/ui/generations"), ("DELETE", "/ui/generations/t1"), ("GET", "/ui/")]
)
def test_other_methods_and_places_are_no_pages(user: Visitor, method: str, path: str) -> None:
    assert user.client.open(path, method=method).status_code == 404


def test_programs_are_still_told_in_json_what_is_not_there(user: Visitor) -> None:
    for path in ("/nowhere", "/generations/unknown"):
        assert user.get(path).content_type == "application/problem+json"


def test_what_failed_is_tried_again(user: Visitor, ledger: RedisLedger) -> None:
    track("t1", [], {}, ledger, POLICY)
    settle_now(ledger, "t1", Progress.FAILED)
    page = "/ui/generations/t1"
    assert "Try again what failed" in user.text(page)
    assert "Under way again: what had failed." in user.send(f"{page}/retry", page)
    assert "Nothing had failed" in user.send(f"{page}/retry", page)


def test_an_upgrade_is_asked_for_once(user: Visitor, ledger: RedisLedger) -> None:
    complete(ledger, "t1")
    page = "/ui/generations/t1"
    assert "The 4k will be bought, once." in user.send(f"{page}/upgrades", page, kind="4k", index="0")
    assert "was asked for before" in user.send(f"{page}/upgrades", page, kind="4k", index="0")
    assert ledger.spent_today()["upgrade"] == 120
    assert "Not bought: " in user.send(f"{page}/upgrades", page, kind="4k", index="7")


@pytest.mark.parametrize(
    "fields", [{}, {"kind": "result"}, {"kind": "4k", "index": "-1"}, {"kind": "4k", "index": "x"}, {"kind": NASTY}]
)
def test_upgrades_that_there_are_not_are_refused(user: Visitor, ledger: RedisLedger, fields: dict[str, str]) -> None:
    complete(ledger, "t1")
    assert user.post("/ui/generations/t1/upgrades", **fields).status_code == 400


def test_over_the_budget_nothing_is_bought(redis_url: str, ledger: RedisLedger) -> None:
    user = Visitor(front_door(redis_url, upgrade_credits_per_day=10))
    user.log_in()
    complete(ledger, "t1")
    assert "Not bought: this would exceed " in user.send("/ui/generations/t1/upgrades", kind="4k", index="0")


def test_without_a_vendor_key_no_upgrade_is_offered(redis_url: str, ledger: RedisLedger) -> None:
    user = Visitor(front_door(redis_url, kie_api_key=SecretStr("")))
    user.log_in()
    complete(ledger, "t1")
    assert "Buy the" not in user.text("/ui/generations/t1")
    assert user.post("/ui/generations/t1/upgrades", kind="4k", index="0").status_code == 409


def test_callbacks_are_replayed(user: Visitor, ledger: RedisLedger) -> None:
    complete(ledger, "t1")
    said = user.send("/ui/generations/t1/replay", "/ui/generations/t1")
    assert "1 recorded callback was run again" in said
    assert len(ledger.read("t1").pending) == 1


def test_flower_is_linked_where_it_is_known(redis_url: str, ledger: RedisLedger) -> None:
    complete(ledger, "t1")
    for url in ("", "https://flower.test/root"):
        user = Visitor(front_door(redis_url, flower_url=url))
        user.log_in()
        page = user.get("/ui/generations/t1").text
        assert ('href="https://flower.test/root/tasks?name=reelkeep%20kwargs%3At1"' in page) is bool(url)
        assert ('<a href="https://flower.test/root" rel="noreferrer">Flower</a>' in user.get("/").text) is bool(url)


@pytest.mark.parametrize(("own", "said"), [(None, "its own are not known"), (60.5, "60.5 with its upgrades")])
def test_what_is_not_known_of_the_credits_is_not_said_to_be_none(
    user: Visitor, ledger: RedisLedger, own: float | None, said: str
) -> None:
    complete(ledger, "t1")

    def bill(draft: Any) -> None:
        draft.generation.credits = own

    ledger.change("t1", bill)
    assert said in user.text("/ui/generations/t1")


# --- what others have written ----------------------------------------------------------------------------------------------


def test_what_others_have_written_is_text(user: Visitor, ledger: RedisLedger) -> None:
    track("t1", [], {NASTY: NASTY}, ledger, POLICY)
    body = {"code": 501, "msg": NASTY, "data": {"taskId": "t1", NASTY: NASTY}}
    ledger.record("t1", None, Entry(at=1.0, route=Route.GENERATION, trust=Trust.SIGNED, raw=json.dumps(body)))
    settle_now(ledger, "t1", Progress.FAILED)

    def break_it(draft: Any) -> None:
        draft.generation.msg = draft.generation.error = NASTY
        draft.generation.too_late_at = draft.now + 60

    ledger.change("t1", break_it)
    ledger.note_fault("settle/t1", NASTY)
    for path in (
        *PAGES,
        f"/ui/generations?text={NASTY}",
        f"/ui/generations?label={NASTY}%3D{NASTY}",
        f"/login?next={NASTY}",
    ):
        text = user.get(path).text
        assert "<script>alert" not in text, path
        assert "alert('x')" not in text, path
    assert NASTY in user.text("/"), "shown, as text"
    assert json.dumps(NASTY) in user.text("/ui/generations/t1"), "in the callback too"


# --- the bucket ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    keys = {"access_key": "planted-access", "secret_key": "planted-secret"}
    with running(s3_server(folder, port, buckets=["videos"], **keys), folder / "s3.log"):
        yield folder / "videos", s3_environment(port, **keys)


@pytest.mark.parametrize("key", ["veo/t1/result-0.mp4", "veo/a b+c&d=é~/4k-0.mp4"])
def test_a_real_store_takes_our_links_and_no_others(store: tuple[Path, dict[str, str]], key: str) -> None:
    folder, env = store
    (folder / key).parent.mkdir(parents=True, exist_ok=True)
    (folder / key).write_bytes(b"a film")
    presigner = Presigner.from_environment("videos", env)
    assert presigner is not None
    link = presigner.link(key, datetime.now(UTC))
    # rclone looks at a folder anew after a second.
    wait_for(lambda: requests.get(link, timeout=20).content == b"a film")
    assert requests.get(link, headers={"Range": "bytes=2-5"}, timeout=20).content == b"film"
    assert requests.get(link[:-4] + "0000", timeout=20).status_code == 403
    assert not requests.get(presigner.link(key, datetime(2020, 1, 1, tzinfo=UTC)), timeout=20).ok, "too old"


def test_videos_are_linked_and_allowed_where_there_are_keys(
    redis_url: str, ledger: RedisLedger, store: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(ledger, "t1")
    for name, value in store[1].items():
        monkeypatch.setenv(name, value)
    user = Visitor(front_door(redis_url, s3_bucket="videos"))
    user.log_in()
    answer = user.get("/ui/generations/t1")
    origin = store[1]["AWS_ENDPOINT_URL_S3"]
    assert f'<video controls preload="metadata" playsinline src="{origin}/videos/veo/t1/result-0.mp4?' in answer.text
    assert f"media-src {origin};" in answer.headers["Content-Security-Policy"]
    assert f"img-src 'self' {origin};" in answer.headers["Content-Security-Policy"]
    assert "planted-secret" not in answer.text


def test_without_keys_the_page_says_so(redis_url: str, ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    complete(ledger, "t1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    user = Visitor(front_door(redis_url, s3_bucket="videos"))
    user.log_in()
    answer = user.get("/ui/generations/t1")
    assert "<video" not in answer.text
    assert "The videos cannot be shown here" in read(answer)
    assert "veo/t1/result-0.mp4" in read(answer)
