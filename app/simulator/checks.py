"""What the vendor refuses in a request, and what it makes of the rest (veo-api §2, §3, §5, §6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_GENERATE_VALUES: Mapping[str, tuple[object, ...]] = {
    "model": ("veo3", "veo3_fast", "veo3_lite"),
    "generationType": ("TEXT_2_VIDEO", "FIRST_AND_LAST_FRAMES_2_VIDEO", "REFERENCE_2_VIDEO"),
    "aspect_ratio": ("16:9", "9:16", "Auto"),
    "aspectRatio": ("16:9", "9:16", "Auto"),
    "resolution": ("720p", "1080p", "4k"),
    "duration": (4, 6, 8),
}
_EXTEND_FIELDS = ("taskId", "prompt", "seeds", "model", "watermark", "callBackUrl")
_EXTEND_VALUES: Mapping[str, tuple[object, ...]] = {"model": ("fast", "quality", "lite")}


def refuse_generate(fields: Mapping[str, Any]) -> str | None:
    """Why a generate request is refused; None if it is fine."""
    return _missing(fields, "prompt") or _wrong(fields, _GENERATE_VALUES) or _wrong_common(fields)


def refuse_extend(fields: Mapping[str, Any]) -> str | None:
    return _missing(fields, "taskId", "prompt") or _wrong(fields, _EXTEND_VALUES) or _wrong_common(fields)


def refuse_upgrade(fields: Mapping[str, Any]) -> str | None:
    if not isinstance(fields.get("index") or 0, int):
        return "index must be a number."
    return _missing(fields, "taskId") or _wrong_common(fields)


def generate_params(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the vendor's records repeat it, defaults filled in, one spelling of the aspect ratio (live)."""
    given = {key: value for key, value in fields.items() if value is not None}
    pictures = given.get("imageUrls", [])
    kind = {0: "TEXT_2_VIDEO", 3: "REFERENCE_2_VIDEO"}.get(len(pictures), "FIRST_AND_LAST_FRAMES_2_VIDEO")
    other_spelling = given.pop("aspect_ratio", "16:9")
    ratio = given.get("aspectRatio", other_spelling)
    defaults = {
        "enableTranslation": True,
        "enableFallback": False,
        "model": "veo3_fast",
        "resolution": "720p",
    }
    return {**defaults, "generationType": kind, **given, "aspectRatio": ratio}


def extend_params(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the vendor's records repeat it, the default filled in."""
    return {"model": "fast", **{key: fields[key] for key in _EXTEND_FIELDS if fields.get(key) is not None}}


def _missing(fields: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        value = fields.get(name)
        if not isinstance(value, str) or not value.strip():
            return f"{name} is required."
    return None


def _wrong(fields: Mapping[str, Any], allowed: Mapping[str, tuple[object, ...]]) -> str | None:
    for name, values in allowed.items():
        if fields.get(name) is not None and fields[name] not in values:
            return f"{name} must be one of {', '.join(map(str, values))}."
    return None


def _wrong_common(fields: Mapping[str, Any]) -> str | None:
    url, seeds, pictures = fields.get("callBackUrl"), fields.get("seeds"), fields.get("imageUrls")
    if url is not None and not (isinstance(url, str) and url.startswith(("http://", "https://"))):
        return "callBackUrl is not a valid URL."
    if seeds is not None and not (isinstance(seeds, int) and 10000 <= seeds <= 99999):
        return "seeds must be between 10000 and 99999."
    if pictures is not None and not (isinstance(pictures, list) and len(pictures) <= 3):
        return "imageUrls must hold 1 to 3 URLs."
    return None
