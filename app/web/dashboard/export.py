"""The list as a file for spreadsheets: all that a filter shows, of which no more than a page is held at a time."""

import time
from collections.abc import Iterator

from flask import request

from app.domain.errors import LedgerUnavailable
from app.domain.ledger import Ledger, Page
from app.domain.sheet import HEAD, write_line, write_record
from app.logs import log_event
from app.web.dashboard.search import Search

#: rows that are read at a time, and written until others get a turn
AT_ONCE, TURN = 200, 10
#: seconds after which a file ends, and says where the next one begins: it keeps a process busy that callbacks may need
LONGEST = 60.0
#: seconds for which a browser may take nothing of it
LONGEST_SILENCE = 30.0
#: by this Excel knows UTF-8
MARK = "\ufeff"


def limit_silence() -> None:
    """Let the present request's answer end when nobody reads it."""
    connection = request.environ.get("gunicorn.socket")  # there is none under other servers
    if connection is not None:
        connection.settimeout(LONGEST_SILENCE)


def write_sheet(page: Page, search: Search, ledger: Ledger, path: str) -> Iterator[str]:
    """The file in parts. Its last line says so if it is not all of it: an answer that has begun cannot become an error.

    :param page: the first page
    :param path: where the rest is, once a cursor is added to its query
    """
    ends = time.monotonic() + LONGEST
    yield MARK + HEAD
    while True:
        for first in range(0, len(page.generations), TURN):
            yield "".join(map(write_record, page.generations[first : first + TURN]))
            time.sleep(0)
        if page.cursor is None:
            return
        rest = f"the rest is at {path}{'&' if '?' in path else '?'}cursor={page.cursor}"
        if time.monotonic() > ends:
            yield write_line([f"not all: no file takes longer than {LONGEST:.0f} s; {rest}"])
            return
        try:
            page = ledger.page(search.listed_state, AT_ONCE, page.cursor, search.filter)
        except LedgerUnavailable as error:
            log_event("export.cut_off", error=str(error))
            yield write_line([f"not all: {error}; {rest}"])
            return
