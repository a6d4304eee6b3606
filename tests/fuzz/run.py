"""The front door as it is deployed, with generations in every state behind it, and schemathesis before it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from app.adapters.redis_ledger import RedisLedger
from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.ledger import Draft
from app.domain.policy import Policy
from app.domain.states import State
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict
from app.embedded.redis_server import redis_server
from app.embedded.service import free_port, running
from tests.integration.web import TASK, TOKEN, web_service

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Found:
    """What came of it."""

    status: int
    #: what schemathesis said
    told: str
    #: lines of the server's log that tell of an error
    faults: list[str]

    @property
    def good(self) -> bool:
        """Nothing is wrong."""
        return self.status == 0 and not self.faults


def fuzz(folder: Path, examples: int, seed: int, *arguments: str) -> Found:
    """Start a server and let schemathesis loose on it, with all of its checks.

    :param examples: at most so many requests for each operation and kind of test
    :param arguments: further ones for `st run`
    """
    redis_port, port = free_port(), free_port()
    url, log = f"redis://127.0.0.1:{redis_port}/0", folder / "web.log"
    # A key, so that submissions are taken on; sweeps that are not missed for an hour, for there is no worker here.
    env = {"REELKEEP_KIE_API_KEY": "sim-key", "REELKEEP_SWEEP_EVERY": "3600"}
    with running(redis_server(folder / "redis", redis_port), folder / "redis.log"):
        fill(RedisLedger(url))
        with running(web_service(url, port, **env), log):
            told = subprocess.run(
                [
                    *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(ROOT / "schemathesis.toml")),
                    *("run", f"http://127.0.0.1:{port}/openapi.json"),
                    *("--checks", "all", "--seed", str(seed), "--max-examples", str(examples)),
                    *("--header", f"Authorization: Bearer {TOKEN}", "--continue-on-failure", "--no-color", *arguments),
                ],
                env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT)},
                cwd=folder,  # it keeps what it has found, and would send that first the next time
                capture_output=True,
                text=True,
            )
    faults = [line for line in log.read_text().splitlines() if "Traceback" in line or " error " in line]
    return Found(told.returncode, told.stdout + told.stderr, faults)


def fill(ledger: RedisLedger) -> None:
    """Put a generation of each kind into the ledger. The document's examples name the one that is complete."""
    policy = Policy()
    ledger.note_health({"sweep_at": "", "bucket_at": "", "bucket_error": "", "credits": "80", "credits_at": ""})

    def keep(task_id: str, state: State) -> None:
        def transition(draft: Draft) -> None:
            draft.generation = bring_about(task_id, state, draft.now, policy)

        ledger.change(task_id, transition)

    keep(TASK, State.COMPLETE)
    for state in (State.WAITING, State.MIRRORING, State.FAILED, State.LOST):
        keep(f"it-is-{state}", state)


def bring_about(task_id: str, state: State, now: float, policy: Policy) -> Generation:
    """A generation in a state."""
    generation = Generation.track(task_id, now, policy)
    if state is State.FAILED:
        generation.hear(Verdict(Progress.FAILED, 501, "it failed"), "poll", now)
    elif state is not State.WAITING:
        urls = Urls(result=("https://tempfile.aiquickdraw.com/v/a.mp4",))
        generation.hear(Verdict(Progress.SUCCEEDED, 200, "ok", urls, credits=60.0), "poll", now)
    for rendition in generation.renditions:
        if state is State.COMPLETE:
            media = Media("video/mp4", "mp4", 1280, 720, 8.0)
            generation.claim_mirror(rendition, now, policy)
            generation.store(rendition, f"veo/{task_id}/result-0.mp4", 3009049, "ab" * 32, media, now)
            generation.complete_at = now
        elif state is State.LOST:
            generation.fail(rendition, "the link is dead", now)
    assert generation.state is state, generation.state
    return generation
