"""The sentences of the console where people look: once, at the field, and without losing the place."""

import pytest
from playwright.sync_api import expect
from test_console import TAGS, add, chromium, open_console  # noqa: F401, fixtures of pytest
from test_console_lists import fill_list


def test_what_was_done_is_told_once_and_can_be_closed(open_console):  # noqa: F811
    page = open_console()
    page.goto(TAGS)
    add(page, "Once")
    page.reload()
    expect(page.locator(".what a").last).to_have_text("Once")
    expect(page.locator(".said")).to_have_count(0)
    add(page, "Twice")
    page.locator(".said").get_by_role("link", name="Close").click()
    expect(page.locator(".said")).to_have_count(0)


def test_what_was_done_is_closed_without_script(open_console):  # noqa: F811
    page = open_console(java_script_enabled=False)
    page.goto(TAGS)
    add(page, "Once")
    page.locator(".said").get_by_role("link", name="Close").click()
    expect(page.locator(".said")).to_have_count(0)
    expect(page.locator(".what a").last).to_have_text("Once")


@pytest.mark.parametrize("width", [390, 1400])
def test_a_refused_undo_is_told_where_the_reader_is(open_console, demo, width):  # noqa: F811
    fill_list(demo, 20)
    page = open_console(viewport={"width": width, "height": 600})
    page.goto(TAGS)
    button = page.get_by_role("button", name="Tag 18: up")
    button.scroll_into_view_if_needed()
    button.click()
    undo = page.locator(".told").get_by_role("button", name="Undo")
    expect(undo).to_be_visible()
    # Somebody else moves another one, so that the order is not that of the move any more.
    _, _, listed = demo.call(TAGS.replace("/console/c/", "/admin/v1/companies/"), demo.key)
    ids = [entry["id"] for entry in listed["entries"]]
    status, _, answer = demo.call(
        TAGS.replace("/console/c/", "/admin/v1/companies/") + ":reorder", demo.key, {"ids": ids[::-1]}
    )
    assert status == 200, answer
    before = page.evaluate("scrollY")
    undo.click()
    told = page.get_by_role("alert")
    expect(told).to_contain_text("This was changed again since")
    expect(told).to_be_in_viewport(ratio=1)
    # The sentence makes the page longer above the reader's place, which stays on the screen.
    assert abs(page.evaluate("scrollY") - before) < 400
    assert page.url.endswith(TAGS)


def test_a_link_asks_before_it_loses_typed_text(open_console):  # noqa: F811
    page = open_console()
    answers = iter(["dismiss", "accept"])
    page.on("dialog", lambda dialog: getattr(dialog, next(answers))())
    page.goto(f"{TAGS}/tag_001")
    page.get_by_label("Name").fill("Half typed")
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_label("Name")).to_have_value("Half typed")
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tags")
    page.goto(f"{TAGS}/tag_001")
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tags")


def test_the_one_wrong_field_has_the_focus(open_console):  # noqa: F811
    page = open_console()
    page.goto("/console/companies/new")
    page.get_by_label("Name").fill("Paws")
    page.get_by_label("Time zone").fill("Vienna Time")
    page.get_by_role("button", name="Make the company").click()
    expect(page.get_by_label("Time zone")).to_be_focused()
    expect(page.locator("#timezone-wrong")).to_contain_text("such as America/New_York")
    page.goto(TAGS)
    place = page.get_by_label("VIP Customer: move to place")
    place.fill("abc")
    place.press("Enter")
    expect(place).to_be_focused()
    expect(page.locator("#place-wrong-1")).to_have_text("Give a number from 1 to 2.")


def test_contrast_is_told_in_the_form_for_one_more_and_fits(open_console):  # noqa: F811
    page = open_console(viewport={"width": 390, "height": 800})
    page.goto(TAGS)
    button = page.get_by_role("button", name="Add", exact=True)
    page.get_by_role("radio", name="Amber").check(force=True)
    expect(page.locator("#contrast")).to_contain_text("On this color, black text is easy to read")
    before = button.bounding_box()["y"]
    page.get_by_role("radio", name="Red").check(force=True)
    expect(page.locator("#contrast")).to_contain_text("On this color, white text is easy to read")
    assert button.bounding_box()["y"] == before
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_new_message_takes_the_place_of_the_old_one_and_no_row_moves(open_console):  # noqa: F811
    page = open_console()
    page.goto(TAGS)
    page.get_by_role("button", name="Sort by name").click()
    expect(page.locator(".said")).to_be_visible()
    before = page.locator(".rows").first.bounding_box()["y"]
    page.get_by_role("button", name="VIP Customer: up").click()
    expect(page.locator(".told")).to_contain_text("VIP Customer is number 1 now.")
    expect(page.get_by_role("button", name="Undo")).to_have_count(1)
    expect(page.locator(".said")).to_be_hidden()
    assert page.locator(".rows").first.bounding_box()["y"] == before


def test_the_page_takes_no_save_of_its_own_for_that_of_another_window(open_console):  # noqa: F811
    page = open_console()
    held = []
    page.route("**/revision", lambda route: held.append(route))
    page.goto(TAGS)
    with page.expect_request("**/revision", timeout=10_000):
        pass
    page.get_by_role("button", name="VIP Customer: down").click()
    expect(page.locator(".told")).to_contain_text("VIP Customer is number 2 now.")
    # The page asked before its save. The answer comes after it, and names another revision.
    with page.expect_response("**/revision"):
        held[0].fulfill(status=200, content_type="application/json", body='{"revision": 9, "own": true}')
    expect(page.locator(".news")).to_have_count(0)


def test_a_name_from_right_to_left_is_read_from_right_to_left(open_console):  # noqa: F811
    page = open_console()
    page.goto(TAGS)
    page.get_by_label("Name", exact=True).fill('שלום "עולם" (VIP)')
    page.get_by_role("button", name="Add", exact=True).click()
    name = page.locator(".what a").last
    expect(name).to_have_text('שלום "עולם" (VIP)')
    # The letters in Latin stand at the end, which is on the left.
    first, last = name.evaluate(
        """link => [0, link.textContent.length - 2].map((at) => {
          const range = document.createRange();
          range.setStart(link.firstChild, at);
          range.setEnd(link.firstChild, at + 1);
          return range.getBoundingClientRect().left;
        })"""
    )
    assert last < first
