"""Callbacks for ids that nobody knows yet, more than the workers manage: sending them, and what was answered."""

import http.client
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
import requests

from app.adapters.signature import sign
from app.cli.stack import NOTHING_SET, Plan, Stack, running_stack
from app.domain.redis_state import FULL
from app.embedded.service import Service, free_port
from tests.support.waiting import wait_for

BALLAST = 50 * 2**20
KEY, TOKEN = "flood-key", "flood-token"


@dataclass
class Answers:
    """What the front door has answered."""

    statuses: Counter[str] = field(default_factory=Counter)
    #: seconds, of all that were answered
    delays: list[float] = field(default_factory=list)
    #: ids that were answered 200
    recorded: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, task_id: str, status: str, seconds: float) -> None:
        with self.lock:
            self.statuses[status] += 1
            self.delays.append(seconds)
            if status == "200":
                self.recorded.append(task_id)

    @property
    def honest(self) -> bool:
        """Each answer was a 200, or a 503 that says when to come again."""
        return set(self.statuses) <= {"200", "503"}


def make_callback(task_id: str) -> tuple[bytes, dict[str, str]]:
    """A signed callback about a success."""
    timestamp = str(int(time.time()))
    urls = [f"https://tempfile.aiquickdraw.com/v/{task_id}_{timestamp}.mp4"]
    body = {"code": 200, "msg": "ok", "data": {"taskId": task_id, "info": {"resultUrls": urls, "resolution": "720p"}}}
    headers = {"Content-Type": "application/json", "X-Webhook-Timestamp": timestamp}
    return json.dumps(body).encode(), headers | {"X-Webhook-Signature": sign(KEY, task_id, timestamp)}


def flood(port: int, *, rate: float, seconds: float, connections: int = 32) -> Answers:
    """Send callbacks for new ids at a rate, or as fast as the connections allow if that is less."""
    answers, begin = Answers(), time.monotonic()

    def send(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        turn = number
        while (at := turn / rate) < seconds:
            late = time.monotonic() - begin - at
            if late < 0:
                time.sleep(-late)
            elif late > seconds - at:
                break  # the time is over; those that did not get their turn are not sent
            turn += connections
            task_id = uuid.uuid4().hex
            answers.note(task_id, *_ask(connection, *make_callback(task_id)))
        connection.close()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def _ask(connection: http.client.HTTPConnection, body: bytes, headers: Mapping[str, str]) -> tuple[str, float]:
    began = time.perf_counter()
    try:
        connection.request("POST", "/callbacks/veo", body, dict(headers))
        answer = connection.getresponse()
        answer.read()
        status = str(answer.status)
        if status == "503" and not answer.headers["Retry-After"]:
            status = "503 without Retry-After"
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        status = type(error).__name__
    return status, time.perf_counter() - began


def find_unknown(client: redis.Redis, ids: Sequence[str]) -> list[str]:
    """Those ids of which the ledger has neither a generation nor a callback."""
    unknown = []
    for first in range(0, len(ids), 1000):
        batch = ids[first : first + 1000]
        pipeline = client.pipeline(transaction=False)
        for task_id in batch:
            pipeline.exists(f"reelkeep:gen:{task_id}", f"reelkeep:inbox:{task_id}")
        unknown += [task_id for task_id, known in zip(batch, pipeline.execute(), strict=True) if not known]
    return unknown


def find_unsettled(client: redis.Redis, ids: Iterable[str]) -> set[str]:
    """Those ids of which the ledger has no verdict yet."""
    names = set(ids)
    for state in ("failed", "mirroring", "complete", "lost"):
        names -= set(client.zrange(f"reelkeep:state:{state}", 0, -1))  # type: ignore[arg-type]
    return names


def leave_room(client: redis.Redis, room: int) -> None:
    """Limit Redis's memory so that so many bytes more may be taken up by what is new. A large thing is put in first, so that what
    is left for the workers is as much as it would be on a Redis of some size."""
    # Sent whole, it would count twice until the buffer that it came in is gone, and leave more room than is wanted.
    client.setrange("ballast", BALLAST - 1, "x")
    memory: Any = client.info("memory")
    client.config_set("maxmemory", int((memory["used_memory"] - memory["mem_not_counted_for_evict"] + room) / FULL))


def free_memory(client: redis.Redis) -> None:
    """Take the limit away."""
    client.config_set("maxmemory", 0)
    client.delete("ballast")


@dataclass(frozen=True)
class Flooded:
    """A running stack, and the vendor that knows every id."""

    stack: Stack
    port: int

    def call(self, method: str, path: str, **kwargs: object) -> requests.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return requests.request(method, self.stack.web_url + path, headers=headers, timeout=30, **kwargs)  # type: ignore[arg-type]

    def post(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Send one callback. Gives the status."""
        url = f"{self.stack.web_url}/callbacks/veo"
        return requests.post(url, data=body, headers=dict(headers), timeout=30).status_code

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.stack.redis_url, decode_responses=True)


@contextmanager
def running_flooded(folder: Path, counts: Mapping[str, int], **env: str) -> Iterator[Flooded]:
    """The stack on a Redis that syncs every write, with a vendor that answers at once."""
    vendor_port, web_port = free_port(), free_port()
    settings = {
        **NOTHING_SET,
        "REELKEEP_KIE_API_KEY": "vendor-key",
        "REELKEEP_KIE_BASE_URL": f"http://127.0.0.1:{vendor_port}",
        "REELKEEP_WEBHOOK_KEYS": KEY,
        "REELKEEP_API_TOKENS": TOKEN,
        "REELKEEP_DOWNLOAD_INSECURE": "1",
        "REELKEEP_DOWNLOAD_HOSTS": "127.0.0.1",
        "REELKEEP_SWEEP_EVERY": "5",
        # What the workers manage is asked, and not what the vendor allows.
        "REELKEEP_POLL_RATE": "100000/10s",
        **env,
    }
    everything = {"web": 1, "worker": 1, "mirror": 1, "beat": 1, "flower": 0}
    plan = Plan(folder, env=settings, counts=everything | dict(counts), web_port=web_port, appendfsync="always")
    with running_stack(plan) as stack:
        # Started here, and so stopped with the rest.
        stack.supervisor.start("vendor", _vendor(vendor_port, stack.env))
        wait_for(stack.is_ready)
        yield Flooded(stack, web_port)


def _vendor(port: int, env: Mapping[str, str]) -> Service:
    options = ("--worker-class", "gthread", "--threads", "16", "--no-control-socket", "--bind", f"127.0.0.1:{port}")
    argv = ("gunicorn", *options, "tests.bench.peers.knowing:app")

    def answers() -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{port}/", timeout=2).ok
        except requests.RequestException:
            return False

    return Service("vendor", argv, {**env, "GUNICORN_CMD_ARGS": "", "PORT": str(port)}, answers)
