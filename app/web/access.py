"""Who may use the user's routes: whoever presents one of the tokens (`REELKEEP_API_TOKENS`).

Wrong tokens are counted for each client address, across all web processes, and answered 429 once there were too many. A right
token is let in all the same, always: behind a proxy everybody has the proxy's address, and nobody must be able to lock the others
out by guessing. So the limit slows nobody down who has guessed right; what makes guessing hopeless is the token's length, of
which `reelkeep doctor` warns. The limit is for broken clients, for the log, and for whoever watches it.
"""

import hmac
import ipaddress
import math
from collections.abc import Sequence
from http import HTTPStatus

from flask import request

from app.domain.errors import LedgerUnavailable
from app.domain.ledger import Ledger
from app.logs import log_event
from app.web.problems import Problem

#: wrong tokens from one address that are answered 401 in one window; more are answered 429
MOST_FAILURES = 20
#: seconds
WINDOW = 60.0


class Access:
    """The one place where tokens are checked, however they are presented."""

    def __init__(self, tokens: Sequence[str], ledger: Ledger, names: str = "one of REELKEEP_API_TOKENS"):
        """:param tokens: those that are let in; none: nobody is. :param ledger: keeps the count of failures

        :param names: what is to be presented, in words
        """
        self._advice = f"send Authorization: Bearer <token> with {names}"
        self._tokens = [token.encode() for token in tokens]
        self._ledger = ledger

    def require_bearer(self) -> None:
        """Let the present request pass if its `Authorization` header holds a right token. :raises Problem: 401, 429"""
        header = request.headers.get("Authorization", "")
        if not header:  # nothing was guessed, so nothing is counted
            raise _refusal(self._advice)
        scheme, _, given = header.partition(" ")
        if not self.admits(given.strip() if scheme.casefold() == "bearer" else ""):
            raise _refusal(f"this is no token of ours: {self._advice}", ', error="invalid_token"')

    def admits(self, token: str) -> bool:
        """Whether a token is right. A wrong one is counted. :raises Problem: 429: there were too many from this address"""
        presented = token.encode("utf-8", "surrogatepass")
        # Each is compared, and each in constant time: how long it takes tells nothing of them.
        if any([hmac.compare_digest(known, presented) for known in self._tokens]):
            return True
        self._count_failure(_network(request.remote_addr or ""))
        return False

    def _count_failure(self, network: str) -> None:
        try:
            failures, seconds = self._ledger.tally(f"failures:{network}", WINDOW)
        except LedgerUnavailable:
            return  # without Redis the token is checked all the same, and nothing is counted
        if failures > MOST_FAILURES:
            if failures == MOST_FAILURES + 1:
                log_event("access.limited", network=network)
            detail = (
                f"more than {MOST_FAILURES} wrong tokens came from your address within {WINDOW:.0f} s: {self._advice}"
            )
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, {"Retry-After": str(math.ceil(seconds))})


def _refusal(detail: str, more: str = "") -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": f'Bearer realm="reelkeep"{more}'})


def _network(address: str) -> str:
    """What failures are counted for: an address, or the IPv6 network that one client has to itself."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket has none
        return "unknown"
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
