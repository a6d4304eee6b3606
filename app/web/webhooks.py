"""What the API's document says of the events that go to the user's receiver (docs/events.md)."""

import json
from typing import Any

from app.domain.events import AT_RISK, FAILED, LIFETIME, STORED, post
from app.domain.generation import Generation
from app.domain.news import News

TEXTS = {
    STORED: (
        "A file is in the bucket",
        "Whole, checked and confirmed by the store: one event for each file, pictures too.",
    ),
    FAILED: (
        "A file or a generation is given up",
        "A file is given up, an upgrade cannot be had, or a generation has failed or is lost as a whole: then `kind` is null.",
    ),
    AT_RISK: (
        "Something may be lost",
        "It keeps failing, or is long overdue; `until` says when it will be too late.",
    ),
}
#: those of the Standard Webhooks scheme
HEADERS = {
    "webhook-id": "the same for each try, and for the same thing told again: keep those that you have seen",
    "webhook-timestamp": "epoch seconds of this try; libraries refuse what is older than five minutes",
    "webhook-signature": "`v1,` and base64 of HMAC-SHA256 over `<webhook-id>.<webhook-timestamp>.<body>` with one of "
    "`REELKEEP_EVENTS_SECRET`; while secrets are changed several, with spaces between",
}
ANSWERS = {
    "2XX": "it is delivered",
    "410": "you want no more: this event is dropped, and those of the same generation that wait behind it",
    "default": f"it comes again, for {LIFETIME / 3600:g} h; so it does after a redirect, or without an answer in ten seconds",
}


def describe_webhooks(stored: Generation) -> dict[str, Any]:
    """The document's `webhooks`. :param stored: an example: its first file is stored"""
    return {name: {"post": _describe(name, stored)} for name in TEXTS}


def _describe(name: str, stored: Generation) -> dict[str, Any]:
    summary, description = TEXTS[name]
    # `type` stands beside the reference: the same shape for all, and each webhook has one type.
    schema = {"$ref": "#/components/schemas/Event", "properties": {"type": {"const": name}}}
    return {
        "operationId": f"on{''.join(word.capitalize() for word in name.replace('.', '_').split('_'))}",
        "tags": ["events"],
        "summary": summary,
        "description": description,
        "security": [],
        "parameters": [
            {"name": header, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for header, text in HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema, **({"example": _example(stored)} if name == STORED else {})}
            },
        },
        "responses": {status: {"description": text} for status, text in ANSWERS.items()},
    }


def _example(stored: Generation) -> Any:
    record, rendition = stored.model_copy(deep=True), stored.renditions[0]
    at = rendition.stored_at or 0.0
    post(record, [News(at, "rendition.stored", {"kind": rendition.kind, "index": rendition.index})], at)
    return json.loads(record.outbox.events[0].body)
