"""The JSON of the unified form: what recordInfo and callbacks say of a task (veo-api §13).

What the contract leaves open is taken from the vendor's reference of other models: `param` repeats the whole request, texts that
say nothing are empty, `costTime` is in milliseconds.
"""

from __future__ import annotations

from typing import Literal

from app.simulator.bodies import Body, Urls, compact, milliseconds, snake_case, written
from app.simulator.records import Generation, Upgrade
from app.simulator.scenarios import BodyForm, Failure

State = Literal["waiting", "queuing", "generating", "success", "fail"]


def state_of(record: Generation | Upgrade, now: float) -> State:
    """Waits for a tenth of its time, stands in the queue for another."""
    if now >= record.ready_at:
        return "fail" if record.failure else "success"
    spent = (now - record.created_at) / (record.ready_at - record.created_at)
    return "waiting" if spent < 0.1 else "queuing" if spent < 0.2 else "generating"


def model_of(record: Generation | Upgrade) -> str:
    if isinstance(record, Upgrade):
        return f"veo/get-{record.kind}-video"
    return "veo/extend" if record.parent else "veo-3-1"


def job_details(
    record: Generation | Upgrade, state: State, urls: Urls, failure: Failure | None, form: BodyForm = "documented"
) -> Body:
    """`data` of recordInfo in this state, and of callbacks.

    :param failure: with `fail` alone
    :param form: how `resultUrls` are written
    """
    result = {name: addresses for name, addresses in urls.items() if addresses}
    ended = state in ("success", "fail")
    spent = milliseconds(record.ready_at) - milliseconds(record.created_at)
    return {
        "taskId": record.task_id,
        "model": model_of(record),
        "state": state,
        "param": compact(_request(record)),
        "resultJson": compact({**result, "resultUrls": written(urls["resultUrls"], form)})
        if state == "success"
        else "",
        "failCode": str(failure.code) if failure else "",
        "failMsg": failure.msg if failure else "",
        "costTime": spent if ended else None,
        "completeTime": milliseconds(record.ready_at) if ended else None,
        "createTime": milliseconds(record.created_at),
        "creditsConsumed": record.charged if ended else None,
    }


def job_callback(record: Generation | Upgrade, urls: Urls, failure: Failure | None) -> Body:
    """The callback of a task that succeeded, or failed so."""
    scenario = record.scenario
    data = job_details(record, "fail" if failure else "success", urls, failure, scenario.body)
    if scenario.body == "prompt-object":
        data["param"] = _request(record)
    if scenario.body == "snake-case":
        data = snake_case(data)
    told = None if failure and scenario.null_data else data
    code, msg = (501, "Task failed.") if failure else (200, "Task completed successfully.")
    return {"code": code, "msg": msg, "data": told}


def _request(record: Generation | Upgrade) -> Body:
    request: Body = {"model": model_of(record)}
    if record.callback_url is not None:
        request["callBackUrl"] = record.callback_url
    if isinstance(record, Upgrade):
        return {**request, "input": {"taskId": record.parent.task_id, "index": record.index}}
    return {**request, "input": {name: value for name, value in record.params.items() if name != "callBackUrl"}}
