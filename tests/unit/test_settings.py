"""The settings: defaults, readings, refusals."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.domain.policy import Policy
from app.domain.work import Kind
from app.settings import ConfigurationError, Settings, load

GIB, KIB = 1024**3, 1024


@pytest.fixture(autouse=True)
def _bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting of the machine's, an empty working directory, and whatever a `.env` file adds is taken back."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("REELKEEP_")]:
        del os.environ[name]
    monkeypatch.chdir(tmp_path)
    yield
    os.environ.clear()
    os.environ.update(before)


def _load(**values: str) -> Settings:
    os.environ.update({f"REELKEEP_{name}": value for name, value in values.items()})
    return load()


def test_the_defaults_are_those_of_the_table() -> None:
    assert load().model_dump() == {
        "redis_url": "redis://127.0.0.1:6379/0",
        "broker_url": "",
        "s3_bucket": "",
        "s3_prefix": "veo/",
        "kie_api_key": SecretStr(""),
        "kie_base_url": "https://api.kie.ai",
        "kie_api": "veo",
        "public_url": "",
        "webhook_keys": (),
        "allow_unsigned": False,
        "webhook_max_age": 900,
        "api_tokens": (),
        "metrics_token": SecretStr(""),
        "flower_url": "",
        "upgrades": (),
        "credits_per_day": None,
        "upgrade_credits_per_day": None,
        "credits_per_generation": None,
        "credits_warn_below": None,
        "prices": {},
        "first_poll_after": 300,
        "poll_interval": 30,
        "poll_interval_max": 300,
        "give_up_after": 86400,
        "upgrade_poll_after": 600,
        "sweep_every": 15,
        "lease": 60,
        "provider_rate": "20/10s",
        "poll_rate": "100/10s",
        "download_hosts": ("*.aiquickdraw.com", "*.redpandaai.co", "*.kie.ai", "*.r2.cloudflarestorage.com"),
        "download_insecure": False,
        "download_max_bytes": 4 * GIB,
        "download_deadline": 900,
        "download_min_rate": 16 * KIB,
        "retry_base": 2,
        "retry_max": 600,
        "link_lifetime": 1209600,
        "keep_days": 90,
        "log_format": "auto",
        "events_url": "",
        "events_secret": (),
        "events_insecure": False,
    }


def test_the_rules_are_given_the_same_defaults() -> None:
    assert load().policy == Policy()


def test_the_rules_are_given_what_is_set() -> None:
    policy = _load(LEASE="0.5", POLL_INTERVAL="1.25", UPGRADES="4k").policy
    assert (policy.lease, policy.poll_interval, policy.upgrades) == (0.5, 1.25, (Kind.UHD,))
    policy = _load(CREDITS_PER_DAY="500", CREDITS_PER_GENERATION="0", PRICES="4k=100").policy
    assert (policy.credits_per_day, policy.credits_per_generation, policy.prices) == (500, 0, {"4k": 100})


@pytest.mark.parametrize(("text", "rate"), [("20/10s", (20, 10)), ("5/1.5", (5, 1.5))])
@pytest.mark.parametrize("name", ["provider_rate", "poll_rate"])
def test_the_rules_are_given_the_rates_in_numbers(name: str, text: str, rate: tuple[int, float]) -> None:
    assert getattr(_load(**{name.upper(): text}).policy, name) == rate


def test_the_broker_is_the_ledgers_redis_unless_it_is_set() -> None:
    assert _load(REDIS_URL="redis://r:1/2").broker == "redis://r:1/2"
    assert _load(BROKER_URL="amqp://b//").broker == "amqp://b//"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("UPGRADES", "1080p", (Kind.HD,)),
        ("UPGRADES", " 4k , 1080p, 4k ,", (Kind.UHD, Kind.HD)),
        ("UPGRADES", "", ()),
        ("DOWNLOAD_HOSTS", "a.example, *.b.example", ("a.example", "*.b.example")),
        ("DOWNLOAD_MAX_BYTES", "4294967296", 4 * GIB),
        ("DOWNLOAD_MAX_BYTES", "4 GiB", 4 * GIB),
        ("DOWNLOAD_MAX_BYTES", "1.5g", 3 * GIB // 2),
        ("DOWNLOAD_MIN_RATE", "16KiB", 16 * KIB),
        ("UPGRADE_CREDITS_PER_DAY", "0", 0),
        ("UPGRADE_CREDITS_PER_DAY", "240.5", 240.5),
        ("CREDITS_PER_DAY", "0", 0),
        ("CREDITS_PER_GENERATION", "370.5", 370.5),
        ("CREDITS_WARN_BELOW", "1000", 1000),
        ("PRICES", "", {}),
        ("PRICES", "veo3=200", {"veo3": 200}),
        (
            "PRICES",
            " veo3_fast=0 , veo3_lite=1.5,1080p=2, 4k=3 ,",
            {"veo3_fast": 0, "veo3_lite": 1.5, "1080p": 2, "4k": 3},
        ),
        ("KIE_API", "jobs", "jobs"),
        ("ALLOW_UNSIGNED", "1", True),
        ("ALLOW_UNSIGNED", "0", False),
        ("S3_PREFIX", "videos", "videos/"),
        ("S3_PREFIX", "a/b/", "a/b/"),
        ("KIE_BASE_URL", "http://127.0.0.1:9/", "http://127.0.0.1:9"),
        ("PROVIDER_RATE", "5/1.5", "5/1.5"),
        ("REDIS_URL", "rediss://:p@r:6380/1", "rediss://:p@r:6380/1"),
        ("LEASE", "", 60),
    ],
)
def test_a_setting_is_read(name: str, text: str, value: object) -> None:
    assert getattr(_load(**{name: text}), name.lower()) == value


def test_keys_are_read_for_rotation() -> None:
    keys = _load(WEBHOOK_KEYS=" old , new ").webhook_keys
    assert [key.get_secret_value() for key in keys] == ["old", "new"]


CREDITS = ["CREDITS_PER_DAY", "UPGRADE_CREDITS_PER_DAY", "CREDITS_PER_GENERATION", "CREDITS_WARN_BELOW"]
RATES = ["PROVIDER_RATE", "POLL_RATE"]
SECONDS = [
    "WEBHOOK_MAX_AGE",
    "FIRST_POLL_AFTER",
    "POLL_INTERVAL",
    "POLL_INTERVAL_MAX",
    "GIVE_UP_AFTER",
    "UPGRADE_POLL_AFTER",
    "SWEEP_EVERY",
    "LEASE",
    "DOWNLOAD_DEADLINE",
    "RETRY_BASE",
    "RETRY_MAX",
    "LINK_LIFETIME",
]


def _refusal(**values: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        _load(**values)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 300
    return message


@pytest.mark.parametrize("text", ["0", "-1", "soon", "inf", "nan", "1 s", "1,5", "9" * 5000])
@pytest.mark.parametrize("name", SECONDS)
def test_what_is_no_time_is_refused_by_name(name: str, text: str) -> None:
    assert _refusal(**{name: text}).startswith(f"REELKEEP_{name}: ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "amqp://x/"),
        ("REDIS_URL", "unix:///run/redis.sock?db=1"),
        ("REDIS_URL", "redis://h:port/0"),
        ("REDIS_URL", "redis://h:70000/0"),
        ("REDIS_URL", "redis://[/0"),
        ("BROKER_URL", "localhost:6379"),
        ("S3_PREFIX", "/veo/"),
        ("S3_PREFIX", "a/../b"),
        ("KIE_BASE_URL", "api.kie.ai"),
        ("KIE_BASE_URL", "ftp://api.kie.ai"),
        ("KIE_BASE_URL", "https://"),
        ("PUBLIC_URL", "https://x:y"),
        ("PUBLIC_URL", "keep.example"),
        ("ALLOW_UNSIGNED", "maybe"),
        ("DOWNLOAD_INSECURE", "2"),
        ("UPGRADES", "8k"),
        ("UPGRADES", "result"),
        ("UPGRADES", "4k;1080p"),
        *[(name, text) for name in CREDITS for text in ("-1", "much", "inf", "nan")],
        *[(name, text) for name in RATES for text in ("20", "20 per 10s", "0/10s", "20/0s", "-1/10s", "20/-1s")],
        ("PRICES", "veo3"),
        ("PRICES", "veo3="),
        ("PRICES", "veo3=cheap"),
        ("PRICES", "veo3=-1"),
        ("PRICES", "veo3=inf"),
        ("PRICES", "veo4=1"),
        ("PRICES", "veo3:1"),
        ("PRICES", "fast=1"),
        ("KIE_API", "v2"),
        ("DOWNLOAD_MAX_BYTES", "0"),
        ("DOWNLOAD_MAX_BYTES", "-1"),
        ("DOWNLOAD_MAX_BYTES", "big"),
        ("DOWNLOAD_MAX_BYTES", "9" * 400),
        ("DOWNLOAD_MIN_RATE", "4 XB"),
        ("DOWNLOAD_HOSTS", ","),
        ("DOWNLOAD_HOSTS", " , "),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, text: str) -> None:
    assert _refusal(**{name: text}).startswith(f"REELKEEP_{name}: ")


def test_a_wrong_upgrade_is_told_what_may_be_bought() -> None:
    assert _refusal(UPGRADES="8k") == "REELKEEP_UPGRADES: must be 1080p, 4k or both"


def test_a_wrong_size_is_told_how_one_is_written() -> None:
    assert _refusal(DOWNLOAD_MAX_BYTES="1 PB") == (
        "REELKEEP_DOWNLOAD_MAX_BYTES: must be a number of bytes, such as 4294967296, 4 GiB or 4G"
    )


def test_a_wrong_price_is_told_what_has_one() -> None:
    assert _refusal(PRICES="veo4=1") == (
        "REELKEEP_PRICES: must be name=credits, comma-separated, for veo3, veo3_fast, veo3_lite, 1080p, 4k"
    )


@pytest.mark.parametrize(
    ("values", "smaller", "larger"),
    [
        ({"POLL_INTERVAL": "400"}, "POLL_INTERVAL", "POLL_INTERVAL_MAX"),
        ({"POLL_INTERVAL_MAX": "29"}, "POLL_INTERVAL", "POLL_INTERVAL_MAX"),
        ({"RETRY_BASE": "601"}, "RETRY_BASE", "RETRY_MAX"),
        ({"RETRY_MAX": "1"}, "RETRY_BASE", "RETRY_MAX"),
    ],
)
def test_values_that_contradict_each_other_are_refused(values: dict[str, str], smaller: str, larger: str) -> None:
    assert _refusal(**values) == f"REELKEEP_{smaller} must not be above REELKEEP_{larger}"


def test_equal_bounds_are_no_contradiction() -> None:
    assert _load(POLL_INTERVAL="300", RETRY_BASE="600").poll_interval == 300


SECRETS = {
    "KIE_API_KEY": "kie-s3cret",
    "WEBHOOK_KEYS": "hook-s3cret,hook-s3cret-2",
    "API_TOKENS": "api-s3cret",
    "REDIS_URL": "redis://:redis-s3cret@r:6379/0",
    "BROKER_URL": "amqp://u:broker-s3cret@b//",
}


def test_no_secret_is_shown_by_the_settings() -> None:
    settings = _load(**SECRETS)
    assert "s3cret" not in f"{settings!r} {settings}"


@pytest.mark.parametrize("name", ["REDIS_URL", "BROKER_URL", "KIE_BASE_URL", "PUBLIC_URL"])
def test_no_secret_in_a_refused_url_is_shown(name: str) -> None:
    assert "s3cret" not in _refusal(**{name: "x//u:s3cret@h:1/"})


@pytest.mark.parametrize("name", ["REDIS_URL", "PUBLIC_URL", "KIE_BASE_URL"])
def test_no_secret_that_stands_where_a_port_should_is_shown(name: str) -> None:
    scheme = "redis" if name == "REDIS_URL" else "https"
    assert "s3cret" not in _refusal(**{name: f"{scheme}://h:s3cret"})


def test_no_other_secret_is_shown_by_a_refusal() -> None:
    assert "s3cret" not in _refusal(**SECRETS, POLL_INTERVAL="400")


def test_a_dotenv_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REELKEEP_S3_BUCKET=from-file\nREELKEEP_LEASE=45\n")
    settings = load()
    assert (settings.s3_bucket, settings.lease) == ("from-file", 45)


def test_a_dotenv_file_in_a_parent_directory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("REELKEEP_S3_BUCKET=from-parent\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert load().s3_bucket == ""


def test_the_environment_wins_over_the_dotenv_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REELKEEP_S3_BUCKET=from-file\nREELKEEP_LEASE=45\n")
    settings = _load(LEASE="90")
    assert (settings.s3_bucket, settings.lease) == ("from-file", 90)


def test_a_wrong_value_in_the_dotenv_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REELKEEP_LEASE=soon\n")
    assert _refusal().startswith("REELKEEP_LEASE: ")


def test_a_dotenv_file_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"REELKEEP_LEASE=\xff\n")
    assert _refusal().startswith(".env: ")


@pytest.mark.parametrize("name", ["UPGRADES", "LEASE", "REDIS_URL", "S3_PREFIX", "PROVIDER_RATE", "PRICES", "KIE_API"])
def test_a_refusal_stays_one_line_whatever_was_set(name: str) -> None:
    assert _refusal(**{name: "/8k\nsecond line" * 100}).startswith(f"REELKEEP_{name}: ")


def test_a_process_that_receives_callbacks_needs_keys() -> None:
    with pytest.raises(ConfigurationError, match=r"^REELKEEP_WEBHOOK_KEYS: missing"):
        load().require_callbacks()


@pytest.mark.parametrize("values", [{"WEBHOOK_KEYS": "k"}, {"ALLOW_UNSIGNED": "1"}])
def test_a_key_or_the_word_that_none_is_needed_is_enough(values: dict[str, str]) -> None:
    settings = _load(**values)
    assert settings.require_callbacks() is settings


def test_keys_of_nothing_but_commas_are_no_keys() -> None:
    with pytest.raises(ConfigurationError, match="REELKEEP_WEBHOOK_KEYS"):
        _load(WEBHOOK_KEYS=" , ").require_callbacks()


def test_a_process_that_stores_needs_a_bucket() -> None:
    with pytest.raises(ConfigurationError, match=r"^REELKEEP_S3_BUCKET: missing"):
        load().require_bucket()
    assert _load(S3_BUCKET="b").require_bucket().s3_bucket == "b"


def test_callbacks_come_back_to_the_public_address_with_their_token() -> None:
    settings = _load(PUBLIC_URL="https://keep.example/")
    assert settings.callback_url("tok") == "https://keep.example/callbacks/veo/tok"
    assert settings.upgrade_callback_url("tok") == "https://keep.example/callbacks/veo/4k/tok"


def test_without_a_public_address_no_callback_is_asked_for() -> None:
    assert (load().callback_url("tok"), load().upgrade_callback_url("tok")) == (None, None)


@pytest.mark.parametrize(("values", "expected"), [({}, False), ({"KIE_API_KEY": "k"}, True)])
def test_only_with_a_key_can_anything_be_submitted(values: dict[str, str], expected: bool) -> None:
    assert _load(**values).can_submit is expected


def test_what_must_not_be_shown_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-s3-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "planted-session")
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "user:planted-flower, other:planted-other")
    settings = _load(
        REDIS_URL="redis://:planted%20redis@127.0.0.1/0",
        BROKER_URL="amqp://user:planted-broker@a//;amqp://user:planted-second@b//?password=planted-query",
        KIE_API_KEY="planted-vendor-key",
        WEBHOOK_KEYS="planted-webhook-key,planted-old-key",
        API_TOKENS="planted-token,short",
    )
    assert set(settings.secrets) == {
        *("planted-s3-secret", "planted-session", "planted-flower", "planted-other"),
        *("planted%20redis", "planted redis", "planted-broker", "planted-second", "planted-query"),
        *("planted-vendor-key", "planted-webhook-key", "planted-old-key", "planted-token"),
    }
    assert settings.secrets == sorted(settings.secrets, key=len, reverse=True), "one may hold another"


# --- events ----------------------------------------------------------------------------------------------------------------

EVENT_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_several_secrets_may_sign_events() -> None:
    settings = _load(EVENTS_URL="https://x.example.com/hook?t=1", EVENTS_SECRET=f"{EVENT_SECRET},{EVENT_SECRET}")
    assert [secret.get_secret_value() for secret in settings.events_secret] == [EVENT_SECRET, EVENT_SECRET]
    assert EVENT_SECRET not in repr(settings)
    assert "t=1" not in repr(settings)


def test_events_may_go_by_http_where_that_is_allowed() -> None:
    assert _load(EVENTS_URL="http://hooks/", EVENTS_SECRET=EVENT_SECRET, EVENTS_INSECURE="1").events_url


@pytest.mark.parametrize(
    ("url", "secret", "expected"),
    [
        ("https://x.example.com/", "", "REELKEEP_EVENTS_SECRET: missing"),
        ("http://x.example.com/", EVENT_SECRET, "REELKEEP_EVENTS_URL: must be https://, unless"),
        ("ftp://x.example.com/", EVENT_SECRET, "REELKEEP_EVENTS_URL: must be an https:// URL"),
        ("https://", EVENT_SECRET, "REELKEEP_EVENTS_URL: must be an https:// URL"),
        ("https://user:pw@x.example.com/", EVENT_SECRET, "REELKEEP_EVENTS_URL: must be an https:// URL without a user"),
        ("https://x.example.com/a b", EVENT_SECRET, "REELKEEP_EVENTS_URL: must be an https:// URL"),
        ("https://x.example.com:0/", EVENT_SECRET, "REELKEEP_EVENTS_URL: must be an https:// URL"),
        ("https://x.example.com/", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 'REELKEEP_EVENTS_SECRET: must be "whsec_"'),
        ("https://x.example.com/", "whsec_c2hvcnQ=", "REELKEEP_EVENTS_SECRET: must be"),
        ("https://x.example.com/", f"{EVENT_SECRET},whsec_no base64!", "REELKEEP_EVENTS_SECRET: must be"),
    ],
)
def test_wrong_settings_of_events_are_refused_without_showing_the_secret(url: str, secret: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        _load(EVENTS_URL=url, EVENTS_SECRET=secret)
    assert str(failure.value).startswith(expected)
    assert "MfKQ9" not in str(failure.value)
