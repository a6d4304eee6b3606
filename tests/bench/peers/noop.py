"""A bare Flask endpoint that does nothing: what HTTP, gunicorn and Flask cost."""

from flask import Flask

app = Flask("noop")


@app.post("/callbacks/veo")
def receive() -> dict[str, object]:
    return {"code": 200, "msg": "success"}
