"""Who is logged in: a signed cookie. On the server only those sessions are kept that were ended before their time.

A session is signed with a key made from the token that it was begun with: when that token leaves REELKEEP_API_TOKENS, its
sessions end with it, and no others. Visitors have a session too, for the login form has to be ours as well.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from itsdangerous import BadData, URLSafeTimedSerializer

COOKIE = "reelkeep_session"
#: seconds: twelve hours
LIFETIME = 12 * 3600


@dataclass(frozen=True)
class Session:
    """Of a user, or of a visitor who has shown no token yet."""

    id: str
    is_user: bool
    key: bytes = field(repr=False)

    @property
    def cookie(self) -> str:
        """What the browser keeps."""
        return str(_signer(self.key).dumps(self.id))

    @property
    def name(self) -> str:
        """What the ledger knows it by, once it was ended. Nothing can be done with it."""
        return f"session:{self.id}"

    @property
    def csrf(self) -> str:
        """What every form of this session holds, so that no other site can send one."""
        return _digest(self.key, f"form {self.id}").hex()

    def owns(self, csrf: str) -> bool:
        """Whether a form is this session's."""
        return hmac.compare_digest(self.csrf.encode(), csrf.encode("utf-8", "surrogatepass"))

    def seal(self, note: str) -> str:
        """A sentence for the next page, which nobody else can put there."""
        return str(_signer(self.key, self.id).dumps(note))

    def unseal(self, sealed: str) -> str:
        """The sentence; empty if it is not ours, or a minute old."""
        try:
            return str(_signer(self.key, self.id).loads(sealed, max_age=60))
        except BadData:
            return ""


class Sessions:
    """Begins sessions and knows them again."""

    def __init__(self, tokens: Sequence[str]):
        """:param tokens: those of the API"""
        self._keys = {token: _digest(token.encode(), "dashboard session") for token in tokens}
        # Of all tokens together: every process has the same. Nothing is open to whoever could forge it.
        self._visitors = _digest("\0".join(tokens).encode(), "dashboard visitor")

    def begin(self, token: str | None = None) -> Session:
        """A new session. :param token: a right one; None: of a visitor"""
        key = self._visitors if token is None else self._keys[token]
        return Session(secrets.token_urlsafe(16), token is not None, key)

    def find(self, cookie: str) -> Session | None:
        """The session that a cookie stands for; None: none, or not any more."""
        for key in (*self._keys.values(), self._visitors):
            try:
                return Session(str(_signer(key).loads(cookie, max_age=LIFETIME)), key is not self._visitors, key)
            except BadData:
                continue
        return None


def _signer(key: bytes, use: str = "session") -> URLSafeTimedSerializer:
    options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeTimedSerializer(key, salt=f"reelkeep {use}", signer_kwargs=options)


def _digest(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
