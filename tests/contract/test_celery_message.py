"""Our hand-written message against the one that Celery itself sends, so that an upgrade that changes the protocol is noticed."""

import json
from collections.abc import Iterator
from queue import Empty
from typing import Any

import pytest
from celery import Celery
from kombu import Connection
from kombu.transport.virtual import Message

from app.adapters.celery_message import ID, ITEM, message_template
from app.domain.work import LANES, Item, Kind, Step, task_name

#: what differs between any two messages, or names their sender
OWN_HEADERS = {"id", "root_id", "origin"}
OWN_PROPERTIES = {"correlation_id", "delivery_tag", "reply_to"}
ITEMS = {
    Step.SUBMIT: Item(Step.SUBMIT, "sub_0819326cc7fddfd620baf6e1f0db7e2b"),
    Step.SETTLE: Item(Step.SETTLE, "veo_task_abcdef123456"),
    Step.MANIFEST: Item(Step.MANIFEST, "0819326cc7fddfd620baf6e1f0db7e2b"),
    Step.UPGRADE: Item(Step.UPGRADE, "t1", Kind.UHD, 0),
    Step.MIRROR: Item(Step.MIRROR, "t" * 128, Kind.RESULT, 31),
}


@pytest.fixture
def celery() -> Iterator[Celery]:
    """A Celery app of its own, set as the workers' is, on kombu's virtual transport in memory."""
    app = Celery("contract", broker="memory://", set_as_current=False)
    app.conf.update(task_ignore_result=True, task_serializer="json", accept_content=["json"])
    yield app
    app.close()


@pytest.fixture
def connection(celery: Celery) -> Iterator[Connection]:
    with celery.connection_for_read() as connection:
        yield connection


def _write(step: Step, message_id: str = "settle.t1.7") -> dict[str, Any]:
    """Our message, filled in as the ledger's script does it."""
    text = message_template(step).replace(ITEM, str(ITEMS[step])).replace(ID, message_id)
    message: dict[str, Any] = json.loads(text)
    return message


def _send(celery: Celery, connection: Connection, step: Step) -> dict[str, Any]:
    """Celery's message, as its transport lays it on the queue."""
    queue = f"{LANES[step].queue}"
    channel: Any = connection.default_channel
    channel.queue_declare(queue)
    # A task that is sent by its name alone does not say that nobody waits for its result; the workers' own tasks do.
    options = {"queue": queue, "connection": connection, "ignore_result": True}
    celery.send_task(task_name(step), kwargs={"item": str(ITEMS[step])}, **options)
    message: dict[str, Any] = channel._get(queue)
    with pytest.raises(Empty):
        channel._get(queue)
    return message


def _decode(connection: Connection, message: dict[str, Any]) -> Message:
    return Message(message, channel=connection.default_channel, accept={"application/json"})


@pytest.fixture(params=LANES)
def step(request: pytest.FixtureRequest) -> Step:
    """Each step once."""
    return Step(request.param)


def test_its_outer_fields_are_those_of_celerys(celery: Celery, connection: Connection, step: Step) -> None:
    ours, theirs = _write(step), _send(celery, connection, step)
    assert ours.keys() == theirs.keys()
    assert ours["content-type"] == theirs["content-type"]
    assert ours["content-encoding"] == theirs["content-encoding"]


def test_its_headers_are_those_of_celerys(celery: Celery, connection: Connection, step: Step) -> None:
    ours, theirs = _write(step)["headers"], _send(celery, connection, step)["headers"]
    assert ours.keys() == theirs.keys()
    # Through JSON: a tuple of Celery's is a list on the wire.
    theirs = json.loads(json.dumps(theirs))
    assert _without(ours, OWN_HEADERS) == _without(theirs, OWN_HEADERS)
    assert {name: type(ours[name]) for name in OWN_HEADERS} == dict.fromkeys(OWN_HEADERS, str)


def test_its_properties_are_those_of_celerys(celery: Celery, connection: Connection, step: Step) -> None:
    ours, theirs = _write(step)["properties"], _send(celery, connection, step)["properties"]
    assert ours.keys() <= theirs.keys()
    # Left out: where to answer (nobody waits), and the body's encoding (ours is plain text, which kombu reads too).
    assert theirs.keys() - ours.keys() == {"reply_to", "body_encoding"}
    assert _without(ours, OWN_PROPERTIES) == _without(theirs, {*OWN_PROPERTIES, "body_encoding"})


def test_a_worker_reads_the_same_body_from_both(celery: Celery, connection: Connection, step: Step) -> None:
    ours = _decode(connection, _write(step))
    theirs = _decode(connection, _send(celery, connection, step))
    assert ours.decode() == theirs.decode()
    args, kwargs, _ = ours.decode()
    assert (args, kwargs) == ([], {"item": str(ITEMS[step])})


def test_a_worker_sees_the_same_message_around_both(celery: Celery, connection: Connection, step: Step) -> None:
    ours = _decode(connection, _write(step))
    theirs = _decode(connection, _send(celery, connection, step))
    for name in ("content_type", "content_encoding", "delivery_info"):
        assert getattr(ours, name) == getattr(theirs, name), name


def test_its_ids_agree_with_each_other(step: Step) -> None:
    message = _write(step, "mirror.t1.42")
    headers, properties = message["headers"], message["properties"]
    assert {headers["id"], headers["root_id"], properties["correlation_id"], properties["delivery_tag"]} == {
        "mirror.t1.42"
    }


def test_celery_writes_the_same_protocol_when_asked_directly(celery: Celery, step: Step) -> None:
    made = celery.amqp.as_task_v2("settle.t1.7", task_name(step), kwargs={"item": str(ITEMS[step])}, ignore_result=True)
    ours = _write(step)
    assert made.headers.keys() == ours["headers"].keys()
    assert json.loads(json.dumps(made.body)) == json.loads(ours["body"])


def test_no_placeholder_is_left(step: Step) -> None:
    assert "@" not in json.dumps(_write(step))


def test_it_can_be_kept_in_a_long_string_of_the_ledgers_script(step: Step) -> None:
    assert "]==]" not in message_template(step)
    assert "\n" not in message_template(step)


def _without(fields: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}
