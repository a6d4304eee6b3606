"""The dashboard in a real Chromium, on a running stack: log in, filter, open, play, try again."""

import csv
from collections.abc import Iterator
from io import StringIO

import pytest

from tests.support.fleet import TOKEN, Fleet
from tests.support.waiting import wait_for

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser import PHONE, WIDE, Scheme, find_barriers, find_chromium, log_in, opened, running_browser

#: the width of the picture that stands where a video will play; 0: it cannot be loaded
PICTURE = """video => new Promise(ok => {
  const picture = new Image();
  picture.onload = () => ok(picture.naturalWidth);
  picture.onerror = () => ok(0);
  picture.src = video.poster;
})"""
pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def browser(fleet: Fleet) -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def kept(fleet: Fleet) -> str:
    """A generation with its 4K and a label."""
    task_id = fleet.generate(upgrades=("4k",))
    fleet.call("PUT", f"/generations/{task_id}", json={"labels": {"shelf": "top <b>", "x" * 60: "y" * 200}})
    wait_for(lambda: len(fleet.objects(task_id)) == 3)
    fleet.await_state(task_id)
    return task_id


@pytest.fixture(scope="module")
def failed(fleet: Fleet) -> str:
    task_id = fleet.generate("failed-501")
    fleet.await_state(task_id, "failed")
    return task_id


@pytest.fixture(scope="module")
def lost(fleet: Fleet) -> str:
    """A generation whose file cannot be had: its page names the reason, with a long URL."""
    task_id = fleet.generate("dead-link")
    fleet.await_state(task_id, "lost")
    return task_id


@pytest.fixture(scope="module")
def wordy(fleet: Fleet) -> str:
    """A generation with a prompt that neither ends nor has a space."""
    answer = fleet.call("POST", "/generations", json={"prompt": "a cat <b> " + "W" * 5000})
    return str(answer.json()["id"])


def plays(page: Page, label: str) -> Locator:
    """Have a video play. A browser that is starved may give one up: it is loaded once more, and then told of what ails it."""
    for is_last in (False, True):
        video = page.get_by_label(label, exact=True)
        video.evaluate("video => { video.muted = true; video.play(); }")
        try:
            wait_for(lambda video=video: video.evaluate("video => video.currentTime") > 0.2)  # type: ignore[misc]
            break
        except AssertionError as error:
            told = video.evaluate("v => [v.error?.message, v.networkState, v.readyState, v.paused, v.currentTime]")
            if is_last:
                raise AssertionError(f"does not play: {told}") from error
            page.reload(wait_until="domcontentloaded")
    return video


def test_log_in_filter_open_and_play(browser: Browser, fleet: Fleet, kept: str, failed: str) -> None:
    with opened(browser, fleet.stack.web_url) as page:
        log_in(page, TOKEN)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.get_by_role("navigation", name="Generations by state").get_by_role("link", name="complete").click()
        page.get_by_label("Upgrade").select_option("4k")
        page.get_by_label("Label", exact=True).fill("shelf=top <b>")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("table").get_by_role("link", name=failed)).to_have_count(0)
        with page.expect_download() as download:
            page.get_by_role("link", name="Export as CSV").click()
        exported = download.value.path().read_text(encoding="utf-8-sig")
        assert [row["taskId"] for row in csv.DictReader(StringIO(exported))] == [kept]
        page.get_by_role("table").get_by_role("link", name=kept).click()
        expect(page.get_by_text("shelf=top <b>")).to_be_visible()
        for label, width in (("result", 1280), ("4k", 3840)):
            video = plays(page, label)
            assert video.evaluate("video => video.videoWidth") == width
            assert video.evaluate(PICTURE) > 0


def test_what_failed_is_tried_again_by_one_button_and_by_the_list(browser: Browser, fleet: Fleet, failed: str) -> None:
    fleet.await_state(failed, "failed")
    with opened(browser, fleet.stack.web_url) as page:
        log_in(page, TOKEN)
        page.get_by_label("Find by id").fill(failed)
        page.get_by_label("Find by id").press("Enter")
        page.get_by_role("button", name="Try again what failed").click()
        expect(page.locator(".note")).to_have_text("Under way again: what had failed.")
        fleet.await_state(failed, "failed")
        page.goto(f"/ui/generations?state=failed&text={failed}", wait_until="domcontentloaded")
        page.get_by_text("Try again what failed of what this filter shows").click()
        page.get_by_role("button", name="Try them again").click()
        expect(page.locator(".note")).to_have_text("Looked at 1; 1 had failed and are under way again.")
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("API token").wait_for()
    fleet.await_state(failed, "failed")


def test_a_generation_leads_to_its_celery_tasks(browser: Browser, fleet: Fleet, kept: str) -> None:
    with opened(browser, fleet.stack.web_url) as page:
        log_in(page, TOKEN)
        page.goto(f"/ui/generations/{kept}", wait_until="domcontentloaded")
        link = page.get_by_role("link", name="Its Celery tasks in Flower").get_attribute("href")
    assert link is not None
    context = browser.new_context(http_credentials={"username": "user", "password": "password"})
    page = context.new_page()
    page.goto(link)
    expect(page.locator("#tasks-table tbody")).to_contain_text(f"mirror.{kept}.4k.0")
    context.close()


def test_without_scripts_all_of_it_works(browser: Browser, fleet: Fleet, failed: str) -> None:
    fleet.await_state(failed, "failed")
    with opened(browser, fleet.stack.web_url, javascript=False) as page:
        log_in(page, TOKEN)
        expect(page.get_by_role("heading", name="At risk")).to_be_visible()
        page.get_by_role("link", name="Generations", exact=True).click()
        page.get_by_label("State", exact=True).select_option("failed")
        page.get_by_role("button", name="Show").click()
        page.get_by_role("table").get_by_role("link", name=failed).click()
        page.get_by_role("button", name="Try again what failed").click()
        expect(page.locator(".note")).to_contain_text("Under way again")
    fleet.await_state(failed, "failed")


def test_the_first_screen_keeps_itself_fresh(browser: Browser, fleet: Fleet) -> None:
    with opened(browser, fleet.stack.web_url) as page:
        log_in(page, TOKEN)
        received = page.locator("dl.facts dd").first
        before = received.inner_text()
        fleet.generate()
        expect(received).not_to_have_text(before, timeout=60_000)
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#live-state")).to_contain_text("Paused: as of ")


def test_what_is_old_is_not_shown_as_if_it_were_so_now(browser: Browser, fleet: Fleet) -> None:
    with opened(browser, fleet.stack.web_url, forgiven="net::ERR_FAILED") as page:
        log_in(page, TOKEN)
        page.route("**/ui/now", lambda route: route.abort())
        state = page.locator("#live-state")
        expect(state).to_contain_text("No answer: what you see is old, as of ", timeout=30_000)
        expect(state).to_be_in_viewport()
        expect(page).to_have_title("No answer – Reelkeep")
        assert page.locator("#now").evaluate("it => getComputedStyle(it).filter") == "grayscale(1)"
        assert find_barriers(page) == []
        page.unroute("**/ui/now")
        expect(state).not_to_contain_text("old", timeout=30_000)
        expect(page).not_to_have_title("No answer – Reelkeep")
        assert page.locator("#now").evaluate("it => getComputedStyle(it).filter") == "none"


def test_the_page_of_a_generation_follows_it_to_its_video(browser: Browser, fleet: Fleet) -> None:
    with opened(browser, fleet.stack.web_url) as page:
        log_in(page, TOKEN)
        task_id = fleet.generate("no-callback")
        page.goto(f"/ui/generations/{task_id}", wait_until="domcontentloaded")
        page.evaluate("() => { window.wasNotLoadedAnew = true; }")
        expect(page.locator("#title .badge")).to_contain_text("complete", timeout=60_000)
        expect(page.get_by_label("result", exact=True)).to_be_visible()
        expect(page.locator(".timeline")).to_contain_text("Complete")
        assert page.evaluate("() => window.wasNotLoadedAnew")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_no_page_has_a_barrier(
    browser: Browser,
    fleet: Fleet,
    kept: str,
    failed: str,
    lost: str,
    wordy: str,
    scheme: Scheme,
    size: tuple[int, int],
) -> None:
    paths = [
        "/",
        "/ui/generations",
        "/ui/generations?label=wrong",
        *(f"/ui/generations/{task_id}" for task_id in (kept, failed, lost, wordy)),
    ]
    with opened(browser, fleet.stack.web_url, scheme=scheme, size=size) as page:
        barriers = {"login": find_barriers(page)}
        log_in(page, TOKEN)
        for path in paths:
            page.goto(path, wait_until="domcontentloaded")
            page.locator("summary").evaluate_all("all => all.forEach(one => one.parentElement.open = true)")
            barriers[path] = find_barriers(page)
            assert page.evaluate("document.scrollingElement.scrollWidth") <= size[0], f"{path} is wider than the screen"
    assert not {path: found for path, found in barriers.items() if found}


def test_the_keyboard_is_enough(browser: Browser, fleet: Fleet, kept: str) -> None:
    with opened(browser, fleet.stack.web_url) as page:
        page.get_by_label("API token").fill(TOKEN)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Log out").wait_for()
        page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="Skip to the content")
        expect(skip).to_be_focused()
        expect(skip).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.get_by_role("main")).to_be_focused()
        page.keyboard.press("Tab")
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate("document.activeElement.closest('main') !== null")
        assert page.evaluate(outline) == "solid", "what has the focus is seen"
