"""What `reelkeep doctor` looks at outside. Each check says what it found; the doctor bounds their time."""

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from importlib.metadata import version
from urllib.parse import urlsplit

import redis
import requests
from kombu import Connection

from app.adapters.bucket_probe import probe_bucket
from app.adapters.celery_outlet import FAIL_FAST
from app.adapters.clocks import read_vendor_lead
from app.adapters.redis_ledger import REDIS_SCHEMES, RedisLedger, same_server
from app.assembly import assemble, open_ledger, open_notifier
from app.cli.doctor_settings import judge_settings
from app.domain.audit import show_credits
from app.domain.checkup import Level, Remark, tell_duration, tell_size
from app.domain.errors import (
    LedgerUnavailable,
    NotDelivered,
    ReceiverGone,
    ReelkeepError,
    VendorBusy,
    VendorUnreachable,
)
from app.domain.events import write_test
from app.domain.redis_state import judge
from app.pipeline.mirror import parts_prefix
from app.settings import Settings
from app.version import own_version
from app.web.health import check_fleet

#: seconds for connecting to Redis and for each answer
TIMEOUT = 3.0
#: seconds between two clocks: above the first a warning; from the second on signatures of callbacks count as stale (veo-api §9)
SKEW, GREAT_SKEW = 10.0, 300.0
#: bytes free for downloads under which hardly anything can be mirrored
LEAST_SPACE = 256 * 1024**2


def check_settings(settings: Settings) -> list[Remark]:
    """Missing and contradictory settings."""
    return judge_settings(settings, os.environ)


def check_redis(settings: Settings) -> list[Remark]:
    """The ledger's server: whether it answers, what it keeps, how full it is."""
    where = _tell_address(settings.redis_url)
    ledger = open_ledger(settings, TIMEOUT)
    try:
        ledger.now()
        state = ledger.server_state()
        remarks = judge(state and replace(state, sync=ledger.sync_policy()))
    except LedgerUnavailable as error:
        mend = "start it (its log says why it ended), or mend REELKEEP_REDIS_URL"
        return [Remark("redis", Level.PROBLEM, f"{where}: {error}", mend)]
    first, *rest = remarks
    text = f"{first.text} at {where}" if first.level is Level.OK else f"{where}: {first.text}"
    return [Remark(first.about, first.level, text, first.mend), *rest, *_look_for_strangers(settings)]


def _look_for_strangers(settings: Settings) -> list[Remark]:
    """Whether others keep keys in the ledger's server: its memory and its disk are shared with them."""
    own = {_database(url) for url in (settings.redis_url, settings.broker) if same_server(settings.redis_url, url)}
    options = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
    try:
        with redis.Redis.from_url(settings.redis_url, **options) as client:
            told: dict[str, dict[str, int]] = client.info("keyspace")
    except redis.RedisError:  # INFO is refused, which has been said
        return []
    others = sorted(name for name in told if name.removeprefix("db").isdecimal() and int(name[2:]) not in own)
    if not others:
        return []
    text = f"others keep keys in this Redis too, in {', '.join(others)}"
    return [Remark("redis", Level.WARNING, text, "give Reelkeep a Redis that nothing else uses")]


def check_front_door(settings: Settings) -> list[Remark]:
    """Whether the address that the vendor is given leads to the web process, as far as can be seen from here."""
    where = urlsplit(settings.public_url).hostname
    mend = "see that web runs and that the proxy leads to it; if only this machine cannot reach it, all is well"
    try:
        answer = requests.get(f"{settings.public_url}/healthz", timeout=TIMEOUT, allow_redirects=False)
        ours = answer.status_code == HTTPStatus.OK and answer.json().get("status") == "alive"
    except (requests.RequestException, ValueError, AttributeError) as error:
        text = f"nothing that is ours answers at REELKEEP_PUBLIC_URL ({where}): {type(error).__name__}"
        return [Remark("front door", Level.WARNING, text, mend)]
    if not ours:
        text = f"somebody else answers at REELKEEP_PUBLIC_URL ({where}): status {answer.status_code}"
        return [Remark("front door", Level.WARNING, text, mend)]
    return [Remark("front door", Level.OK, f"the web process answers at REELKEEP_PUBLIC_URL ({where})")]


def check_events(settings: Settings, *, send: bool) -> list[Remark]:
    """Where events go. :param send: have one sent, to see whether it is taken"""
    notifier = open_notifier(settings)
    if notifier is None:
        return [Remark("events", Level.PROBLEM, "nobody is told anything", "set REELKEEP_EVENTS_URL")]
    parts = urlsplit(settings.events_url)
    where = f"{parts.scheme}://{parts.netloc}"  # the rest may hold a token
    if not send:
        return [Remark("events", Level.OK, f"go to {where}; see whether they are taken with: reelkeep doctor --events")]
    try:
        notifier.deliver(write_test(time.time()))
    except (NotDelivered, ReceiverGone) as error:
        return [Remark("events", Level.PROBLEM, f"{where}: {error}", "look into the receiver's log (docs/events.md)")]
    return [Remark("events", Level.OK, f"{where} has taken a test event")]


def check_broker(settings: Settings) -> list[Remark]:
    """Whether messages can be sent, and what else is kept where they are."""
    where = _tell_address(settings.broker)
    if urlsplit(settings.broker).scheme not in REDIS_SCHEMES:
        return [_check_other_broker(settings.broker, where)]
    mend = "start it, or mend REELKEEP_BROKER_URL"
    try:
        here = RedisLedger(settings.broker, timeout=TIMEOUT).server_state()
        there = None if here is None else open_ledger(settings, TIMEOUT).server_state()
    except LedgerUnavailable as error:
        return [Remark("broker", Level.PROBLEM, f"{where}: {error}", mend)]
    if here is not None and here.replica:
        text = f"{where}: a replica answers, which takes no messages"
        return [Remark("broker", Level.PROBLEM, text, "point REELKEEP_BROKER_URL at the primary")]
    if same_server(settings.redis_url, settings.broker):
        return [_judge_database(settings, where)]
    if here and there and here.run_id and here.run_id == there.run_id:
        text = f"{where} is the ledger's own server under another name: messages take a way of their own to it"
        return [Remark("broker", Level.WARNING, text, "name it in REELKEEP_BROKER_URL as in REELKEEP_REDIS_URL")]
    return [Remark("broker", Level.OK, f"{where}, a server of its own: it may be emptied")]


def _judge_database(settings: Settings, where: str) -> Remark:
    if _database(settings.redis_url) == _database(settings.broker):
        text = (
            f"{where} is the ledger's database too: FLUSHDB would empty the ledger (`celery purge` empties queues only)"
        )
        return Remark("broker", Level.OK, text)
    text = f"{where} is another database of the ledger's server: FLUSHDB there is harmless, FLUSHALL is not"
    return Remark("broker", Level.OK, text)


def _check_other_broker(url: str, where: str) -> Remark:
    options = FAIL_FAST["broker_transport_options"]
    try:
        with Connection(url, connect_timeout=TIMEOUT, transport_options=options) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            connection.default_channel  # noqa: B018  # some transports connect only now
    except Exception as error:  # each transport raises errors of its own, and a missing package is one more
        text, mend = f"{where}: {type(error).__name__}", "start it, or mend REELKEEP_BROKER_URL"
        return Remark("broker", Level.PROBLEM, text, mend)
    return Remark("broker", Level.OK, f"{where}, apart from the ledger: it may be emptied")


def check_bucket(settings: Settings) -> list[Remark]:
    """Whether the bucket gives us the rights that we need."""
    if not settings.s3_bucket:
        mend = "set REELKEEP_S3_BUCKET, and boto3's AWS_ variables"
        return [Remark("bucket", Level.PROBLEM, "no bucket is set: workers do not start", mend)]
    return probe_bucket(settings.s3_bucket, parts_prefix(settings.s3_prefix))


def check_vendor(settings: Settings) -> list[Remark]:
    """Whether the vendor takes the key, and what is left in the account."""
    vendor = assemble(settings).vendor
    if vendor is None:
        text = "no vendor key: nothing is submitted, asked or bought, and signed callbacks are believed"
        return [Remark("vendor", Level.WARNING, text, "set REELKEEP_KIE_API_KEY")]
    try:
        credits = vendor.read_credit()
    except VendorBusy as error:
        return [Remark("vendor", Level.WARNING, str(error), f"try again in {error.pause:.0f} s")]
    except VendorUnreachable as error:
        refused = "code 401" in str(error)
        mend = "check REELKEEP_KIE_API_KEY" if refused else "check REELKEEP_KIE_BASE_URL, and this machine's way out"
        return [Remark("vendor", Level.PROBLEM, str(error), mend)]
    text, least = f"the key is taken; {show_credits(credits)} credits in the account", settings.credits_warn_below
    if least is not None and credits < least:
        text += f", less than REELKEEP_CREDITS_WARN_BELOW ({show_credits(least)})"
        return [Remark("vendor", Level.WARNING, text, "top up")]
    if credits <= 0:
        return [Remark("vendor", Level.WARNING, f"{text}: nothing can be bought", "top up")]
    return [Remark("vendor", Level.OK, text)]


def check_clocks(settings: Settings) -> list[Remark]:
    """How far this machine's clock is from Redis's and from the vendor's."""
    return [
        _compare_clock("Redis's", lambda: _read_redis_lead(settings)),
        _compare_clock("the vendor's", lambda: read_vendor_lead(settings.kie_base_url)),
    ]


def check_fleet_signs(settings: Settings) -> list[Remark]:
    """Whether workers and beat have been at work lately."""
    try:
        health = open_ledger(settings, TIMEOUT).health()
    except LedgerUnavailable:
        return [
            Remark("fleet", Level.PROBLEM, "nothing can be seen of workers and beat without Redis", "mend Redis first")
        ]
    found = check_fleet(health, settings.sweep_every, settings.download_deadline)
    if health.sweep_at is None or found["sweep"]:  # then the rest is old, or nobody has looked
        return [Remark("fleet", Level.PROBLEM, found["sweep"], "start worker and beat, or look at their logs")]
    remarks = []
    if found["work"]:
        mend = "`reelkeep list` and the workers' logs say more; is there a worker for each queue?"
        remarks.append(Remark("fleet", Level.PROBLEM, found["work"], mend))
    if found["bucket"]:
        mend = "if this command has no trouble with it, the workers have other settings"
        remarks.append(Remark("fleet", Level.PROBLEM, f"the workers report of the bucket: {found['bucket']}", mend))
    if health.warn_of_receiver:
        mend = "see whether it is up; `reelkeep doctor --events` says what it answers"
        remarks.append(Remark("fleet", Level.WARNING, health.warn_of_receiver, mend))
    age = tell_duration(max(0.0, health.now - health.sweep_at))
    return remarks or [Remark("fleet", Level.OK, f"the last sweep was {age} ago, and nothing is stuck")]


def check_space(settings: Settings | None) -> list[Remark]:
    """Whether there is room for downloads on this machine."""
    mend = "make room, or set TMPDIR to a folder with more"
    try:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return [Remark("space", Level.PROBLEM, f"no folder for downloads: {error.strerror or error}", "set TMPDIR")]
    text = f"{tell_size(free)} free for downloads in {folder}"
    if free < LEAST_SPACE:
        return [Remark("space", Level.PROBLEM, text, mend)]
    if settings is not None and free < settings.download_max_bytes:
        text += f", less than one file may have (REELKEEP_DOWNLOAD_MAX_BYTES, {tell_size(settings.download_max_bytes)})"
        return [Remark("space", Level.WARNING, text, mend)]
    return [Remark("space", Level.OK, text)]


def check_python() -> list[Remark]:
    """The versions of what runs."""
    others = ", ".join(f"{name} {version(name)}" for name in ("celery", "kombu", "redis", "boto3"))
    packages = f"reelkeep {own_version()}, {others}"
    return [Remark("python", Level.OK, f"Python {platform.python_version()} on {sys.platform}; {packages}")]


def _compare_clock(whose: str, read_lead: Callable[[], float]) -> Remark:
    try:
        lead = read_lead()
    except ReelkeepError as error:
        mend = "it can be when what is said above is mended"
        return Remark("clock", Level.WARNING, f"{whose} clock cannot be read: {error}", mend)
    apart = abs(lead)
    text = f"{whose} clock and this machine's are {apart:.1f} s apart"
    if apart <= SKEW:
        return Remark("clock", Level.OK, text)
    text = f"{whose} clock is {tell_duration(apart)} {'ahead of' if lead > 0 else 'behind'} this machine's"
    return Remark("clock", Level.PROBLEM if apart >= GREAT_SKEW else Level.WARNING, text, "have both keep time by NTP")


def _read_redis_lead(settings: Settings) -> float:
    ledger = open_ledger(settings, TIMEOUT)
    ledger.now()  # connecting takes time of its own
    began = time.time()
    theirs = ledger.now()
    return theirs - (began + time.time()) / 2


def _database(url: str) -> int:
    options = redis.connection.parse_url(url)  # type: ignore[no-untyped-call]  # of redis-py
    return int(options.get("db", 0))


def _tell_address(url: str) -> str:
    """A server's address without what may be secret in it."""
    parts = urlsplit(url.partition(";")[0])
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    database = f"/{_database(url)}" if parts.scheme in REDIS_SCHEMES else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{database}"
