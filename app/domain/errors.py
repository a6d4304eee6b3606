"""What can go wrong, split by what to do about it.

    ReelkeepError
    ├── Transient            try again later; nothing was decided
    │   ├── LedgerUnavailable    Redis is down or silent
    │   │   └── ArchiveUnavailable   a record is in the bucket alone, which cannot be read
    │   ├── VendorUnreachable    no usable answer from the vendor
    │   │   └── VendorBusy           its rate limit was hit
    │   ├── StoreUnavailable     the bucket refused or did not confirm
    │   ├── FetchFailed          a download broke, was cut short, or was no video
    │   └── Interrupted          this process is stopping: hand the work over
    └── Permanent            trying the same again cannot help
        ├── StoreConflict        the key holds another sound file, which is not overwritten
        ├── FetchForbidden       the URL is one we must not fetch from
        └── LinkDead             the vendor says that the file is gone (403, 404, 410)

Messages are shown to users and written to logs: they never hold a key, a token or a query string.
"""


class ReelkeepError(Exception):
    """The root of every error that Reelkeep raises on purpose."""


class Transient(ReelkeepError):
    """Try again later."""


class Permanent(ReelkeepError):
    """Trying the same again cannot help."""


class LedgerUnavailable(Transient):
    """Redis is down, silent or refuses to write."""


class ArchiveUnavailable(LedgerUnavailable):
    """What is asked for has left Redis for its manifest in the bucket, and that cannot be read now."""


class VendorUnreachable(Transient):
    """The vendor gave no usable answer: transport fault, 5xx, maintenance, bad key or not JSON."""


class VendorBusy(VendorUnreachable):
    """The account's rate limit was hit: nothing was done, and nobody should ask for `pause` seconds."""

    def __init__(self, message: str, pause: float):
        """A message, and the pause in seconds."""
        super().__init__(message)
        self.pause = pause


class StoreUnavailable(Transient):
    """The bucket did not take the object, or did not confirm what it took."""


class StoreConflict(Permanent):
    """Another sound file, with other bytes, is stored under the key. Nothing was overwritten."""


class FetchFailed(Transient):
    """A download broke, was cut short, was too slow, or brought something that is not what was promised."""


class Interrupted(Transient):
    """The process is stopping."""


class FetchForbidden(Permanent):
    """The URL may not be fetched: scheme, host or address is not allowed, or the file exceeds the size cap."""


class LinkDead(Permanent):
    """The server says that the file is gone: HTTP 403, 404 or 410."""


class NotDelivered(Transient):
    """Whoever receives events did not take one."""


class ReceiverGone(Permanent):
    """Whoever received events says that it wants no more of them: HTTP 410."""
