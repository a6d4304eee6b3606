"""The dedicated form of the API (veo-api §2-§8)."""

import json

from app.adapters.kie.answers import Upgrade, VeoRecord
from app.adapters.kie.outcomes import NEVER_THERE, judge_refusal
from app.adapters.kie.transport import Call, Reply
from app.domain.requests import ExtendRequest, Request
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import Kind

#: `successFlag` of the details endpoint; 2 and 3 are both final, and any other means that it runs (veo-api §8)
SUCCESS_FLAGS = {0: Progress.GENERATING, 1: Progress.SUCCEEDED, 2: Progress.FAILED, 3: Progress.FAILED}
#: codes that say "not ordered, for now", in any wording
PUT_OFF = frozenset({401, 402, 404, 429, 433, 455, 505})


class VeoForm:
    """A path for everything. An upgrade has one request for ordering it and asking about it."""

    repeats_are_questions = True

    def submit(self, request: Request, callback_url: str | None) -> Call:
        """Create a generation or an extension (veo-api §2, §3)."""
        path = "/api/v1/veo/extend" if isinstance(request, ExtendRequest) else "/api/v1/veo/generate"
        called_back = {} if callback_url is None else {"callBackUrl": callback_url}
        return Call("POST", path, body=request.fields() | called_back, buys=True)

    def details(self, task_id: str) -> Call:
        """Ask what became of a generation, or of a 4K with an id of its own (veo-api §8)."""
        return Call("GET", "/api/v1/veo/record-info", query={"taskId": task_id})

    def upgrade(self, kind: Kind, task_id: str, index: int, callback_url: str | None) -> Call:
        """Order an upgrade or ask about it (veo-api §5, §6). A 1080p has no callback."""
        if kind is Kind.HD:
            query = {"taskId": task_id, "index": str(index)}
            return Call("GET", "/api/v1/veo/get-1080p-video", query=query, buys=True)
        called_back = {} if callback_url is None else {"callBackUrl": callback_url}
        body = {"taskId": task_id, "index": index} | called_back
        return Call("POST", "/api/v1/veo/get-4k-video", body=body, buys=True)

    def read_details(self, data: object, msg: str) -> Verdict:
        """Read a record (veo-api §8)."""
        record = VeoRecord.model_validate(data)
        flag = record.success_flag
        return record.tell(
            None if flag is None else SUCCESS_FLAGS.get(flag, Progress.GENERATING),
            record.param_json,
            Kind.UHD if _is_of_4k(record) else Kind.RESULT,
            msg,
            (record.error_code, record.error_message),
        )

    def read_upgrade(self, reply: Reply) -> OrderAnswer:
        """Read what came of asking for an upgrade (veo-api §5, §6)."""
        data = Upgrade.model_validate(reply.data)
        code = reply.code or 0
        return OrderAnswer(
            _judge_upgrade(reply, data.urls),
            code=code,
            msg=reply.msg,
            urls=data.urls,
            task_id=data.task_id,
            credits=data.credits_consumed,
            pause=reply.pause,
        )


def _judge_upgrade(reply: Reply, urls: Urls) -> OrderProgress:
    """The body's URLs decide, not the code; a refusal's reason stands only in its wording (veo-api §5, §6)."""
    code, msg = reply.code or 0, reply.msg
    if reply.wire in NEVER_THERE:
        return OrderProgress.NOT_YET
    if urls.result:
        return OrderProgress.READY
    if code == 200 or "processing" in msg.casefold():
        return OrderProgress.ORDERED
    if code in PUT_OFF:
        return OrderProgress.NOT_YET
    return judge_refusal(code, msg) or OrderProgress.UNCERTAIN


def _is_of_4k(record: VeoRecord) -> bool:
    """Records of 4K tasks have no fallbackFlag, but a mediaIds somewhere (veo-api §8), in either spelling (§7)."""
    try:
        text = json.dumps(record.raw)
    except RecursionError:
        return False
    return record.fallback_flag is None and ('"mediaIds"' in text or '"media_ids"' in text)
