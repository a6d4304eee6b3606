"""The tables: what each answer means for the money. Codes are those of veo-api §1."""

from typing import NamedTuple

from app.adapters.kie.answers import Created
from app.adapters.kie.transport import Reply, Wire
from app.domain.vendor import OrderProgress, SubmitAnswer, SubmitProgress

CREATED, BUSY, REFUSED, UNCERTAIN = SubmitProgress


class Row(NamedTuple):
    """What an answer means, by its `data`."""

    #: a usable id in it
    with_id: SubmitProgress
    #: the key is there, and null
    null: SubmitProgress
    #: anything else, also no `data` at all
    other: SubmitProgress


#: What became of a request that creates something: by the body's code, else by what happened on the way (veo-api §1; 451 is
#: inferred). An id counts whatever else is said, unless that is a definite refusal: its details will tell, and nothing is sent
#: again.
SUBMITS: dict[int | Wire, Row] = {
    #                      with id     data: null  otherwise
    200:               Row(CREATED,    UNCERTAIN,  UNCERTAIN),
    400:               Row(CREATED,    REFUSED,    UNCERTAIN),
    401:               Row(REFUSED,    REFUSED,    REFUSED),
    402:               Row(REFUSED,    REFUSED,    REFUSED),
    404:               Row(REFUSED,    REFUSED,    REFUSED),
    408:               Row(CREATED,    REFUSED,    UNCERTAIN),
    422:               Row(REFUSED,    REFUSED,    REFUSED),  # in any wording
    429:               Row(BUSY,       BUSY,       BUSY),     # said by the HTTP status too
    433:               Row(REFUSED,    REFUSED,    REFUSED),
    451:               Row(CREATED,    REFUSED,    UNCERTAIN),
    455:               Row(CREATED,    BUSY,       UNCERTAIN),
    500:               Row(CREATED,    REFUSED,    UNCERTAIN),
    501:               Row(CREATED,    REFUSED,    UNCERTAIN),
    505:               Row(CREATED,    REFUSED,    UNCERTAIN),
    Wire.ANSWERED:     Row(CREATED,    UNCERTAIN,  UNCERTAIN),  # with any other code
    Wire.UNSENT:       Row(BUSY,       BUSY,       BUSY),
    Wire.TURNED_AWAY:  Row(BUSY,       BUSY,       BUSY),
    Wire.LOST:         Row(UNCERTAIN,  UNCERTAIN,  UNCERTAIN),
    Wire.UNREADABLE:   Row(UNCERTAIN,  UNCERTAIN,  UNCERTAIN),
}  # fmt: skip

#: what happened to requests that never reached the service
NEVER_THERE = frozenset({Wire.UNSENT, Wire.TURNED_AWAY})

#: What an upgrade's refusal with code 400 or 422 means, by a word of its message. In the dedicated form a wording that is not
#: listed is taken for uncertain: it is asked again, and ends `unavailable` with the vendor's words when REELKEEP_GIVE_UP_AFTER
#: is over.
REFUSALS = (
    ("not success", OrderProgress.NOT_YET),
    # A base that has succeeded exists; the record of a fresh one may not be visible everywhere yet.
    ("not exist", OrderProgress.NOT_YET),
    ("14 days", OrderProgress.UNAVAILABLE),
    ("fallback", OrderProgress.UNAVAILABLE),
    ("unavailable", OrderProgress.UNAVAILABLE),
    ("not support", OrderProgress.UNAVAILABLE),
)


def judge_submit(reply: Reply) -> SubmitAnswer:
    """What became of a request that creates something."""
    row = SUBMITS[reply.code if reply.code is not None and reply.code in SUBMITS else reply.wire]
    task_id = Created.model_validate(reply.data).task_id
    null = reply.envelope is not None and reply.envelope.says_null
    progress = row.with_id if task_id else row.null if null else row.other
    return SubmitAnswer(
        progress,
        code=reply.code or 0,
        msg=reply.msg,
        task_id=task_id if progress is CREATED else None,
        pause=reply.pause,
    )


def judge_refusal(code: int, msg: str) -> OrderProgress | None:
    """What the wording of an upgrade's refusal says. None: nothing that is known."""
    words = msg.casefold()
    if code in (400, 404, 422):
        return next((progress for word, progress in REFUSALS if word in words), None)
    # "The 4K version of this video is unavailable" comes with code 500, as passing faults do (veo-api §7).
    return OrderProgress.UNAVAILABLE if "video is unavailable" in words else None
