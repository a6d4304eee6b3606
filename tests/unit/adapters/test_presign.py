"""Links to the bucket: those that botocore makes, byte for byte. Whether a store takes them: tests/integration."""

from datetime import UTC, datetime
from typing import Any

import botocore.auth
import pytest
from botocore.config import Config

from app.adapters.bucket import make_client
from app.adapters.presign import LIFETIME, Presigner

AT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a/secret+key="}
NAMES = ("AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_PROFILE")
#: The bucket adapter asks the old host for all regions first, and is sent on. A page allows one host, so it is the region's own.
BY_REGION: dict[str, Any] = {"addressing_style": "virtual"}


def environment(monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> dict[str, str]:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in (KEYS | env).items():
        monkeypatch.setenv(name, value)
    return KEYS | env


@pytest.mark.parametrize("key", ["veo/2b1b13ec/result-0.mp4", "veo/a b+c&d=é~_.-*'()!/4k-0.mp4", "x"])
@pytest.mark.parametrize(
    ("bucket", "env"),
    [
        ("videos", {}),
        ("videos", {"AWS_DEFAULT_REGION": "eu-west-1"}),
        ("videos", {"AWS_DEFAULT_REGION": "cn-north-1"}),
        ("videos", {"AWS_DEFAULT_REGION": "us-gov-west-1", "AWS_SESSION_TOKEN": "a+token/with=signs"}),
        ("my.videos", {"AWS_DEFAULT_REGION": "eu-west-1"}),
        ("my.videos", {}),
        ("videos", {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000"}),
        ("videos", {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000/", "AWS_ENDPOINT_URL": "http://elsewhere"}),
        ("videos", {"AWS_ENDPOINT_URL": "https://store.example/base/", "AWS_DEFAULT_REGION": "auto"}),
        ("videos", {"AWS_ENDPOINT_URL_S3": "https://store.example", "AWS_SESSION_TOKEN": "a+token/with=signs"}),
        ("videos", {"AWS_ENDPOINT_URL_S3": "https://store.example:443"}),
        ("videos", {"AWS_ENDPOINT_URL_S3": "https://store.example:8443"}),
        ("videos", {"AWS_ENDPOINT_URL_S3": "https://s3.eu-west-1.amazonaws.com", "AWS_DEFAULT_REGION": "eu-west-1"}),
    ],
)
def test_a_link_is_the_one_that_botocore_makes(
    monkeypatch: pytest.MonkeyPatch, bucket: str, env: dict[str, str], key: str
) -> None:
    presigner = Presigner.from_environment(bucket, environment(monkeypatch, env))
    assert presigner is not None
    client = make_client()
    if not presigner.endpoint and "." not in bucket:
        client = make_boto(BY_REGION)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: AT.replace(tzinfo=None))
    link = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=LIFETIME)
    assert presigner.link(key, AT) == link
    assert link.startswith(f"{presigner.origin}/")


def make_boto(options: dict[str, Any]) -> Any:
    import boto3

    return boto3.session.Session().client("s3", config=Config(signature_version="s3v4", s3=options))  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_without_keys_there_are_no_links(missing: str) -> None:
    assert Presigner.from_environment("videos", KEYS | {missing: ""}) is None
    assert Presigner.from_environment("videos", {}) is None
    assert Presigner.from_environment("", KEYS) is None


def test_no_secret_is_shown_with_it() -> None:
    shown = repr(Presigner.from_environment("videos", KEYS | {"AWS_SESSION_TOKEN": "planted-token"}))
    assert "secret+key" not in shown
    assert "planted-token" not in shown
