"""Serves the vendor's files over HTTP: ranges and validators as a good host has them, faults as a bad one."""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from threading import Event

from flask import Request, Response

from app.simulator.files import File, Shelf, Visit
from app.simulator.scenarios import Fault

logger = logging.getLogger(__name__)

_PIECE = 64 * 1024
#: A stalled answer keeps silent for so long, or until the simulator stops.
_STALL_SECONDS = 600.0
#: Seconds between two bytes of an answer that drips.
_DRIP_SECONDS = 0.1
_WEB_PAGE = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>" + "<p>Wait.</p>" * 200


@dataclass(frozen=True)
class Host:
    """The server of the files."""

    shelf: Shelf
    lock: AbstractContextManager[object]
    stopping: Event

    def answer(self, request: Request) -> Response:
        """The answer to a GET or HEAD of a file; only a GET is counted and meets faults."""
        getting = request.method == "GET"
        with self.lock:
            visit = self.shelf.visit(request.path, request.query_string.decode(), counts=getting)
        logger.info("file.asked path=%s status=%d fault=%s", request.path, visit.status, visit.fault)
        if visit.file is None:
            return _error(visit.status)
        if not getting:
            return _whole(request, visit.file, visit.file.content)
        self.stopping.wait(visit.file.scenario.file_delay)
        return self._faulty(request, visit, visit.file)

    def _faulty(self, request: Request, visit: Visit, file: File) -> Response:
        if isinstance(visit.fault, int):
            return _error(visit.fault)
        if visit.fault == "html":
            return Response(_WEB_PAGE, content_type="text/html; charset=utf-8")
        content = file.content[: file.size // 2] if visit.fault == "short" else file.content
        response = _whole(request, file, content)
        body = response.get_data()
        connection: socket.socket = request.environ["werkzeug.socket"]
        breaks: dict[Fault | None, Callable[[], object]] = {
            "truncate": lambda: None,
            "reset": lambda: _reset(connection),
            "stall": lambda: self.stopping.wait(_STALL_SECONDS),
            "drip": lambda: None,
        }
        end = breaks.get(visit.fault)
        sent = body if end is None else body[: len(body) // 2]
        pieces = self._pieces(request.path, sent, end)
        response.response = chain(pieces, self._drips(body[len(sent) :])) if visit.fault == "drip" else pieces
        if body:
            response.content_length = len(body)
        return response

    def _pieces(self, path: str, body: bytes, end: Callable[[], object] | None) -> Iterator[bytes]:
        for start in range(0, len(body), _PIECE):
            piece = body[start : start + _PIECE]
            with self.lock:
                self.shelf.sent[path] += len(piece)
            yield piece
        if end is not None:
            end()

    def _drips(self, body: bytes) -> Iterator[bytes]:
        for place in range(len(body)):
            if self.stopping.wait(_DRIP_SECONDS):
                return
            yield body[place : place + 1]


def _error(status: int) -> Response:
    return Response(f"error {status}", status, content_type="text/plain")


def _whole(request: Request, file: File, content: bytes) -> Response:
    """The file, or the part of it that the request's Range, If-Range and If-None-Match ask for."""
    response = Response(content, content_type=file.media_type)
    response.set_etag(file.sha256[:32])
    response.last_modified = datetime.fromtimestamp(file.made_at, UTC)
    response.make_conditional(request, accept_ranges=True, complete_length=len(content))
    return response


def _reset(connection: socket.socket) -> None:
    """Break the connection with a TCP reset: nothing lingers, and the server says no goodbye."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())
    raise ConnectionResetError
