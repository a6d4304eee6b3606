"""The JSON of the dedicated form: callbacks in all their forms, the details' `data` (veo-api §4, §7, §8)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.simulator.records import Generation, Upgrade
from app.simulator.scenarios import BodyForm, Failure

Body = dict[str, Any]
#: Addresses by the name of their list; None: the entry is null.
Urls = Mapping[str, Sequence[str | None]]


def generation_success(generation: Generation, urls: Urls) -> Body:
    """The callback of a success."""
    scenario, fulls = generation.scenario, urls["fullResultUrls"]
    info: Body = {"resultUrls": written(urls["resultUrls"], scenario.body), "originUrls": urls["originUrls"] or None}
    if fulls:
        info["fullResultUrls"] = fulls
    data: Body = {
        "taskId": generation.task_id,
        "promptJson": _prompt_json(generation.params, scenario.body),
        "info": {**info, "resolution": _resolution(generation)},
        "fallbackFlag": scenario.fallback,
    }
    if scenario.body == "prompt-object" or scenario.tells_credits:  # the newest form tells the price too
        data["creditsConsumed"] = generation.charged
    msg = "Veo3.1 video extension successful." if fulls else "Veo3.1 video generated successfully."
    if scenario.fallback:
        msg = "Veo3.1 video generated successfully (using fallback model)."
    return {"code": 200, "msg": msg, "data": snake_case(data) if scenario.body == "snake-case" else data}


def generation_failure(generation: Generation, failure: Failure) -> Body:
    """The callback of a failure."""
    scenario = generation.scenario
    data: Body = {"taskId": generation.task_id, "fallbackFlag": scenario.fallback}
    if scenario.tells_credits:
        data["creditsConsumed"] = generation.charged
    data = snake_case(data) if scenario.body == "snake-case" else data
    return {"code": failure.code, "msg": failure.msg, "data": None if scenario.null_data else data}


def upgrade_success(upgrade: Upgrade, urls: Urls) -> Body:
    """The callback of a 4K; its snake_case form is flat (veo-api §7)."""
    form, videos, images = upgrade.scenario.body, urls["resultUrls"], urls["imageUrls"]
    if form == "snake-case":
        data: Body = {"task_id": upgrade.task_id, "result_urls": videos, "image_urls": images}
        data["media_ids"] = [upgrade.task_id]
    else:
        info = {"resultUrls": written(videos, form), "imageUrls": images}
        data = {"creditsConsumed": upgrade.charged, "taskId": upgrade.task_id, "info": info}
    return {"code": 200, "msg": "4K Video generated successfully.", "data": data}


def upgrade_failure(upgrade: Upgrade, failure: Failure) -> Body:
    """The callback of a 4K that there is not."""
    data: Body = {"taskId": upgrade.task_id}
    if upgrade.scenario.tells_credits:
        data["creditsConsumed"] = upgrade.charged
    return {"code": failure.code, "msg": failure.msg, "data": None if upgrade.scenario.null_data else data}


def generation_details(generation: Generation, now: float, urls: Urls) -> Body:
    """`data` of record-info about a generation."""
    flag = generation.flag(now)
    response: Body = {"taskId": generation.task_id, "resultUrls": urls["resultUrls"]}
    response["originUrls"] = urls["originUrls"] or None
    if urls["fullResultUrls"]:
        response["fullResultUrls"] = urls["fullResultUrls"]
    failure = generation.failure if flag else None
    data: Body = {
        "taskId": generation.task_id,
        "paramJson": compact(generation.params),
        "response": {**response, "resolution": _resolution(generation)} if flag == 1 else None,
        "successFlag": flag,
        "fallbackFlag": generation.scenario.fallback,
        "completeTime": milliseconds(generation.ready_at) if flag else None,
        "createTime": milliseconds(generation.created_at),
        "errorCode": failure.code if failure else None,
        "errorMessage": failure.msg if failure else "",
    }
    if generation.scenario.tells_credits:
        data["creditsConsumed"] = generation.charged if flag else None
    return data


def upgrade_details(upgrade: Upgrade, now: float, urls: Urls) -> Body:
    """`data` of record-info about a 4K under an id of its own: no `fallbackFlag`, `mediaIds` (veo-api §8)."""
    outcome = upgrade.outcome(now)
    failure = upgrade.failure if outcome == "unavailable" else None
    response = {"taskId": upgrade.task_id, **urls, "mediaIds": [upgrade.task_id]}
    data: Body = {
        "taskId": upgrade.task_id,
        "paramJson": compact({"taskId": upgrade.parent.task_id, "index": upgrade.index}),
        "response": response if outcome == "success" else None,
        "successFlag": {"processing": 0, "success": 1, "unavailable": 3}[outcome],
        "completeTime": None if outcome == "processing" else milliseconds(upgrade.ready_at),
        "createTime": milliseconds(upgrade.created_at),
        "errorCode": failure.code if failure else None,
        "errorMessage": failure.msg if failure else "",
    }
    if upgrade.scenario.tells_credits:
        data["creditsConsumed"] = None if outcome == "processing" else upgrade.charged
    return data


def snake_case(value: Any) -> Any:
    """The same JSON with snake_case names."""
    if isinstance(value, list):
        return [snake_case(item) for item in value]
    if isinstance(value, dict):
        return {re.sub(r"(?=[A-Z])", "_", key).lower(): snake_case(item) for key, item in value.items()}
    return value


def written(urls: Sequence[str | None], form: BodyForm) -> Any:
    """A list of URLs in one of the forms that receivers have met (veo-api §4)."""
    if form == "json-string":
        return json.dumps(urls)
    if form == "bracketed":
        return f"[{', '.join(url or 'null' for url in urls)}]"
    return urls[0] if form == "bare-url" else urls


def compact(value: Body) -> str:
    """JSON as the vendor writes it into its strings."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def milliseconds(seconds: float) -> int:
    """A time as the vendor tells it: whole seconds in milliseconds (live)."""
    return int(seconds) * 1000


def _resolution(generation: Generation) -> str:
    """Says 1080p although a plain video is 720p (field)."""
    return "4k" if generation.params.get("resolution") == "4k" else "1080p"


def _prompt_json(params: Body, form: BodyForm) -> Any:
    """As documented a string that is not valid JSON inside: a stray backslash before the callback URL."""
    return params if form == "prompt-object" else compact(params).replace('"callBackUrl":"', '"callBackUrl":"\\')
