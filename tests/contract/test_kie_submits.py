"""The vendor's client: what became of a submit, by every kind of answer and of silence (veo-api §1-§3)."""

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

import pytest

from app.adapters.kie import KieVendor
from app.domain.requests import ExtendRequest, GenerateRequest
from app.domain.vendor import OrderProgress, SubmitAnswer, SubmitProgress
from app.domain.work import Kind
from tests.support.waiting import wait_for

CREATED, BUSY = SubmitProgress.CREATED, SubmitProgress.BUSY
REFUSED, UNCERTAIN = SubmitProgress.REFUSED, SubmitProgress.UNCERTAIN
CALLBACK = "https://keep.example/callbacks/veo/s3cret-token"
CAT = GenerateRequest(prompt="a cat")
#: with a usable id, null, an object without one, no `data` at all
OUTCOMES = {
    200: (CREATED, UNCERTAIN, UNCERTAIN, UNCERTAIN),
    400: (CREATED, REFUSED, UNCERTAIN, UNCERTAIN),
    401: (REFUSED, REFUSED, REFUSED, REFUSED),
    402: (REFUSED, REFUSED, REFUSED, REFUSED),
    404: (REFUSED, REFUSED, REFUSED, REFUSED),
    408: (CREATED, REFUSED, UNCERTAIN, UNCERTAIN),
    422: (REFUSED, REFUSED, REFUSED, REFUSED),
    429: (BUSY, BUSY, BUSY, BUSY),
    433: (REFUSED, REFUSED, REFUSED, REFUSED),
    451: (CREATED, REFUSED, UNCERTAIN, UNCERTAIN),
    455: (CREATED, BUSY, UNCERTAIN, UNCERTAIN),
    500: (CREATED, REFUSED, UNCERTAIN, UNCERTAIN),
    501: (CREATED, REFUSED, UNCERTAIN, UNCERTAIN),
    505: (CREATED, REFUSED, UNCERTAIN, UNCERTAIN),
    203: (CREATED, UNCERTAIN, UNCERTAIN, UNCERTAIN),
    503: (CREATED, UNCERTAIN, UNCERTAIN, UNCERTAIN),
}
DATA: tuple[dict[str, Any], ...] = ({"data": {"taskId": "t1"}}, {"data": None}, {"data": {}}, {})
ROWS = [(code, data, progress) for code, row in OUTCOMES.items() for data, progress in zip(DATA, row, strict=True)]


def _submit(kie: KieVendor) -> SubmitAnswer:
    answer = kie.submit(CAT, CALLBACK)
    assert "s3cret" not in repr(answer)
    assert "?" not in answer.msg
    return answer


@contextmanager
def _serving(behave: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server that treats each connection in its own way, and then closes it. Gives its host and port."""
    stopping = threading.Event()

    def treat(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            behave(connection)

    def accept(server: socket.socket) -> None:
        while True:
            connection, _ = server.accept()
            if stopping.is_set():
                connection.close()
                return
            threading.Thread(target=treat, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, args=(server,), daemon=True)
        thread.start()
        host, port = server.getsockname()
        yield f"{host}:{port}"
        stopping.set()
        socket.create_connection((host, port)).close()
        thread.join()


def _read_request(connection: socket.socket) -> None:
    received = b""
    while b'"a cat"' not in received:
        received += connection.recv(65536)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _kie(address: str, timeout: tuple[float, float] = (10.0, 20.0)) -> KieVendor:
    return KieVendor("s3cret-key", address, timeout=timeout)


# --- what is sent --------------------------------------------------------------------------------------------------------


def test_a_generation_is_sent_with_its_fields_and_callback(script: Any, kie: KieVendor) -> None:
    script.says({"code": 200, "msg": "success", "data": {"taskId": "t1"}})
    request = GenerateRequest(
        prompt="a cat", model="veo3", image_urls=["https://x.example/a.png"], watermark="me", seeds=12345
    )
    kie.submit(request, CALLBACK)
    body = {
        "prompt": "a cat",
        "model": "veo3",
        "imageUrls": ["https://x.example/a.png"],
        "aspect_ratio": "16:9",
        "enableTranslation": True,
        "enableFallback": False,
        "watermark": "me",
        "seeds": 12345,
        "callBackUrl": CALLBACK,
    }
    assert script.asked == [("POST", "/api/v1/veo/generate", body)]


def test_an_extension_is_sent_with_its_fields(script: Any, kie: KieVendor) -> None:
    script.says({"code": 200, "msg": "success", "data": {"taskId": "t2"}})
    answer = kie.submit(ExtendRequest(task_id="t1", prompt="and a dog", model="quality"), None)
    assert answer == SubmitAnswer(CREATED, 200, "success", "t2")
    body = {"taskId": "t1", "prompt": "and a dog", "model": "quality"}
    assert script.asked == [("POST", "/api/v1/veo/extend", body)]


# --- what is answered ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(("code", "data", "progress"), ROWS)
def test_each_code_has_its_outcome_whatever_the_status(
    script: Any, kie: KieVendor, code: int, data: dict[str, Any], progress: SubmitProgress, status: int
) -> None:
    script.says({"code": code, "msg": "words"} | data, status)
    answer = _submit(kie)
    assert (answer.progress, answer.code, answer.msg) == (progress, code, "words")
    assert answer.task_id == ("t1" if progress is CREATED else None)
    assert answer.pause == (10 if code == 429 else None)
    assert len(script.asked) == 1


@pytest.mark.parametrize("msg", ["Record does not exist", "something never heard of", "4k is processing", ""])
def test_a_422_is_a_refusal_in_any_wording(script: Any, kie: KieVendor, msg: str) -> None:
    script.says({"code": 422, "msg": msg, "data": None})
    assert _submit(kie).progress is REFUSED


@pytest.mark.parametrize(
    ("data", "task_id"),
    [
        ({"taskId": "t1"}, "t1"),
        ({"task_id": "t1"}, "t1"),
        ({"taskId": None, "task_id": "t1"}, "t1"),
        ({"taskId": "../t1"}, None),
        ({"taskId": ""}, None),
        ({"taskId": 7}, None),
        ("t1", None),
        (["t1"], None),
    ],
)
def test_only_a_usable_id_is_proof_of_a_creation(script: Any, kie: KieVendor, data: Any, task_id: str | None) -> None:
    script.says({"code": 200, "msg": "success", "data": data})
    answer = _submit(kie)
    assert (answer.progress, answer.task_id) == (CREATED if task_id else UNCERTAIN, task_id)


@pytest.mark.parametrize(
    ("body", "status", "progress"),
    [
        ("error code: 1010", 403, BUSY),
        ("error code: 1010\n", 403, BUSY),
        ("error code: 1010", 200, UNCERTAIN),
        ("error code: 524", 403, UNCERTAIN),
        ("<html>error code: 1010</html>", 403, UNCERTAIN),
        ({"code": 403, "msg": "error code: 1010"}, 403, UNCERTAIN),
        ("Too Many Requests", 429, BUSY),
        ("", 429, BUSY),
        ({"msg": "too often"}, 429, BUSY),
        ({"code": 1015, "msg": "too often"}, 429, BUSY),
        ({"code": 500, "msg": "no"}, 429, UNCERTAIN),
        ({"code": 200, "msg": "success", "data": {"taskId": "t1"}}, 429, CREATED),
        ("<html>Bad Gateway</html>", 502, UNCERTAIN),
        ("<html>Not Found</html>", 404, UNCERTAIN),
        ("<html>Unauthorized</html>", 401, UNCERTAIN),
        ("", 200, UNCERTAIN),
        ('{"code":200,"msg":"success","data":{"taskId":"t1"', 200, UNCERTAIN),
        ([200], 200, UNCERTAIN),
        ({"data": {"taskId": "t1"}}, 200, UNCERTAIN),
        ({"code": "200", "data": {"taskId": "t1"}}, 200, CREATED),
        (b'\xef\xbb\xbf{"code":200,"data":{"taskId":"t1"}}', 200, CREATED),
        ({"code": None, "data": {"taskId": "t1"}}, 200, UNCERTAIN),
        (b'{"code":200,"data":{"taskId":"t1"}}' + b" " * (4 * 1024 * 1024), 200, UNCERTAIN),
    ],
)
def test_without_a_code_the_wire_decides(
    script: Any, kie: KieVendor, body: Any, status: int, progress: SubmitProgress
) -> None:
    script.says(body, status)
    answer = _submit(kie)
    assert answer.progress is progress
    assert (answer.pause is not None) == (status == 429 and progress is BUSY)


def test_a_redirect_is_not_followed_by_a_purchase(script: Any, kie: KieVendor) -> None:
    script.says("moved", 307, Location="/elsewhere")
    assert _submit(kie).progress is UNCERTAIN
    assert len(script.asked) == 1


@pytest.mark.parametrize("code", [400, 422, 500])
def test_no_secret_in_the_vendors_words_is_kept(script: Any, kie: KieVendor, code: int) -> None:
    words = f"s3cret-key cannot call {CALLBACK} about https://x.example/a.png?sig=s3cret"
    script.says({"code": code, "msg": words, "data": None})
    read = "… cannot call https://keep.example/callbacks/veo/… about https://x.example/a.png?…"
    assert kie.submit(CAT, CALLBACK).msg == read


# --- how long to pause -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "pause"),
    [
        (None, 10),
        ("7", 7),
        (" 2.5 ", 2.5),
        ("0", 1),
        ("86400", 300),
        ("9" * 5000, 10),
        ("-5", 10),
        ("soon", 10),
        ("nan", 10),
        ("²", 10),
        ("", 10),
        ("Thu, 99 Aug 2026 12:00:42 GMT", 10),
    ],
)
def test_the_pause_is_the_vendors_within_bounds(script: Any, kie: KieVendor, given: str | None, pause: float) -> None:
    script.says({"code": 429, "data": None}, 429, **({} if given is None else {"Retry_After": given}))
    answer = _submit(kie)
    assert (answer.progress, answer.pause) == (BUSY, pause)


@pytest.mark.parametrize(
    ("date", "until", "pause"),
    [
        # The server's clock need not be ours.
        ("Thu, 06 Aug 2020 12:00:00 GMT", "Thu, 06 Aug 2020 12:00:42 GMT", 42),
        ("Thu, 06 Aug 2020 12:00:00 GMT", "Thu, 06 Aug 2020 12:00:42 -0000", 42),
        ("Thu, 06 Aug 2020 12:00:00 GMT", "Fri, 07 Aug 2020 12:00:00 GMT", 300),
        ("Thu, 06 Aug 2020 12:00:00 GMT", "Wed, 05 Aug 2020 12:00:00 GMT", 1),
        ("no date", "Thu, 06 Aug 2020 12:00:42 GMT", 1),
        ("no date", "Fri, 06 Aug 2100 12:00:42 GMT", 300),
    ],
)
def test_the_pause_may_end_at_a_date_by_the_servers_clock(date: str, until: str, pause: float) -> None:
    def behave(connection: socket.socket) -> None:
        _read_request(connection)
        lines = ["HTTP/1.1 429 Too Many Requests", f"Date: {date}", f"Retry-After: {until}", "Content-Length: 0"]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())

    with _serving(behave) as address:
        answer = _submit(_kie(f"http://{address}"))
    assert (answer.progress, answer.code, answer.pause) == (BUSY, 429, pause)


# --- what never comes back -------------------------------------------------------------------------------------------------


def test_a_server_that_closes_after_the_request_may_have_created() -> None:
    with _serving(_read_request) as address:
        assert _submit(_kie(f"http://{address}")).progress is UNCERTAIN


def test_a_server_that_breaks_off_after_the_request_may_have_created() -> None:
    def behave(connection: socket.socket) -> None:
        _read_request(connection)
        _reset(connection)

    with _serving(behave) as address:
        assert _submit(_kie(f"http://{address}")).progress is UNCERTAIN


def test_an_answer_that_breaks_off_may_have_created() -> None:
    def behave(connection: socket.socket) -> None:
        _read_request(connection)
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"code":200,"data":{"taskId":"t1"}}')

    with _serving(behave) as address:
        assert _submit(_kie(f"http://{address}")).progress is UNCERTAIN


def test_what_is_no_http_may_have_created() -> None:
    def behave(connection: socket.socket) -> None:
        _read_request(connection)
        connection.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n")

    with _serving(behave) as address:
        assert _submit(_kie(f"http://{address}")).progress is UNCERTAIN


def test_silence_may_have_created(script: Any, impatient: KieVendor) -> None:
    script.says(None)
    answer = _submit(impatient)
    wait_for(lambda: script.asked)
    assert (answer.progress, answer.msg) == (UNCERTAIN, "/api/v1/veo/generate: ReadTimeout")
    assert len(script.asked) == 1


def test_a_refused_connection_has_created_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    answer = _submit(_kie(f"http://127.0.0.1:{port}"))
    assert answer == SubmitAnswer(BUSY, msg="/api/v1/veo/generate: NewConnectionError")


def test_a_name_without_an_address_has_created_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)  # the name service is no part of the test
    answer = _submit(_kie("https://api.example"))
    assert answer == SubmitAnswer(BUSY, msg="/api/v1/veo/generate: NameResolutionError")


def test_a_connection_that_is_not_made_in_time_has_created_nothing() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        waiting = [socket.socket() for _ in range(4)]  # fills the queue, in which nobody is served
        try:
            for client in waiting:
                client.setblocking(False)
                client.connect_ex(address)
            answer = _submit(_kie(f"http://127.0.0.1:{address[1]}", timeout=(0.3, 5.0)))
        finally:
            for client in waiting:
                client.close()
    assert answer == SubmitAnswer(BUSY, msg="/api/v1/veo/generate: ConnectTimeoutError")


def test_a_port_without_tls_has_created_nothing(script: Any) -> None:
    script.says({"code": 200, "data": {"taskId": "t1"}})
    answer = _submit(_kie(script.url.replace("http:", "https:")))
    assert answer == SubmitAnswer(BUSY, msg="/api/v1/veo/generate: SSLError")
    assert script.asked == []


@pytest.mark.parametrize("last", ["nothing", "close", "reset", "silence"])
def test_a_tls_handshake_that_comes_to_nothing_has_created_nothing(last: str) -> None:
    stopping = threading.Event()

    def behave(connection: socket.socket) -> None:
        if last != "nothing":
            connection.recv(65536)
        if last == "reset":
            _reset(connection)
        if last == "silence":
            stopping.wait(10)

    with _serving(behave) as address:
        answer = _submit(_kie(f"https://{address}", timeout=(0.5, 0.5)))
        stopping.set()
    assert (answer.progress, answer.code, answer.pause) == (BUSY, 0, None)


@pytest.mark.parametrize("base_url", ["http://", "ftp://127.0.0.1", "127.0.0.1", "http://[", "http://127.0.0.1:port"])
def test_an_address_that_is_none_has_created_nothing(base_url: str) -> None:
    assert _submit(_kie(base_url)).progress is BUSY


@pytest.mark.parametrize("form", ["veo", "jobs"])
def test_a_purchase_does_not_go_over_a_kept_connection(form: Literal["veo", "jobs"]) -> None:
    """A server that has just given a kept connection up: nobody could tell whether the purchase arrived."""
    envelope = b'{"code":200,"msg":"","data":{"taskId":"t1"}}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(envelope), envelope)

    def behave(connection: socket.socket) -> None:
        asked = connection.recv(65536)
        connection.sendall(answer)
        if re.match(rb"GET \S+(record-info|recordInfo)", asked) and connection.recv(1):
            _reset(connection)

    with _serving(behave) as address:
        kie = KieVendor("s3cret-key", f"http://{address}", form=form)
        kie.ask_details("t1")
        assert [_submit(kie).progress for _ in range(3)] == [CREATED] * 3
        for kind in (Kind.HD, Kind.UHD):
            assert kie.ask_upgrade(kind, "t1", 0, None).progress is OrderProgress.ORDERED
