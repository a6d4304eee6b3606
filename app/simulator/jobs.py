"""The newer, unified form of the API (veo-api §13): every createTask is a new task that costs money.

What `input` holds is documented nowhere: here it has the fields of the dedicated form. Any video can be extended and upgraded,
whichever form made it, but each form's details know only what was made through it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.simulator import answers, job_bodies
from app.simulator.answers import Answer, success
from app.simulator.upgrades import Upgrades
from app.simulator.vendor import Vendor


@dataclass(frozen=True)
class Jobs:
    """The two endpoints of the unified form."""

    vendor: Vendor
    upgrades: Upgrades

    def create_task(self, fields: Mapping[str, Any]) -> Answer:
        """POST /api/v1/jobs/createTask `{"model", "callBackUrl", "input": {…}}`."""
        models: Mapping[object, Callable[[Mapping[str, Any]], Answer]] = {
            "veo-3-1": partial(self.vendor.generate, form="unified"),
            "veo/extend": partial(self.vendor.extend, form="unified"),
            "veo/get-1080p-video": partial(self.upgrades.create, "1080p"),
            "veo/get-4k-video": partial(self.upgrades.create, "4k"),
        }
        model, given = fields.get("model"), fields.get("input")
        if not isinstance(model, str) or model not in models:
            return answers.invalid("The model name you specified is not supported.")
        if not isinstance(given, Mapping):
            return answers.invalid("input is required.")
        return models[model]({**given, "callBackUrl": fields.get("callBackUrl")})

    def record_info(self, task_id: str) -> Answer:
        """GET /api/v1/jobs/recordInfo."""
        record = self.vendor.look_up(task_id, "unified")
        if record is None:
            return answers.UNKNOWN_JOB
        state = job_bodies.state_of(record, self.vendor.clock())
        failure = record.failure if state == "fail" else None
        return success(job_bodies.job_details(record, state, self.vendor.current_urls(record), failure))
