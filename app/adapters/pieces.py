"""Keeping the pieces of a large file while it arrives, and taking up those that somebody else has kept.

`docs/decisions/0009-resumed-transfers.md` says why it is done this way.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO, Self

from app.adapters.download_policy import DownloadPolicy
from app.adapters.resume import Body
from app.domain.errors import StoreUnavailable
from app.domain.ports import Parts
from app.logs import log_event, with_work

#: seconds to wait for pieces that are under way: when the file is there, and when it is not, so that each counts
LINGER, PATIENCE = 5.0, 60.0
LOOK_EVERY = 0.1


class Keeper:
    """Reads whole pieces back from the file and keeps them, from a thread of its own: a slow store does not slow the source.

    The last, incomplete piece is not kept. What cannot be kept is only fetched again.
    """

    def __init__(self, parts: Parts, version: str, file: BinaryIO, piece: int, first: int) -> None:
        """Begins at once. :param piece: bytes of one :param first: number of the first one that is not kept yet"""
        self._parts, self._version, self._piece, self._next = parts, version, piece, first
        # A file descriptor of its own: the number of one that was closed may be another file's by then.
        self._file = os.dup(file.fileno())
        self._arrived = 0
        self._changed = threading.Condition()
        self._ending = self._giving_up = False
        self._thread = threading.Thread(target=with_work(self._run), name="download-keeper", daemon=True)
        self._thread.start()

    def note(self, size: int) -> None:
        """So many bytes of the file have arrived, and are where others may read them."""
        with self._changed:
            self._arrived = size
            self._changed.notify()

    def end(self, stop: threading.Event, *, give_up: bool) -> None:
        """Nothing more arrives. Waits for what is under way, but not long, and not at all where the process stops.

        :param give_up: leave what is not kept yet
        """
        with self._changed:
            self._ending, self._giving_up = True, give_up
            self._changed.notify()
        ends = time.monotonic() + (LINGER if give_up else PATIENCE)
        while self._thread.is_alive() and not stop.is_set() and time.monotonic() < ends:
            self._thread.join(LOOK_EVERY)
        with self._changed:
            self._giving_up = True

    def _run(self) -> None:
        try:
            while self._await_piece():
                piece = os.pread(self._file, self._piece, self._next * self._piece)
                if len(piece) != self._piece:
                    return
                self._parts.keep(self._version, self._next, piece)
                self._next += 1
        except (StoreUnavailable, OSError) as error:
            log_event("download.unkept", error=str(error))
        finally:
            os.close(self._file)

    def _await_piece(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._ending or self._is_there())
            return self._is_there() and not self._giving_up

    def _is_there(self) -> bool:
        return self._arrived >= (self._next + 1) * self._piece


class Pieces:
    """The pieces of one transfer; none at all if the file is small, cannot be recognised, or nobody keeps any.

    They are kept where fetching them again would take long. What comes fast is only kept if the transfer fails.
    """

    def __init__(self, parts: Parts | None, policy: DownloadPolicy, stop: threading.Event) -> None:
        self._parts, self._policy, self._stop = parts, policy, stop
        self._keeper: Keeper | None = None
        #: the file whose pieces are worth keeping
        self._body: Body | None = None
        self._began = 0.0
        self._noted = self._first = 0
        self._was_recalled = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After a failure all that has come is kept for the next attempt, unless the process has no time for it.
        keep = error is not None and not self._stop.is_set()
        if keep:
            with suppress(OSError):  # on a full disk; what had been noted before is kept all the same
                self._keep()
        self._end(give_up=not keep)

    def begin(self, body: Body) -> Sequence[str]:
        """A file begins. Gives the names of its pieces that were kept before; if there are any, they are to be recalled.

        Once for a transfer: where they lead nowhere, all is fetched.
        """
        self._end(give_up=True)
        if self._parts is None or not body.validator or body.total is None or body.is_small:
            return ()
        if body.total <= self._policy.large:
            return ()
        self._start(body)
        if self._was_recalled:
            return ()
        try:
            names = self._parts.find(body.version(self._policy.piece))
        except StoreUnavailable as error:
            log_event("download.unkept", error=str(error))
            return ()
        self._was_recalled = bool(names)
        return names[: (body.total - 1) // self._policy.piece]  # something is left to be asked for

    def recall(self, names: Sequence[str], body: Body) -> Iterator[int]:
        """Take pieces in again, as far as they are good; gives the length of each. Those that follow are kept as before."""
        if not names or self._parts is None:
            return
        for name in names:
            try:
                piece = self._parts.read(name)
            except StoreUnavailable as error:
                log_event("download.unkept", error=str(error))
                break
            body.append(piece)
            yield len(piece)
        self._start(body)

    def note(self, body: Body) -> None:
        """More of the file has arrived."""
        piece = self._policy.piece
        if self._body is None or body.size // piece == self._noted // piece:
            return
        self._noted = body.size
        seconds = time.monotonic() - self._began
        if self._keeper is not None or body.size - self._first < seconds * self._policy.keep_below:
            self._keep()

    def discard(self) -> None:
        """Forget all pieces: what they make is of no use."""
        if self._parts is not None and self._parts.used:
            try:
                self._parts.discard()
            except StoreUnavailable as error:
                log_event("download.unkept", error=str(error))

    def _start(self, body: Body) -> None:
        self._body, self._began = body, time.monotonic()
        self._noted = self._first = body.size

    def _keep(self) -> None:
        """Have kept what has arrived since the start."""
        if self._body is None or self._parts is None:
            return
        self._body.file.flush()
        if self._keeper is None:
            piece = self._policy.piece
            version = self._body.version(piece)
            self._keeper = Keeper(self._parts, version, self._body.file, piece, self._first // piece)
        self._keeper.note(self._body.size)

    def _end(self, *, give_up: bool) -> None:
        if self._keeper is not None:
            self._keeper.end(self._stop, give_up=give_up)
            self._keeper = None
        self._body = None
