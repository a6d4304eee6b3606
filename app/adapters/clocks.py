"""How far the vendor's clock is from this machine's."""

import time
from datetime import UTC
from email.utils import parsedate_to_datetime

import requests

from app.adapters.kie.transport import USER_AGENT
from app.domain.errors import VendorUnreachable

#: answered anew each time (veo-api §10); a page in front of it could come out of a cache, with an old date
PATH = "/api/v1/chat/credit"
#: seconds to connect, seconds between bytes
TIMEOUT = (3.0, 5.0)


def read_vendor_lead(base_url: str, timeout: tuple[float, float] = TIMEOUT) -> float:
    """How many seconds the vendor's clock is ahead of ours, to about a second: by the `Date` of an answer, whatever its status.

    :raises VendorUnreachable: nothing was answered, or without a date
    """
    with requests.Session() as session:
        session.trust_env = False  # no proxy and no password file: as the client of its API
        session.headers["User-Agent"] = USER_AGENT
        began = time.time()
        try:
            with session.head(base_url + PATH, timeout=timeout, allow_redirects=False, stream=True) as response:
                date = parsedate_to_datetime(response.headers.get("Date", ""))
        except (requests.RequestException, OSError) as error:
            raise VendorUnreachable(f"no answer from the vendor: {type(error).__name__}") from error
        except (ValueError, TypeError) as error:
            raise VendorUnreachable("the vendor's answer has no date") from error
    ours = (began + time.time()) / 2
    theirs = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() + 0.5  # a date is cut to the second
    return theirs - ours
