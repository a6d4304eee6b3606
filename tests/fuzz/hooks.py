"""For schemathesis: signs the callbacks that it makes up, as the vendor would."""

from typing import Any

import schemathesis

from tests.integration.web import KEYS, signed


@schemathesis.auth().apply_to(path_regex="^/callbacks/")
class Signature:
    """The vendor's."""

    def get(self, case: Any, context: Any) -> str:
        return KEYS[0]

    def set(self, case: Any, data: str, context: Any) -> None:
        inner = case.body.get("data") if isinstance(case.body, dict) else None
        task_id = inner.get("taskId") if isinstance(inner, dict) else None
        case.headers = {**(case.headers or {}), **signed(task_id if isinstance(task_id, str) else "", data)}
