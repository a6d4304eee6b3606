"""The unified form of the API (veo-api §13).

What belongs inside `input` is documented nowhere: here it has the fields of the dedicated form by their names there (inferred).
"""

from collections.abc import Mapping
from typing import Any

from app.adapters.kie.answers import JobRecord, Upgrade
from app.adapters.kie.outcomes import judge_refusal, judge_submit
from app.adapters.kie.transport import Call, Reply
from app.domain.requests import ExtendRequest, Request
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, SubmitProgress, Verdict
from app.domain.work import Kind

GENERATE, EXTEND = "veo-3-1", "veo/extend"
UPGRADE_MODELS = {Kind.HD: "veo/get-1080p-video", Kind.UHD: "veo/get-4k-video"}
#: what the result URLs of a record are, if they are no generation's
MAIN_KINDS = {model: kind for kind, model in UPGRADE_MODELS.items()}
#: any other means that it runs
STATES = {
    "waiting": Progress.GENERATING,
    "queuing": Progress.GENERATING,
    "generating": Progress.GENERATING,
    "success": Progress.SUCCEEDED,
    "fail": Progress.FAILED,
}
#: an upgrade is a submit like any other
ORDERS = {
    SubmitProgress.CREATED: OrderProgress.ORDERED,
    SubmitProgress.BUSY: OrderProgress.NOT_YET,
    SubmitProgress.REFUSED: OrderProgress.NOT_YET,
    SubmitProgress.UNCERTAIN: OrderProgress.UNCERTAIN,
}


class JobsForm:
    """One path to create anything, and one to ask about it. What is created twice is paid for twice."""

    repeats_are_questions = False

    def submit(self, request: Request, callback_url: str | None) -> Call:
        """Create a generation or an extension."""
        model = EXTEND if isinstance(request, ExtendRequest) else GENERATE
        return _create(model, request.fields(), callback_url)

    def details(self, task_id: str) -> Call:
        """Ask what became of anything that was created."""
        return Call("GET", "/api/v1/jobs/recordInfo", query={"taskId": task_id})

    def upgrade(self, kind: Kind, task_id: str, index: int, callback_url: str | None) -> Call:
        """Order an upgrade: each time that this arrives."""
        return _create(UPGRADE_MODELS[kind], {"taskId": task_id, "index": index}, callback_url)

    def read_details(self, data: object, msg: str) -> Verdict:
        """Read a record."""
        record = JobRecord.model_validate(data)
        return record.tell(
            STATES.get(record.state.casefold(), Progress.GENERATING) if record.state else None,
            record.param,
            MAIN_KINDS.get(record.model, Kind.RESULT),
            msg,
            (record.fail_code, record.fail_msg),
        )

    def read_upgrade(self, reply: Reply) -> OrderAnswer:
        """Read what came of ordering an upgrade. URLs decide, as in the dedicated form (veo-api §6)."""
        answer = judge_submit(reply)
        data = Upgrade.model_validate(reply.data)
        progress = ORDERS[answer.progress]
        if data.urls.result:
            progress = OrderProgress.READY
        elif answer.progress is SubmitProgress.REFUSED:
            progress = judge_refusal(answer.code, answer.msg) or progress
        return OrderAnswer(
            progress, answer.code, answer.msg, data.urls, answer.task_id, data.credits_consumed, answer.pause
        )


def _create(model: str, fields: Mapping[str, Any], callback_url: str | None) -> Call:
    called_back = {} if callback_url is None else {"callBackUrl": callback_url}
    body = {"model": model, **called_back, "input": fields}
    return Call("POST", "/api/v1/jobs/createTask", body=body, buys=True)
