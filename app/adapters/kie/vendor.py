"""The client of the vendor's API, in either of its forms."""

from typing import Literal, Protocol

from app.adapters.kie.jobs import JobsForm
from app.adapters.kie.outcomes import judge_submit
from app.adapters.kie.transport import TIMEOUT, Call, Reply, Transport
from app.adapters.kie.veo import VeoForm
from app.domain.callbacks import read_number
from app.domain.errors import VendorBusy, VendorUnreachable
from app.domain.requests import Request
from app.domain.urls import read_urls
from app.domain.vendor import OrderAnswer, Progress, SubmitAnswer, Verdict
from app.domain.work import Kind

#: codes that say "no such record"; fresh generations get them too (veo-api §8)
UNKNOWN_CODES = frozenset({404, 422})
#: codes that say "there is no fresh link to this" (veo-api §10)
NO_LINK_CODES = frozenset({400, 404, 422})


class Form(Protocol):
    """One form of the API: which requests are sent, and what their answers say."""

    repeats_are_questions: bool

    def submit(self, request: Request, callback_url: str | None) -> Call:
        """The request that creates a generation or an extension."""
        ...

    def details(self, task_id: str) -> Call:
        """The request that asks for a record."""
        ...

    def upgrade(self, kind: Kind, task_id: str, index: int, callback_url: str | None) -> Call:
        """The request that orders an upgrade."""
        ...

    def read_details(self, data: object, msg: str) -> Verdict:
        """Read a record. Never raises."""
        ...

    def read_upgrade(self, reply: Reply) -> OrderAnswer:
        """Read what came of ordering an upgrade. Never raises."""
        ...


FORMS: dict[str, Form] = {"veo": VeoForm(), "jobs": JobsForm()}


class KieVendor:
    """Implements `app.domain.vendor.Vendor`. Thread-safe."""

    def __init__(
        self,
        api_key: str,
        base_url: str = "https://api.kie.ai",
        timeout: tuple[float, float] = TIMEOUT,
        form: Literal["veo", "jobs"] = "veo",
    ) -> None:
        """Connects to nothing yet.

        :param timeout: seconds to connect, seconds between bytes
        :param form: `veo`: the dedicated paths (veo-api §2-§8); `jobs`: the unified ones (veo-api §13)
        """
        self._transport = Transport(api_key, base_url, timeout)
        self._form = FORMS[form]

    @property
    def repeats_are_questions(self) -> bool:
        """See `Vendor.repeats_are_questions`."""
        return self._form.repeats_are_questions

    def submit(self, request: Request, callback_url: str | None) -> SubmitAnswer:
        """See `Vendor.submit`. The table is `outcomes.SUBMITS`."""
        return judge_submit(self._transport.send(self._form.submit(request, callback_url)))

    def ask_details(self, task_id: str) -> Verdict:
        """See `Vendor.ask_details`."""
        reply = self._ask(self._form.details(task_id))
        if reply.code in UNKNOWN_CODES or (reply.code == 200 and reply.data is None):
            return Verdict(Progress.UNKNOWN, reply.code, reply.msg)
        if reply.code != 200:
            raise VendorUnreachable(f"the details endpoint answered code {reply.code}: {reply.msg}")
        return self._form.read_details(reply.data, reply.msg)

    def ask_upgrade(self, kind: Kind, task_id: str, index: int, callback_url: str | None) -> OrderAnswer:
        """See `Vendor.ask_upgrade`."""
        return self._form.read_upgrade(self._transport.send(self._form.upgrade(kind, task_id, index, callback_url)))

    def renew_link(self, url: str) -> str | None:
        """See `Vendor.renew_link` (veo-api §10)."""
        reply = self._ask(Call("POST", "/api/v1/common/download-url", body={"url": url}))
        if reply.code == 200:
            return next(iter(read_urls(reply.data)), None)
        if reply.code in NO_LINK_CODES:
            return None
        raise VendorUnreachable(f"download-url answered code {reply.code}: {reply.msg}")

    def read_credit(self) -> float:
        """See `Vendor.read_credit`: a float (veo-api §10)."""
        reply = self._ask(Call("GET", "/api/v1/chat/credit"))
        credit = read_number(reply.data)
        if reply.code != 200 or credit is None:
            raise VendorUnreachable(f"the credit endpoint answered code {reply.code}: {reply.msg}")
        return credit

    def _ask(self, call: Call) -> Reply:
        """Send what buys nothing. Gives a reply with an envelope.

        :raises VendorBusy: the rate limit was hit
        :raises VendorUnreachable: no envelope came
        """
        reply = self._transport.send(call)
        if reply.pause is not None:
            raise VendorBusy(reply.trouble or f"{call.path} answered code {reply.code}: {reply.msg}", reply.pause)
        if reply.envelope is None:
            raise VendorUnreachable(reply.trouble)
        return reply
