"""A vendor that knows every id: each generation has succeeded or failed, as its id says, and all have the same video."""

import json
import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import parse_qs

SAMPLE = Path(__file__).parents[2] / "media" / "result-720p.mp4"
VIDEO = Path(os.environ.get("KNOWING_VIDEO", SAMPLE)).read_bytes()
#: one generation in so many has succeeded, by the last digits of its id
ONE_IN = int(os.environ.get("KNOWING_ONE_IN", "10"))


def app(environ: dict[str, str], start: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """WSGI."""
    path = environ["PATH_INFO"]
    if path.startswith("/v/"):
        return _answer(start, VIDEO, "video/mp4")
    if path.endswith("/record-info"):
        task_id = parse_qs(environ["QUERY_STRING"])["taskId"][0]
        return _answer(start, json.dumps({"code": 200, "msg": "success", "data": _record(environ, task_id)}).encode())
    data: object = {"taskId": uuid.uuid4().hex} if path.endswith("/generate") else 1000.0
    return _answer(start, json.dumps({"code": 200, "msg": "success", "data": data}).encode())


def succeeds(task_id: str) -> bool:
    """Whether a generation of this id has succeeded."""
    return int(task_id[-4:], 16) % ONE_IN == 0


def _record(environ: dict[str, str], task_id: str) -> dict[str, object]:
    if succeeds(task_id):
        url = f"http://{environ['HTTP_HOST']}/v/{task_id}.mp4"
        return {"taskId": task_id, "successFlag": 1, "fallbackFlag": False, "response": {"resultUrls": [url]}}
    return {"taskId": task_id, "successFlag": 2, "fallbackFlag": False, "errorCode": 501, "errorMessage": "no"}


def _answer(start: Callable[..., object], body: bytes, kind: str = "application/json") -> Iterable[bytes]:
    start("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
