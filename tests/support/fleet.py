"""The whole stack with the simulator, as the end-to-end tests use it."""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import requests

from app.cli.stack import NOTHING_SET, Plan, Stack, running_stack
from app.embedded.service import Service, free_port
from app.simulator.client import SimulatorClient
from tests.support.waiting import wait_for

VENDOR_KEY, WEBHOOK_KEY, TOKEN = "planted-vendor-key", "planted-webhook-key", "planted-user-token"
#: short times, so that retries and polls are seen within seconds
TIMES = {
    "REELKEEP_FIRST_POLL_AFTER": "4",
    "REELKEEP_POLL_INTERVAL": "1",
    "REELKEEP_POLL_INTERVAL_MAX": "2",
    "REELKEEP_UPGRADE_POLL_AFTER": "10",
    "REELKEEP_SWEEP_EVERY": "1",
    "REELKEEP_LEASE": "5",
    "REELKEEP_RETRY_BASE": "0.5",
    "REELKEEP_RETRY_MAX": "1",
    # The simulator's own limit is off unless a test wants it.
    "REELKEEP_PROVIDER_RATE": "1000/10s",
    "REELKEEP_POLL_RATE": "5000/10s",
}


@dataclass(frozen=True)
class Fleet:
    """A running stack, the vendor behind it, and what a test wants to know of both."""

    stack: Stack
    vendor: SimulatorClient

    @property
    def callback_url(self) -> str:
        return f"{self.stack.web_url}/callbacks/veo"

    def generate(self, scenario: str = "plain", *, upgrades: tuple[str, ...] = (), track: bool = True) -> str:
        """Submit a generation and tell Reelkeep of it."""
        task_id = self.vendor.generate(f"scenario={scenario} a cat", self.callback_url)
        if track:
            answer = self.call("PUT", f"/generations/{task_id}", json={"upgrades": list(upgrades)})
            assert answer.status_code in (200, 201), answer.text
        return task_id

    def call(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {TOKEN}", **kwargs.pop("headers", {})}
        return requests.request(method, self.stack.web_url + path, headers=headers, timeout=20, **kwargs)

    def show(self, task_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"/generations/{task_id}")
        return dict(answer.json()) if answer.status_code == 200 else {"state": None, "renditions": []}

    def await_state(self, task_id: str, state: str = "complete", limit: float = 90.0) -> dict[str, Any]:
        """Wait until a generation is in a state, and give it as shown then."""

        def reached() -> dict[str, Any] | None:
            shown = self.show(task_id)
            return shown if shown["state"] == state else None

        try:
            return wait_for(reached, limit)
        except AssertionError:
            raise AssertionError(f"not {state} within {limit:g} s: {self.show(task_id)}") from None

    def objects(self, task_id: str) -> set[str]:
        """The names of a generation's objects, without the manifest."""
        folder = self.stack.bucket_folder / "veo" / task_id
        return {path.name for path in folder.iterdir() if path.name != "manifest.json"} if folder.exists() else set()

    def assert_stored(self, task_id: str, *wanted: str) -> None:
        """The bucket has exactly these objects of a generation, byte for byte as the vendor made them."""
        assert self.objects(task_id) == set(wanted)
        files = self.vendor.books()["files"]
        for rendition in self.show(task_id)["renditions"]:
            if rendition["state"] != "stored":
                continue
            content = (self.stack.bucket_folder / rendition["key"]).read_bytes()
            key = (task_id, rendition["kind"], rendition["index"])
            [path, *_] = [path for path, row in files.items() if (row["taskId"], row["kind"], row["index"]) == key]
            assert content == self.vendor.true_bytes(path)
            assert hashlib.sha256(content).hexdigest() == rendition["sha256"]

    def fetches(self, task_id: str) -> int:
        """How many fetches of a generation's files the vendor has seen begin."""
        books = self.vendor.books()
        return sum(row["count"] for path, row in books["fetches"].items() if books["files"][path]["taskId"] == task_id)

    def broker(self) -> redis.Redis:
        return redis.Redis.from_url(self.stack.env["REELKEEP_BROKER_URL"])

    def log(self, name: str) -> str:
        return (self.stack.folder / "logs" / f"{name}.log").read_text(errors="replace")


@contextmanager
def running_fleet(
    folder: Path, *, counts: Mapping[str, int] | None = None, speed: int = 120, rate_limit: int = 0, **env: str
) -> Iterator[Fleet]:
    """Everything that the Procfile names, Redis, the S3 endpoint and the simulator.

    The broker is a database of its own, so that it can be emptied without touching the ledger.

    :param rate_limit: how many new things the vendor takes in 10 s; 0: any number
    """
    simulator_port, web_port, redis_port = free_port(), free_port(), free_port()
    vendor_url = f"http://127.0.0.1:{simulator_port}"
    settings = {
        **NOTHING_SET,
        "REELKEEP_BROKER_URL": f"redis://127.0.0.1:{redis_port}/1",
        "REELKEEP_KIE_API_KEY": VENDOR_KEY,
        "REELKEEP_KIE_BASE_URL": vendor_url,
        "REELKEEP_PUBLIC_URL": f"http://127.0.0.1:{web_port}",
        "REELKEEP_WEBHOOK_KEYS": WEBHOOK_KEY,
        "REELKEEP_API_TOKENS": TOKEN,
        "REELKEEP_DOWNLOAD_INSECURE": "1",
        "REELKEEP_DOWNLOAD_HOSTS": "127.0.0.1",
        "FLOWER_BASIC_AUTH": "user:password",
        **TIMES,
        **env,
    }
    everything = {"web": 1, "worker": 1, "mirror": 1, "beat": 1, "flower": 0}
    plan = Plan(
        folder,
        env=settings,
        counts=everything | dict(counts or {}),
        web_port=web_port,
        redis_port=redis_port,
        appendfsync="always",
    )
    with running_stack(plan) as stack:
        options = (
            "--port",
            str(simulator_port),
            "--api-key",
            VENDOR_KEY,
            "--webhook-key",
            WEBHOOK_KEY,
            "--speed",
            str(speed),
            "--rate-limit",
            str(rate_limit),
        )
        argv = (sys.executable, "-m", "app.simulator", *options)

        def answers() -> bool:
            try:
                return requests.get(f"{vendor_url}/_simulator/health", timeout=3).ok
            except requests.RequestException:
                return False

        stack.supervisor.start("simulator", Service("simulator", argv, stack.env, answers))
        wait_for(stack.is_ready)
        yield Fleet(stack, SimulatorClient(vendor_url, VENDOR_KEY))
