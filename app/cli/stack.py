"""The whole of Reelkeep on one machine: what `reelkeep up`, the demo and the end-to-end tests run.

The processes are those of the Procfile. Redis and the S3 endpoint are embedded unless others are given.
"""

import fcntl
import json
import os
import secrets
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import requests

from app.cli.supervisor import OnEnd, Supervisor, supervising
from app.embedded.redis_server import redis_server
from app.embedded.s3_server import s3_environment, s3_server
from app.embedded.service import EmbeddedFailed, Service, free_port
from app.settings import PREFIX, Settings

PROCFILE = Path(__file__).resolve().parents[2] / "Procfile"
BUCKET = "reelkeep"
#: Takes away whatever the user's own environment or .env file sets: a stack for show must not touch a real broker or bucket.
NOTHING_SET = {
    f"{PREFIX}{name.upper()}": ""
    for name in Settings.model_fields
    if name not in ("redis_url", "s3_bucket", "log_format")
}


@dataclass(frozen=True)
class Plan:
    """What to run."""

    #: where data, logs and made-up secrets are kept
    folder: Path
    #: settings for the processes, over those of the environment
    env: Mapping[str, str] = field(default_factory=dict)
    embedded_redis: bool = True
    embedded_s3: bool = True
    #: how many of each process of the Procfile
    counts: Mapping[str, int] = field(
        default_factory=lambda: {"web": 1, "worker": 1, "mirror": 1, "beat": 1, "flower": 1}
    )
    #: ports; 0: a free one
    web_port: int = 0
    flower_port: int = 0
    redis_port: int = 0
    #: `everysec` would be quicker where a sync is slow, and may cost an answered second (docs/durability.md)
    appendfsync: Literal["always", "everysec"] = "always"


@dataclass(frozen=True)
class Stack:
    """What runs, and where to find it."""

    supervisor: Supervisor
    folder: Path
    env: Mapping[str, str]
    web_url: str
    flower_url: str
    redis_url: str
    api_token: str

    @property
    def bucket_folder(self) -> Path:
        """Where the embedded S3 endpoint keeps the objects as plain files."""
        return self.folder / "s3" / BUCKET

    def write_settings(self) -> Path:
        """Leave the settings in a file, for a shell in which other commands are run. All of them: budgets hold there too."""
        settings = {name: value for name, value in self.env.items() if name.startswith((PREFIX, "AWS_"))}
        path = self.folder / "env"
        path.unlink(missing_ok=True)  # to be readable by nobody else, whatever it was
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(f"{name}={shlex.quote(value)}\n" for name, value in sorted(settings.items()))
        return path

    def is_ready(self) -> bool:
        """Whether `/readyz` says so: then web, worker, beat, Redis and bucket are all there."""
        try:
            return requests.get(f"{self.web_url}/readyz", timeout=3).status_code == 200
        except requests.RequestException:
            return False


@contextmanager
def running_stack(plan: Plan, on_end: OnEnd | None = None) -> Iterator[Stack]:
    """Run it all for the length of a block.

    :param on_end: told of processes that ended by themselves; they are started again
    :raises EmbeddedFailed: something did not start
    """
    _refuse_taken("port", plan.web_port)
    if plan.counts.get("flower"):
        _refuse_taken("flower-port", plan.flower_port)
    if plan.embedded_redis:
        _refuse_taken("redis-port", plan.redis_port)
    secret = _read_secrets(plan.folder)
    web_port, flower_port = plan.web_port or free_port(), plan.flower_port or free_port()
    env = {**os.environ, "PORT": str(web_port), "FLOWER_PORT": str(flower_port), "PYTHONUNBUFFERED": "1"}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}"
    env.setdefault("REELKEEP_API_TOKENS", secret["api_token"])
    env.setdefault("REELKEEP_LOG_FORMAT", "text")  # people read these files
    with supervising(plan.folder / "logs", on_end) as supervisor:
        if plan.embedded_redis:
            env["REELKEEP_REDIS_URL"] = _start_redis(supervisor, plan)
        if plan.embedded_s3:
            env |= _start_s3(supervisor, plan.folder, secret)
        env |= plan.env
        if plan.counts.get("flower") and not env.get("REELKEEP_FLOWER_URL"):
            env["REELKEEP_FLOWER_URL"] = f"http://127.0.0.1:{flower_port}"
        web_url = f"http://127.0.0.1:{web_port}"
        for name, service in _services(plan, env):
            supervisor.start(name, service)
        yield Stack(
            supervisor=supervisor,
            folder=plan.folder,
            env=env,
            web_url=web_url,
            flower_url=f"http://127.0.0.1:{flower_port}",
            redis_url=env.get("REELKEEP_REDIS_URL", ""),
            api_token=env["REELKEEP_API_TOKENS"].split(",")[0],
        )


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep a data folder to oneself: two Redis servers would write into the same files.

    :raises EmbeddedFailed: another runs on it
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)  # the claim ends with the process, however that ends
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedFailed(
                f"another `reelkeep up` or demo runs in {folder}: stop it, or name another folder with --data"
            ) from None
        yield
    finally:
        os.close(handle)


def _refuse_taken(option: str, port: int) -> None:
    """Whoever answers there must not pass for ours. :raises EmbeddedFailed:"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was left just now is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            mend = f"stop what listens there, or name another with --{option} (0: a free one)"
            raise EmbeddedFailed(f"port {port} cannot be had: {error.strerror}; {mend}") from None


def read_procfile() -> dict[str, str]:
    """The processes and their command lines."""
    if not PROCFILE.exists():
        raise EmbeddedFailed(
            f"there is no {PROCFILE}: run this from a checkout, installed with pip install --editable ."
        )
    lines = [line.partition(":") for line in PROCFILE.read_text().splitlines() if ":" in line]
    return {name.strip(): command.strip() for name, _, command in lines}


def _services(plan: Plan, env: Mapping[str, str]) -> Iterator[tuple[str, Service]]:
    """The Procfile's processes. Several of one kind are numbered; only web must answer before the next is started."""
    for kind, command in read_procfile().items():
        for number in range(1, plan.counts.get(kind, 0) + 1):
            name = kind if number == 1 else f"{kind}-{number}"
            own = dict(env)
            port_name = {"web": "PORT", "flower": "FLOWER_PORT"}.get(kind)
            if number > 1 and port_name:
                own[port_name] = str(free_port())
            if kind == "web":  # by itself gunicorn listens on all addresses when PORT is set
                own["GUNICORN_CMD_ARGS"] = f"--bind 127.0.0.1:{own['PORT']}"
            must_answer = f"http://127.0.0.1:{own['PORT']}" if kind == "web" else None
            yield name, Service(name, ("/bin/sh", "-c", f"exec {command}"), own, partial(_is_alive, must_answer))


def _is_alive(url: str | None) -> bool:
    if url is None:
        return True
    try:
        return requests.get(f"{url}/healthz", timeout=3).status_code == 200
    except requests.RequestException:
        return False


def _start_redis(supervisor: Supervisor, plan: Plan) -> str:
    port = plan.redis_port or free_port()
    supervisor.start("redis", redis_server(plan.folder / "redis", port, appendfsync=plan.appendfsync), needed=True)
    return f"redis://127.0.0.1:{port}/0"


def _start_s3(supervisor: Supervisor, folder: Path, secret: Mapping[str, str]) -> dict[str, str]:
    port = free_port()
    keys = {"access_key": secret["s3_access_key"], "secret_key": secret["s3_secret_key"]}
    supervisor.start("s3", s3_server(folder / "s3", port, buckets=[BUCKET], **keys), needed=True)
    return {**s3_environment(port, **keys), "REELKEEP_S3_BUCKET": BUCKET}


def _read_secrets(folder: Path) -> dict[str, str]:
    """Secrets made up on the first run and kept, so that a restart finds the same ones."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "secrets.json"
    if path.exists():
        kept: dict[str, str] = json.loads(path.read_text())
        return kept
    names = ("api_token", "s3_access_key", "s3_secret_key")
    made = {name: secrets.token_hex(16) for name in names}
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(made, file)
    return made
