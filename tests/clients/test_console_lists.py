"""The lists of the console on tablets, by finger and by keyboard: places, long names, the form for one more, news."""

import re

import pytest
from playwright.sync_api import expect
from test_console import TAGS, add, chromium, names, open_console, warned  # noqa: F401, fixtures of pytest

TABLET = {"width": 820, "height": 1180}


@pytest.mark.parametrize("has_script", [True, False])
def test_a_finger_moves_an_entry_to_a_place(open_console, has_script):  # noqa: F811
    page = open_console(viewport=TABLET, has_touch=True, is_mobile=True, java_script_enabled=has_script)
    page.goto(TAGS)
    add(page, "Third")
    place = page.get_by_label("Third: move to place")
    arrow = page.get_by_role("button", name="Third: up")
    before = place.bounding_box(), arrow.bounding_box()
    place.tap()
    assert (place.bounding_box(), arrow.bounding_box()) == before, "nothing jumps"
    place.fill("1")
    page.get_by_role("button", name="Third: move there").tap()
    expect(page.locator(".said")).to_contain_text("Moved “Third” up, before “VIP Customer”.")
    assert names(page)[0] == "Third"


def test_the_key_after_the_place_reaches_the_button(open_console):  # noqa: F811
    page = open_console()
    page.goto(TAGS)
    add(page, "Third")
    page.get_by_label("Third: move to place").fill("1")
    page.keyboard.press("Tab")
    button = page.get_by_role("button", name="Third: move there")
    expect(button).to_be_focused()
    expect(button).to_have_css("clip-path", "none")
    page.keyboard.press("Enter")
    expect(page.locator(".said")).to_contain_text("Moved “Third” up, before “VIP Customer”.")
    assert names(page)[0] == "Third"


@pytest.mark.parametrize("width", [320, 390, 820])
def test_a_name_without_a_space_fits(open_console, demo, width):  # noqa: F811
    company = "/admin/v1/companies/cmp_001"
    status, _, made = demo.call(f"{company}/customer_tags", demo.key, {"name": "W" * 100})
    assert status == 200, made
    _, _, changes = demo.call(f"{company}/changes", demo.key)
    revision = int(changes["changes"][0]["revision"])
    page = open_console(viewport={"width": width, "height": 900})
    history = "/console/c/cmp_001/history"
    for path in [TAGS, history, f"{history}/{revision}", f"{history}/{revision - 1}/back"]:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
    # Short words stay whole, and the table itself needs no scrolling.
    page.goto(f"{history}/{revision}")
    heads = page.locator("thead th")
    assert {head.bounding_box()["height"] for head in heads.all()} == {heads.first.bounding_box()["height"]}
    assert heads.first.bounding_box()["height"] < 40
    assert page.locator(".scroll").evaluate("box => box.scrollWidth - box.clientWidth") <= 0


@pytest.mark.parametrize("path, name", [(TAGS, "Add a tag"), ("/console/c/cmp_001/locations", "Add a location")])
def test_a_link_at_the_top_leads_to_the_form_for_one_more(open_console, path, name):  # noqa: F811
    page = open_console(viewport=TABLET)
    page.goto(path)
    page.get_by_role("link", name=name).click()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    expect(page.get_by_role("heading", name=name)).to_be_in_viewport()


def test_news_leads_to_the_page_where_one_is(open_console, demo):  # noqa: F811
    page = open_console()

    def show_news():
        status, _, made = demo.call(
            "/admin/v1/companies/cmp_001/referral_sources", demo.key, {"name": page.url[-30:]}
        )
        assert status == 200, made
        page.get_by_role("link", name="Show it as it is now").click()

    page.goto(f"{TAGS}?q=VIP&archived=1&did=saved")
    show_news()
    expect(page).to_have_url(re.compile(r"/customer_tags\?q=VIP&archived=1$"))
    page.goto(TAGS)
    page.get_by_text("Add many at once").click()
    page.get_by_label("One tag on each line").fill("Puppy")
    page.get_by_role("button", name="Look at them").click()
    page.on("dialog", lambda dialog: dialog.accept())
    show_news()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tags")
