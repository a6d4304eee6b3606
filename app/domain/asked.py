"""What a video was asked to be, and whether what was delivered is that.

Sizes are judged by *lines*: the shorter side in pixels. A 4K has 2160 lines, upright too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Self

from pydantic import BaseModel, ConfigDict

from app.domain.work import UPGRADES, Kind

#: how many lines each resolution has; the kinds that are bought are called like theirs
LINES = {"720p": 720, "1080p": 1080, "4k": 2160}
#: Play times may differ by so many seconds: whole ones are asked for, but an encoder ends with a whole frame or sound packet.
SECONDS_OFF = 0.75
_ORIENTATIONS = {"16:9": "landscape", "9:16": "portrait"}


class Asked(BaseModel):
    """What a generation was asked to be like. Empty or None: nothing was asked."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    #: `720p`, `1080p`, `4k`
    resolution: str = ""
    #: play time
    seconds: float | None = None
    #: `16:9`, `9:16`
    aspect_ratio: str = ""

    @classmethod
    def read(cls, params: object) -> Self:
        """Read the request as the vendor's record repeats it: `paramJson`, or `param` with its `input`, once parsed
        (veo-api §8, §13). What is missing, `Auto` or odd was not asked. Never raises."""
        if not isinstance(params, Mapping):
            return cls()
        nested = params.get("input")
        fields = {**params, **nested} if isinstance(nested, Mapping) else params
        # Both spellings are taken by the vendor (veo-api §2).
        ratio = fields.get("aspectRatio") or fields.get("aspect_ratio")
        return cls(
            resolution=_read_known(fields.get("resolution"), LINES),
            seconds=_read_seconds(fields.get("duration")),
            aspect_ratio=_read_known(ratio, _ORIENTATIONS),
        )


NOTHING_ASKED = Asked()


@dataclass(frozen=True)
class Look:
    """What a stored video is like. None: not known."""

    #: pixels, as shown
    width: int | None = None
    #: pixels, as shown
    height: int | None = None
    #: play time
    seconds: float | None = None
    #: whether there is sound
    audio: bool | None = None


def lines(look: Look) -> int | None:
    """The shorter side in pixels. None: not known."""
    return None if look.width is None or look.height is None else min(look.width, look.height)


def satisfies(kind: Kind, lines: int | None) -> bool:
    """Whether a result of so many lines already is what an upgrade of that kind would give."""
    return kind in UPGRADES and lines is not None and lines >= LINES[kind]


def compare(kind: Kind, asked: Asked, look: Look, base: Look | None) -> str:
    """What is not as it was asked and paid for, in words for people; empty if nothing. What is not known is no fault.

    :param asked: what a result is held against
    :param look: the rendition of that kind
    :param base: the result that an upgrade was made from, which it is held against; None: not known
    """
    if kind is Kind.RESULT:
        return "; ".join(_result_faults(asked, look))
    return "; ".join(_upgrade_faults(kind, look, base or Look())) if kind in UPGRADES else ""


def _result_faults(asked: Asked, look: Look) -> Iterator[str]:
    if _is_short_of(look, LINES.get(asked.resolution)):
        yield f"a result with {lines(look)} lines ({_size(look)}): {asked.resolution} was asked for"
    if _differs(look.seconds, asked.seconds):
        yield f"a result of {look.seconds:g} s: {asked.seconds:g} s were asked for"
    wanted, is_like = _ORIENTATIONS.get(asked.aspect_ratio), _orientation(look)
    if wanted and is_like and is_like != wanted:
        yield f"a {is_like} result ({_size(look)}): {asked.aspect_ratio} was asked for"


def _upgrade_faults(kind: Kind, look: Look, base: Look) -> Iterator[str]:
    if _is_short_of(look, LINES[kind]):
        yield f"a {kind} with {lines(look)} lines ({_size(look)}): at least {LINES[kind]} were paid for"
    if base.audio and look.audio is False:
        yield f"a {kind} without sound: the result has sound"


def _is_short_of(look: Look, least: int | None) -> bool:
    has = lines(look)
    return has is not None and least is not None and has < least


def _differs(seconds: float | None, wanted: float | None) -> bool:
    return seconds is not None and wanted is not None and abs(seconds - wanted) > SECONDS_OFF


def _orientation(look: Look) -> str | None:
    if look.width is None or look.height is None:
        return None
    if look.width == look.height:
        return "square"
    return "landscape" if look.width > look.height else "portrait"


def _size(look: Look) -> str:
    return f"{look.width}×{look.height}"


def _read_known(value: object, known: Mapping[str, object]) -> str:
    lower = value.lower() if isinstance(value, str) else ""
    return lower if lower in known else ""


def _read_seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < inf else None
