"""What the doctor says of settings, from none at all to those of a real installation."""

from typing import Any

import pytest
from pydantic import SecretStr

from app.cli.doctor_settings import judge_settings
from app.domain.checkup import Level, Remark
from app.domain.work import Kind
from app.settings import Settings

GOOD: dict[str, Any] = {
    "webhook_keys": (SecretStr("planted-key"),),
    "api_tokens": (SecretStr("planted-user-token"),),
    "kie_api_key": SecretStr("planted-vendor-key"),
    "public_url": "https://reels.example.com",
}


def judged(**changes: Any) -> list[Remark]:
    # Not from the environment: `model_construct` reads none.
    return judge_settings(Settings.model_construct(**(GOOD | changes)))


@pytest.mark.parametrize("url", ["https://x.example.com/", "http://hooks.internal/", "http://10.0.0.7/"])
def test_events_may_go_by_https_and_to_ones_own_network(url: str) -> None:
    [remark] = judged(events_url=url, events_secret=(SecretStr("whsec_x"),))
    assert remark.level is Level.OK


def test_good_settings_are_said_to_be_good() -> None:
    [remark] = judged()
    assert remark.level is Level.OK


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"events_secret": (SecretStr("whsec_x"),)}, Level.WARNING, "REELKEEP_EVENTS_SECRET has no effect"),
        ({"events_url": "http://x.example.com/"}, Level.WARNING, "events can be read on the way"),
        ({"webhook_keys": ()}, Level.PROBLEM, "no webhook keys"),
        ({"webhook_keys": (), "allow_unsigned": True}, Level.WARNING, "anybody can send callbacks"),
        (
            {"webhook_keys": (), "allow_unsigned": True, "kie_api_key": SecretStr("")},
            Level.PROBLEM,
            "anybody can say what is fetched",
        ),
        ({"allow_unsigned": True}, Level.WARNING, "no effect beside REELKEEP_WEBHOOK_KEYS"),
        ({"api_tokens": ()}, Level.WARNING, "answer 401"),
        ({"download_insecure": True}, Level.WARNING, "private addresses"),
        ({"public_url": ""}, Level.WARNING, "no REELKEEP_PUBLIC_URL"),
        ({"public_url": "http://reels.example.com"}, Level.WARNING, "http://"),
        ({"public_url": "http://localhost:8000"}, Level.PROBLEM, "cannot reach REELKEEP_PUBLIC_URL (localhost)"),
        ({"public_url": "https://127.0.0.1"}, Level.PROBLEM, "cannot reach"),
        ({"public_url": "https://10.1.2.3"}, Level.PROBLEM, "cannot reach"),
        ({"public_url": "https://[::1]:8000"}, Level.PROBLEM, "cannot reach"),
        ({"public_url": "https://web"}, Level.PROBLEM, "cannot reach"),
        ({"kie_base_url": "http://api.kie.ai"}, Level.PROBLEM, "in the clear"),
        ({"kie_base_url": "http://127.0.0.1:9000"}, Level.WARNING, "a simulator?"),
        (
            {"api_tokens": (SecretStr("planted-user-token"), SecretStr("short"))},
            Level.WARNING,
            "so short that it can be guessed",
        ),
        ({"webhook_max_age": 59.0}, Level.WARNING, "REELKEEP_WEBHOOK_MAX_AGE (59 s)"),
        ({"download_hosts": ("*.kie.ai", "*.com")}, Level.WARNING, "anybody's servers be fetched from (*.com)"),
        ({"download_hosts": ("videos.example.com",)}, Level.WARNING, "none of the vendor's known hosts"),
        ({"retry_max": 3600.0, "link_lifetime": 3600.0}, Level.PROBLEM, "REELKEEP_RETRY_MAX (3600 s)"),
        ({"provider_rate": "30/10s"}, Level.WARNING, "REELKEEP_PROVIDER_RATE (30/10s)"),
        ({"lease": 14.0}, Level.WARNING, "REELKEEP_LEASE (14 s)"),
        ({"sweep_every": 61.0}, Level.WARNING, "REELKEEP_SWEEP_EVERY (61 s)"),
        ({"first_poll_after": 86400.0}, Level.PROBLEM, "by REELKEEP_FIRST_POLL_AFTER is given up"),
        ({"upgrade_poll_after": 90000.0}, Level.PROBLEM, "by REELKEEP_UPGRADE_POLL_AFTER is given up"),
        ({"link_lifetime": 15 * 86400.0}, Level.WARNING, "15 days"),
        ({"credits_per_day": 29.0}, Level.WARNING, "REELKEEP_CREDITS_PER_DAY (29) is less than the cheapest"),
        ({"credits_per_generation": 20.0}, Level.WARNING, "REELKEEP_CREDITS_PER_GENERATION (20) is less than"),
        (
            {"credits_per_day": 500.0, "upgrade_credits_per_day": 501.0},
            Level.WARNING,
            "REELKEEP_UPGRADE_CREDITS_PER_DAY (501) is above REELKEEP_CREDITS_PER_DAY (500)",
        ),
        ({"upgrades": (Kind.UHD,), "upgrade_credits_per_day": 119.0}, Level.WARNING, "less than one 4k (120)"),
        ({"upgrades": (Kind.HD,), "kie_api_key": SecretStr("")}, Level.WARNING, "without a vendor key"),
    ],
)
def test_what_is_missing_or_contradicts_is_named_with_what_to_do(
    changes: dict[str, Any], level: Level, words: str
) -> None:
    [remark] = judged(**changes)
    assert remark.level is level
    assert words in remark.text
    assert remark.mend


@pytest.mark.parametrize(
    "changes",
    [
        {"public_url": "https://8.8.8.8"},
        {"provider_rate": "2/1s"},
        {"lease": 15.0, "sweep_every": 60.0},
        {"credits_per_day": 30.0, "upgrade_credits_per_day": 30.0},
        {"credits_per_day": 29.0, "prices": {"veo3_lite": 29.0}},
        {"upgrades": (Kind.UHD,), "upgrade_credits_per_day": 120.0},
    ],
)
def test_what_is_just_right_is_not_complained_of(changes: dict[str, Any]) -> None:
    assert [remark.level for remark in judged(**changes)] == [Level.OK]


def test_with_a_simulator_on_this_machine_nothing_has_to_be_reached_from_outside() -> None:
    changes = {
        "kie_base_url": "http://localhost:9000",
        "public_url": "http://127.0.0.1:8000",
        "download_insecure": True,
    }
    [remark] = judged(**changes, provider_rate="1000/10s")
    assert "a simulator?" in remark.text


@pytest.mark.parametrize(
    ("variables", "level", "words"),
    [
        ({"REELKEEP_WEBHOOK_KEY": "x"}, Level.WARNING, "REELKEEP_WEBHOOK_KEY is no setting"),
        ({"REELKEEP_MOON": "x"}, Level.WARNING, "REELKEEP_MOON is no setting"),
        ({"MIRROR_CONCURRENCY": "many"}, Level.PROBLEM, "MIRROR_CONCURRENCY is no whole number"),
        ({"PORT": "0"}, Level.PROBLEM, "PORT is no whole number"),
        ({"FLOWER_ADDRESS": "0.0.0.0"}, Level.PROBLEM, "Flower listens on 0.0.0.0 without a password"),
    ],
)
def test_a_variable_that_cannot_be_meant_is_named(variables: dict[str, str], level: Level, words: str) -> None:
    [remark] = judge_settings(Settings.model_construct(**GOOD), variables)
    assert (remark.level, words in remark.text) == (level, True)
    assert remark.mend


def test_a_setting_that_was_misspelt_is_told_its_name() -> None:
    [remark] = judge_settings(Settings.model_construct(**GOOD), {"REELKEEP_WEBHOOK_KEY": "planted-key"})
    assert remark.mend == "did you mean REELKEEP_WEBHOOK_KEYS?"
    assert "planted-key" not in remark.text


def test_a_setting_like_no_other_is_told_no_name() -> None:
    [remark] = judge_settings(Settings.model_construct(**GOOD), {"REELKEEP_FOO": "1"})
    assert remark.mend == "remove it"


@pytest.mark.parametrize(
    "variables",
    [
        {"REELKEEP_LEASE": "60", "REELKEEP_NODE": "worker", "PORT": "8000", "WEB_CONCURRENCY": "2"},
        {"FLOWER_ADDRESS": "127.0.0.1"},
        {"FLOWER_ADDRESS": "localhost"},
        {"FLOWER_ADDRESS": "0.0.0.0", "FLOWER_BASIC_AUTH": "user:password"},
    ],
)
def test_good_variables_are_not_complained_of(variables: dict[str, str]) -> None:
    [remark] = judge_settings(Settings.model_construct(**GOOD), variables)
    assert remark.level is Level.OK


def test_no_secret_is_named() -> None:
    bare = {name: () for name in ("webhook_keys", "api_tokens")}
    for remark in (*judged(), *judged(**bare), *judged(allow_unsigned=True)):
        assert "planted" not in remark.sentence
