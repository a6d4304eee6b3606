"""The vendor's answers, typed. What is odd is read as missing, and never an error: answers of undocumented shape must not stop
the work (veo-api §4, §8, §13)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator
from pydantic.alias_generators import to_camel

from app.domain.asked import NOTHING_ASKED, Asked
from app.domain.callbacks import read_code, read_json, read_number, read_text
from app.domain.urls import Urls, collect_urls
from app.domain.vendor import Progress, Verdict
from app.domain.work import Kind, is_task_id

#: a backslash, with what may stand behind it in JSON
_ESCAPE = re.compile(r'\\(["\\/bfnrtu]?)')


def read_fields(value: object) -> Mapping[str, object]:
    """An object, or a JSON string of one; anything else is an empty one."""
    value = read_json(value)
    return value if isinstance(value, Mapping) else {}


def _read_asked(value: object) -> Asked:
    """What a record repeats of the request (veo-api §8, §13)."""
    params = _read_params(value)
    return Asked.read({**params, "input": _read_params(params.get("input"))})


def _read_params(value: object) -> Mapping[str, object]:
    """As `read_fields`. As in callbacks, a URL in it may break its JSON: `\\h` (veo-api §4)."""
    if isinstance(value, str):
        value = _ESCAPE.sub(lambda found: found[0] if found[1] else "", value)
    return read_fields(value)


def _read_time(value: object) -> float | None:
    """Epoch seconds, from epoch milliseconds or a date in either spelling; one without a zone is taken for UTC (veo-api §8)."""
    number = read_number(value)
    if number is not None or not isinstance(value, str):
        return number and number / 1000
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


Code = Annotated[int | None, PlainValidator(read_code)]
Text = Annotated[str, PlainValidator(read_text)]
Number = Annotated[float | None, PlainValidator(read_number)]
Time = Annotated[float | None, PlainValidator(_read_time)]
Flag = Annotated[bool | None, PlainValidator(lambda value: value is True)]
TaskId = Annotated[str | None, PlainValidator(lambda value: value if is_task_id(value) else None)]
Fields = Annotated[Mapping[str, object], PlainValidator(read_fields)]
AskedFor = Annotated[Asked, PlainValidator(_read_asked)]


class Envelope(BaseModel):
    """What every answer comes in (veo-api §1)."""

    model_config = ConfigDict(frozen=True)

    code: Code = None
    msg: Text = ""
    data: Any = None

    @property
    def says_null(self) -> bool:
        """Whether `data` is there and null, which for some codes means that nothing was created (veo-api §1)."""
        return "data" in self.model_fields_set and self.data is None


class Data(BaseModel):
    """An answer's `data`: names in camelCase or snake_case, null for missing. Anything but an object is an empty one."""

    model_config = ConfigDict(frozen=True)

    #: the object as it came
    raw: Fields = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _take_either_spelling(cls, data: Any) -> dict[str, Any]:
        raw = read_fields(data)
        found = {name: next(_values(raw, to_camel(name), name), None) for name in cls.model_fields}
        return {name: value for name, value in found.items() if value is not None} | {"raw": raw}


def _values(raw: Mapping[str, object], *names: str) -> Any:
    return (raw[name] for name in names if raw.get(name) is not None)


class Created(Data):
    """What came of a submit (veo-api §2, §3, §13)."""

    task_id: TaskId = None


class Upgrade(Data):
    """What came of asking for an upgrade (veo-api §5, §6)."""

    task_id: TaskId = None
    credits_consumed: Number = None
    info: Fields = Field(default_factory=dict)

    @property
    def urls(self) -> Urls:
        """The files, wherever they are named."""
        return collect_urls(self.raw, self.info)


class Record(Data):
    """What the details of either form have in common (veo-api §8, §13)."""

    response: Fields = Field(default_factory=dict)
    info: Fields = Field(default_factory=dict)
    result_json: Fields = Field(default_factory=dict)
    fallback_flag: Flag = None
    credits_consumed: Number = None
    complete_time: Time = None

    @property
    def urls(self) -> Urls:
        """The files, wherever they are named: the shape of some records is undocumented."""
        return collect_urls(
            self.response, read_fields(self.response.get("info")), self.info, self.result_json, self.raw
        )

    def tell(
        self, progress: Progress | None, asked: Asked, main: Kind, msg: str, failure: tuple[int | None, str]
    ) -> Verdict:
        """Put the record into our own words.

        :param progress: None: it does not say, so that URLs mean success (veo-api §8)
        :param msg: the envelope's message
        :param failure: code and message of the failure, if it is one
        """
        urls = self.urls
        if progress is None:
            progress = Progress.SUCCEEDED if urls else Progress.GENERATING
        failed = progress is Progress.FAILED
        return Verdict(
            progress,
            code=(failure[0] or 501) if failed else 200,
            msg=failure[1] if failed else msg,
            urls=urls,
            fallback=self.fallback_flag is True,
            credits=self.credits_consumed,
            main=main,
            asked=asked,
            made_at=self.complete_time if progress is Progress.SUCCEEDED else None,
        )


class VeoRecord(Record):
    """`GET /api/v1/veo/record-info` (veo-api §8)."""

    param_json: AskedFor = NOTHING_ASKED
    success_flag: Code = None
    error_code: Code = None
    error_message: Text = ""


class JobRecord(Record):
    """`GET /api/v1/jobs/recordInfo` (veo-api §13)."""

    model: Text = ""
    state: Text = ""
    param: AskedFor = NOTHING_ASKED
    fail_code: Code = None
    fail_msg: Text = ""
