"""What users send: bodies and queries, checked. All that is wrong is told at once, and each fault names its field."""

from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

from flask import request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from app.domain.ledger import CURSOR
from app.domain.requests import KEY, ExtendRequest, GenerateRequest, explain, read_whole
from app.domain.states import State
from app.domain.work import Kind
from app.web.bodies import read_bytes
from app.web.problems import Problem

MOST_PER_PAGE = 500

Body = TypeVar("Body", bound=BaseModel)
Parsed = TypeVar("Parsed")
Upgrade = Literal["1080p", "4k"]
Label = Annotated[str, StringConstraints(min_length=1, max_length=64)]
LabelValue = Annotated[str, StringConstraints(max_length=256)]
_JSON_OBJECT = TypeAdapter(dict[str, Any])
_KEY: TypeAdapter[str] = TypeAdapter(Annotated[str, StringConstraints(pattern=KEY)])


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Wishes(_Given):
    """What is wanted of a generation besides itself."""

    upgrades: list[Upgrade] = Field(
        default=[], max_length=2, description="bought for its first result as soon as it succeeds, each once"
    )
    labels: dict[Label, LabelValue] = Field(
        default={}, max_length=32, description="your own words; those of equal name are overwritten"
    )

    @property
    def kinds(self) -> list[Kind]:
        """The upgrades."""
        return [Kind(upgrade) for upgrade in self.upgrades]


class TrackBody(Wishes):
    """What is wanted of a generation that was submitted elsewhere."""

    submission: Annotated[str, StringConstraints(pattern=r"^sub_[0-9a-f]{32}$")] | None = Field(
        default=None, description="the submission that it has come of, if you have found that out: settles `uncertain`"
    )


class UpgradeBody(_Given):
    """The upgrade to buy."""

    kind: Upgrade
    index: Annotated[int, Field(ge=0, lt=32, strict=True), BeforeValidator(read_whole)] = Field(
        default=0, description="of which result"
    )


class Nothing(_Given):
    """A body, or a query, with nothing in it."""


def _read_digits(value: object) -> object:
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 6):
        raise ValueError(f"must be a number from 1 to {MOST_PER_PAGE}")
    return value


class ListQuery(_Given):
    """What `GET /generations` lists."""

    state: State | None = Field(default=None, description="those in this state; left out: all")
    limit: Annotated[int, Field(ge=1, le=MOST_PER_PAGE), BeforeValidator(_read_digits)] = Field(
        default=50, description="how many a page holds at most"
    )
    cursor: Annotated[str, StringConstraints(pattern=CURSOR)] | None = Field(
        default=None, description="the `cursor` of the page before, as it is"
    )


def read_query(model: type[Body]) -> Body:
    """The present request's query. :raises Problem: 400"""
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise bad_fields([(name, "is given more than once") for name in repeated])
    try:
        return model.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise bad_fields(explain(error)) from None


def read_body(model: type[Body]) -> Body:
    """The present request's body; an empty one is an empty object. :raises Problem: 400, 413, 415"""
    return _parse(TypeAdapter(model))


def read_request(model: type[GenerateRequest] | type[ExtendRequest], given: dict[str, str] | None = None) -> Any:
    """A body that holds the vendor's fields and our own.

    :param given: fields that the body does not name
    :return: the request and the wishes
    :raises Problem: 400, 413, 415
    """
    fields = _parse(_JSON_OBJECT)
    if given and given.keys() & fields.keys():
        raise bad_fields([(name, "is named by the URL") for name in given.keys() & fields.keys()])
    own = {name: fields.pop(name) for name in Wishes.model_fields if name in fields}
    read: list[Any] = []
    faults: list[tuple[str, str]] = []
    for wanted, values in ((model, fields | (given or {})), (Wishes, own)):
        try:
            read.append(wanted.model_validate(values))
        except ValidationError as error:
            faults += explain(error)
    if faults:
        raise bad_fields(faults)
    return read


def read_key() -> str | None:
    """The present request's idempotency key. :raises Problem: 400"""
    key = request.headers.get("Idempotency-Key")
    try:
        return None if key is None else _KEY.validate_python(key)
    except ValidationError:
        raise bad_fields([("Idempotency-Key", "must have 1 to 255 printable ASCII characters")]) from None


def bad_fields(faults: list[tuple[str, str]]) -> Problem:
    """The problem for faults: field and message each."""
    detail = "; ".join(f"{field}: {message}" for field, message in faults)
    errors = [{"field": field, "message": message} for field, message in faults]
    return Problem(HTTPStatus.BAD_REQUEST, detail, more={"errors": errors})


def _parse(adapter: TypeAdapter[Parsed]) -> Parsed:
    text = read_bytes(request.environ)
    if text and request.content_type and not request.is_json:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type: must be application/json")
    try:
        return adapter.validate_json(text or b"{}")
    except ValidationError as error:
        raise bad_fields(explain(error)) from None
