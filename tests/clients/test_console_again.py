"""Forms that are refused for a reason of the moment, in a browser: the answer has all of them, and a button that sends them
again."""

import contextlib
import re
import sqlite3

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from test_console import TAGS, chromium, faults_of, names, open_console  # noqa: F401, fixtures of pytest

NAME = 'Typed "once" <b>&amp;'


@contextlib.contextmanager
def locked(server):
    """Another program writes to the database all the time."""
    with contextlib.closing(sqlite3.connect(server.data_dir / "customer-settings.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


@pytest.mark.parametrize("width, has_script", [(390, True), (1400, False)])
def test_a_form_that_could_not_be_saved_comes_back_whole_and_is_sent_again(open_console, demo, width, has_script):  # noqa: F811
    page = open_console(java_script_enabled=has_script, viewport={"width": width, "height": 800})
    page.goto(TAGS)
    page.get_by_label("Name", exact=True).fill(NAME)
    page.get_by_role("radio", name="Teal").check(force=True)
    page.get_by_label(re.compile("^Description")).fill("About it")
    number = page.locator("aside [name=request]").first.input_value()
    with locked(demo):
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Not available just now")
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("Your form is still here, with all that you typed.")
        expect(page.get_by_label("You typed: Name")).to_have_value(NAME)
        expect(page.get_by_label("You typed: Description")).to_have_value("About it")
        assert page.locator("[name=request]").input_value() == number
        if has_script:
            expect(alert).to_be_focused()
            assert faults_of(page, Axe(), "again") == []
    # A double click writes once.
    page.get_by_role("button", name="Send it again").dblclick()
    expect(page.locator(".said")).to_contain_text(f"Added the tag “{NAME}”.")
    assert names(page).count(NAME) == 1
    company = TAGS.replace("/console/c/", "/admin/v1/companies/").rsplit("/", 1)[0]
    _, _, listed = demo.call(f"{company}/customer_tags", demo.key)
    entry = listed["entries"][-1]
    assert (entry["name"], entry["description"], len(listed["entries"])) == (NAME, "About it", 3)
    _, _, history = demo.call(f"{company}/changes", demo.key)
    assert history["changes"][0]["requestId"] == number and len(history["changes"]) == 2


def test_a_form_that_could_not_be_saved_is_dropped(open_console, demo):  # noqa: F811
    page = open_console()
    page.goto(f"{TAGS}/tag_001")
    page.get_by_label("Name", exact=True).fill("Never written")
    with locked(demo):
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_label("You typed: Name")).to_have_value("Never written")
        page.get_by_role("link", name="Drop it").click()
        expect(page.get_by_label("Name", exact=True)).to_have_value("VIP Customer")
