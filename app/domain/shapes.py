"""The JSON of a generation, field by field: what `view.describe` fills in, and what the API's document says of it.

Typed dictionaries, so that the type checker holds the one to the other and nothing is built twice.
"""

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # typing's own lacks what pydantic needs before Python 3.12

from app.domain.rendition import RenditionState
from app.domain.states import State
from app.domain.work import Kind

Time = Annotated[
    str, Field(description="UTC, ISO 8601 with milliseconds and `Z`", json_schema_extra={"format": "date-time"})
]
Count = Annotated[int, Field(ge=0)]
Credits = Annotated[float, Field(ge=0, description="credits of the vendor's")]


class CallbackCounts(TypedDict):
    """How many callbacks came in for this generation."""

    received: Count
    duplicates: Annotated[int, Field(ge=0, description="how many of them said nothing new")]


class AskedView(TypedDict):
    """What the video was asked to be like; null: not asked for."""

    resolution: str | None
    seconds: float | None
    aspectRatio: str | None


class RenditionView(TypedDict):
    """One file of a generation."""

    kind: Kind
    index: Count
    state: Annotated[
        RenditionState,
        Field(
            description="`wanted`: not begun · `requested`: ordered from the vendor · `mirroring`: being copied · "
            "`stored`: whole, checked and in the bucket · `failed`: given up, see `error` · "
            "`unavailable`: the vendor does not have it"
        ),
    ]
    key: Annotated[str | None, Field(description="the object's key in the bucket, once it is stored")]
    bytes: Count | None
    sha256: Annotated[str | None, Field(description="of the stored bytes, in hex")]
    width: int | None
    height: int | None
    seconds: Annotated[float | None, Field(description="play time")]
    audio: Annotated[bool | None, Field(description="whether the file has sound; null: not known")]
    mismatch: Annotated[str | None, Field(description="in what the file is not what was asked for")]
    attempts: Annotated[int, Field(ge=0, description="how often it was tried to copy it")]
    storedAt: Time | None
    nextAt: Annotated[Time | None, Field(description="when it is looked at again; null: that is not needed")]
    error: Annotated[str | None, Field(description="why it is not stored")]


class UpgradeView(RenditionView):
    """One file that is bought: what it costs comes on top."""

    creditsReserved: Annotated[Credits | None, Field(description="what the present order is reckoned to cost")]
    creditsConsumed: Annotated[Credits | None, Field(description="what the vendor says that it took")]
    orders: Annotated[int, Field(ge=0, description="how many orders there have been, the present one included")]
    orderId: Annotated[str | None, Field(description="the vendor's id of the order, if it is one of its own")]
    orderedAt: Time | None
    askedAt: Time | None
    asks: Annotated[int, Field(ge=0, description="how often the vendor was sent the order")]
    taken: Annotated[bool | None, Field(description="whether the vendor has it, or may have it")]
    confirmed: Annotated[bool | None, Field(description="whether the vendor has said that it has it")]
    reopened: Annotated[bool, Field(description="it had ended, and a callback spoke of it as made")]
    formerOrders: Count
    formerCredits: Credits
    unasked: Annotated[
        bool, Field(description="known only because the vendor spoke of it; nobody has asked for it here")
    ]


class EventDataView(TypedDict):
    """What an event is about: a file, or a generation as a whole. From `kind` on as in a rendition."""

    taskId: Annotated[str | None, Field(description="the vendor's id; null: it never named one")]
    id: Annotated[str | None, Field(description="Reelkeep's own id, if it was submitted here")]
    labels: Annotated[dict[str, str], Field(description="your own")]
    kind: Annotated[Kind | None, Field(description="null: it is about the generation as a whole")]
    index: Count | None
    state: Annotated[RenditionState | State, Field(description="of the file, or of the generation as a whole")]
    key: Annotated[str | None, Field(description="the object's key in the bucket, once it is stored")]
    bytes: Count | None
    sha256: str | None
    width: int | None
    height: int | None
    seconds: Annotated[float | None, Field(description="play time")]
    attempts: Count | None
    storedAt: Time | None
    error: Annotated[str | None, Field(description="what is wrong, in a sentence")]
    until: NotRequired[Annotated[Time, Field(description="of `video.at_risk`: when it will be too late")]]


class EventView(TypedDict):
    """What your receiver is told (docs/events.md). Fields and types may be added."""

    type: str
    timestamp: Annotated[Time, Field(description="when it happened")]
    data: EventDataView


class GenerationView(TypedDict):
    """A generation, or a submission of ours that no generation has come of yet."""

    id: Annotated[
        str | None, Field(description="Reelkeep's own id, if it was submitted here: `sub_` and 32 hex digits")
    ]
    taskId: NotRequired[
        Annotated[str | None, Field(description="the vendor's id; missing or null until the vendor has named one")]
    ]
    state: Annotated[
        State,
        Field(
            description="`waiting`: no verdict yet · `mirroring`: succeeded, something is not stored yet · "
            "`complete`: all that is wanted is stored · `failed`: the vendor says that it failed · "
            "`lost`: given up, see `error` · `uncertain`: sent, and nobody knows yet whether the vendor has created it"
        ),
    ]
    code: Annotated[int | None, Field(description="the vendor's code, once there is a verdict")]
    msg: Annotated[str, Field(description="the vendor's message, without the queries of URLs in it")]
    error: Annotated[str | None, Field(description="what is wrong just now, in a sentence")]
    mismatch: Annotated[str | None, Field(description="what is missing from the vendor's account of its success")]
    fallback: Annotated[bool, Field(description="made by the vendor's fallback model: there are no upgrades of it")]
    extends: Annotated[str | None, Field(description="the `taskId` of the generation that it extends")]
    old: Annotated[bool, Field(description="imported long after it was made")]
    request: Annotated[dict[str, Any] | None, Field(description="what was asked of the vendor, if it was asked here")]
    fingerprint: Annotated[str | None, Field(description="the same for requests that ask for the same")]
    asked: AskedView | None
    labels: Annotated[dict[str, str], Field(description="your own")]
    upgrades: Annotated[list[Kind], Field(description="the upgrades that are wanted of its first result")]
    trackedAt: Annotated[Time, Field(description="when Reelkeep first heard of it")]
    sentAt: NotRequired[Annotated[Time | None, Field(description="of a submission: when it went to the vendor")]]
    nextAt: NotRequired[Annotated[Time | None, Field(description="of a submission: when it is looked at again")]]
    verdictAt: Time | None
    completeAt: Time | None
    verdictFrom: Annotated[str | None, Field(description="what brought the verdict: `callback` or `poll`")]
    callbacks: CallbackCounts
    heard: Annotated[list[str], Field(description="the different things that callbacks have said")]
    creditsReserved: Annotated[Credits | None, Field(description="what it is reckoned to cost, upgrades not counted")]
    creditsConsumed: Annotated[Credits | None, Field(description="what the vendor says that it took")]
    renditions: list[UpgradeView | RenditionView]
