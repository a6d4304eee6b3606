"""Makes docs/settings.md from app/settings.py: the comments there are its text.

python -m tests.tools.settings_reference            # print it
python -m tests.tools.settings_reference --write    # put it into docs/settings.md
"""

import argparse
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from app.domain.checkup import tell_size
from app.domain.policy import PRICES
from app.settings import EXIT_CONFIG, PREFIX, Settings

PAGE = Path(__file__).parents[2] / "docs/settings.md"
_SECTION = re.compile(r"# --- (.+) ---")
_COMMENT = re.compile(r"#: (.+)")
_FIELD = re.compile(r"(\w+): ")

HEAD = f"""# Settings

<!-- Made from app/settings.py by `python -m tests.tools.settings_reference --write`. Do not edit this page. -->

Every process takes its settings from the environment, or from a `.env` file in its working directory; the environment wins. A
setting that is empty counts as not set. A wrong or missing one stops the process at once, with one line that names it and status
{EXIT_CONFIG}. Seconds may be fractions. Switches are 0 or 1. `reelkeep doctor` says which settings contradict each other:

```sh
reelkeep doctor
```

Give all processes the same settings: what one may not know, another decides by.
"""

TAIL = """
## Of the parts below

These are not Reelkeep's own names, so they have no prefix.

| name | default | read by |
|---|---|---|
| `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_DEFAULT_REGION`, `AWS_ENDPOINT_URL_S3` … | – | boto3, in worker, mirror and \
the command line: all of boto3's ways work, profiles and instance roles too. And web, by these names alone, for [the videos on \
its pages](dashboard.md#one-generation) |
| `PORT` | 8000 on 127.0.0.1 | gunicorn; if it is set, web listens on all addresses |
| `WEB_CONCURRENCY` | 2 | gunicorn: processes of web, a thousand connections each |
| `WORKER_CONCURRENCY`, `MIRROR_CONCURRENCY` | 8, 16 | the Procfile: threads of worker and mirror |
| `FLOWER_PORT`, `FLOWER_ADDRESS` | 5555, 127.0.0.1 | the Procfile |
| `FLOWER_BASIC_AUTH` | – | Flower: `user:password`. Set it wherever Flower can be reached by others |
| `TMPDIR` | the system's | downloads under way: files without a name, up to `REELKEEP_DOWNLOAD_MAX_BYTES` each |
"""


@dataclass
class Section:
    """Settings that belong together."""

    title: str
    #: name of the field, and what its comment says
    fields: list[tuple[str, str]] = field(default_factory=list)


def read_sections() -> Iterator[Section]:
    """The settings by section, in the order of the source. :raises ValueError: one of them has no comment, or no section"""
    section, comment = Section(""), list[str]()
    for line in map(str.strip, inspect.getsource(Settings).splitlines()):
        if found := _SECTION.fullmatch(line):
            if section.fields:
                yield section
            section = Section(found[1])
        elif found := _COMMENT.fullmatch(line):
            comment.append(found[1])
        elif (found := _FIELD.match(line)) and found[1] in Settings.model_fields:
            if not comment or not section.title:
                raise ValueError(f"app/settings.py: {found[1]} needs a `#:` comment, under a `# --- section ---`")
            section.fields.append((found[1], " ".join(comment)))
            comment = []
        else:
            comment = []
    yield section


def render() -> str:
    """The page."""
    parts = [HEAD]
    for section in read_sections():
        rows = (f"| `{PREFIX}{name.upper()}` | {show_default(name)} | {text} |" for name, text in section.fields)
        parts.append("\n".join(["", f"## {section.title}", "", "| name | default | |", "|---|---|---|", *rows, ""]))
    return "".join([*parts, TAIL])


def show_default(name: str) -> str:
    """A default as one would write it into the environment; a dash if there is none."""
    value = Settings.model_fields[name].get_default(call_default_factory=True)
    if name == "prices":
        value = tuple(f"{thing}={credits:g}" for thing, credits in PRICES.items())
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int) and value % 1024 == 0:  # a size
        return tell_size(value).replace(".0 ", " ")
    if isinstance(value, float | int):
        return f"{value:.12g}"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`" if value else "–"
    return f"`{value}`" if isinstance(value, str) and value else "–"


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put it into docs/settings.md")
    if parser.parse_args().write:
        PAGE.write_text(render())
    else:
        print(render(), end="")


if __name__ == "__main__":
    main()
