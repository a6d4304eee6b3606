"""The JSON that the vendor sends: callbacks in all their forms, the details' `data` (veo-api §4, §7, §8)."""

from __future__ import annotations

import json
import re
from typing import Any

from app.simulator.answers import UNAVAILABLE_4K
from app.simulator.records import Generation, Upgrade
from app.simulator.scenarios import BodyForm, Failure

Body = dict[str, Any]
#: What a failure callback says that is not the last word.
_PASSING = Failure(code=500, msg="Internal Error, Please try again later.")


def generation_success(generation: Generation, results: list[str], origins: list[str], fulls: list[str]) -> Body:
    """The callback of a success. `resolution` says 1080p although the video is 720p (field)."""
    scenario = generation.scenario
    info: Body = {"resultUrls": _written(results, scenario.body), "originUrls": origins or None}
    if fulls:
        info["fullResultUrls"] = fulls
    data: Body = {
        "taskId": generation.task_id,
        "promptJson": _prompt_json(generation.params, scenario.body),
        "info": {**info, "resolution": "1080p"},
        "fallbackFlag": scenario.fallback,
    }
    if scenario.body == "prompt-object":  # the newest form, which tells the price too
        data["creditsConsumed"] = generation.credits
    msg = "Veo3.1 video extension successful." if fulls else "Veo3.1 video generated successfully."
    if scenario.fallback:
        msg = "Veo3.1 video generated successfully (using fallback model)."
    return {"code": 200, "msg": msg, "data": snake_case(data) if scenario.body == "snake-case" else data}


def generation_failure(generation: Generation, *, passing: bool) -> Body:
    """The callback of a failure; `passing`: of one that a success follows or went before."""
    scenario = generation.scenario
    failure = _PASSING if passing or scenario.failure is None else scenario.failure
    data: Body = {"taskId": generation.task_id, "fallbackFlag": scenario.fallback}
    data = snake_case(data) if scenario.body == "snake-case" else data
    return {"code": failure.code, "msg": failure.msg, "data": None if scenario.null_data else data}


def upgrade_success(upgrade: Upgrade, videos: list[str], images: list[str]) -> Body:
    """The callback of a 4K; its snake_case form is flat (veo-api §7)."""
    form = upgrade.parent.scenario.body
    if form == "snake-case":
        data: Body = {"task_id": upgrade.task_id, "result_urls": videos, "image_urls": images}
        data["media_ids"] = [upgrade.task_id]
    else:
        info = {"resultUrls": _written(videos, form), "imageUrls": images}
        data = {"creditsConsumed": upgrade.credits, "taskId": upgrade.task_id, "info": info}
    return {"code": 200, "msg": "4K Video generated successfully.", "data": data}


def upgrade_failure(upgrade: Upgrade) -> Body:
    data = None if upgrade.parent.scenario.null_data else {"taskId": upgrade.task_id}
    return {"code": 500, "msg": UNAVAILABLE_4K, "data": data}


def generation_details(
    generation: Generation, now: float, results: list[str], origins: list[str], fulls: list[str]
) -> Body:
    """`data` of record-info about a generation."""
    flag = generation.flag(now)
    response: Body = {"taskId": generation.task_id, "resultUrls": results, "originUrls": origins or None}
    if fulls:
        response["fullResultUrls"] = fulls
    failure = generation.scenario.failure if flag in (2, 3) else None
    return {
        "taskId": generation.task_id,
        "paramJson": json.dumps(generation.params, separators=(",", ":"), ensure_ascii=False),
        "response": {**response, "resolution": "1080p"} if flag == 1 else None,
        "successFlag": flag,
        "fallbackFlag": generation.scenario.fallback,
        "completeTime": _milliseconds(generation.ready_at) if flag else None,
        "createTime": _milliseconds(generation.created_at),
        "errorCode": failure.code if failure else None,
        "errorMessage": failure.msg if failure else "",
    }


def upgrade_details(upgrade: Upgrade, now: float, videos: list[str], images: list[str]) -> Body:
    """`data` of record-info about a 4K under an id of its own: no `fallbackFlag`, `mediaIds` (veo-api §8)."""
    outcome = upgrade.outcome(now)
    failed = outcome == "unavailable"
    response = {"taskId": upgrade.task_id, "resultUrls": videos, "imageUrls": images}
    return {
        "taskId": upgrade.task_id,
        "paramJson": json.dumps({"taskId": upgrade.parent.task_id, "index": upgrade.index}),
        "response": {**response, "mediaIds": [upgrade.task_id]} if outcome == "success" else None,
        "successFlag": {"processing": 0, "success": 1, "unavailable": 3}[outcome],
        "completeTime": None if outcome == "processing" else _milliseconds(upgrade.ready_at),
        "createTime": _milliseconds(upgrade.ordered_at),
        "errorCode": 500 if failed else None,
        "errorMessage": UNAVAILABLE_4K if failed else "",
    }


def snake_case(value: Any) -> Any:
    """The same JSON with snake_case names."""
    if isinstance(value, list):
        return [snake_case(item) for item in value]
    if isinstance(value, dict):
        return {re.sub(r"(?=[A-Z])", "_", key).lower(): snake_case(item) for key, item in value.items()}
    return value


def _written(urls: list[str], form: BodyForm) -> Any:
    """A list of URLs in one of the forms that receivers have met (veo-api §4)."""
    if form == "json-string":
        return json.dumps(urls)
    if form == "bracketed":
        return f"[{', '.join(urls)}]"
    return urls[0] if form == "bare-url" else urls


def _prompt_json(params: Body, form: BodyForm) -> Any:
    """As documented a string that is not valid JSON inside: a stray backslash before the callback URL."""
    if form == "prompt-object":
        return params
    text = json.dumps(params, separators=(",", ":"), ensure_ascii=False)
    return text.replace('"callBackUrl":"', '"callBackUrl":"\\')


def _milliseconds(seconds: float) -> int:
    return int(seconds) * 1000
