"""All configuration, and the only reader of the environment.

docs/settings.md is made from this file. A `.env` file in the working directory is read too; the environment wins.
boto3 reads its own variables (`AWS_ENDPOINT_URL_S3`, `AWS_ACCESS_KEY_ID`, …).
"""

import base64
import math
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from dotenv import load_dotenv
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.domain.policy import PRICES, Policy
from app.domain.work import UPGRADES, Kind
from app.logs import LogFormat

PREFIX = "REELKEEP_"
#: exit status for a wrong or missing setting: 78
EXIT_CONFIG = os.EX_CONFIG
#: A shorter text would be part of many words; it is no real secret either.
SHORTEST_SECRET = 6
AWS_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
#: where the vendor's files live (veo-api §11)
VENDOR_HOSTS = ("*.aiquickdraw.com", "*.redpandaai.co", "*.kie.ai", "*.r2.cloudflarestorage.com")

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?", re.IGNORECASE)
_RATE = re.compile(r"(\d+)/(\d+(?:\.\d+)?)s?")


class ConfigurationError(Exception):
    """Settings are wrong or missing. The message is one line that names each and says what to do."""

    def __init__(self, *faults: str) -> None:
        """:param faults: a setting's name and what is wrong with it, each"""
        super().__init__("; ".join(faults))
        self.faults = faults


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _is_whole(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def _read_size(value: Any) -> Any:
    """Bytes, from `4294967296`, `4 GiB` or `4G`."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        if isinstance(value, str) and not _is_whole(value):
            raise ValueError("must be a number of bytes, such as 4294967296, 4 GiB or 4G")
        return value
    size = float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")
    return int(size) if math.isfinite(size) else size


#: comma-separated in the environment
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Credits = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Size = Annotated[int, BeforeValidator(_read_size), Field(gt=0)]


class Settings(BaseSettings):
    """Everything that can be set; each field is `REELKEEP_` and its name in capitals. Seconds may be fractions."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    # The comments are the text of docs/settings.md, which is made from them: `python -m tests.tools.settings_reference --write`.

    # --- Redis ---
    #: The ledger: `redis://` or `rediss://`, with user and password if it has them.
    redis_url: str = Field(default="redis://127.0.0.1:6379/0", repr=False)  # may hold a password
    #: Celery's broker, any that Celery supports. Empty: the ledger's Redis.
    broker_url: str = Field(default="", repr=False)

    # --- The bucket ---
    #: The bucket's name. Workers do not start without it. Credentials, region and endpoint are boto3's own variables.
    s3_bucket: str = ""
    #: What all keys begin with.
    s3_prefix: str = "veo/"

    # --- The vendor ---
    #: The account's API key. Without it nothing is submitted, asked or bought, and callbacks are believed.
    kie_api_key: SecretStr = SecretStr("")
    #: Where the vendor's API is; a simulator's address for tests.
    kie_base_url: str = "https://api.kie.ai"
    #: The form of the vendor's API: `veo` (dedicated paths) or `jobs` (unified, `createTask` and `recordInfo`).
    kie_api: Literal["veo", "jobs"] = "veo"
    #: What the vendor reaches you by; the callback URLs of submissions and upgrades are built from it.
    public_url: str = ""

    # --- Callbacks and your own routes ---
    #: HMAC keys of the vendor's callbacks, comma-separated for rotation.
    #: None: web does not start, unless unsigned callbacks are allowed.
    webhook_keys: Secrets = ()
    #: 1 accepts unsigned callbacks. For tests.
    allow_unsigned: bool = False
    #: Age in seconds up to which a signature is taken at its word; an older one is a reason to ask the vendor, not to believe.
    webhook_max_age: Seconds = 900
    #: Bearer tokens of your own routes, and what the dashboard's login asks for; comma-separated. None: nobody is let in.
    api_tokens: Secrets = ()
    #: Bearer token that `/metrics` wants. Empty: who reaches web may read the figures, credits among them.
    metrics_token: SecretStr = SecretStr("")
    #: Where people reach Flower: the dashboard then links to it, and from each generation to its Celery tasks.
    flower_url: str = ""

    # --- Money ---
    #: Bought for the first result of every eligible generation: `1080p`, `4k` or both.
    upgrades: Annotated[tuple[Kind, ...], NoDecode] = ()
    #: Budget of each UTC day for all that Reelkeep buys. Over it: 402; automatic upgrades wait for the next day.
    credits_per_day: Credits | None = None
    #: The part of it that upgrades may take.
    upgrade_credits_per_day: Credits | None = None
    #: Budget for one generation with its upgrades.
    credits_per_generation: Credits | None = None
    #: Credits in the vendor's account under which `/readyz`, the log and `reelkeep audit` warn.
    credits_warn_below: Credits | None = None
    #: What is reserved for each thing, where a price has changed: `veo3=250,4k=120`. What the vendor says it took replaces it.
    prices: Annotated[dict[str, Credits], NoDecode] = Field(default_factory=dict)

    # --- Pace ---
    #: Submissions and upgrades across the fleet, number/seconds.
    provider_rate: str = "20/10s"
    #: Questions to the vendor across the fleet, number/seconds.
    poll_rate: str = "100/10s"

    # --- Asking and giving up ---
    #: Seconds after which a generation without a callback is asked about.
    first_poll_after: Seconds = 300
    #: Seconds between two questions about one generation, at least.
    poll_interval: Seconds = 30
    #: And at most.
    poll_interval_max: Seconds = 300
    #: Seconds without a verdict after which a generation is `lost`.
    give_up_after: Seconds = 86400
    #: Seconds after which an ordered 4K without news is asked about (1080p: a tenth).
    upgrade_poll_after: Seconds = 600

    # --- Work ---
    #: Seconds between two sweeps.
    sweep_every: Seconds = 15
    #: Seconds that a worker's claim lasts without a sign of life. A killed worker's work is taken up within lease and sweep.
    lease: Seconds = 60
    #: Seconds that the first retry of a download waits at most; doubled with each attempt, evenly drawn from 0 up.
    retry_base: Seconds = 2
    #: Seconds that a retry waits at most.
    retry_max: Seconds = 600
    #: Seconds for which a failing download is tried again: the vendor keeps files for 14 days.
    link_lifetime: Seconds = 1209600
    #: Days after which the record of what is settled leaves Redis for its manifest in the bucket, where it is still found by its
    #: ids ([How it works](how-it-works.md)). 0: never. Repeats of an `Idempotency-Key` are known after that too.
    keep_days: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 90
    #: how logs are written: `text`, `json`, or as fits (text on a terminal, JSON elsewhere)
    log_format: LogFormat = "auto"

    # --- Downloads ---
    #: Hosts that may be fetched from, comma-separated, `*.` for all below.
    download_hosts: Annotated[Words, Field(min_length=1)] = VENDOR_HOSTS
    #: 1 allows http and private addresses: demo and tests.
    download_insecure: bool = False
    #: A larger file is refused. `4294967296`, `4 GiB` and `4G` are the same.
    download_max_bytes: Size = 4 * 1024**3
    #: Seconds for one file, redirects and all.
    download_deadline: Seconds = 900
    #: Bytes per second; less over 10 s is too slow.
    download_min_rate: Size = 16 * 1024

    # --- Events ---
    #: Where `video.stored`, `video.failed` and `video.at_risk` are sent: an `https://` URL of yours ([Events](events.md)).
    #: Empty: nothing is sent, and nothing kept to be sent.
    events_url: str = Field(default="", repr=False)  # may hold a token
    #: What events are signed with: `whsec_` and base64 of 24 to 64 bytes. Several, comma-separated, for rotation: each signs.
    events_secret: Secrets = ()
    #: 1 allows http and private addresses: a receiver in your own network, tests.
    events_insecure: bool = False

    @field_validator("redis_url")
    @classmethod
    def _check_redis(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("redis", "rediss") or not _has_good_port(parts):
            raise ValueError("must be a redis:// or rediss:// URL")
        return value

    @field_validator("broker_url")
    @classmethod
    def _check_broker(cls, value: str) -> str:
        if value and "://" not in value:
            raise ValueError("must be a URL that Celery knows, such as redis://host:6379/0")
        return value

    @field_validator("kie_base_url", "public_url", "flower_url")
    @classmethod
    def _check_http(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or not _has_good_port(parts)):
            raise ValueError("must be an http:// or https:// URL")
        return value.rstrip("/")

    @field_validator("events_url")
    @classmethod
    def _check_events_url(cls, value: str) -> str:
        parts = urlsplit(value)
        good = (
            parts.scheme in ("http", "https") and parts.hostname and _has_good_port(parts) and "@" not in parts.netloc
        )
        if value and (not good or re.search(r"[\x00-\x20\x7f\\]", value)):
            raise ValueError("must be an https:// URL without a user name")
        return value

    @field_validator("events_secret")
    @classmethod
    def _check_events_secret(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(_is_event_secret(secret.get_secret_value()) for secret in value):
            raise ValueError('must be "whsec_" and base64 of 24 to 64 bytes: echo "whsec_$(openssl rand -base64 32)"')
        return value

    @field_validator("upgrades", mode="before")
    @classmethod
    def _check_upgrades(cls, value: Any) -> Any:
        words = _split(value)
        if any(word not in UPGRADES for word in words):
            raise ValueError("must be 1080p, 4k or both")
        return tuple(dict.fromkeys(words))

    @field_validator("s3_prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        if value.startswith("/") or ".." in value.split("/"):
            raise ValueError("must be a relative key prefix such as veo/")
        return value if value.endswith("/") else f"{value}/"

    @field_validator("prices", mode="before")
    @classmethod
    def _check_prices(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = dict(pair.partition("=")[::2] for pair in _split(value))
        if pairs.keys() - PRICES.keys():
            raise ValueError(f"must be name=credits, comma-separated, for {', '.join(PRICES)}")
        return pairs

    @field_validator("provider_rate", "poll_rate")
    @classmethod
    def _check_rate(cls, value: str) -> str:
        match = _RATE.fullmatch(value)
        if match is None or not int(match[1]) or not float(match[2]):
            raise ValueError("must be a number and a time, such as 20/10s")
        return value

    @model_validator(mode="after")
    def _check_relations(self) -> Self:
        for smaller, larger in (("poll_interval", "poll_interval_max"), ("retry_base", "retry_max")):
            if getattr(self, smaller) > getattr(self, larger):
                raise ValueError(f"{_name(smaller)} must not be above {_name(larger)}")
        if self.events_url and not self.events_secret:
            raise ValueError(f"{_name('events_secret')}: missing; the receiver could not tell who sends the events")
        if self.events_url.startswith("http://") and not self.events_insecure:
            raise ValueError(f"{_name('events_url')}: must be https://, unless REELKEEP_EVENTS_INSECURE is 1")
        return self

    @property
    def broker(self) -> str:
        """The broker's URL."""
        return self.broker_url or self.redis_url

    @property
    def can_submit(self) -> bool:
        """Whether there is a key to submit with."""
        return bool(self.kie_api_key.get_secret_value())

    @property
    def policy(self) -> Policy:
        """The numbers that the rules are applied with."""
        values = {name: getattr(self, name) for name in Policy.__dataclass_fields__}
        rates = {name: _read_rate(values[name]) for name in ("provider_rate", "poll_rate")}
        return Policy(**values | rates)

    @property
    def secrets(self) -> list[str]:
        """What must not be shown anywhere, should a library's words hold it."""
        keys = (self.kie_api_key, *self.webhook_keys, *self.api_tokens, self.metrics_token, *self.events_secret)
        found = {*(key.get_secret_value() for key in keys), *find_secrets()}
        for url in (self.redis_url, *self.broker.split(";")):
            found |= _find_passwords(url)
        return _list_secrets(found)

    def callback_url(self, token: str) -> str | None:
        """The callback URL of a submission; None if the vendor cannot reach us."""
        return f"{self.public_url}/callbacks/veo/{token}" if self.public_url else None

    def upgrade_callback_url(self, token: str) -> str | None:
        """The callback URL of an upgrade's order; None if the vendor cannot reach us."""
        return f"{self.public_url}/callbacks/veo/4k/{token}" if self.public_url else None

    def require_callbacks(self) -> Self:
        """For the process that receives callbacks. :raises ConfigurationError:"""
        if not self.webhook_keys and not self.allow_unsigned:
            raise ConfigurationError(
                "REELKEEP_WEBHOOK_KEYS: missing; set the webhookHmacKey from the vendor's account settings "
                "(or REELKEEP_ALLOW_UNSIGNED=1 to accept unsigned callbacks)"
            )
        return self

    def require_bucket(self) -> Self:
        """For the processes that store. :raises ConfigurationError:"""
        if not self.s3_bucket:
            raise ConfigurationError("REELKEEP_S3_BUCKET: missing; set the name of the bucket that videos are kept in")
        return self


def load() -> Settings:
    """Read the settings. :raises ConfigurationError: in one line, without the value if it is a secret"""
    try:
        load_dotenv(Path.cwd() / ".env")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f".env: cannot be read: {type(error).__name__}") from None
    try:
        return Settings()
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise ConfigurationError(*(_tell_fault(fault["loc"], fault["msg"]) for fault in found)) from None


def load_or_exit(*requirements: str) -> Settings:
    """For a process's start: the settings, or one line on stderr and exit status 78.

    :param requirements: `callbacks`, `bucket`: see `Settings.require_…`
    """
    try:
        settings = load()
        for requirement in requirements:
            getattr(settings, f"require_{requirement}")()
    except ConfigurationError as error:
        print(f"reelkeep: {error}", file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    return settings


def find_secrets() -> list[str]:
    """The secrets in variables that others read: boto3 and Flower."""
    login = os.environ.get("FLOWER_BASIC_AUTH", "")
    passwords = {entry.partition(":")[2].strip() for entry in login.split(",")}
    return _list_secrets({os.environ.get(name, "") for name in AWS_SECRETS} | passwords)


def _list_secrets(found: set[str]) -> list[str]:
    """The longest first: it may hold another."""
    return sorted((secret for secret in found if len(secret) >= SHORTEST_SECRET), key=len, reverse=True)


def _find_passwords(url: str) -> set[str]:
    parts = urlsplit(url)
    password = parts.password or ""
    return {password, unquote(password), *parse_qs(parts.query).get("password", ())}


def _read_rate(text: str) -> tuple[int, float]:
    slots, _, window = text.removesuffix("s").partition("/")
    return int(slots), float(window)


def _is_event_secret(secret: str) -> bool:
    try:
        return secret.startswith("whsec_") and 24 <= len(base64.b64decode(secret[len("whsec_") :], validate=True)) <= 64
    except ValueError:
        return False


def _has_good_port(parts: SplitResult) -> bool:
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def _name(field: str) -> str:
    return f"{PREFIX}{field.upper()}"


def _tell_fault(place: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ").replace("Input should", "must", 1)
    # A validator of several settings names them itself.
    return f"{_name(str(place[0]))}: {message[:1].lower()}{message[1:]}" if place else message
