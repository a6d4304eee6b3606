"""Where the vendor says that its files are, in every form it has been seen to say so."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

#: More files than this of one kind is no answer of the vendor's (its most is a handful).
MOST = 32
#: no surrogates: half a character cannot be stored
_URL = re.compile(r"https?://[^\s\"'<>\\\x00-\x20\ud800-\udfff]{1,4000}", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Urls:
    """URLs by rendition kind; the place in the tuple is the rendition's index. In `result` an empty text: one is missing."""

    result: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()
    full: tuple[str, ...] = ()
    image: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.result or self.origin or self.full)


NO_URLS = Urls()


def read_urls(value: object, *, keep_places: bool = False) -> tuple[str, ...]:
    """Read a list of URLs: an array, a JSON string of one, `[http://…]`, or one bare URL (veo-api §4).

    What is no http(s) URL is left out; repeats are dropped; anything else gives an empty tuple.

    :param keep_places: in an array with any URL, an empty text stands where there is none
    """
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                return read_urls(json.loads(text), keep_places=keep_places)
            except (ValueError, RecursionError):
                parts = [part.strip(" \"'") for part in text.strip("[]").split(",")]
                return read_urls(parts, keep_places=keep_places)
        value = [text]
    if not isinstance(value, list):
        return ()
    found: dict[str | int, str] = {}
    for place, url in enumerate(value):
        if isinstance(url, str) and _URL.fullmatch(url):
            found[url] = url
        elif keep_places:
            found[place] = ""
    return tuple(found.values())[:MOST] if any(found.values()) else ()


def collect_urls(*places: object) -> Urls:
    """Take the URLs from the first of several objects that has any of a kind, in either spelling."""
    objects = [place for place in places if isinstance(place, Mapping)]

    def first(*names: str, keep_places: bool = False) -> tuple[str, ...]:
        for place in objects:
            for name in names:
                if name in place and (urls := read_urls(place[name], keep_places=keep_places)):
                    return urls
        return ()

    return Urls(
        result=first("resultUrls", "result_urls", "resultUrl", "result_url", "videoUrl", "video_url", keep_places=True),
        origin=first("originUrls", "origin_urls"),
        full=first("fullResultUrls", "full_result_urls"),
        image=first("imageUrls", "image_urls"),
    )


def without_query(url: str) -> str:
    """A URL as it may be shown: signed queries and fragments cut off (veo-api §10: download links are signed)."""
    return url.split("?", 1)[0].split("#", 1)[0]
