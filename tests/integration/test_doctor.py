"""`reelkeep doctor` and `/readyz` on real parts: redis-servers in good and bad condition, an S3 endpoint, the simulator."""

import base64
import hashlib
import http.server
import io
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber
from click.testing import CliRunner, Result
from standardwebhooks import Webhook

from app.adapters import bucket_probe
from app.adapters.bucket import make_client
from app.adapters.redis_ledger import RedisLedger
from app.cli import doctor as doctor_module
from app.cli.main import main
from app.domain.checkup import Level, Remark
from app.embedded import Service, free_port, redis_server, running, s3_environment, s3_server
from app.settings import Settings
from app.simulator.server import Options, Simulator
from app.web.application import create_app
from tests.support.receiver import SECRET, receiving
from tests.support.waiting import wait_for

Run = Callable[..., Result]
KEYS = {"access_key": "reelkeep", "secret_key": "planted-s3-secret"}
#: planted everywhere; none may be seen
SECRETS = (
    "planted-redis-password",
    "planted-vendor-key",
    "planted-webhook-key",
    "planted-user-token",
    KEYS["secret_key"],
)
PARTS = {
    "redis",
    "redis persistence",
    "redis eviction",
    "redis memory",
    "broker",
    "bucket",
    "vendor",
    "front door",
    "clock",
    "fleet",
}


# --- servers -----------------------------------------------------------------------------------------------------------


def odd_redis(folder: Path, port: int, *options: str) -> Service:
    """The usual server, with options that come after the usual ones and so outrank them."""
    service = redis_server(folder, port, appendfsync="always")
    return replace(service, argv=(*service.argv, *options))


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[str, redis.Redis]]:
    """A redis-server with options of its own: its URL, and a client."""
    port = free_port()
    with running(odd_redis(folder, port, *options), folder / "log"), redis.Redis(port=port) as client:
        yield f"redis://127.0.0.1:{port}/0", client


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The port of an S3 server, and the folder of its bucket `reels`."""
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    with running(s3_server(folder / "data", port, buckets=["reels"], **KEYS), folder / "log"):
        yield port, folder / "data" / "reels"


@pytest.fixture(scope="module")
def vendor() -> Iterator[str]:
    with Simulator(Options(api_key="planted-vendor-key", credits=1234.5)) as simulator:
        yield simulator.url


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that says the same to everybody."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def front_door() -> Iterator[str]:
    with answering(200, b'{"status": "alive"}') as url:
        yield url


@pytest.fixture
def env(redis_url: str, s3: tuple[int, Path], vendor: str, front_door: str) -> dict[str, str | None]:
    """The settings of an installation where all is well; None: whatever the machine sets is taken away."""
    return {
        **dict.fromkeys(name for name in os.environ if name.startswith(("REELKEEP_", "AWS_"))),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        **s3_environment(s3[0], **KEYS),
        "REELKEEP_REDIS_URL": redis_url,
        "REELKEEP_BROKER_URL": redis_url.removesuffix("0") + "1",
        "REELKEEP_S3_BUCKET": "reels",
        "REELKEEP_KIE_API_KEY": "planted-vendor-key",
        "REELKEEP_KIE_BASE_URL": vendor,
        "REELKEEP_PUBLIC_URL": front_door,
        "REELKEEP_WEBHOOK_KEYS": "planted-webhook-key",
        "REELKEEP_API_TOKENS": "planted-user-token",
    }


@pytest.fixture(autouse=True)
def careful_redis(redis_url: str) -> Iterator[None]:
    """The other tests' server syncs more seldom, for speed."""
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("appendfsync", "always")
        yield
        client.config_set("appendfsync", "everysec")


@pytest.fixture
def doctor(env: dict[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.chdir(tmp_path)  # away from any .env
    before = threading.active_count()

    def run(*arguments: str, **changes: str) -> Result:
        result = CliRunner().invoke(main, ["doctor", *arguments], env={**env, **changes})
        assert not result.exception or isinstance(result.exception, SystemExit), result.exception
        for secret in SECRETS:
            assert secret not in result.output
        return result

    yield run
    wait_for(lambda: threading.active_count() <= before)


def found(result: Result) -> dict[str, dict[str, Any]]:
    """The worst of what was said of each part."""
    document = json.loads(result.output)
    levels = list(Level)
    assert document["status"] == max((row["level"] for row in document["checks"]), key=levels.index)
    assert result.exit_code == (1 if document["status"] == "problem" else 0)
    assert [row for row in document["checks"] if row["level"] != "ok" and not row["mend"]] == [], "each says its mend"
    parts: dict[str, dict[str, Any]] = {}
    for row in document["checks"]:
        known = parts.get(row["check"])
        if known is None or levels.index(row["level"]) > levels.index(known["level"]):
            parts[row["check"]] = row
    return parts


def beat(url: str) -> RedisLedger:
    """Leave the signs of life that a sweep leaves."""
    ledger = RedisLedger(url)
    ledger.note_health({"sweep_at": "", "bucket_at": "", "bucket_error": ""})
    return ledger


# --- where all is well ---------------------------------------------------------------------------------------------------


def test_an_installation_where_all_is_well(doctor: Run, redis_url: str, s3: tuple[int, Path]) -> None:
    beat(redis_url)
    result = doctor("--json")
    parts = found(result)
    assert {name: row["text"] for name, row in parts.items() if row["level"] != "ok"}.keys() == {"settings"}
    assert "a simulator?" in parts["settings"]["text"]
    assert set(parts) == PARTS | {"settings", "space", "python"}
    assert result.exit_code == 0
    assert "1234.5 credits" in parts["vendor"]["text"]
    assert parts["bucket"]["text"].endswith("; the store compares no checksums: each object is read back once")
    assert "another database" in parts["broker"]["text"]
    assert [*s3[1].rglob("*.json"), *s3[1].rglob("*probe*")] == [], "what was tried with is cleaned up"


def test_people_get_a_line_for_each(doctor: Run, redis_url: str) -> None:
    beat(redis_url)
    lines = doctor(REELKEEP_KIE_API_KEY="").output.splitlines()
    assert lines[-2:] == ["", "no problems, 2 warnings"]
    assert {line.split()[0] for line in lines[:-2]} == {"ok", "warning"}
    [line] = [line for line in lines if line.split()[1:2] == ["vendor"]]
    assert line.startswith("warning  vendor ")
    assert line.endswith(" → set REELKEEP_KIE_API_KEY")


def test_the_doctor_changes_nothing_in_redis(doctor: Run, redis_url: str) -> None:
    beat(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        before = {key: client.dump(key) for key in client.keys("*")}  # type: ignore[union-attr]
        doctor()
        assert {key: client.dump(key) for key in client.keys("*")} == before  # type: ignore[union-attr]


# --- Redis, by the doctor and by /readyz ------------------------------------------------------------------------------------


def ready(url: str) -> tuple[int, dict[str, Any]]:
    """What `/readyz` says on a ledger where all else is well."""
    answer = create_app(Settings(redis_url=url, allow_unsigned=True)).test_client().get("/readyz")
    return answer.status_code, dict(answer.json or {})


def test_a_good_redis_gives_no_warning(redis_url: str) -> None:
    beat(redis_url)
    status, body = ready(redis_url)
    assert (status, body["status"], body["warnings"]) == (200, "ready", [])
    assert body["checks"] == {"redis": "ok", "sweep": "ok", "bucket": "ok", "work": "ok"}


def test_readiness_asks_redis_little(redis_url: str) -> None:
    beat(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        assert ready(redis_url)[0] == 200
        calls = {name: row["calls"] for name, row in client.info("commandstats").items()}  # type: ignore[union-attr]
    calls.pop("cmdstat_client", None)  # a new connection introduces itself
    calls = {name: count for name, count in calls.items() if not name.startswith("cmdstat_config")}  # ours, above
    assert calls.pop("cmdstat_info") == 1
    assert set(calls) <= {
        "cmdstat_time",
        "cmdstat_hgetall",
        "cmdstat_zrange",
        "cmdstat_zcard",
        "cmdstat_hello",
        "cmdstat_select",
    }
    assert sum(calls.values()) < 15


@pytest.mark.parametrize(
    ("options", "check", "words"),
    [
        (("--appendonly", "no"), "redis persistence", "keeps nothing on disk"),
        (("--maxmemory-policy", "allkeys-lru"), "redis eviction", "may drop records when memory is full"),
        (("--maxmemory-policy", "volatile-lru"), "redis eviction", "forget the day's budget"),
    ],
)
def test_a_redis_that_may_lose_something_is_a_warning(
    doctor: Run, tmp_path: Path, options: tuple[str, ...], check: str, words: str
) -> None:
    with serving(tmp_path / "redis", *options) as (url, _):
        beat(url)
        parts = found(doctor("--json", REELKEEP_REDIS_URL=url, REELKEEP_BROKER_URL=url))
        status, body = ready(url)
    assert parts[check]["level"] == "warning"
    assert words in parts[check]["text"]
    assert {row["level"] for name, row in parts.items() if name not in (check, "settings")} == {"ok"}
    assert (status, body["checks"]["redis"]) == (200, "ok")
    [warning] = body["warnings"]
    assert words in warning


@pytest.mark.parametrize(
    ("sync", "level", "words"),
    [
        ("always", "ok", "each write is on disk before it is answered"),
        ("everysec", "warning", "in the last second"),
        ("no", "warning", "in the last half a minute"),
    ],
)
def test_what_a_machines_end_would_cost_is_said(
    doctor: Run, redis_url: str, client: redis.Redis, sync: str, level: str, words: str
) -> None:
    beat(redis_url)
    client.config_set("appendfsync", sync)
    told = found(doctor("--json"))["redis persistence"]
    assert (told["level"], told["mend"]) == (level, "set appendfsync always" if level == "warning" else "")
    assert words in told["text"]


def test_snapshots_alone_are_a_warning(doctor: Run, tmp_path: Path) -> None:
    with serving(tmp_path / "redis", "--appendonly", "no", "--save", "3600 1") as (url, client):
        beat(url)
        client.bgsave()
        wait_for(lambda: client.info("persistence")["rdb_last_bgsave_time_sec"] >= 0)  # type: ignore[index]
        client.set("one", "more")
        parts = found(doctor("--json", REELKEEP_REDIS_URL=url, REELKEEP_BROKER_URL=url))
        status, body = ready(url)
    assert parts["redis persistence"]["level"] == "warning"
    assert "keeps snapshots only" in parts["redis persistence"]["text"]
    assert "it would lose 1 change," in parts["redis persistence"]["text"]
    assert status == 200
    assert "keeps snapshots only" in body["warnings"][0]


@pytest.mark.parametrize(
    ("share", "policy", "level", "status"),
    [
        (0.70, "noeviction", "ok", 200),
        (0.85, "noeviction", "warning", 200),
        (0.95, "noeviction", "problem", 503),
        (0.95, "allkeys-lru", "problem", 503),
    ],
)
def test_memory_near_its_limit(doctor: Run, tmp_path: Path, share: float, policy: str, level: str, status: int) -> None:
    with serving(tmp_path / "redis") as (url, client):
        beat(url)
        # Large enough that what connections take plays no part.
        client.setrange("ballast", 64 * 1024**2, "x")
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", int(client.info("memory")["used_memory"] / share))  # type: ignore[index]
        parts = found(doctor("--json", REELKEEP_REDIS_URL=url, REELKEEP_BROKER_URL=url))
        answered, body = ready(url)
    assert parts["redis memory"]["level"] == level
    assert answered == status
    assert (body["checks"]["redis"] == "ok") is (status == 200)
    said = body["warnings"] if status == 200 else [body["checks"]["redis"]]
    assert any("% of maxmemory" in text for text in said) is (level != "ok")


def test_a_replica_is_a_problem(doctor: Run, redis_url: str, redis_port: int, tmp_path: Path) -> None:
    beat(redis_url)
    with serving(tmp_path / "redis", "--replicaof", "127.0.0.1", str(redis_port)) as (url, client):
        wait_for(lambda: client.info("replication")["master_link_status"] == "up")  # type: ignore[index]
        parts = found(doctor("--json", REELKEEP_REDIS_URL=url, REELKEEP_BROKER_URL=url))
        status, body = ready(url)
        broker = found(doctor("--json", REELKEEP_BROKER_URL=url))["broker"]
    assert parts["redis"]["level"] == "problem"
    assert "a replica answers" in parts["redis"]["text"]
    assert "REELKEEP_REDIS_URL" in parts["redis"]["mend"]
    assert (status, body["status"]) == (503, "not ready")
    assert "a replica answers" in body["checks"]["redis"]
    assert (broker["level"], "a replica answers" in broker["text"]) == ("problem", True)


def test_a_redis_that_may_not_be_asked_is_said_to_be_unknown(doctor: Run, tmp_path: Path) -> None:
    with serving(tmp_path / "redis") as (url, client):
        beat(url)
        client.execute_command("ACL", "SETUSER", "reelkeep", "on", ">planted-redis-password", "~*", "+@all", "-info")
        named = url.replace("//", "//reelkeep:planted-redis-password@")
        parts = found(doctor("--json", REELKEEP_REDIS_URL=named, REELKEEP_BROKER_URL=named))
        status, body = ready(named)
    assert parts["redis"]["level"] == "warning"
    assert "INFO is refused" in parts["redis"]["text"]
    assert "redis memory" not in parts
    assert (parts["broker"]["level"], parts["fleet"]["level"]) == ("ok", "ok")
    assert (status, len(body["warnings"])) == (200, 1)


def test_no_right_is_needed_that_managed_services_deny(doctor: Run, tmp_path: Path) -> None:
    with serving(tmp_path / "redis") as (url, client):
        beat(url)
        client.execute_command(
            "ACL", "SETUSER", "reelkeep", "on", ">planted-redis-password", "~*", "+@all", "-@dangerous", "+info"
        )
        named = url.replace("//", "//reelkeep:planted-redis-password@")
        parts = found(doctor("--json", REELKEEP_REDIS_URL=named, REELKEEP_BROKER_URL=named))
        status, body = ready(named)
    assert {name for name, row in parts.items() if row["level"] != "ok"} == {"settings"}
    assert (status, body["warnings"]) == (200, [])


def test_a_wrong_password_is_not_shown(doctor: Run, tmp_path: Path) -> None:
    with serving(tmp_path / "redis") as (url, client):
        client.config_set("requirepass", "other")
        wrong = url.replace("//", "//:planted-redis-password@")
        parts = found(doctor("--json", REELKEEP_REDIS_URL=wrong, REELKEEP_BROKER_URL=f"{wrong}?password={SECRETS[0]}"))
    assert parts["redis"]["level"] == "problem"
    assert "password" in parts["redis"]["text"]


# --- broker --------------------------------------------------------------------------------------------------------------


def test_where_messages_are_kept(doctor: Run, redis_url: str, tmp_path: Path) -> None:
    with serving(tmp_path / "redis") as (other, _):
        said = {
            url: found(doctor("--json", REELKEEP_BROKER_URL=url))["broker"]
            for url in ("", redis_url, other, redis_url.replace("127.0.0.1", "localhost"), "memory://")
        }
    own, same, elsewhere, alias, memory = said.values()
    assert own == same
    assert (own["level"], "FLUSHDB would empty the ledger" in own["text"]) == ("ok", True)
    assert (elsewhere["level"], "a server of its own" in elsewhere["text"]) == ("ok", True)
    assert (alias["level"], "under another name" in alias["text"]) == ("warning", True)
    assert (memory["level"], "apart from the ledger" in memory["text"]) == ("ok", True)


@pytest.mark.parametrize("scheme", ["redis", "amqp", "nonsense"])
def test_a_broker_that_is_not_there_is_a_problem(doctor: Run, scheme: str) -> None:
    url = f"{scheme}://user:planted-redis-password@127.0.0.1:{free_port()}//"
    broker = found(doctor("--json", REELKEEP_BROKER_URL=url))["broker"]
    assert broker["level"] == "problem"
    assert f"{scheme}://127.0.0.1:" in broker["text"]
    assert "REELKEEP_BROKER_URL" in broker["mend"]


# --- bucket --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"REELKEEP_S3_BUCKET": ""}, "no bucket is set"),
        ({"REELKEEP_S3_BUCKET": "missing"}, "there is no such bucket"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "access refused"),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}, "nothing answers at http://127.0.0.1:1"),
        ({"AWS_ENDPOINT_URL_S3": "not a url"}, "no S3 client can be made"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_a_problem(doctor: Run, changes: dict[str, str], words: str) -> None:
    bucket = found(doctor("--json", **changes))["bucket"]
    assert bucket["level"] == "problem"
    assert words in bucket["text"]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """The answers of a store that we cannot run here."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    client = make_client()
    with Stubber(client) as stubber:
        monkeypatch.setattr(bucket_probe, "make_client", lambda **_: client)
        stubber.add_response("head_bucket", {})
        stubber.add_client_error("head_object", "404", "Not Found", 404)
        yield stubber
        stubber.assert_no_pending_responses()


def probe() -> list[Remark]:
    return bucket_probe.probe_bucket("reels", "veo/.parts/")


SHA256 = base64.b64encode(hashlib.sha256(bucket_probe.BODY).digest()).decode()
HEAD = {"ContentLength": len(bucket_probe.BODY), "ChecksumSHA256": SHA256}
WRONG = {"service_error_code": "BadDigest", "http_status_code": 400}
REFUSED = {"service_error_code": "AccessDenied", "http_status_code": 403}


def read(content: bytes = bucket_probe.BODY) -> dict[str, Any]:
    return {"Body": StreamingBody(io.BytesIO(content), len(content))}


def test_a_right_that_is_missing_is_named_and_the_probe_is_deleted_all_the_same(store: Stubber) -> None:
    store.add_client_error("put_object", **REFUSED)
    store.add_response("delete_object", {})
    [remark] = probe()
    assert remark.level is Level.PROBLEM
    assert remark.text.endswith(": cannot store: AccessDenied: allow s3:PutObject")
    assert "s3:PutObject" in remark.mend


def test_a_store_that_gives_something_else_back_is_a_problem(store: Stubber) -> None:
    store.add_response("put_object", {})
    store.add_client_error("put_object", **WRONG)
    store.add_response("head_object", HEAD)
    store.add_response("get_object", read(b"{}"))
    store.add_response("delete_object", {})
    [remark] = probe()
    assert (remark.level, remark.text.endswith("what is read is not what was stored")) == (Level.PROBLEM, True)


def test_a_store_that_compares_checksums_is_noted(store: Stubber) -> None:
    store.add_response("put_object", {})
    store.add_client_error("put_object", **WRONG)
    store.add_response("head_object", HEAD)
    store.add_response("get_object", read())
    store.add_response("delete_object", {})
    [remark] = probe()
    assert (remark.level, remark.text.endswith("; the store compares checksums")) == (Level.OK, True)


def test_a_store_that_compares_none_is_noted(store: Stubber) -> None:
    store.add_response("put_object", {})
    wrong = {"Bucket": "reels", "Key": "veo/.parts/checksum-probe", "Body": ANY, "ChecksumSHA256": ANY}
    store.add_response("put_object", {}, wrong)
    store.add_response("delete_object", {}, {"Bucket": "reels", "Key": "veo/.parts/checksum-probe"})
    store.add_response("get_object", read())
    store.add_response("get_object", read())
    store.add_response("delete_object", {})
    [remark] = probe()
    assert (remark.level, "compares no checksums" in remark.text) == (Level.OK, True)


def test_a_probe_that_may_not_be_deleted_is_named(store: Stubber) -> None:
    store.add_response("put_object", {}, {name: ANY for name in PUT})
    store.add_client_error("put_object", **WRONG)
    store.add_response("head_object", HEAD)
    store.add_response("get_object", read())
    store.add_client_error("delete_object", **REFUSED)
    good, left = probe()
    assert (good.level, left.level) == (Level.OK, Level.WARNING)
    assert "veo/.parts/doctor-" in left.text
    assert left.text.endswith("cannot be deleted: AccessDenied")
    assert left.mend.startswith("allow s3:DeleteObject under veo/.parts/, ")


def test_keys_that_may_not_list_the_bucket_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    client = make_client()
    with Stubber(client) as stubber:
        monkeypatch.setattr(bucket_probe, "make_client", lambda **_: client)
        stubber.add_client_error("head_bucket", "403", "Forbidden", 403)
        [remark] = probe()
    assert (remark.level, remark.text) == (Level.PROBLEM, "bucket reels: access refused")
    assert "may list the bucket (s3:ListBucket)" in remark.mend


def test_the_probe_is_put_where_pieces_are_kept(doctor: Run, redis_url: str) -> None:
    beat(redis_url)
    assert (
        "written and read under films/.parts/;"
        in found(doctor("--json", REELKEEP_S3_PREFIX="films/"))["bucket"]["text"]
    )


PUT = ("Bucket", "Key", "Body", "ContentLength", "ContentType", "ChecksumSHA256", "Metadata", "IfNoneMatch")


# --- vendor and clocks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"REELKEEP_KIE_API_KEY": ""}, "warning", "no vendor key"),
        ({"REELKEEP_CREDITS_WARN_BELOW": "1234.6"}, "warning", "less than REELKEEP_CREDITS_WARN_BELOW (1234.6)"),
        ({"REELKEEP_CREDITS_WARN_BELOW": "1234.5"}, "ok", "the key is taken"),
    ],
)
def test_what_the_account_holds(doctor: Run, changes: dict[str, str], level: str, words: str) -> None:
    vendor = found(doctor("--json", **changes))["vendor"]
    assert vendor["level"] == level
    assert words in vendor["text"]


@pytest.mark.parametrize(
    ("changes", "words", "mend"),
    [
        ({"REELKEEP_KIE_API_KEY": "another-planted-vendor-key"}, "code 401", "check REELKEEP_KIE_API_KEY"),
        ({"REELKEEP_KIE_BASE_URL": "http://127.0.0.1:1"}, "/api/v1/chat/credit: ", "check REELKEEP_KIE_BASE_URL"),
    ],
)
def test_a_vendor_that_does_not_answer_us(doctor: Run, changes: dict[str, str], words: str, mend: str) -> None:
    vendor = found(doctor("--json", **changes))["vendor"]
    assert vendor["level"] == "problem"
    assert words in vendor["text"]
    assert vendor["mend"].startswith(mend)


def test_an_empty_account_is_a_warning(doctor: Run) -> None:
    with Simulator(Options(api_key="planted-vendor-key", credits=0)) as simulator:
        vendor = found(doctor("--json", REELKEEP_KIE_BASE_URL=simulator.url))["vendor"]
    assert (vendor["level"], vendor["mend"]) == ("warning", "top up")
    assert vendor["text"].endswith("0 credits in the account: nothing can be bought")


def test_the_vendors_clock_is_read_without_a_proxy_as_its_api_is(doctor: Run) -> None:
    parts = found(doctor("--json", HTTP_PROXY="http://127.0.0.1:1", NO_PROXY=""))
    assert (parts["clock"]["level"], parts["vendor"]["level"]) == ("ok", "ok")


@contextmanager
def vendor_ahead(seconds: float) -> Iterator[str]:
    """A server whose clock is ahead."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(404)
            self.end_headers()

        do_GET = do_HEAD

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() + seconds)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [
        (60.0, "warning", "the vendor's clock is 60 s ahead of this machine's"),
        (-3600.0, "problem", "the vendor's clock is 60 min behind this machine's"),
    ],
)
def test_a_vendors_clock_that_is_far_off(doctor: Run, ahead: float, level: str, words: str) -> None:
    with vendor_ahead(ahead) as url:
        clock = found(doctor("--json", REELKEEP_KIE_BASE_URL=url))["clock"]
    assert (clock["level"], clock["mend"]) == (level, "have both keep time by NTP")
    assert abs(int(clock["text"].split(" is ")[1].split()[0]) - int(words.split(" is ")[1].split()[0])) <= 2
    assert clock["text"].endswith(words.split(maxsplit=5)[-1])


def test_a_redis_clock_that_is_far_off(doctor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    true = RedisLedger.now
    monkeypatch.setattr(RedisLedger, "now", lambda ledger: true(ledger) - 400)
    clock = found(doctor("--json"))["clock"]
    assert clock["level"] == "problem"
    assert clock["text"].startswith("Redis's clock is 7 min behind")


# --- the front door, and others in the house ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>"), (200, b'"x"'), (404, b"{}"), (302, b"{}")])
def test_a_public_address_that_leads_elsewhere(doctor: Run, status: int, body: bytes) -> None:
    with answering(status, body) as url:
        door = found(doctor("--json", REELKEEP_PUBLIC_URL=url))["front door"]
    assert (door["level"], "REELKEEP_PUBLIC_URL (127.0.0.1)" in door["text"]) == ("warning", True)
    assert "proxy" in door["mend"]


def test_a_public_address_where_nobody_answers(doctor: Run) -> None:
    door = found(doctor("--json", REELKEEP_PUBLIC_URL=f"http://127.0.0.1:{free_port()}"))["front door"]
    assert (door["level"], "nothing that is ours answers" in door["text"]) == ("warning", True)


def test_a_redis_that_others_use_too(doctor: Run, redis_url: str) -> None:
    with redis.Redis.from_url(f"{redis_url[:-1]}7") as client:
        client.set("theirs", 1)
        server = found(doctor("--json"))["redis"]
    assert (server["level"], server["text"]) == ("warning", "others keep keys in this Redis too, in db7")


# --- the fleet, and this machine ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "no sweep has run yet"),
        ({"sweep_at": "1.0", "bucket_at": "1.0"}, "the last sweep was"),
        (
            {"sweep_at": "", "bucket_at": "", "bucket_error": "no such bucket"},
            "the workers report of the bucket: no such",
        ),
    ],
)
def test_a_fleet_that_shows_no_good_signs(doctor: Run, redis_url: str, facts: dict[str, str], words: str) -> None:
    if facts:
        RedisLedger(redis_url).note_health(facts)
    fleet = found(doctor("--json"))["fleet"]
    assert (fleet["level"], words in fleet["text"]) == ("problem", True)


def test_work_that_stays_undone_is_named(doctor: Run, redis_url: str) -> None:
    beat(redis_url).note_fault("mirror/x/result/0", "KeyError in mirror")
    fleet = found(doctor("--json"))["fleet"]
    assert (fleet["level"], "KeyError in mirror" in fleet["text"]) == ("problem", True)


@pytest.mark.parametrize(("free", "level"), [(100 * 1024**2, "problem"), (1024**3, "warning"), (5 * 1024**3, "ok")])
def test_room_for_downloads(doctor: Run, monkeypatch: pytest.MonkeyPatch, free: int, level: str) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr("app.cli.doctor_checks.shutil.disk_usage", lambda _: usage)
    assert found(doctor("--json"))["space"]["level"] == level


# --- when parts are down or wrong ----------------------------------------------------------------------------------------------


def test_with_everything_down_each_part_says_so(doctor: Run) -> None:
    dead = {name: f"http://127.0.0.1:{free_port()}" for name in ("REELKEEP_KIE_BASE_URL", "AWS_ENDPOINT_URL_S3")}
    url = f"redis://127.0.0.1:{free_port()}/0"
    parts = found(doctor("--json", REELKEEP_REDIS_URL=url, REELKEEP_BROKER_URL=url, **dead))
    problems = {name for name, row in parts.items() if row["level"] == "problem"}
    assert problems == {"redis", "broker", "bucket", "vendor", "fleet"}


def test_wrong_settings_are_said_and_the_rest_is_still_looked_at(doctor: Run) -> None:
    result = doctor("--json", REELKEEP_LEASE="soon", REELKEEP_SWEEP_EVERY="-1", REELKEEP_UPGRADES="8k")
    said = [row["text"].partition(": ") for row in json.loads(result.output)["checks"] if row["check"] == "settings"]
    assert [(name, reason[:5]) for name, _, reason in said] == [
        ("REELKEEP_UPGRADES", "must "),
        ("REELKEEP_SWEEP_EVERY", "must "),
        ("REELKEEP_LEASE", "must "),
    ], "all of them at once"
    assert set(found(result)) == {"settings", "space", "python"}


def test_a_check_that_breaks_does_not_hide_the_others(doctor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("planted-user-token")

    monkeypatch.setattr("app.cli.doctor_checks.probe_bucket", break_down)
    parts = found(doctor("--json"))
    assert (parts["bucket"]["level"], parts["bucket"]["text"]) == ("problem", "could not be looked at: RuntimeError")
    assert parts["redis"]["level"] == "ok"


@pytest.mark.parametrize(
    ("broker", "password"),
    [
        ("redis://127.0.0.1:1/0?password=planted-redis-password", "planted-redis-password"),
        ("redis://:planted%20redis%2Fpassword@127.0.0.1:1/1", "planted redis/password"),
        ("redis://:planted%20redis%2Fpassword@127.0.0.1:1/1", "planted%20redis%2Fpassword"),
    ],
)
def test_a_secret_in_a_librarys_words_is_not_shown(
    doctor: Run, monkeypatch: pytest.MonkeyPatch, broker: str, password: str
) -> None:
    said = Remark("bucket", Level.PROBLEM, f"said: {password} {' '.join(SECRETS[1:])}", password)
    monkeypatch.setattr("app.cli.doctor_checks.probe_bucket", lambda *_: [said])
    bucket = found(doctor("--json", REELKEEP_BROKER_URL=broker))["bucket"]
    assert (bucket["text"], bucket["mend"]) == ("said: … … … … …", "…")


def test_parts_that_say_nothing_are_not_waited_for_long(doctor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "LIMIT", 1.0)
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        http, url = f"http://{address}", f"redis://{address}/0"
        silence = {"REELKEEP_KIE_BASE_URL": http, "AWS_ENDPOINT_URL_S3": http}
        parts = found(doctor("--json", REELKEEP_REDIS_URL=url, REELKEEP_BROKER_URL=url, **silence))
    # Closing the server ends the connections, and with them the checks that were left behind.
    assert {name for name, row in parts.items() if row["text"] == "no answer within 1 s"} >= {
        "redis",
        "vendor",
        "bucket",
    }
    assert parts["python"]["level"] == "ok"


# --- events ----------------------------------------------------------------------------------------------------------------


def test_a_receiver_is_only_sent_something_when_that_is_asked_for(doctor: Run) -> None:
    with receiving() as receiver:
        listening = {"EVENTS_URL": receiver.url, "EVENTS_SECRET": SECRET, "EVENTS_INSECURE": "1"}
        env = {f"REELKEEP_{name}": value for name, value in listening.items()}
        quiet = found(doctor("--json", **env))["events"]
        assert (quiet["level"], receiver.got) == ("ok", [])
        assert "reelkeep doctor --events" in quiet["text"]
        told = found(doctor("--json", "--events", **env))["events"]
        assert told["text"].endswith("has taken a test event")
        [arrival] = receiver.got
        assert Webhook(SECRET).verify(arrival.body, arrival.headers)["type"] == "reelkeep.test"
        receiver.statuses = [500]
        refused = doctor("--json", "--events", **env)
        assert found(refused)["events"]["text"].endswith("the receiver answered HTTP 500")
        assert "planted" not in refused.output
        assert SECRET not in refused.output


def test_without_a_receiver_there_is_nobody_to_try(doctor: Run) -> None:
    assert "events" not in found(doctor("--json"))
    assert found(doctor("--json", "--events"))["events"]["mend"] == "set REELKEEP_EVENTS_URL"
