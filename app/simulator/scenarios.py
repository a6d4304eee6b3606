"""What can happen to a generation: data only, chosen by the prompt (`scenario=NAME the rest`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: `verdict`: the true outcome; `failure`: a failure that is not the last word (veo-api §4).
Message = Literal["verdict", "failure"]
#: A status code; half the body under the whole length; half a file under its own length; a reset half-way;
#: HTTP 200 with a web page; half the body, then silence; half the body, then a byte now and then.
Fault = Annotated[int, Field(ge=400, le=599)] | Literal["truncate", "short", "reset", "html", "stall", "drip"]
BodyForm = Literal["documented", "prompt-object", "json-string", "bracketed", "bare-url", "snake-case"]
#: Body codes of refusals (veo-api §1); 429 has a field of its own.
RefusalCode = Literal[400, 401, 402, 404, 408, 422, 433, 451, 455, 500, 501, 505]
Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
FOURTEEN_DAYS = 1_209_600.0


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Failure(_Data):
    """How a generation fails."""

    #: The callback's `code` and the details' `errorCode`: 400, 422, 500, 501.
    code: int
    #: The callback's `msg` and the details' `errorMessage`.
    msg: str
    #: The details' `successFlag`: 2 failed, 3 created and then failed upstream (both final, veo-api §8).
    flag: Literal[2, 3] = 2


class PostFaults(_Data):
    """What goes wrong with a request that costs money (veo-api §1, "submit outcomes")."""

    #: So many POSTs are answered HTTP 429 first; nothing is created by them.
    refuse_429: Count = 0
    #: Those that follow are refused with this code and `data: null`; nothing is created by them.
    refuse_code: RefusalCode | None = None
    #: Only so many are; None: every one.
    refuse_first: Count | None = None
    #: The first one that is carried out is answered HTTP 500 all the same.
    fail_500: bool = False
    #: The answer to the first one that is carried out is held back so many real seconds.
    hold: Seconds = 0
    #: The connection of the first one that is carried out is closed in place of an answer.
    drop: bool = False


class Scenario(_Data):
    """One course of events. Seconds are the vendor's (divided by the speed) unless said otherwise."""

    #: One line for the help text.
    about: str = ""

    #: Seconds until the generation has its verdict.
    takes: Seconds = 120
    #: How many videos it makes.
    results: Annotated[int, Field(ge=1)] = 1
    #: Places in `resultUrls` that hold null in place of a URL.
    missing: tuple[Count, ...] = ()
    #: 9:16 whatever was asked for, so the original-size videos are there too; a request for 9:16 does the same.
    portrait: bool = False
    #: No video has a sound track.
    silent: bool = False
    #: The videos are 720p, whatever resolution was asked and paid for.
    downgrades: bool = False
    #: Made by the backup model: cannot be upgraded.
    fallback: bool = False
    #: The generation fails so; None succeeds.
    failure: Failure | None = None
    #: Seconds during which a fresh task id is unknown to every endpoint (up to about 90, veo-api §8).
    invisible: Seconds = 0

    #: The callbacks of the generation in their order; empty: none ever comes.
    callbacks: tuple[Message, ...] = ("verdict",)
    #: Seconds from the verdict to the first callback.
    callback_delay: Seconds = 0
    #: Seconds between one callback and the next.
    callback_spacing: Seconds = 2
    #: All callbacks at the same moment instead of one after the other.
    callbacks_at_once: bool = False
    #: How the body of a callback is written.
    body: BodyForm = "documented"
    #: Failure callbacks carry `data: null`.
    null_data: bool = False
    #: Details and callbacks tell `creditsConsumed`; the unified form and the callback of a 4K do anyway.
    tells_credits: bool = False
    #: What is charged, for upgrades too, is so many times the price.
    overcharge: Annotated[float, Field(gt=0)] = 1
    #: Real seconds added to the signature's timestamp.
    timestamp_shift: float = 0

    #: Real seconds until the first byte of a file comes: how far away its host is, or how busy.
    file_delay: Seconds = 0
    #: Faults of the first fetches of each file, one fetch each.
    file_faults: tuple[Fault, ...] = ()
    #: `dead` for ever; `renewable` only through download-url; `moved`: once it was fetched in vain, asking
    #: record-info, get-1080p or get-4k again gives another that works.
    links: Literal["live", "dead", "renewable", "moved"] = "live"
    #: What a dead link answers.
    dead_status: Literal[403, 404, 410] = 404
    #: Seconds that a link lives.
    link_life: Seconds = FOURTEEN_DAYS
    #: Seconds that the file lives, so that download-url still gives a link to it (veo-api §1).
    file_life: Seconds = FOURTEEN_DAYS

    #: Upgrades are smaller than their name: the 1080p is 720p, the 4K is 1080p.
    upgrade_too_small: bool = False

    #: Whether there is a 1080p version. The dedicated form says so at once and for nothing.
    upgrade_1080p: Literal["works", "unavailable"] = "works"
    #: Seconds from the order until the 1080p is there, or is unavailable.
    takes_1080p: Seconds = 90
    #: It is not there before the GET after so many, whatever the time (dedicated form).
    asks_1080p: Count = 0
    #: How "processing" is said: body code 400 (documented), 422, or HTTP 400 as well (veo-api §5).
    processing_1080p: Literal["400", "422", "http-400"] = "400"
    #: The callbacks of the 1080p in their order (unified form; the dedicated one has none).
    callbacks_1080p: tuple[Message, ...] = ("verdict",)

    #: What becomes of the 4K; `already-made`: the first POST gives the URLs and orders nothing (the unified form
    #: sells it, ready at once).
    upgrade_4k: Literal["works", "already-made", "unavailable", "too-old", "base-not-done"] = "works"
    #: Whether the 4K runs under a new task id or the parent's (veo-api §6: sources conflict); unified form: new.
    id_4k: Literal["new", "parent"] = "new"
    #: Seconds from the POST until the 4K is there, or is unavailable.
    takes_4k: Seconds = 420
    #: The callbacks of the 4K in their order.
    callbacks_4k: tuple[Message, ...] = ("verdict",)

    #: Faults of the request for a generation or an extension; counted per prompt.
    submit: PostFaults = PostFaults()
    #: Faults of the request that orders a 1080p; counted per task and index.
    order_1080p: PostFaults = PostFaults()
    #: Faults of the request that orders a 4K; counted per task and index.
    order_4k: PostFaults = PostFaults()


DEFAULT = "plain"
_CHOICE = re.compile(r"scenario=([\w.-]+)")


def choose(prompt: str, scenarios: Mapping[str, Scenario]) -> tuple[str, Scenario | None]:
    """The scenario that a prompt asks for, and its name; None if there is none of that name."""
    match = _CHOICE.match(prompt)
    name = match.group(1) if match else DEFAULT
    return name, scenarios.get(name)


def _failed(code: int, msg: str, flag: Literal[2, 3] = 2) -> Failure:
    return Failure(code=code, msg=msg, flag=flag)


_FLOW = (
    "Your request was rejected by Flow(PUBLIC_ERROR_MINOR_UPLOAD). You may consider using our other fallback "
    "channels, which are likely to succeed. Please refer to the documentation."
)
_POLICY = "Your prompt was flagged by Website as violating content policies."
_INTERNAL = "Internal Error, Please try again later."

BUILT_IN: Mapping[str, Scenario] = {
    "plain": Scenario(about="one 16:9 video, one callback; every upgrade works (the default)"),
    "several-results": Scenario(about="three videos", results=3),
    "missing-result": Scenario(about="two videos, the URL of the second is null", results=2, missing=(1,)),
    "portrait": Scenario(about="9:16 whatever was asked: an original beside the result", portrait=True),
    "silent-video": Scenario(about="no video has a sound track", silent=True),
    "downgraded": Scenario(about="720p whatever resolution was asked and paid for", downgrades=True),
    "extension": Scenario(about="as plain, to name an extension (every extension has a full video)"),
    "fallback": Scenario(about="made by the backup model: upgrades are refused", fallback=True),
    "failed-400": Scenario(about="against the content policy", failure=_failed(400, _POLICY)),
    "failed-422": Scenario(about="rejected, the fallback too", failure=_failed(422, _FLOW)),
    "failed-500": Scenario(about="internal error", failure=_failed(500, _INTERNAL)),
    "failed-501": Scenario(about="generation failed", failure=_failed(501, "Video generation task failed")),
    "failed-upstream": Scenario(
        about="created, then failed upstream (successFlag 3)",
        failure=_failed(500, "internal error, please try again later.", 3),
    ),
    "null-data-failure": Scenario(
        about="the failure callback has data null", failure=_failed(500, _INTERNAL), null_data=True
    ),
    "charged-more": Scenario(about="costs 1.5 times the price, and says so", overcharge=1.5, tells_credits=True),
    "charged-but-failed": Scenario(
        about="fails, and says that it was charged",
        failure=_failed(501, "Video generation task failed"),
        tells_credits=True,
    ),
    "duplicate-callbacks": Scenario(about="the callback comes three times", callbacks=("verdict",) * 3),
    "simultaneous-callbacks": Scenario(
        about="five callbacks at the same moment", callbacks=("verdict",) * 5, callbacks_at_once=True
    ),
    "reordered-callbacks": Scenario(
        about="a failure callback, then a success; details say success", callbacks=("failure", "verdict")
    ),
    "late-failure": Scenario(
        about="a success callback, then a failure; details say success", callbacks=("verdict", "failure")
    ),
    "no-callback": Scenario(about="the callback never comes", callbacks=()),
    "slow-to-appear": Scenario(about="the id is unknown for 60 s", invisible=60),
    "odd-body-json-string": Scenario(about="resultUrls as a JSON string", body="json-string"),
    "odd-body-snake-case": Scenario(about="snake_case callbacks (4K: flat)", body="snake-case"),
    "odd-body-prompt-object": Scenario(about="promptJson as an object, creditsConsumed", body="prompt-object"),
    "stale-signature": Scenario(about="signed an hour ago", timestamp_shift=-3600),
    "download-fails-twice": Scenario(about="HTTP 500, then 503, then the file", file_faults=(500, 503)),
    "truncated-download": Scenario(
        about="half the promised length, twice, then the file", file_faults=("truncate", "truncate")
    ),
    "short-download": Scenario(about="half a file under its own Content-Length, then the file", file_faults=("short",)),
    "html-download": Scenario(about="a web page with HTTP 200, then the file", file_faults=("html",)),
    "reset-download": Scenario(about="the connection breaks half-way, then the file", file_faults=("reset",)),
    "stalled-download": Scenario(about="silence half-way, then the file", file_faults=("stall",)),
    "dripping-download": Scenario(about="a byte now and then from half-way on, then the file", file_faults=("drip",)),
    "dead-link": Scenario(about="404 for ever; download-url refuses", links="dead"),
    "renewable-link": Scenario(about="dead, but download-url gives a fresh link", links="renewable"),
    "moved-link": Scenario(about="dead; asked again, details give a fresh link", links="moved"),
    "upgrade-too-small": Scenario(about="its 1080p is 720p, its 4K is 1080p", upgrade_too_small=True),
    "1080p-unavailable": Scenario(about="there is no 1080p version", upgrade_1080p="unavailable"),
    "4k-new-id": Scenario(about="the 4K runs under a new id (the default)", id_4k="new"),
    "4k-parent-id": Scenario(about="the 4K runs under the parent's id", id_4k="parent"),
    "4k-already-made": Scenario(about="the first POST gives the 4K's URLs", upgrade_4k="already-made"),
    "4k-unavailable": Scenario(about="the 4K fails, data with the id", upgrade_4k="unavailable"),
    "4k-unavailable-null-data": Scenario(about="the 4K fails, data null", upgrade_4k="unavailable", null_data=True),
    "4k-no-callback": Scenario(about="the 4K's callback never comes", callbacks_4k=()),
    "4k-too-old": Scenario(about="4K is refused: over 14 days old", upgrade_4k="too-old"),
    "4k-uncertain": Scenario(about="the 4K is ordered, the POST answered HTTP 500", order_4k=PostFaults(fail_500=True)),
    "4k-busy": Scenario(about="the first two 4K POSTs get 429", order_4k=PostFaults(refuse_429=2)),
    "submit-busy": Scenario(about="the first two submits get 429", submit=PostFaults(refuse_429=2)),
    "submit-refused": Scenario(about="422, data null, not created", submit=PostFaults(refuse_code=422)),
    "submit-no-credits": Scenario(about="402, not created", submit=PostFaults(refuse_code=402)),
    "submit-maintenance": Scenario(
        about="the first two submits get 455, data null", submit=PostFaults(refuse_code=455, refuse_first=2)
    ),
    "submit-failed-null": Scenario(about="500, data null, not created", submit=PostFaults(refuse_code=500)),
    "submit-uncertain": Scenario(about="created, answered HTTP 500", submit=PostFaults(fail_500=True)),
    "submit-uncertain-failed": Scenario(
        about="created, answered HTTP 500; then fails, data null",
        submit=PostFaults(fail_500=True),
        failure=_failed(500, _INTERNAL),
        null_data=True,
    ),
    "submit-uncertain-silent": Scenario(
        about="created, answered HTTP 500; no callback", submit=PostFaults(fail_500=True), callbacks=()
    ),
    "submit-timeout": Scenario(about="created, answered after 60 real seconds", submit=PostFaults(hold=60)),
    "submit-dropped": Scenario(about="created, the connection closed unanswered", submit=PostFaults(drop=True)),
}
