"""What is asked of the vendor: the fields of a generation and of an extension (veo-api §2, §3).

One model for the user's requests and for what is sent on, so that what was checked is what goes out.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from app.domain.asked import Asked
from app.domain.urls import without_query

#: an `Idempotency-Key`: 1 to 255 printable ASCII characters
KEY = r"^[!-~]([ -~]{0,253}[!-~])?$"

#: pydantic's words for programmers, in words for users
_PLAINLY = {
    "extra_forbidden": "there is no such field",
    "missing": "is missing",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "does not have the form that it must have",
}
_URL_WANTED = "must be an http:// or https:// URL, without spaces and passwords"
#: what form a field must have
_FORMS = {
    "prompt": "must not be empty",
    "imageUrls": _URL_WANTED,
    "image_urls": _URL_WANTED,
    "cursor": "is no cursor of ours",
    "submission": "must be sub_ and 32 hex digits",
}

_SUBJECT = re.compile(r"^\w+ should\b")

GenerationType = Literal["TEXT_2_VIDEO", "FIRST_AND_LAST_FRAMES_2_VIDEO", "REFERENCE_2_VIDEO"]
# Readers of regular expressions disagree on what a space is, so all of these are said in full.
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=20_000, pattern=r"[^\s\x85]")]
_REST = r"[^\s\x00-\x20\x7f-\xa0]*"
ImageUrl = Annotated[
    str,
    # A name in other letters is written in its ASCII form (`xn--…`); no address in brackets, nobody's password.
    StringConstraints(max_length=4000, pattern=rf"^[Hh][Tt][Tt][Pp][Ss]?://[A-Za-z0-9._:-]+([/?#]{_REST})?$"),
]
Watermark = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def read_whole(value: object) -> object:
    """JSON knows one kind of number: 8.0 is 8."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# The bounds stand before the function: behind it they would be missing from the JSON Schema.
Seed = Annotated[int, Field(ge=10_000, le=99_999, strict=True), BeforeValidator(read_whole)]

#: how many input pictures each type takes (veo-api §2)
_IMAGES: dict[GenerationType, range] = {
    "TEXT_2_VIDEO": range(0, 1),
    "FIRST_AND_LAST_FRAMES_2_VIDEO": range(1, 3),
    "REFERENCE_2_VIDEO": range(1, 4),
}


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)

    def fields(self) -> dict[str, Any]:
        """The fields by the vendor's names, without those that were not given."""
        return self.model_dump(by_alias=True, exclude_none=True)

    def shown(self) -> dict[str, Any]:
        """The fields as they may be shown: URLs without their queries, which may be signed."""
        fields = self.fields()
        if "imageUrls" in fields:
            fields["imageUrls"] = [without_query(url) for url in fields["imageUrls"]]
        return fields


def _tell_images(schema: dict[str, Any]) -> None:
    """The rule of `_check_images` in the words of JSON Schema."""
    schema["allOf"] = [
        {
            "if": {"properties": {"generationType": {"const": name}}, "required": ["generationType"]},
            "then": {
                "properties": {"imageUrls": {"type": "array", "minItems": allowed[0], "maxItems": allowed[-1]}},
                "required": ["imageUrls"],
            }
            if allowed[-1]
            else {"properties": {"imageUrls": {"type": "null"}}},
        }
        for name, allowed in _IMAGES.items()
    ]


class GenerateRequest(_Request):
    """`POST /api/v1/veo/generate` without `callBackUrl`."""

    model_config = ConfigDict(json_schema_extra=_tell_images)

    prompt: Prompt
    image_urls: list[ImageUrl] | None = Field(
        default=None,
        alias="imageUrls",
        min_length=1,
        max_length=3,
        description="none for TEXT_2_VIDEO; 1 or 2 for FIRST_AND_LAST_FRAMES_2_VIDEO; 1 to 3 for REFERENCE_2_VIDEO",
    )
    model: Literal["veo3", "veo3_fast", "veo3_lite"] = "veo3_fast"
    generation_type: GenerationType | None = Field(default=None, alias="generationType")
    # Both spellings are taken by the vendor (live); the recorded exchange used this one.
    aspect_ratio: Literal["16:9", "9:16", "Auto"] = Field(
        default="16:9",
        validation_alias=AliasChoices("aspect_ratio", "aspectRatio"),
        serialization_alias="aspect_ratio",
    )
    #: always sent, for the documents disagree on the default
    enable_translation: bool = Field(default=True, alias="enableTranslation", strict=True)
    enable_fallback: bool = Field(default=False, alias="enableFallback", strict=True)
    watermark: Watermark | None = None
    resolution: Literal["720p", "1080p", "4k"] | None = None
    duration: Annotated[Literal[4, 6, 8] | None, BeforeValidator(read_whole)] = None
    seeds: Seed | None = None

    @model_validator(mode="before")
    @classmethod
    def _take_either_spelling(cls, values: Any) -> Any:
        if isinstance(values, dict) and {"aspect_ratio", "aspectRatio"} <= values.keys():
            if values["aspect_ratio"] != values["aspectRatio"]:
                raise ValueError("aspect_ratio: given twice, and differently (also as aspectRatio)")
            return {name: value for name, value in values.items() if name != "aspectRatio"}
        return values

    @model_validator(mode="after")
    def _check_images(self) -> Self:
        count = len(self.image_urls or ())
        if self.generation_type is None:
            return self
        allowed = _IMAGES[self.generation_type]
        if count not in allowed:
            most = allowed[-1]
            wanted = "no image URLs" if most == 0 else f"1 to {most} image URLs"
            raise ValueError(f"generationType: {self.generation_type} takes {wanted}: {count} given")
        return self

    @property
    def asked(self) -> Asked:
        """What the video is to be like."""
        ratio = "" if self.aspect_ratio == "Auto" else self.aspect_ratio
        return Asked(resolution=self.resolution or "", seconds=self.duration, aspect_ratio=ratio)


class ExtendRequest(_Request):
    """`POST /api/v1/veo/extend` without `callBackUrl`. The models have other names than generate's."""

    task_id: str = Field(alias="taskId")
    prompt: Prompt
    seeds: Seed | None = None
    model: Literal["fast", "quality", "lite"] = "fast"
    watermark: Watermark | None = None

    @property
    def asked(self) -> Asked:
        """Nothing is asked of an extension's looks."""
        return Asked()


Request = GenerateRequest | ExtendRequest


def explain(error: ValidationError) -> list[tuple[str, str]]:
    """What is wrong with a request: field and message, for users."""
    found = []
    for fault in error.errors(include_url=False, include_input=False):
        message = _PLAINLY.get(fault["type"], _SUBJECT.sub("must", fault["msg"].removeprefix("Value error, ")))
        place = fault["loc"]
        if fault["type"] == "string_pattern_mismatch":
            message = _FORMS.get(str(place[0]) if place else "", message)
        elif fault["type"] == "extra_forbidden" and place == ("callBackUrl",):  # the vendor has it
            message = "leave it out; Reelkeep gives the vendor its own (REELKEEP_PUBLIC_URL)"
        if place[-1:] == ("[key]",):  # of a dictionary; the name before it may be empty, or of any length
            place, message = place[:-2], f"a name {message}"
        field = ".".join(str(part) for part in place)
        if not field and fault["type"] == "value_error":  # of a validator above, which names the field itself
            field, _, message = message.partition(": ")
        found.append((field or "body", message))
    return found
