"""The API's document: whole, valid, and what the routes really are. Whether the server does what it says: `tests/fuzz`."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_31
from werkzeug.test import Client

from app.adapters.redis_ledger import RedisLedger
from app.domain.events import FIELDS, STORED, TYPES
from app.domain.shapes import GenerationView
from app.domain.view import describe
from app.settings import Settings
from app.web.application import build_app
from app.web.openapi import build_document
from app.web.operations import OPERATIONS
from app.web.reading import MOST_PER_PAGE

DOCUMENT = build_document()


@pytest.fixture(scope="module")
def app() -> Flask:
    settings = Settings(allow_unsigned=True)
    return build_app(settings, RedisLedger(settings.redis_url))  # connects on first use, which is never


@pytest.fixture
def client(app: Flask) -> Client:
    return app.test_client()


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(
        schema | {"components": DOCUMENT["components"]}, format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def names(value: Any, key: str) -> Iterator[Any]:
    """All that stands under a key, however deep."""
    if isinstance(value, dict):
        yield from ([value[key]] if key in value and isinstance(value[key], str) else [])
        for inner in value.values():
            yield from names(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from names(inner, key)


def test_every_route_is_described_and_nothing_else(app: Flask) -> None:
    routes = {
        (re.sub(r"<[^>]+>", "{}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith("dashboard.")  # pages for people
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(re.sub(r"{[^}]+}", "{}", path), method) for path, method, _ in operations()} == routes


def test_what_is_referred_to_is_there_and_what_is_there_is_referred_to() -> None:
    referred = set(names(DOCUMENT, "$ref"))
    assert referred == {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    named = {operation["operationId"] for _, _, operation in operations()}
    assert len(named) == len(OPERATIONS)
    named |= {hook["post"]["operationId"] for hook in DOCUMENT["webhooks"].values()}
    assert len(named) == len(OPERATIONS) + 3
    assert {link for link in names(DOCUMENT, "operationId")} == named


def test_every_schema_is_one_and_every_parameter_in_a_path_is_declared() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for path, _, operation in operations():
        declared = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"}
        assert declared == set(re.findall(r"{([^}]+)}", path))
        assert operation["summary"]
        assert operation["description"]


def test_every_example_is_what_its_schema_says() -> None:
    examples = 0
    for path, method, operation in operations():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        pairs = [(body["schema"], example["value"]) for example in body.get("examples", {}).values()]
        for answer in operation["responses"].values():
            for content in answer.get("content", {}).values():
                pairs += [(content["schema"], content["example"])] if "example" in content else []
        pairs += [(it["schema"], it["example"]) for it in operation.get("parameters", ()) if "example" in it]
        for schema, example in pairs:
            faults = [fault.message for fault in validator(schema).iter_errors(example)]
            assert faults == [], (method, path)
            examples += 1
    assert examples > 30


def test_the_document_is_one_of_openapi_3_1() -> None:
    assert [fault.message for fault in Draft202012Validator(OPENAPI_31).iter_errors(DOCUMENT)] == []
    wrong = DOCUMENT | {"webhooks": {"video.stored": {"post": {"parameters": [{"in": "header"}]}}}}
    assert not Draft202012Validator(OPENAPI_31).is_valid(wrong)


@pytest.mark.parametrize("name", sorted(set(TYPES.values())))
def test_every_event_is_a_webhook(name: str) -> None:
    hook = DOCUMENT["webhooks"][name]["post"]
    [(content_type, content)] = hook["requestBody"]["content"].items()
    assert content_type == "application/json"
    example = DOCUMENT["webhooks"][STORED]["post"]["requestBody"]["content"][content_type]["example"]
    assert validator(content["schema"]).is_valid(example) is (name == STORED)
    assert validator(content["schema"]).is_valid(example | {"type": name})
    assert not validator(content["schema"]).is_valid({"type": name, "timestamp": "2026-01-31T12:00:07.250Z"})
    headers = {it["name"] for it in hook["parameters"] if it["in"] == "header" and it["required"]}
    assert headers == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    assert DOCUMENT["components"]["schemas"]["EventData"]["properties"].keys() == {
        *("taskId", "id", "labels", "until"),
        *FIELDS,
    }


def test_errors_are_problems_and_all_else_is_json_but_for_what_prometheus_reads() -> None:
    for path, method, operation in operations():
        for status, answer in operation["responses"].items():
            [content_type] = answer["content"]
            problem = int(status) >= 400 and (path, status) != ("/readyz", "503")
            plain = "text/plain" if path == "/metrics" else "application/json"
            assert content_type == ("application/problem+json" if problem else plain), (
                method,
                path,
                status,
            )


def test_the_users_routes_need_a_token_and_say_so() -> None:
    for path, _, operation in operations():
        scheme = (
            "token" if path.startswith(("/generations", "/account")) else "signature" if "callbacks" in path else None
        )
        assert operation["security"] == ([{scheme: []}] if scheme else [])
        assert ("429" in operation["responses"]) is (scheme == "token" or path == "/metrics")


def test_the_bounds_of_a_page_are_named() -> None:
    query = {it["name"]: it for it in DOCUMENT["paths"]["/generations"]["get"]["parameters"]}
    limit = query["limit"]["schema"]
    assert (limit["minimum"], limit["maximum"], limit["default"], limit["type"]) == (1, MOST_PER_PAGE, 50, "integer")
    assert set(query) == {"state", "limit", "cursor"}
    assert not any(it.get("required") for it in query.values())


def test_what_is_checked_beyond_pydantics_own_rules_is_in_the_schema_too() -> None:
    body = validator({"$ref": "#/components/schemas/GenerateBody"})
    good: list[dict[str, Any]] = [
        {"prompt": "x"},
        {"prompt": "x", "generationType": "TEXT_2_VIDEO"},
        {"prompt": "x", "generationType": "REFERENCE_2_VIDEO", "imageUrls": ["https://e.com/a"] * 3},
    ]
    bad: list[dict[str, Any]] = [
        {"prompt": " "},
        {"prompt": "x", "seeds": 1},
        {"prompt": "x", "seeds": "12345"},
        {"prompt": "x", "taskId": "t1"},
        {"prompt": "x", "callBackUrl": "https://e.com/"},
        {"prompt": "x", "generationType": "REFERENCE_2_VIDEO"},
        {"prompt": "x", "generationType": "TEXT_2_VIDEO", "imageUrls": ["https://e.com/a"]},
        {"prompt": "x", "generationType": "FIRST_AND_LAST_FRAMES_2_VIDEO", "imageUrls": ["https://e.com/a"] * 3},
    ]
    assert [body.is_valid(it) for it in good] == [True] * len(good)
    assert [body.is_valid(it) for it in bad] == [False] * len(bad)
    assert not validator({"$ref": "#/components/schemas/ExtendBody"}).is_valid({"prompt": "x", "taskId": "t1"})


def test_the_document_is_served_to_anybody_and_kept_by_its_etag(client: Client) -> None:
    answer = client.get("/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert json.loads(answer.text) == DOCUMENT
    again = client.get("/openapi.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == answer.headers["ETag"]


def test_the_document_names_no_secret_and_no_machine() -> None:
    text = json.dumps(DOCUMENT)
    assert DOCUMENT["servers"] == [{"url": "/"}]
    assert not [word for word in ("localhost", "127.0.0.1", "/work", "/tmp") if word in text]


def test_an_error_of_ours_is_a_problem_without_its_cause(app: Flask) -> None:
    class Broken:
        def health(self) -> None:
            raise RuntimeError("secret cause")

    broken = build_app(Settings(allow_unsigned=True), Broken())  # type: ignore[arg-type]  # all of it that is asked
    answer = broken.test_client().get("/readyz")
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert answer.get_json()["status"] == 500
    assert "secret cause" not in answer.text


def test_no_field_of_a_generation_is_without_its_place_in_the_document() -> None:
    assert set(DOCUMENT["components"]["schemas"]["Generation"]["properties"]) == set(GenerationView.__annotations__)
    assert describe.__annotations__["return"] is GenerationView
