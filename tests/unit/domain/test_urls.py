"""URLs in every form that the vendor writes them, and what of them may be shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.urls import MOST, NO_URLS, Urls, collect_urls, read_urls, without_query

A, B = "https://tempfile.aiquickdraw.com/v/a.mp4", "http://example.com/b.mp4?x=1&y=a,b"


@pytest.mark.parametrize(
    "value",
    [[A], A, f" {A} ", json.dumps([A]), f"[{A}]", f" [ {A} ] ", f"['{A}']", [A, A], [A, None, 7, "", "x"]],
)
def test_one_url_is_read_in_every_form(value: object) -> None:
    assert read_urls(value) == (A,)


def test_several_urls_keep_their_order() -> None:
    assert read_urls([B, A]) == (B, A)


def test_several_urls_in_brackets_that_are_not_json_are_read() -> None:
    assert read_urls(f"[{A}, http://example.com/b.mp4]") == (A, "http://example.com/b.mp4")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/a",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//x/a",
        "x/a",
        "https://",
        "",
        "data:video/mp4,x",
        "https://x/a b",
        "https://x/a\n",
        "\nhttps://x/a\tb",
        "https://x/\x00",
        'https://x/"',
        "https://x/<a>",
        "https://x\\a",
        "https://x/\ud800",
        "gopher://x/",
        "https://x/" + "a" * 5000,
    ],
)
def test_what_is_no_plain_http_url_is_left_out(url: str) -> None:
    assert read_urls([url, A]) == (A,)


@pytest.mark.parametrize("value", [None, 7, True, {}, {"0": A}, [[A]], [{"url": A}], "", "[", "[]", "[" * 100_000])
def test_what_is_no_list_of_urls_gives_none(value: object) -> None:
    assert read_urls(value) == ()


def test_upper_case_schemes_are_urls_too() -> None:
    assert read_urls("HTTPS://x/a") == ("HTTPS://x/a",)


def test_an_absurd_number_of_urls_is_cut() -> None:
    assert len(read_urls([f"https://x/{number}" for number in range(10_000)])) == MOST


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists))
def test_whatever_is_read_can_be_written_as_utf8(value: object) -> None:
    for url in read_urls(value):
        url.encode("utf-8")


def test_the_first_place_that_has_urls_of_a_kind_wins() -> None:
    found = collect_urls({"resultUrls": []}, None, "x", {"result_urls": [A]}, {"resultUrls": [B], "imageUrls": B})
    assert found == Urls(result=(A,), image=(B,))


@pytest.mark.parametrize("name", ["resultUrls", "result_urls", "resultUrl", "result_url", "videoUrl", "video_url"])
def test_a_result_is_found_by_each_of_its_names(name: str) -> None:
    assert collect_urls({name: A}) == Urls(result=(A,))


def test_every_kind_is_found_in_either_spelling() -> None:
    camel = collect_urls({"originUrls": [A], "fullResultUrls": [A], "imageUrls": [A]})
    snake = collect_urls({"origin_urls": [A], "full_result_urls": [A], "image_urls": [A]})
    assert camel == snake == Urls(origin=(A,), full=(A,), image=(A,))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([A, None, B], (A, "", B)),
        ([None, A], ("", A)),
        ([A, "ftp://x/a"], (A, "")),
        ([A, 7, {}, B], (A, "", "", B)),
        ([A, B], (A, B)),
        (json.dumps([A, None]), (A, "")),
        (f"[{A}, null]", (A, "")),
        (A, (A,)),
        ([None, ""], ()),
        ([], ()),
        (None, ()),
        ("nothing", ()),
    ],
)
def test_where_places_are_kept_an_empty_text_stands_for_what_is_missing(
    value: object, expected: tuple[str, ...]
) -> None:
    assert read_urls(value, keep_places=True) == expected
    assert read_urls(value) == tuple(url for url in expected if url)


def test_an_absurd_number_of_gaps_is_cut() -> None:
    assert len(read_urls([A, *[None] * 10_000], keep_places=True)) == MOST


def test_places_are_kept_among_results_alone() -> None:
    lists = {"resultUrls": [None, A], "originUrls": [None, A], "fullResultUrls": [None, A], "imageUrls": [None, A]}
    assert collect_urls(lists) == Urls(result=("", A), origin=(A,), full=(A,), image=(A,))


def test_a_list_of_nothing_but_gaps_gives_way_to_the_next_place() -> None:
    assert collect_urls({"resultUrls": [None, None]}, {"resultUrls": [None, A]}) == Urls(result=("", A))


def test_a_picture_alone_counts_as_no_video() -> None:
    assert not Urls(image=(A,))
    assert not NO_URLS


@pytest.mark.parametrize("urls", [Urls(result=(A,)), Urls(origin=(A,)), Urls(full=(A,))])
def test_any_video_counts(urls: Urls) -> None:
    assert urls


@pytest.mark.parametrize(
    "url", ["https://x/a?sig=1", "https://x/a#sig", "https://x/a?b#c", "https://x/a#b?c", "https://x/a"]
)
def test_a_shown_url_has_neither_query_nor_fragment(url: str) -> None:
    assert without_query(url) == "https://x/a"
