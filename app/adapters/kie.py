"""The vendor's API over HTTP: the dedicated Veo3.1 paths (veo-api §2-§10).

The body's `code` is the verdict; HTTP is 200 even for errors. So the body is read first, then the status; an answer that is not
JSON is a transport fault, whatever its status.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from app.domain.callbacks import read_code, read_json, read_number, read_text
from app.domain.errors import VendorUnreachable
from app.domain.urls import Urls, collect_urls, read_urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import Kind, is_task_id

#: An odd User-Agent can get a plain-text 403 from the CDN (veo-api §1).
USER_AGENT = "Mozilla/5.0 (compatible; Reelkeep/0.1)"
#: seconds to connect, seconds between bytes
TIMEOUT = (5.0, 20.0)

#: `successFlag` of the details endpoint; 2 and 3 are both final (veo-api §8)
SUCCESS_FLAGS = {0: Progress.GENERATING, 1: Progress.SUCCEEDED, 2: Progress.FAILED, 3: Progress.FAILED}
#: codes that say "no such record"; fresh generations get them too (veo-api §8)
UNKNOWN_CODES = frozenset({404, 422})


@dataclass(frozen=True)
class _Answer:
    """An envelope: `{"code": …, "msg": …, "data": …}`."""

    code: int
    msg: str
    data: object

    @property
    def fields(self) -> Mapping[str, object]:
        return self.data if isinstance(self.data, Mapping) else {}


class KieVendor:
    """Implements `app.domain.vendor.Vendor`. Thread-safe: a session a thread."""

    def __init__(self, api_key: str, base_url: str = "https://api.kie.ai", timeout: tuple[float, float] = TIMEOUT):
        self._headers = {"Authorization": f"Bearer {api_key}", "User-Agent": USER_AGENT}
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._local = threading.local()

    def ask_details(self, task_id: str) -> Verdict:
        """See `Vendor.ask_details` (veo-api §8)."""
        answer = self._request("GET", "/api/v1/veo/record-info", params={"taskId": task_id})
        if answer.code in UNKNOWN_CODES or (answer.code == 200 and answer.data is None):
            return Verdict(Progress.UNKNOWN, answer.code, answer.msg)
        if answer.code != 200:
            raise VendorUnreachable(f"the details endpoint answered code {answer.code}: {answer.msg}")
        return _read_verdict(answer)

    def ask_upgrade(self, kind: Kind, task_id: str, index: int, callback_url: str | None) -> OrderAnswer:
        """See `Vendor.ask_upgrade` (veo-api §5, §6)."""
        try:
            if kind is Kind.HD:
                params = {"taskId": task_id, "index": str(index)}
                return _read_order(self._request("GET", "/api/v1/veo/get-1080p-video", params=params), kind)
            body = {"taskId": task_id, "index": index, "callBackUrl": callback_url}
            sent = {name: value for name, value in body.items() if value is not None}
            return _read_order(self._request("POST", "/api/v1/veo/get-4k-video", json=sent), kind)
        except VendorUnreachable as error:
            return OrderAnswer(OrderProgress.UNCERTAIN, msg=str(error))

    def renew_link(self, url: str) -> str | None:
        """See `Vendor.renew_link` (veo-api §10)."""
        answer = self._request("POST", "/api/v1/common/download-url", json={"url": url})
        if answer.code == 200:
            return next(iter(read_urls(answer.data)), None)
        if answer.code in (400, 404, 422):
            return None
        raise VendorUnreachable(f"download-url answered code {answer.code}: {answer.msg}")

    def read_credit(self) -> float:
        """The account's balance in credits; a float (veo-api §10). :raises VendorUnreachable:"""
        answer = self._request("GET", "/api/v1/chat/credit")
        credit = read_number(answer.data)
        if answer.code != 200 or credit is None:
            raise VendorUnreachable(f"the credit endpoint answered code {answer.code}: {answer.msg}")
        return credit

    def _request(self, method: str, path: str, **arguments: Any) -> _Answer:
        """One request. Errors name the path alone: never a query, never the key."""
        try:
            response = self._session().request(
                method, self._base_url + path, timeout=self._timeout, allow_redirects=False, **arguments
            )
        except (requests.RequestException, ValueError) as error:  # ValueError: a Location header that is no URL
            raise VendorUnreachable(f"{path}: {type(error).__name__}") from None
        try:
            body = response.json()
        except (ValueError, RecursionError):  # also nested too deeply, or integers of thousands of digits
            raise VendorUnreachable(f"{path} answered HTTP {response.status_code}, not JSON") from None
        code = read_code(body.get("code")) if isinstance(body, Mapping) else None
        if code is None:
            raise VendorUnreachable(f"{path} answered HTTP {response.status_code} without a code")
        return _Answer(code, read_text(body.get("msg")), body.get("data"))

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.trust_env = False
            session.headers.update(self._headers)
            self._local.session = session
        return session


def _read_verdict(answer: _Answer) -> Verdict:
    fields = answer.fields
    response = fields.get("response")
    inner = response.get("info") if isinstance(response, Mapping) else None
    urls = collect_urls(response, inner, fields.get("info"), read_json(fields.get("resultJson")), fields)
    flag = read_code(fields.get("successFlag"))
    progress = SUCCESS_FLAGS.get(flag, Progress.GENERATING) if flag is not None else _guess_progress(urls)
    failed = progress is Progress.FAILED
    return Verdict(
        progress,
        code=(read_code(fields.get("errorCode")) or 501) if failed else 200,
        msg=read_text(fields.get("errorMessage")) if failed else answer.msg,
        urls=urls,
        fallback=fields.get("fallbackFlag") is True,
        credits=read_number(fields.get("creditsConsumed")),
        main=Kind.UHD if _is_of_4k(fields) else Kind.RESULT,
    )


def _is_of_4k(fields: Mapping[str, object]) -> bool:
    """Records of 4K tasks have no fallbackFlag, but a mediaIds somewhere (veo-api §8), in either spelling (§7)."""
    try:
        text = json.dumps(fields)
    except RecursionError:
        return False
    return fields.get("fallbackFlag") is None and ('"mediaIds"' in text or '"media_ids"' in text)


def _guess_progress(urls: Urls) -> Progress:
    """For records of undocumented shape, such as those of 4K: URLs mean success (veo-api §8)."""
    return Progress.SUCCEEDED if urls else Progress.GENERATING


def _read_order(answer: _Answer, kind: Kind) -> OrderAnswer:
    urls = collect_urls(answer.data if isinstance(answer.data, Mapping) else None, answer.fields.get("info"))
    task_id = answer.fields.get("taskId") or answer.fields.get("task_id")
    return OrderAnswer(
        _judge_order(answer, kind, urls),
        code=answer.code,
        msg=answer.msg,
        urls=urls,
        task_id=task_id if isinstance(task_id, str) and is_task_id(task_id) else None,
    )


def _judge_order(answer: _Answer, kind: Kind, urls: Urls) -> OrderProgress:
    """The body's URLs decide, not the code; a refusal's reason stands only in its wording (veo-api §5, §6)."""
    words = answer.msg.casefold()
    if urls.result:
        return OrderProgress.READY
    if answer.code == 200 or "processing" in words:
        return OrderProgress.ORDERED
    if answer.code in (400, 422):
        return next((progress for word, progress in REFUSALS if word in words), OrderProgress.UNCERTAIN)
    if answer.code in (401, 402, 404, 429, 433, 455, 505):
        return OrderProgress.NOT_YET
    # "The 4K version of this video is unavailable" comes with code 500, as passing faults do (veo-api §7).
    return OrderProgress.UNAVAILABLE if "video is unavailable" in words else OrderProgress.UNCERTAIN


#: What a refusal with code 400 or 422 means, by a word of its message. A wording that is not listed is taken for uncertain:
#: it is asked again, and ends `unavailable` with the vendor's words when REELKEEP_GIVE_UP_AFTER is over.
REFUSALS = (
    ("not success", OrderProgress.NOT_YET),
    # A base that has succeeded exists; the record of a fresh one may not be visible everywhere yet.
    ("not exist", OrderProgress.NOT_YET),
    ("14 days", OrderProgress.UNAVAILABLE),
    ("fallback", OrderProgress.UNAVAILABLE),
    ("unavailable", OrderProgress.UNAVAILABLE),
    ("not support", OrderProgress.UNAVAILABLE),
)
