"""Where a run takes place: the real stack, two of each process, between a bad vendor and a bad way to the bucket."""

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import redis
import requests

from app.cli.stack import BUCKET, NOTHING_SET, Plan, Stack, running_stack
from app.embedded import Service, free_port, running, s3_environment, s3_server
from app.simulator.client import SimulatorClient
from tests.chaos.scale import Scale
from tests.support.fleet import TOKEN, VENDOR_KEY, WEBHOOK_KEY
from tests.support.waiting import wait_for

#: of the vendor's API: `veo`, where asking for an upgrade again is a question, and `jobs`, where it is an order (veo-api §13)
Form = Literal["veo", "jobs"]
COUNTS = {"web": 2, "worker": 2, "mirror": 2, "beat": 2, "flower": 0}
#: seconds; asked again no sooner than this, which also bounds how fast an upgrade is noticed
POLL_INTERVAL, POLL_INTERVAL_MAX = 1.0, 3.0
S3_KEYS = {"access_key": "chaos-access", "secret_key": "chaos-secret"}
SABOTAGE = Path(__file__).parent / "sabotage"


@dataclass
class Fallen:
    """Which processes were brought down by us, and which ended by themselves."""

    #: pids that were sent a signal
    felled: set[int] = field(default_factory=set)
    #: name and exit status of the others
    alone: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Ground:
    """Everything that runs, and how to reach it."""

    stack: Stack
    scale: Scale
    vendor: SimulatorClient
    #: the load balancer's address: what the vendor and the application know of Reelkeep
    url: str
    #: of the proxy before the S3 endpoint, and the port of the endpoint itself
    s3_url: str
    s3_port: int
    temp: Path
    fallen: Fallen
    form: Form

    @property
    def callback_url(self) -> str:
        """Of generations that the application submits."""
        return f"{self.url}/callbacks/veo"

    def call(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """One request of the application's."""
        headers = {"Authorization": f"Bearer {TOKEN}", **kwargs.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=20, **kwargs)

    def stop(self) -> None:
        """Have all processes stop at once; one after the other takes longer."""
        for name in self.stack.supervisor:
            if name.partition("-")[0] in COUNTS:
                self.stack.supervisor.kill(name, signal.SIGTERM, hold=True)

    def broker(self) -> redis.Redis:
        """The broker's database."""
        return redis.Redis.from_url(self.stack.env["REELKEEP_BROKER_URL"], socket_timeout=5)

    def set_s3_faults(self, **shares: float | bool) -> None:
        """What happens on the way to the bucket from now on."""
        requests.post(f"{self.s3_url}/_faults", json=shares, timeout=10).raise_for_status()

    def set_weather(self, **climate: float) -> None:
        """What goes wrong at the vendor's from now on."""
        self.vendor.call("POST", "/_simulator/weather", json=climate).raise_for_status()

    def served_by_s3(self) -> dict[str, int]:
        """Faults on the way to the bucket so far."""
        return dict(requests.get(f"{self.s3_url}/_faults", timeout=10).json()["served"])

    def served_by_vendor(self) -> dict[str, int]:
        """Faults of the vendor's so far, those of its files not counted."""
        return dict(self.vendor.call("GET", "/_simulator/weather").json()["served"])


@contextmanager
def running_ground(
    folder: Path, scale: Scale, seed: int, scenarios: Mapping[str, Mapping[str, Any]], form: Form, without: str
) -> Iterator[Ground]:
    """Start it all, and stop it when the block ends. The way to the bucket and the vendor are good until they are told otherwise.

    :param scenarios: of the simulator, by name
    :param without: the safeguard to leave out: see `tests/chaos/sabotage`; empty: none
    """
    simulator_port, s3_port, way_port, balancer_port, redis_port = (free_port() for _ in range(5))
    temp = folder / "tmp"
    temp.mkdir(parents=True)
    scenario_file = folder / "scenarios.json"
    scenario_file.write_text(json.dumps(scenarios))
    fallen = Fallen()
    stacks: list[Stack] = []

    def on_end(name: str, status: int, log: Path) -> None:
        pid = stacks[0].supervisor[name].pid if stacks else 0
        if pid not in fallen.felled:
            fallen.alone.append(f"{name} ended with status {status}")

    s3 = s3_server(folder / "s3", s3_port, buckets=[BUCKET], **S3_KEYS)
    way = _program("tests.support.s3_faults", way_port, "--upstream", str(s3_port), "--seed", str(seed))
    vendor = _simulator(simulator_port, scale, seed, scenario_file)
    env = {
        **_settings(scale),
        **s3_environment(way_port, **S3_KEYS),
        # A database of its own, so that it can be emptied without touching the ledger.
        "REELKEEP_BROKER_URL": f"redis://127.0.0.1:{redis_port}/1",
        "REELKEEP_KIE_API": form,
        "REELKEEP_KIE_BASE_URL": f"http://127.0.0.1:{simulator_port}",
        "REELKEEP_PUBLIC_URL": f"http://127.0.0.1:{balancer_port}",
        "TMPDIR": str(temp),
        **_sabotage(without),
    }
    plan = Plan(folder, env=env, embedded_s3=False, counts=COUNTS, redis_port=redis_port, appendfsync="always")
    with (
        running(s3, folder / "logs" / "s3.log"),
        running(way, folder / "logs" / "s3_faults.log"),
        running(vendor, folder / "logs" / "simulator.log"),
        running_stack(plan, on_end) as stack,
    ):
        stacks.append(stack)
        targets = [stack.supervisor[name].service.env["PORT"] for name in ("web", "web-2")]
        with running(_program("tests.support.balancer", balancer_port, *targets), folder / "logs" / "balancer.log"):
            wait_for(stack.is_ready, 90)
            client = SimulatorClient(f"http://127.0.0.1:{simulator_port}", VENDOR_KEY, timeout=60)
            way_url, url = f"http://127.0.0.1:{way_port}", f"http://127.0.0.1:{balancer_port}"
            yield Ground(stack, scale, client, url, way_url, s3_port, temp, fallen, form)


def _sabotage(without: str) -> dict[str, str]:
    path = os.pathsep.join([str(SABOTAGE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"CHAOS_WITHOUT": without, "PYTHONPATH": path} if without else {}


def _settings(scale: Scale) -> dict[str, str]:
    return {
        **NOTHING_SET,
        "REELKEEP_S3_BUCKET": BUCKET,
        "REELKEEP_KIE_API_KEY": VENDOR_KEY,
        "REELKEEP_WEBHOOK_KEYS": WEBHOOK_KEY,
        "REELKEEP_API_TOKENS": TOKEN,
        "REELKEEP_DOWNLOAD_INSECURE": "1",
        "REELKEEP_DOWNLOAD_HOSTS": "127.0.0.1",
        "REELKEEP_FIRST_POLL_AFTER": f"{scale.first_poll_after:g}",
        "REELKEEP_POLL_INTERVAL": f"{POLL_INTERVAL:g}",
        "REELKEEP_POLL_INTERVAL_MAX": f"{POLL_INTERVAL_MAX:g}",
        "REELKEEP_UPGRADE_POLL_AFTER": f"{scale.upgrade_poll_after:g}",
        "REELKEEP_SWEEP_EVERY": f"{scale.sweep:g}",
        "REELKEEP_LEASE": f"{scale.lease:g}",
        "REELKEEP_RETRY_BASE": "0.5",
        "REELKEEP_RETRY_MAX": f"{scale.retry_max:g}",
        "REELKEEP_PROVIDER_RATE": "1000/10s",
        "REELKEEP_POLL_RATE": "5000/10s",
        "WEB_CONCURRENCY": "1",
    }


def _simulator(port: int, scale: Scale, seed: int, scenario_file: Path) -> Service:
    options = {
        "api-key": VENDOR_KEY,
        "webhook-key": WEBHOOK_KEY,
        "speed": scale.speed,
        "seed": seed,
        "scenarios": scenario_file,
        "rate-limit": 0,
        "retry-after": 1,
        "credits": 1e9,
    }
    return _program("app.simulator", port, *(f"--{name}={value}" for name, value in options.items()))


def _program(module: str, port: int, *options: str) -> Service:
    """A program that listens on a port, of the same checkout as this one."""
    argv = (sys.executable, "-m", module, "--port", str(port), *options)
    return Service(module, argv, os.environ, lambda: _listens(port))


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
