"""The front door as it is deployed: how to start it, and how to knock."""

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

import redis
import requests

from app.adapters.redis_ledger import RedisLedger
from app.adapters.signature import sign
from app.embedded.service import Service

KEYS = ("first-key", "second-key")
TOKEN = "user-token"
TASK = "2b1b13eca3e8b8bbd5a88610d29dfd51"


@dataclass(frozen=True)
class Web:
    """A running web process."""

    url: str
    redis: redis.Redis
    ledger: RedisLedger

    def post(self, path: str, body: bytes | str, headers: dict[str, str] | None = None) -> requests.Response:
        return requests.post(self.url + path, data=body, headers=headers or {}, timeout=20)

    def callback(self, body: dict[str, Any], path: str = "/callbacks/veo", key: str = KEYS[0]) -> requests.Response:
        task_id = (body.get("data") or {}).get("taskId") or ""
        return self.post(path, json.dumps(body), signed(task_id, key))

    def call(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"} | kwargs.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=20, **kwargs)

    def contents(self) -> dict[str, Any]:
        """Everything in Redis but the counts of what was refused, to see that nothing has changed."""
        counts = b"reelkeep:stats"
        keys = [key for key in self.redis.keys("*") if not key.startswith((b"reelkeep:tally:", counts))]  # type: ignore[union-attr]
        counted = {name: it for name, it in self.redis.hgetall(counts).items() if not name.startswith(b"refused:")}  # type: ignore[union-attr]
        return {key: self.redis.dump(key) for key in keys} | ({counts: counted} if counted else {})


def signed(task_id: str, key: str = KEYS[0], at: float | None = None) -> dict[str, str]:
    timestamp = str(int(time.time() if at is None else at))
    return {"X-Webhook-Timestamp": timestamp, "X-Webhook-Signature": sign(key, task_id, timestamp)}


def success(task_id: str = TASK) -> dict[str, Any]:
    urls = ["https://tempfile.aiquickdraw.com/v/a.mp4"]
    return {"code": 200, "msg": "ok", "data": {"taskId": task_id, "info": {"resultUrls": urls}}}


def web_service(redis_url: str, port: int, **env: str) -> Service:
    settings = {
        "REELKEEP_REDIS_URL": redis_url,
        "REELKEEP_WEBHOOK_KEYS": ",".join(KEYS),
        "REELKEEP_API_TOKENS": f"other-token, {TOKEN}",
        "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}",
    }
    argv = (sys.executable, "-m", "gunicorn", "--config", "python:app.web.gunicorn_conf", "app.web.wsgi:app")

    def alive() -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=2).ok
        except requests.RequestException:
            return False

    return Service("web", argv, {**os.environ, **settings, **env}, alive)
