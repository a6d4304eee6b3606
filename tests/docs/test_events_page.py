"""The receiver on the page of events does what the page says."""

import json
from typing import Any

import pytest

from app.adapters.notifier import HttpNotifier
from app.domain.errors import NotDelivered
from app.domain.events import AT_RISK, FAILED, FIELDS, STORED, TEST
from app.domain.outbox import Event
from tests.integration.desk import served
from tests.support.pages import ROOT, read_blocks

PAGE = ROOT / "docs/events.md"


def _block(language: str) -> str:
    [text] = [block.text for block in read_blocks(language) if block.page == PAGE]
    return text


def test_the_example_takes_each_event_once_and_nobody_elses() -> None:
    names: dict[str, Any] = {}
    exec(_block("python"), names)
    event = Event(id="evt_1", type=STORED, at=0.0, body=_block("json"))
    with served(names["app"]) as url:
        notifier = HttpNotifier(f"{url}/hook", [names["SECRET"]], insecure=True)
        notifier.deliver(event)
        notifier.deliver(event)
        stranger = HttpNotifier(f"{url}/hook", ["whsec_" + "QUFB" * 10], insecure=True)
        with pytest.raises(NotDelivered, match="HTTP 401"):
            stranger.deliver(event)
    assert names["videos"] == [json.loads(event.body)["data"]["key"]]


def test_the_event_that_is_shown_has_the_fields_that_events_have() -> None:
    assert list(json.loads(_block("json"))["data"]) == ["taskId", "id", "labels", *FIELDS]


@pytest.mark.parametrize("name", [STORED, FAILED, AT_RISK, TEST])
def test_each_type_is_explained(name: str) -> None:
    assert f"`{name}`" in PAGE.read_text()
