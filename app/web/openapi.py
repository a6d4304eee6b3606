"""`GET /openapi.json`: the API's own document (OpenAPI 3.1), made from the models that requests are checked with and the types
that answers are built by. What pydantic cannot know stands in `operations`."""

import json
from typing import Any

from flask import Blueprint, Response, request
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from app.domain.requests import ExtendRequest, GenerateRequest
from app.domain.shapes import EventView, GenerationView
from app.web.answers import AccountView, AliveView, CallbackAnswer, PageView, ProblemView, ReadyView
from app.web.operations import EXAMPLE, INTRODUCTION, OPERATIONS, TAGS, Answer, Operation
from app.web.reading import ListQuery, TrackBody, UpgradeBody, Wishes
from app.web.webhooks import describe_webhooks

_REF = "#/components/schemas/{model}"
_READ: tuple[Any, ...] = (GenerateRequest, ExtendRequest, Wishes, TrackBody, UpgradeBody, ListQuery)
_WRITTEN: tuple[Any, ...] = (
    EventView,
    GenerationView,
    PageView,
    AccountView,
    AliveView,
    ReadyView,
    ProblemView,
    CallbackAnswer,
)
_VERSION = "1"


def openapi_routes() -> Blueprint:
    """The route. Anybody may read the document: it holds nothing but what is in this repository."""
    routes = Blueprint("openapi", __name__)
    kept: list[bytes] = []

    @routes.get("/openapi.json")
    def get_openapi() -> Response:
        if not kept:
            kept.append(json.dumps(build_document(), ensure_ascii=False).encode())
        answer = Response(kept[0], content_type="application/json")
        answer.headers["Cache-Control"] = "no-cache"  # keep it, and ask whether it is still the same
        answer.add_etag()
        return answer.make_conditional(request)  # type: ignore[return-value]  # werkzeug's type, which is this very answer

    return routes


def build_document() -> dict[str, Any]:
    """The document."""
    schemas = _build_schemas()
    query = schemas.pop("ListQuery")
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _describe(operation, query)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Reelkeep", "version": _VERSION, "description": INTRODUCTION, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "webhooks": describe_webhooks(EXAMPLE),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "one of `REELKEEP_API_TOKENS`",
                },
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Webhook-Signature",
                    "description": "base64 of HMAC-SHA256 over `<task id>.<X-Webhook-Timestamp>` with one of "
                    "`REELKEEP_WEBHOOK_KEYS`. It does not cover the body, so nothing in the body is believed",
                },
            },
        },
    }


class _Untitled(GenerateJsonSchema):
    """Without a title for every field, which would only repeat its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """See pydantic."""
        return False


def _build_schemas() -> dict[str, Any]:
    inputs: list[tuple[Any, Any, TypeAdapter[Any]]] = [(it, "validation", TypeAdapter(it)) for it in _READ]
    inputs += [(it, "serialization", TypeAdapter(it)) for it in _WRITTEN]
    _, shared = TypeAdapter.json_schemas(inputs, ref_template=_REF, schema_generator=_Untitled)
    # What is called `…View` in the code is what users know by the plain name.
    schemas: dict[str, Any] = json.loads(json.dumps(shared["$defs"]).replace('View"', '"'))
    wishes = schemas.pop("Wishes")["properties"]
    schemas["GenerateBody"] = _with_wishes(schemas.pop("GenerateRequest"), wishes)
    schemas["ExtendBody"] = _with_wishes(_without(schemas.pop("ExtendRequest"), "taskId"), wishes)
    schemas["Document"] = {"type": "object"}
    schemas["Metrics"] = {"type": "string"}
    return schemas


def _with_wishes(schema: dict[str, Any], wishes: dict[str, Any]) -> dict[str, Any]:
    return schema | {"properties": schema["properties"] | wishes}


def _without(schema: dict[str, Any], field: str) -> dict[str, Any]:
    properties = {name: it for name, it in schema["properties"].items() if name != field}
    return schema | {"properties": properties, "required": [name for name in schema["required"] if name != field]}


def _describe(operation: Operation, query: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "security": [{operation.security: []}] if operation.security else [],
        "responses": {str(answer.status): _describe_answer(answer) for answer in operation.all_answers},
    }
    parameters = [*operation.parameters]
    if operation.lists:
        parameters += [_describe_parameter(name, schema) for name, schema in query["properties"].items()]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        content = {"schema": operation.body, **({"examples": operation.examples} if operation.examples else {})}
        required = operation.body_required
        described["requestBody"] = {"required": required, "content": {"application/json": content}}
    return described


def _describe_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    schema = dict(schema)
    description = schema.pop("description")
    # Left out is not null: a query has no null.
    for choice in schema.pop("anyOf", []):
        schema |= choice if choice != {"type": "null"} else {}
    if schema.get("default", ...) is None:
        del schema["default"]
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _describe_answer(answer: Answer) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.description}
    if answer.schema:
        content: dict[str, Any] = {"schema": {"$ref": _REF.format(model=answer.schema)}}
        if answer.example is not None:
            content["example"] = answer.example
        described["content"] = {answer.content_type: content}
    if answer.headers:
        described["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
        }
    if answer.links:
        described["links"] = answer.links
    return described
