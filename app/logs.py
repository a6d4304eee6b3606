"""Logs: one line an event, to stdout: `time level event key=value …`. URLs lose their query string before they come here."""

import logging
import sys
from datetime import UTC, datetime


class EventFormatter(logging.Formatter):
    """Formats a record as one line; fields are given by `extra={"fields": {…}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = getattr(record, "fields", {})
        shown = "".join(f" {name}={_show(value)}" for name, value in fields.items())
        line = f"{at} {record.levelname.lower()} {record.getMessage()}{shown}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure_logs(level: int = logging.INFO) -> None:
    """Send all logs to stdout."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(EventFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def log_event(event: str, **fields: object) -> None:
    """Log one event of the product's: `rendition.stored task_id=… kind=…`."""
    logging.getLogger("reelkeep").info(event, extra={"fields": fields})


def _show(value: object) -> str:
    text = str(value)
    return repr(text) if not text or any(character.isspace() for character in text) else text
