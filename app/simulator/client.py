"""A small client of the simulator, for tests and the demo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests


class SimulatorClient:
    """Speaks the vendor's API and the simulator's admin routes."""

    def __init__(self, base_url: str, api_key: str = "sim-key", timeout: float = 10) -> None:
        self.base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._timeout = timeout

    def call(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """One request with the key; `kwargs` as for `requests.request`."""
        headers = {**self._headers, **kwargs.pop("headers", {})}
        return requests.request(method, self.base_url + path, headers=headers, timeout=self._timeout, **kwargs)

    def generate(self, prompt: str, callback_url: str | None = None, **fields: Any) -> str:
        """Submit a generation; its task id."""
        return self._created("/api/v1/veo/generate", {"prompt": prompt, "callBackUrl": callback_url, **fields})

    def extend(self, task_id: str, prompt: str, callback_url: str | None = None, **fields: Any) -> str:
        """Submit an extension; its own task id."""
        wanted = {"taskId": task_id, "prompt": prompt, "callBackUrl": callback_url, **fields}
        return self._created("/api/v1/veo/extend", wanted)

    def create_task(self, model: str, given: Mapping[str, Any], callback_url: str | None = None) -> str:
        """createTask of the unified form, `given` being its `input`; the task id."""
        body = {"model": model, "input": given, "callBackUrl": callback_url}
        return self._created("/api/v1/jobs/createTask", body)

    def record_info(self, task_id: str) -> dict[str, Any]:
        """What the unified form says of a task, its strings not parsed."""
        body = self.call("GET", "/api/v1/jobs/recordInfo", params={"taskId": task_id}).json()
        if body["code"] != 200:
            raise RuntimeError(f"refused: {body}")
        data: dict[str, Any] = body["data"]
        return data

    def books(self) -> dict[str, Any]:
        """The simulator's own count of everything."""
        books: dict[str, Any] = self.call("GET", "/_simulator/books").json()
        return books

    def true_bytes(self, path: str) -> bytes:
        """What the file at this path really holds, whatever faults its scenario has."""
        response = self.call("GET", "/_simulator/file", params={"path": path})
        response.raise_for_status()
        return response.content

    def _created(self, path: str, fields: dict[str, Any]) -> str:
        given = {name: value for name, value in fields.items() if value is not None}
        body = self.call("POST", path, json=given).json()
        if body["code"] != 200:
            raise RuntimeError(f"refused: {body}")
        task_id: str = body["data"]["taskId"]
        return task_id
