"""Bringing events to the user's receiver: a POST each, signed by the Standard Webhooks scheme.

The URL is the operator's own setting, so that an answer is no way to read anything: of it only the status is looked at, and
redirects are not followed. But its name may lead where the operator does not mean, once somebody else owns it. So it is dialled
as downloads are: unless the settings allow it, by https and to public addresses only.
"""

import base64
import hashlib
import hmac
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import requests
import urllib3

from app.adapters.download_connection import LookUp, guarded_session, look_up
from app.adapters.download_policy import DownloadPolicy
from app.adapters.downloader import tell_cause
from app.domain.errors import NotDelivered, ReceiverGone, ReelkeepError
from app.domain.outbox import Event

#: seconds for all of it: name, connection, TLS, the answer's head
TIMEOUT = 10.0
GONE = 410
USER_AGENT = "Reelkeep"
SECRET_PREFIX = "whsec_"  # noqa: S105  # what secrets begin with


class HttpNotifier:
    """Implements `app.domain.ports.Notifier`. Thread-safe."""

    def __init__(
        self,
        url: str,
        secrets: Sequence[str],
        *,
        insecure: bool,
        timeout: float = TIMEOUT,
        look_up: LookUp = look_up,
    ) -> None:
        """Describe the receiver; nothing is opened yet.

        :param secrets: `whsec_` and base64 each; each signs, so that the receiver can change from one to the next
        :param insecure: also http, and addresses that are not public
        """
        parts = urlsplit(url)
        self._url, self._keys, self._timeout, self._look_up = url, [read_key(one) for one in secrets], timeout, look_up
        self._policy = DownloadPolicy(
            hosts=(parts.hostname or "",),
            insecure=insecure,
            port=parts.port or 443,
            max_bytes=0,
            deadline=timeout,
            min_rate=0,
        )

    def deliver(self, event: Event) -> None:
        """See `Notifier.deliver`."""
        content, deadline = event.body.encode(), _Deadline(self._timeout)
        try:
            with (
                deadline,
                guarded_session(self._policy, deadline, self._look_up) as session,
            ):
                response = session.post(
                    self._url,
                    data=content,
                    headers={
                        "Content-Type": "application/json",
                        "User-Agent": USER_AGENT,
                        **self._sign(event.id, content),
                    },
                    timeout=self._timeout,
                    allow_redirects=False,
                    stream=True,  # nobody reads what it has to say
                )
                response.close()
        except ReelkeepError as error:
            raise NotDelivered(str(error)) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            # "from None": their own messages hold the whole URL, in which there may be a secret.
            within = f" within {self._timeout:g} s" if deadline.is_over else f": {tell_cause(error)}"
            raise NotDelivered(f"no answer{within}") from None
        if response.status_code == GONE:
            raise ReceiverGone("the receiver answered HTTP 410: it wants no more")
        if not 200 <= response.status_code < 300:
            raise NotDelivered(f"the receiver answered HTTP {response.status_code}")

    def _sign(self, event_id: str, content: bytes) -> dict[str, str]:
        # The time of this try, and not of the event: receivers refuse what is old.
        sent_at = str(int(time.time()))
        signed = b".".join((event_id.encode(), sent_at.encode(), content))
        digests = [hmac.digest(key, signed, hashlib.sha256) for key in self._keys]
        return {
            "webhook-id": event_id,
            "webhook-timestamp": sent_at,
            "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
        }


def read_key(secret: str) -> bytes:
    """The key that a secret stands for. :raises ValueError: it is none of that form"""
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)


class _Deadline:
    """Cuts the connection when time is up: a byte now and then resets a library's own time-outs."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        for connection in self._sockets:
            connection.close()

    @property
    def is_over(self) -> bool:
        """Whether time is up."""
        return time.monotonic() >= self._ends

    def add(self, connection: socket.socket) -> None:
        # A duplicate: TLS takes the original over, and shutting down either cuts the connection.
        self._sockets.append(connection.dup())
        self.go_on()

    def go_on(self) -> None:
        """Nothing, while there is time. :raises TimeoutError:"""
        if self.is_over:
            raise TimeoutError

    def _cut(self) -> None:
        for connection in self._sockets:
            with suppress(OSError):  # the receiver closed it already
                connection.shutdown(socket.SHUT_RDWR)
