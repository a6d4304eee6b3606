"""The vendor's messages are shown and logged: no signed query and no token of ours may stay in them."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.callbacks import LONGEST_MESSAGE, parse_callback, read_text

#: a word that stands for every secret
SECRET = "s3cret"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("get https://x/a.mp4?sig=s3cret failed", "get https://x/a.mp4?… failed"),
        ("get HTTPS://X/a.mp4?Sig=s3cret failed", "get HTTPS://X/a.mp4?… failed"),
        ("get Http://x/a.mp4?sig=s3cret", "get Http://x/a.mp4?…"),
        ("https://x/a#s3cret", "https://x/a?…"),
        ("https://x/a?b=s3cret#s3cret", "https://x/a?…"),
        ("https://x?sig=s3cret", "https://x?…"),
        ("https://x:8443/a?sig=s3cret", "https://x:8443/a?…"),
        ("(https://x/a?sig=s3cret)", "(https://x/a?…"),
        ("'https://x/a?sig=s3cret'", "'https://x/a?…'"),
        ('{"url":"https://x/a?sig=s3cret"}', '{"url":"https://x/a?…"}'),
        ("<https://x/a?sig=s3cret>", "<https://x/a?…>"),
        ("https://x/a?sig=s3cret https://y/b?sig=s3cret", "https://x/a?… https://y/b?…"),
        ("HTTPS://x/a?sig=s3cret\nhttp://y/b?sig=s3cret", "HTTPS://x/a?…\nhttp://y/b?…"),
        ("https://x/a?sig=s3cret,https://y/b?sig=s3cret", "https://x/a?…"),
        ("https://x/a?back=https://y/b?sig=s3cret", "https://x/a?…"),
        ("https://x/a https://y/b?sig=s3cret", "https://x/a https://y/b?…"),
    ],
)
def test_the_query_of_every_url_is_masked(message: str, shown: str) -> None:
    assert read_text(message) == shown


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("https://k.example/callbacks/veo/4k/s3cret", "https://k.example/callbacks/veo/4k/…"),
        ("HTTPS://K.EXAMPLE/CALLBACKS/VEO/4K/s3cret", "HTTPS://K.EXAMPLE/CALLBACKS/VEO/4K/…"),
        ("no answer from k.example/callbacks/veo/4k/s3cret.", "no answer from k.example/callbacks/veo/4k/…"),
        ("path '/callbacks/veo/4k/s3cret'", "path '/callbacks/veo/4k/…'"),
        ("/callbacks/veo/4k/s3cret /callbacks/veo/4k/s3cret", "/callbacks/veo/4k/… /callbacks/veo/4k/…"),
        ("https://k.example/callbacks/veo/4k/s3cret?x=s3cret", "https://k.example/callbacks/veo/4k/…"),
        ("/callbacks/veo/s3cret", "/callbacks/veo/…"),
        ("/callbacks/veo/4k/4ks3cret", "/callbacks/veo/4k/…"),
        ("/callbacks/veo/4k/-_s3cret", "/callbacks/veo/4k/…"),
    ],
)
def test_the_token_of_every_callback_url_is_masked(message: str, shown: str) -> None:
    assert read_text(message) == shown


def test_a_token_that_begins_like_the_path_is_masked() -> None:
    assert read_text("/callbacks/veo/4k/4k-s3cret") == "/callbacks/veo/4k/…"


@pytest.mark.parametrize(
    "message",
    ["", "what? no #1", "https://x/a.mp4", "/callbacks/veo", "/callbacks/veo/4k", "/callbacks/other/x", "100%? yes"],
)
def test_what_holds_no_secret_is_left_as_it_is(message: str) -> None:
    assert read_text(message) == message


@pytest.mark.parametrize("length", range(LONGEST_MESSAGE - 60, LONGEST_MESSAGE + 1))
def test_no_part_of_a_secret_is_left_where_a_long_message_is_cut(length: int) -> None:
    secret = "SECRET" * 20
    for url in (f"https://x/a?{secret}", f"https://k/callbacks/veo/4k/{secret}"):
        shown = read_text("." * (length - 1) + " " + url)
        assert "SEC" not in shown
        assert len(shown) <= LONGEST_MESSAGE + 2


words = st.text(st.characters(exclude_characters="4", exclude_categories=["Cs"]), max_size=20)
separators = st.sampled_from([" ", "\n", '"', "'", "<", ">"])


@given(
    st.lists(st.tuples(words, separators, st.sampled_from(["https://x/a?{}", "HTTP://x#{}", "/callbacks/veo/4k/{}"])))
)
def test_a_secret_is_masked_whatever_stands_around_it(parts: list[tuple[str, str, str]]) -> None:
    message = "".join(f"{word}{separator}{url.format(SECRET)}{separator}" for word, separator, url in parts)
    assert not re.search(SECRET, read_text(message[:LONGEST_MESSAGE]))


def test_a_callbacks_message_is_masked() -> None:
    body = {"code": 500, "msg": "cannot read https://x/a?sig=s3cret", "data": {"taskId": "t1"}}
    assert parse_callback(json.dumps(body)).msg == "cannot read https://x/a?…"
