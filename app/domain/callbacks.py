"""The vendor's callbacks: what a body on the wire says (veo-api §4, §7, §13).

Reading is tolerant of every documented form. A body is refused only when it names no generation: a refusal spends one of
the vendor's three tries, and a body whose rest is odd still says that *something* happened to a generation.
"""

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.domain.urls import NO_URLS, Urls, collect_urls
from app.domain.work import is_task_id

#: longest message of the vendor's that is kept
LONGEST_MESSAGE = 1000
#: A slash as JSON or a URL inside a URL may write it: whoever repeats our callback URL may quote it so.
_SLASH = r"(?:\\*/|%2F)"
_QUERY = re.compile(rf"(https?(?::|%3A){_SLASH}{_SLASH}[^\s?#]+?)(?:[?#]|%3F)[^\s\"'<>]*", re.IGNORECASE)
_TOKEN = re.compile(
    rf"({_SLASH}callbacks{_SLASH}veo{_SLASH}(?:4k{_SLASH})?)(?!4k(?:[\s\"'<>/\\]|$))[^\s\"'<>]+", re.IGNORECASE
)


class UnreadableCallback(ValueError):
    """The body names no generation. The message says why and may be shown to the sender."""


class Outcome(StrEnum):
    """What a message of the vendor's says about a generation."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: no usable verdict: ask the details endpoint
    ASK = "ask"


@dataclass(frozen=True)
class Callback:
    """What one callback says. Nothing of it is authenticated but the id (veo-api §9)."""

    #: None only where the URL's token names the upgrade and `data` was null (veo-api §7)
    task_id: str | None
    outcome: Outcome
    #: the vendor's code, 0 if there was none
    code: int = 0
    msg: str = ""
    urls: Urls = NO_URLS
    fallback: bool = False
    credits: float | None = None


def parse_callback(raw: bytes | str, *, named: bool = False) -> Callback:
    """Read a callback's body.

    :param named: the URL's token already names the upgrade, so an id may be missing
    :raises UnreadableCallback: not JSON, no object, or no usable id
    """
    body = _read_object(raw)
    data = _read_data(body)
    task_id = _read_task_id(body, data, named)
    info, response = data.get("info"), data.get("response")
    urls = collect_urls(info, response, read_json(data.get("resultJson")), data)
    code = read_code(body.get("code"))
    return Callback(
        task_id=task_id,
        outcome=_judge(code, urls),
        code=code or 0,
        msg=read_text(body.get("msg")),
        urls=urls,
        fallback=data.get("fallbackFlag", data.get("fallback_flag")) is True,
        credits=read_number(data.get("creditsConsumed", data.get("credits_consumed"))),
    )


def identify(raw: bytes | str, *, named: bool = False) -> str | None:
    """Of which generation a callback's body speaks: its id, and nothing else of it.

    :param named: the URL's token already names the upgrade: None if there is no id
    :raises UnreadableCallback: not JSON, no object, or no usable id
    """
    body = _read_object(raw)
    return _read_task_id(body, _read_data(body), named)


def read_code(value: object) -> int | None:
    """A code as int, also from `"200"`; None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 6:
        return int(value)
    return value if isinstance(value, int) and abs(value) < 1_000_000 else None


def read_text(value: object) -> str:
    """A message as text that can be stored and shown: short, no broken surrogates, no secrets.

    The vendor's messages may repeat URLs that it was given: a signed query, or the token in one of our callback URLs.
    """
    if not isinstance(value, str):
        return ""
    return hide_secrets(value[:LONGEST_MESSAGE].encode("utf-8", "replace").decode("utf-8").replace("\x00", ""))


def hide_secrets(text: str) -> str:
    """A text without the queries of URLs in it, and without the tokens of our callback URLs."""
    return _TOKEN.sub(r"\1…", _QUERY.sub(r"\1?…", text))


def show_raw(raw: str, secrets: Collection[str] = ()) -> str:
    """A recorded body as people may see it: laid out, without secrets.

    :param secrets: texts that must not be shown wherever they stand
    """
    try:
        text = json.dumps(_hide_within(json.loads(raw)), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):  # it was recorded, so it was JSON; whoever changed it since
        text = hide_secrets(raw)
    for secret in filter(None, secrets):
        text = text.replace(secret, "…")
    return text


def _hide_within(value: object) -> object:
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, list):
        return [_hide_within(inner) for inner in value]
    if isinstance(value, dict):
        return {hide_secrets(name): _hide_within(inner) for name, inner in value.items()}
    return value


def read_number(value: object) -> float | None:
    """A finite number that is not negative, else None. The vendor sends credits as int and float (veo-api §10)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _read_object(raw: bytes | str) -> Mapping[str, object]:
    try:
        # UTF-8 and nothing else, as it is recorded: json.loads would take UTF-16 and broken surrogates in bytes, but not in text.
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        body = json.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise UnreadableCallback("the body is nested too deeply") from None
    except ValueError:  # includes broken UTF-8 and integers of thousands of digits
        raise UnreadableCallback("the body is not JSON") from None
    if not isinstance(body, Mapping):
        raise UnreadableCallback("the body is JSON, but not an object")
    return body


def _read_data(body: Mapping[str, object]) -> Mapping[str, object]:
    data = body.get("data")
    return data if isinstance(data, Mapping) else {}


def _read_task_id(body: Mapping[str, object], data: Mapping[str, object], named: bool) -> str | None:
    ids = [place.get(name) for place in (data, body) for name in ("taskId", "task_id")]
    present = [value for value in ids if value is not None]
    if not present:
        if named:
            return None
        raise UnreadableCallback("the body names no generation: data.taskId is missing")
    if any(value != present[0] for value in present):
        raise UnreadableCallback("the body's task ids disagree")
    value = present[0]
    if not isinstance(value, str) or not is_task_id(value):
        raise UnreadableCallback("the task id is not of the form [A-Za-z0-9_-]{1,128}")
    return value


def read_json(value: object) -> object:
    """An object that came as a JSON string, as in the unified form (veo-api §13)."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _judge(code: int | None, urls: Urls) -> Outcome:
    if code == 200:
        return Outcome.SUCCEEDED if urls else Outcome.ASK
    return Outcome.FAILED if code in FAILURES else Outcome.ASK


#: codes of a callback that mean failure (veo-api §4, §7)
FAILURES = frozenset({400, 422, 500, 501})
