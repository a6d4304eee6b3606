"""What the settings say that cannot be meant, or that one should know."""

import difflib
import ipaddress
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from app.domain.checkup import Level, Remark
from app.domain.policy import PRICES
from app.settings import PREFIX, VENDOR_HOSTS, Settings

ABOUT = "settings"
#: what one account may send (veo-api §1)
VENDOR_RATE = 20 / 10.0
#: seconds: a claim is renewed after a third of the lease, and a call to Redis may take ten seconds before it is given up
SHORTEST_LEASE = 15.0
#: seconds between sweeps above which lost work waits longer than promised
LONGEST_SWEEP = 60.0
#: seconds that the vendor keeps files for (veo-api §1)
RETENTION = 14 * 86400.0
#: seconds that a callback may take to come, its first repetitions included
SHORTEST_AGE = 60.0
#: letters of a token that nobody guesses: nothing slows down whoever guesses right (`app.web.access`)
SHORTEST_TOKEN = 16
#: whole numbers that the processes of the Procfile take
NUMBERS = ("PORT", "WEB_CONCURRENCY", "WORKER_CONCURRENCY", "MIRROR_CONCURRENCY", "FLOWER_PORT")
#: ours, and no setting: docker-compose.yml names a worker by it
OTHER_NAMES = {f"{PREFIX}NODE"}
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


def judge_settings(settings: Settings, variables: Mapping[str, str] = NO_VARIABLES) -> list[Remark]:
    """One remark for each thing that is wrong, or one that nothing is.

    :param variables: the environment, for what is no setting
    """
    found = [
        *_judge_doors(settings),
        *_judge_vendor(settings),
        *_judge_times(settings),
        *_judge_downloads(settings),
        *_judge_budgets(settings),
        *_judge_variables(variables),
        *_judge_events(settings),
    ]
    return found or [Remark(ABOUT, Level.OK, "complete, and they do not contradict each other")]


def _judge_doors(settings: Settings) -> Iterator[Remark]:
    """Who may come in, and whether the vendor can."""
    if settings.allow_unsigned and settings.webhook_keys:
        yield _warn("REELKEEP_ALLOW_UNSIGNED=1 has no effect beside REELKEEP_WEBHOOK_KEYS", "remove it")
    elif settings.allow_unsigned and not settings.can_submit:
        text = "callbacks are neither signed (REELKEEP_ALLOW_UNSIGNED=1) nor confirmed with the vendor (no REELKEEP_KIE_API_KEY)"
        yield _fail(f"{text}: anybody can say what is fetched", "set REELKEEP_WEBHOOK_KEYS and REELKEEP_KIE_API_KEY")
    elif settings.allow_unsigned:
        yield _warn("anybody can send callbacks (REELKEEP_ALLOW_UNSIGNED=1)", "set REELKEEP_WEBHOOK_KEYS instead")
    elif not settings.webhook_keys:
        mend = "set REELKEEP_WEBHOOK_KEYS to the webhookHmacKey of the vendor's account settings"
        yield _fail("no webhook keys: the web process does not start", mend)
    if not settings.api_tokens:
        yield _warn("no API tokens: your own routes answer 401", "set REELKEEP_API_TOKENS")
    if any(len(token.get_secret_value()) < SHORTEST_TOKEN for token in settings.api_tokens):
        mend = f"make it {SHORTEST_TOKEN} letters or more, such as those of `openssl rand -hex 32`"
        yield _warn("a token in REELKEEP_API_TOKENS is so short that it can be guessed", mend)
    if settings.webhook_max_age < SHORTEST_AGE:
        text = f"REELKEEP_WEBHOOK_MAX_AGE ({settings.webhook_max_age:g} s) makes signatures old while they are on their way"
        yield _warn(f"{text}: callbacks are not taken at their word", f"make it {SHORTEST_AGE:g} or more")
    yield from _judge_public_url(settings)


def _judge_public_url(settings: Settings) -> Iterator[Remark]:
    mend = "set REELKEEP_PUBLIC_URL to the https:// address that the vendor reaches the web process by"
    url = settings.public_url
    if not url:
        text = "no REELKEEP_PUBLIC_URL: what Reelkeep submits and orders has no callback, and is found by asking only"
        yield _warn(text, mend)
    elif _is_local(settings.kie_base_url):
        return  # a simulator on this machine reaches any address of it
    elif _is_local(url):
        text = f"the vendor cannot reach REELKEEP_PUBLIC_URL ({urlsplit(url).hostname}): callbacks never come"
        yield _fail(text, mend)
    elif not url.startswith("https://"):
        yield _warn("REELKEEP_PUBLIC_URL is http://: callbacks and their tokens can be read on the way", mend)


def _judge_vendor(settings: Settings) -> Iterator[Remark]:
    if _is_local(settings.kie_base_url):
        yield _warn("the vendor is on this machine (REELKEEP_KIE_BASE_URL): a simulator?", "remove it for the real one")
        return
    if not settings.kie_base_url.startswith("https://"):
        yield _fail("the vendor's key is sent in the clear", "make REELKEEP_KIE_BASE_URL an https:// URL")
    slots, window = settings.policy.provider_rate
    if slots / window > VENDOR_RATE:
        text = (
            f"REELKEEP_PROVIDER_RATE ({settings.provider_rate}) is above what the vendor takes from an account (20/10s)"
        )
        yield _warn(f"{text}: it refuses the rest", "lower it, unless the vendor has raised yours")


def _judge_times(settings: Settings) -> Iterator[Remark]:
    if settings.lease < SHORTEST_LEASE:
        text = f"REELKEEP_LEASE ({settings.lease:g} s) is shorter than a slow answer of Redis may take"
        yield _warn(f"{text}: work may be done twice", f"make it {SHORTEST_LEASE:g} or more")
    if settings.sweep_every > LONGEST_SWEEP:
        text = f"the work of a killed worker or an emptied queue waits up to REELKEEP_SWEEP_EVERY ({settings.sweep_every:g} s)"
        yield _warn(text, f"make it {LONGEST_SWEEP:g} or less")
    for name in ("first_poll_after", "upgrade_poll_after"):
        if getattr(settings, name) >= settings.give_up_after:
            text = f"what has not come by REELKEEP_{name.upper()} is given up the first time it is asked about"
            yield _fail(text, "make REELKEEP_GIVE_UP_AFTER far larger")
    if settings.link_lifetime > RETENTION:
        text = f"REELKEEP_LINK_LIFETIME is {settings.link_lifetime / 86400:.0f} days, and the vendor keeps files for 14"
        yield _warn(text, "lower it: what fails for good is seen later than it could be")


def _judge_downloads(settings: Settings) -> Iterator[Remark]:
    if settings.download_insecure and not _is_local(settings.kie_base_url):
        yield _warn("REELKEEP_DOWNLOAD_INSECURE=1 lets http and private addresses be fetched from", "remove it")
    wide = [host for host in settings.download_hosts if host.removeprefix("*.").count(".") == 0 and "*" in host]
    if wide:
        text = f"REELKEEP_DOWNLOAD_HOSTS lets anybody's servers be fetched from ({', '.join(wide)})"
        yield _warn(text, "name the vendor's hosts")
    if not _is_local(settings.kie_base_url) and not set(settings.download_hosts) & set(VENDOR_HOSTS):
        text = "REELKEEP_DOWNLOAD_HOSTS names none of the vendor's known hosts: videos elsewhere are not fetched"
        yield _warn(text, f"add {', '.join(VENDOR_HOSTS)}, unless the vendor has moved")
    if settings.retry_max >= settings.link_lifetime:
        text = f"REELKEEP_RETRY_MAX ({settings.retry_max:.10g} s) may last as long as a link lives (REELKEEP_LINK_LIFETIME)"
        yield _fail(f"{text}: what fails may never be tried again", "make it an hour or less")


def _judge_budgets(settings: Settings) -> Iterator[Remark]:
    prices = {**PRICES, **settings.prices}
    least = min(price for name, price in prices.items() if name.startswith("veo"))
    for name in ("credits_per_day", "credits_per_generation"):
        budget = getattr(settings, name)
        if budget is not None and budget < least:
            text = f"REELKEEP_{name.upper()} ({budget:g}) is less than the cheapest generation ({least:g})"
            yield _warn(f"{text}: nothing is submitted", "raise it, or leave it out for no limit")
    total, part = settings.credits_per_day, settings.upgrade_credits_per_day
    if total is not None and part is not None and part > total:
        text = f"REELKEEP_UPGRADE_CREDITS_PER_DAY ({part:g}) is above REELKEEP_CREDITS_PER_DAY ({total:g}), which counts for both"
        yield _warn(text, "lower the one or raise the other")
    for kind in settings.upgrades if part is not None else ():
        if part is not None and part < prices[kind]:
            text = f"REELKEEP_UPGRADE_CREDITS_PER_DAY ({part:g}) is less than one {kind} ({prices[kind]:g})"
            yield _warn(f"{text}, which REELKEEP_UPGRADES asks for", "raise it, or take it out of REELKEEP_UPGRADES")
    if settings.upgrades and not settings.can_submit:
        yield _warn("REELKEEP_UPGRADES has no effect without a vendor key", "set REELKEEP_KIE_API_KEY")


def _judge_variables(variables: Mapping[str, str]) -> Iterator[Remark]:
    """What other programs than ours take from the environment, and what nobody takes."""
    own = {name.upper() for name in Settings.model_fields}
    known = {f"{PREFIX}{name}" for name in own} | OTHER_NAMES
    for name in sorted(name for name in variables if name.startswith(PREFIX) and name not in known):
        like = difflib.get_close_matches(name.removeprefix(PREFIX), own, 1)  # the prefix is alike in all
        mend = f"did you mean {PREFIX}{like[0]}?" if like else "remove it"
        yield _warn(f"{name} is no setting: it has no effect", mend)
    for name in NUMBERS:
        value = variables.get(name, "")
        if value and not (value.isascii() and value.isdecimal() and int(value)):
            yield _fail(f"{name} is no whole number above 0: its process does not start", "mend or remove it")
    address = variables.get("FLOWER_ADDRESS", "")
    if address and not _is_loopback(address) and not variables.get("FLOWER_BASIC_AUTH"):
        text = f"Flower listens on {address} without a password: whoever reaches it can stop workers"
        yield _fail(text, "set FLOWER_BASIC_AUTH=user:password, or FLOWER_ADDRESS=127.0.0.1")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _judge_events(settings: Settings) -> Iterator[Remark]:
    if settings.events_secret and not settings.events_url:
        yield _warn("REELKEEP_EVENTS_SECRET has no effect without REELKEEP_EVENTS_URL", "set it, or remove the secret")
    if settings.events_url.startswith("http://") and not _is_local(settings.events_url):
        yield _warn("REELKEEP_EVENTS_URL is http://: events can be read on the way", "make it https://")


def _is_local(url: str) -> bool:
    """Whether a URL leads to this machine or to a private network, as far as its text tells."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal"))


def _warn(text: str, mend: str) -> Remark:
    return Remark(ABOUT, Level.WARNING, text, mend)


def _fail(text: str, mend: str) -> Remark:
    return Remark(ABOUT, Level.PROBLEM, text, mend)
