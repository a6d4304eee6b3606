"""A generation read back from its manifest: the inverse of `view.describe`.

What a manifest does not hold, because nobody may see it, is asked for anew: the vendor's URLs. A token that was in the URL of an
order's callback is replaced by another.
"""

import json
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from app.domain.asked import NOTHING_ASKED, Asked
from app.domain.generation import Generation
from app.domain.rendition import Order, Rendition, RenditionState
from app.domain.requests import Request
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.vendor import Progress, SubmitProgress
from app.domain.work import UPGRADES, Kind, is_submission_id, is_task_id

#: the formats that are understood
FORMATS = (1,)
#: why an upgrade ends that cannot be asked about without the risk of buying it again (veo-api §13)
UNSURE = (
    "whether it was ordered before the ledger was lost is not known, and to ask could buy it again; "
    "look for it in the vendor's log, or ask for the upgrade to have it bought"
)
_REQUEST: TypeAdapter[Request] = TypeAdapter(Request)


class UnreadableManifest(ValueError):
    """It is no manifest, or none of a format that is known. The message says why."""


def read_time(text: str) -> float:
    """A date or a time in ISO 8601 as epoch seconds; without a zone it is UTC. :raises ValueError:"""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except OverflowError as error:
        raise ValueError(str(error)) from None


def _read_shown_time(value: object) -> object:
    return read_time(value) if isinstance(value, str) else value


Time = Annotated[float | None, BeforeValidator(_read_shown_time)]
Count = Annotated[int, Field(ge=0)]


class _Shown(BaseModel):
    """Names as in the JSON. What a newer version adds is passed over, what an older one had not yet has a default."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, hide_input_in_errors=True)


class _Callbacks(_Shown):
    received: Count = 0
    duplicates: Count = 0


class _AskedFor(_Shown):
    resolution: str | None = None
    seconds: float | None = None
    aspect_ratio: str | None = None


class ShownRendition(_Shown):
    """A rendition as a manifest shows it."""

    kind: Kind
    index: Count
    state: RenditionState
    key: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    audio: bool | None = None
    mismatch: str | None = None
    attempts: Count = 0
    stored_at: Time = None
    error: str | None = None
    credits_reserved: float | None = None
    credits_consumed: float | None = None
    orders: Count = 0
    order_id: str | None = None
    ordered_at: Time = None
    asked_at: Time = None
    asks: Count = 0
    taken: bool | None = None
    confirmed: bool | None = None
    reopened: bool = False
    former_orders: Count = 0
    former_credits: float = 0.0
    unasked: bool = False


class Shown(_Shown):
    """A generation as a manifest shows it."""

    id: str | None = None
    task_id: str
    state: State
    code: int | None = None
    msg: str = ""
    error: str | None = None
    mismatch: str | None = None
    fallback: bool = False
    extends: str | None = None
    old: bool = False
    request: dict[str, Any] | None = None
    fingerprint: str | None = None
    asked: _AskedFor | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    upgrades: list[Kind] = Field(default_factory=list)
    tracked_at: Annotated[float, BeforeValidator(_read_shown_time)]
    verdict_at: Time = None
    complete_at: Time = None
    verdict_from: str | None = None
    callbacks: _Callbacks = _Callbacks()
    heard: list[str] = Field(default_factory=list)
    credits_reserved: float | None = None
    credits_consumed: float | None = None
    renditions: list[ShownRendition]


def read_manifest(text: str) -> Shown:
    """Read a manifest. :raises UnreadableManifest:"""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableManifest("it is not JSON") from None
    if not isinstance(fields, dict) or "format" not in fields:
        raise UnreadableManifest("it is no manifest: it has no format")
    if fields["format"] not in FORMATS:
        known = ", ".join(map(str, FORMATS))
        raise UnreadableManifest(f"its format is {str(fields['format'])[:40]!r}, and only {known} is known here")
    try:
        shown = Shown.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadableManifest(f"{where}: {first['msg']}") from None
    if not is_task_id(shown.task_id):
        raise UnreadableManifest("taskId: it is not of the form [A-Za-z0-9_-]{1,128}")
    return shown


def restore(
    shown: Shown,
    now: float,
    make_token: Callable[[], str],
    *,
    missing: Collection[str] = (),
    repeats_are_questions: bool = True,
) -> Generation:
    """The generation that a manifest shows. What is not finished is due at once; nothing else is asked for.

    An upgrade that has been ordered is asked about as the same order. One that may have been, and that cannot be asked about
    without the risk of buying it again, ends `unavailable`.

    :param now: epoch seconds on the ledger's clock
    :param make_token: makes the secret part of a callback URL
    :param missing: keys of objects that should be in the bucket and are not: these renditions are wanted again
    :param repeats_are_questions: see `Vendor.repeats_are_questions`
    """
    verdict = _judge(shown)
    generation = Generation(
        task_id=shown.task_id,
        tracked_at=shown.tracked_at,
        waiting_since=now,
        labels=shown.labels,
        submission=shown.id if is_submission_id(shown.id) and shown.id else "",
        request=shown.request or {},
        parent=shown.extends or "",
        fingerprint=shown.fingerprint or "",
        old=shown.old,
        price=shown.credits_reserved or 0.0,
        asked=_read_asked(shown.asked),
        upgrades=shown.upgrades,
        verdict=verdict,
        given_up=verdict is Progress.GENERATING and shown.state is State.LOST,
        verdict_at=shown.verdict_at,
        verdict_from=shown.verdict_from or "",
        complete_at=shown.complete_at,
        code=shown.code or 0,
        msg=shown.msg,
        fallback=shown.fallback,
        credits=shown.credits_consumed,
        missing=shown.mismatch or "",
        received=shown.callbacks.received,
        duplicates=shown.callbacks.duplicates,
        heard=shown.heard,
        renditions=[_restore_rendition(rendition, shown, now, make_token, missing) for rendition in shown.renditions],
    )
    _restore_error(generation, shown)
    _resume(generation, now, repeats_are_questions)
    generation.tell(now, "generation.rebuilt")
    return generation


def restore_submission(generation: Generation) -> Submission | None:
    """The submission that a generation has come of, so that its id leads there again; None: none, or it cannot be read."""
    if not generation.submission:
        return None
    try:
        request = _REQUEST.validate_python(generation.request)
    except ValidationError:
        return None
    return Submission(
        id=generation.submission,
        tracked_at=generation.tracked_at,
        request=request,
        fingerprint=generation.fingerprint,
        labels=generation.labels,
        upgrades=generation.upgrades,
        token="",  # never sent again: it has been created
        price=generation.price,
        progress=SubmitProgress.CREATED,
        task_id=generation.task_id,
        linked=True,
    )


# --- inside ----------------------------------------------------------------------------------------------------------------


def _judge(shown: Shown) -> Progress:
    if shown.state is State.FAILED:
        return Progress.FAILED
    return Progress.SUCCEEDED if shown.verdict_from else Progress.GENERATING


def _read_asked(asked: _AskedFor | None) -> Asked:
    if asked is None:
        return NOTHING_ASKED
    return Asked(resolution=asked.resolution or "", seconds=asked.seconds, aspect_ratio=asked.aspect_ratio or "")


def _restore_rendition(
    shown: ShownRendition, generation: Shown, now: float, make_token: Callable[[], str], missing: Collection[str]
) -> Rendition:
    gone = shown.state is RenditionState.STORED and shown.key in missing
    state = RenditionState.WANTED if gone else shown.state
    rendition = Rendition(
        kind=shown.kind,
        index=shown.index,
        state=state,
        since=now,
        attempts=shown.attempts,
        order=_restore_order(shown, state, now, make_token),
        orders=shown.orders,
        unasked=shown.unasked,
        former=shown.former_orders,
        former_cost=shown.former_credits,
    )
    rendition.forgotten = (
        state not in (RenditionState.STORED, RenditionState.UNAVAILABLE)
        and rendition.order is None
        and not _is_upgrade(shown, generation)
    )
    if not gone:
        rendition.error, rendition.mismatch = shown.error or "", shown.mismatch or ""
        rendition.key, rendition.bytes, rendition.sha256 = shown.key or "", shown.bytes, shown.sha256 or ""
        rendition.width, rendition.height, rendition.seconds = shown.width, shown.height, shown.seconds
        rendition.audio, rendition.stored_at = shown.audio, shown.stored_at
    return rendition


def _is_upgrade(shown: ShownRendition, generation: Shown) -> bool:
    """Whether it is bought. A 4K task that is tracked by its own id has a 4K, and no result (veo-api §8)."""
    has_base = any(it.kind is Kind.RESULT and it.index == shown.index for it in generation.renditions)
    return shown.kind in UPGRADES and has_base


def _restore_order(
    shown: ShownRendition, state: RenditionState, now: float, make_token: Callable[[], str]
) -> Order | None:
    if shown.credits_reserved is None:
        return None
    ended = state in (RenditionState.STORED, RenditionState.FAILED, RenditionState.UNAVAILABLE)
    # Manifests did not always say; what may have been paid for is never ordered again.
    taken = shown.taken is not False
    return Order(
        # Patience with what is unfinished begins anew.
        intended_at=shown.ordered_at if ended and shown.ordered_at is not None else now,
        asked_at=shown.asked_at or 0.0,
        asks=max(shown.asks, int(taken)),
        # Since the manifest was written it may have been sent.
        arrived=True,
        token=make_token(),
        alias=shown.order_id or "",
        taken=taken,
        confirmed=bool(shown.order_id) if shown.confirmed is None else shown.confirmed,
        reopened=shown.reopened,
        # Its callback may have come while nobody was there.
        news=not ended,
        price=shown.credits_reserved,
        credits=shown.credits_consumed,
    )


def _restore_error(generation: Generation, shown: Shown) -> None:
    """What of the error is told by a rendition, or passes, is not the generation's own."""
    told = next((it.error for it in shown.renditions if it.state is RenditionState.FAILED and it.error), None)
    if shown.error is None or shown.error == told:
        return
    if generation.verdict is Progress.GENERATING:
        generation.error = shown.error
    else:
        generation.manifest_error = shown.error  # gone with the next manifest


def _resume(generation: Generation, now: float, repeats_are_questions: bool) -> None:
    """Have everything looked at that is not finished."""
    complete_at = generation.complete_at
    for rendition in list(generation.renditions):
        if not rendition.ended:
            generation.complete_at = None
            rendition.work.put_back(now)
        if not rendition.ended and rendition.forgotten:
            generation.seek(rendition, now)
    if not repeats_are_questions:
        _end_unsure_upgrades(generation, now)
    if generation.undecided:
        generation.settle.put_back(now)
    if generation.manifest_error or generation.completion(now) != complete_at:
        generation.manifest.put_back(now)


def _end_unsure_upgrades(generation: Generation, now: float) -> None:
    wished = generation.upgrades if generation.state in (State.WAITING, State.MIRRORING) else []
    generation.renditions += [Rendition(kind=kind, since=now) for kind in wished if generation.find(kind, 0) is None]
    for rendition in generation.renditions:
        has_id = rendition.order is not None and rendition.order.alias
        if rendition.kind in UPGRADES and not (rendition.ended or rendition.forgotten or has_id):
            rendition.end(RenditionState.UNAVAILABLE, UNSURE)
