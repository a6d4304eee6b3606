"""What the pages say is so: links lead somewhere, settings and files exist, texts are those of the program."""

import ast
import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest
from ruamel.yaml import YAML

from app.adapters.bucket_faults import REMEDIES
from app.domain.checkup import Level
from app.domain.ledger import Health
from app.domain.redis_state import RedisState, judge
from app.domain.rendition import RenditionState
from app.domain.states import State
from app.settings import PREFIX, Settings
from app.web.health import check_fleet
from tests.support.pages import PAGES, ROOT, read_blocks, read_prose
from tests.tools.settings_reference import PAGE, render

#: pages that others of this set link to and that are written with what they describe; take a name out when its page is there
NAMES = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
#: names of settings that are none of the program's: the health check's of the compose file
OTHERS = {"REELKEEP_NODE"}
RUNBOOK = ROOT / "docs/runbook.md"

every_page = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.+)$", read_prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


# --- links -------------------------------------------------------------------------------------------------------------------


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", read_prose(page)):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: there is no such file"
        assert not anchor or anchor in _anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_the_index_names_every_page(page: Path) -> None:
    index = ROOT / "docs/README.md"
    assert page == index or f"({page.relative_to(index.parent)})" in index.read_text()


@every_page
def test_files_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:app|workers|tests|docs|deploy|requirements)/[\w./-]+)`", read_prose(page)):
        assert (ROOT / name).exists(), name


def test_the_readme_fits_a_screen() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 65


@pytest.mark.parametrize("picture", sorted((ROOT / "docs/pictures").glob("*.svg")), ids=lambda path: path.name)
def test_pictures_are_small_and_describe_themselves(picture: Path) -> None:
    assert picture.stat().st_size < 10_000
    parts = {element.tag.rpartition("}")[2] for element in ElementTree.parse(picture).iter()}  # our own
    assert parts >= {"title", "desc"}
    assert parts.isdisjoint({"script", "image", "foreignObject"})


def test_yaml_can_be_read() -> None:
    assert [YAML(typ="safe").load(block.text)["kind"] for block in read_blocks("yaml")]


# --- settings ----------------------------------------------------------------------------------------------------------------


def test_the_settings_page_is_up_to_date() -> None:
    assert PAGE.read_text() == render(), "python -m tests.tools.settings_reference --write"


def test_the_settings_page_has_every_setting() -> None:
    assert set(re.findall(rf"^\| `({PREFIX}\w+)`", PAGE.read_text(), re.MULTILINE)) == NAMES


@pytest.mark.parametrize(
    "path",
    [*PAGES, ROOT / "docker-compose.yml", ROOT / "Procfile", *sorted((ROOT / "deploy").rglob("*.*"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_settings_that_are_named_exist(path: Path) -> None:
    assert set(re.findall(rf"\b{PREFIX}[A-Z0-9_]*[A-Z0-9]", path.read_text())) <= NAMES | OTHERS


# --- the runbook -------------------------------------------------------------------------------------------------------------


@cache
def _texts_of_the_program() -> tuple[str, ...]:
    """Every string in the source, those that are put together from several literals in one piece."""
    trees = (ast.parse(path.read_text()) for folder in ("app", "workers") for path in (ROOT / folder).rglob("*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree))
    return tuple(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _quotes() -> list[str]:
    """The program's words, as the runbook quotes them in the first column of its tables of texts."""
    tables = re.findall(r"^\| text \|.*\n\|---.*\n((?:\|.*\n)+)", RUNBOOK.read_text(), re.MULTILINE)
    firsts = [row.split(" | ")[0] for table in tables for row in table.splitlines()]
    return [quote for first in firsts for quote in re.findall(r"`([^`]+)`", first)]


def test_the_runbook_quotes_texts() -> None:
    assert len(_quotes()) > 50


@pytest.mark.parametrize("quote", _quotes())
def test_the_runbook_quotes_the_program_as_it_speaks(quote: str) -> None:
    texts = _texts_of_the_program()
    for part in filter(None, (part.strip() for part in quote.split("…"))):
        assert any(part in text for text in texts), f"the program does not say {part!r}"


def _health(**facts: object) -> Health:
    good = {
        "now": 1000.0,
        "sweep_at": 1000.0,
        "bucket_at": 1000.0,
        "bucket_error": "",
        "overdue": 0.0,
        "unclaimed": 0.0,
    }
    return Health(**{**good, "faults": {}, **facts})  # type: ignore[arg-type]


#: everything that may stand in `checks`, but for what others say: Redis's own words, a store's, a step's
FLEETS = [
    _health(sweep_at=None),
    _health(sweep_at=0.0),
    _health(bucket_at=None),
    _health(faults={"settle/t1": "KeyError in settle"}),
    _health(faults={"settle/t1": "KeyError in settle", "settle/t2": "KeyError in settle"}),
    _health(overdue=500.0),
    _health(unclaimed=5000.0),
]
SERVERS = [
    RedisState(replica=True),
    RedisState(version="4.0.14"),
    RedisState(append_failed=True),
    RedisState(used=95, limit=100),
    RedisState(used=85, limit=100, spoken_for=10),
]
TEXTS_OF_READYZ = [
    *(text for health in FLEETS for text in check_fleet(health, sweep_every=15, deadline=900).values() if text),
    *(remark.text for server in SERVERS for remark in judge(server) if remark.level is Level.PROBLEM),
    *REMEDIES.values(),
]


@pytest.mark.parametrize("text", TEXTS_OF_READYZ)
def test_the_runbook_knows_each_text_of_readyz(text: str) -> None:
    """In its words: what differs from case to case stands there as `…`."""
    patterns = [".*".join(map(re.escape, quote.split("…"))) for quote in _quotes()]
    assert any(re.fullmatch(pattern, text) for pattern in patterns), text


def test_each_look_at_the_fleet_and_at_redis_finds_something() -> None:
    assert len(TEXTS_OF_READYZ) == len(FLEETS) + len(SERVERS) + len(REMEDIES)


@pytest.mark.parametrize("state", [*State, *RenditionState])
def test_states_are_explained(state: str) -> None:
    assert f"| `{state}` |" in (ROOT / "docs/how-it-works.md").read_text()


@pytest.mark.parametrize("state", [state for state in State if state is not State.COMPLETE])
def test_the_runbook_has_each_state_that_may_need_somebody(state: str) -> None:
    assert f"\n| `{state}`" in RUNBOOK.read_text()
