"""The lists of the console on tablets, by finger and by keyboard: places, long names, the form for one more, news, ideas."""

import itertools
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
    if has_script:
        expect(page.locator(".told")).to_contain_text("Third is number 1 now.")
        expect(page.locator("#live")).to_have_text("Third, 1 of 3")
        expect(page.get_by_role("button", name="Third: move there")).to_be_focused()
    else:
        expect(page.locator(".said")).to_contain_text("“Third” is number 1 now.")
    assert names(page)[0] == "Third"


@pytest.mark.parametrize("has_script", [True, False])
@pytest.mark.parametrize("how", ["Enter", "button"])
def test_every_place_that_was_written_counts(open_console, has_script, how):  # noqa: F811
    page = open_console(java_script_enabled=has_script)
    page.goto(TAGS)
    for name in ["Third", "Fourth"]:
        add(page, name)
    page.get_by_label("VIP Customer: move to place").fill("3")
    place = page.get_by_label("Fourth: move to place")
    place.fill("1")
    if how == "Enter":
        place.press("Enter")
    else:
        page.get_by_role("button", name="Fourth: move there").click()
    if has_script:
        expect(page.locator(".told")).to_contain_text("Fourth is number 1 now. VIP Customer is number 3 now.")
        expect(page.locator("#live")).to_have_text("Fourth, 1 of 4. VIP Customer, 3 of 4")
        expect(place if how == "Enter" else page.get_by_role("button", name="Fourth: move there")).to_be_focused()
    else:
        told = "“Fourth” is number 1 now, “VIP Customer” number 3."
        expect(page.locator(".said")).to_contain_text(told)
    order = ["Fourth", "First-time Customer", "VIP Customer", "Third"]
    assert names(page) == order
    fields = page.locator(".tools input")
    assert [field.input_value() for field in fields.all()] == ["1", "2", "3", "4"]
    page.reload()
    assert names(page) == order


def test_an_arrow_leaves_the_place_that_was_written_and_a_wrong_one_loses_no_other(open_console):  # noqa: F811
    page = open_console()
    page.goto(TAGS)
    add(page, "Third")
    place = page.get_by_label("VIP Customer: move to place")
    place.fill("3")
    page.get_by_role("button", name="Third: up").click()
    expect(page.locator(".told")).to_contain_text("Third is number 2 now.")
    expect(place).to_have_value("3")
    wrong = page.get_by_label("Third: move to place")
    twice = ["Another one is to have this place too."] * 2
    for text, told in [("9", ["Give a number from 1 to 3."]), ("3", twice)]:
        wrong.fill(text)
        wrong.press("Enter")
        expect(page.locator("#order .wrong")).to_have_text(told)
        expect(place).to_have_value("3")
        expect(wrong).to_have_value(text)
        expect(wrong if len(told) == 1 else page.locator("#problem")).to_be_focused()
    expect(page.locator("#problem")).to_contain_text("Two tags are to have place 3.")
    wrong.fill("1")
    wrong.press("Enter")
    expect(page.locator(".told")).to_contain_text("Third is number 1 now. VIP Customer is number 3 now.")
    expect(page.locator("#problem, #order .wrong, #order [aria-invalid]")).to_have_count(0)
    assert names(page) == ["Third", "First-time Customer", "VIP Customer"]


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
    expect(page.locator(".told")).to_contain_text("Third is number 1 now.")
    expect(button).to_be_focused()
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
    # A link that leads to a place of the page loads it all the same.
    page.goto(f"{TAGS}#name")
    show_news()
    expect(page.locator(".news")).to_have_count(0)
    page.goto(TAGS)
    page.get_by_text("Add many at once").click()
    page.get_by_label("One tag on each line").fill("Puppy")
    page.get_by_role("button", name="Look at them").click()
    page.on("dialog", lambda dialog: dialog.accept())
    show_news()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tags")


def test_news_stand_below_the_cards_of_a_company(open_console, demo):  # noqa: F811
    page = open_console()
    page.goto("/console/c/cmp_001")
    status, _, made = demo.call("/admin/v1/companies/cmp_001/customer_tags", demo.key, {"name": "Of Ana"})
    assert status == 200, made
    expect(page.locator("main > .foot .news")).to_be_visible()
    expect(page.get_by_role("link", name="Manage tags")).to_have_css("box-shadow", "none")


def fill_list(demo, count):
    for at in range(count):
        body = {"name": f"Tag {at}", "description": "in two lines"}
        status, _, made = demo.call("/admin/v1/companies/cmp_001/customer_tags", demo.key, body)
        assert status == 200, made


@pytest.mark.parametrize("width", [390, 820])
def test_a_move_is_told_and_undone_where_the_reader_is(open_console, demo, width):  # noqa: F811
    fill_list(demo, 12)
    page = open_console(viewport={"width": width, "height": 800})
    page.goto(TAGS)
    add(page, "Last")
    page.locator(".said").get_by_role("link", name="Close").click()
    row = page.locator(".rows li").filter(has=page.get_by_role("link", name="Tag 10", exact=True))
    button = page.get_by_role("button", name="Tag 10: up")
    button.scroll_into_view_if_needed()
    before = row.bounding_box()["y"]
    height = page.locator(".rows").first.bounding_box()["y"]
    button.click()
    expect(page.locator(".told")).to_contain_text("Tag 10 is number 12 now.")
    expect(page.locator(".told")).to_be_in_viewport(ratio=1)
    # No other row moved because of the message.
    assert page.locator(".rows").first.bounding_box()["y"] == height
    assert row.bounding_box()["y"] < before
    page.locator(".told").get_by_role("button", name="Undo").click()
    expect(page.locator(".said")).to_contain_text("Put “Tag 9” before “Tag 10”.")
    assert names(page)[11:13] == ["Tag 9", "Tag 10"]
    assert page.url.split("?")[0].endswith(TAGS)


def test_a_drag_scrolls_at_the_edge_of_the_screen(open_console, demo):  # noqa: F811
    fill_list(demo, 20)
    page = open_console(viewport={"width": 820, "height": 600})
    page.goto(TAGS)
    grip = page.get_by_role("button", name=re.compile("^VIP Customer: drag"))
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 5, 595, steps=4)
    # The pointer rests there, and the list goes by.
    expect(page.locator(".rows li").nth(21)).to_have_class("held")
    page.mouse.up()
    expect(page.locator(".told")).to_contain_text("VIP Customer is number")


def test_an_order_that_nobody_saved_is_not_shown(open_console, demo):  # noqa: F811
    page = open_console()
    page.goto(TAGS)
    add(page, "Third")
    before = names(page)
    status, _, made = demo.call("/admin/v1/companies/cmp_001/customer_tags", demo.key, {"name": "Of Ana"})
    assert status == 200, made
    page.get_by_role("button", name="Third: up").click()
    told = page.locator(".told")
    expect(told).to_contain_text("Look at the list as it is now")
    assert names(page) == before
    told.get_by_role("link", name="Show it as it is now").click()
    expect(page.locator(".what a").last).to_have_text("Of Ana")
    page.get_by_role("button", name="Third: up").click()
    expect(told).to_contain_text("Third is number 2 now.")
    page.context.clear_cookies()
    page.get_by_role("button", name="Third: up").click()
    expect(told).to_contain_text("Your session is over")
    told.get_by_role("link", name="Sign in again").click()
    page.get_by_label("Your key").fill(demo.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tags")
    assert names(page)[1] == "Third"


def test_a_page_whose_session_is_over_says_so_and_keeps_what_is_typed(open_console, demo):  # noqa: F811
    page = open_console()
    page.goto(TAGS)
    field = page.get_by_label("Name", exact=True)
    field.fill("Typed")
    page.context.clear_cookies()
    news = page.locator(".news")
    expect(news).to_contain_text("Your session is over.", timeout=10_000)
    expect(field).to_be_focused()
    expect(field).to_have_value("Typed")
    field.fill("")
    page.once("dialog", lambda dialog: dialog.accept())
    news.get_by_role("link", name="Sign in again").click()
    expect(page.get_by_label("Your key")).to_be_focused()
    page.get_by_label("Your key").fill(demo.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tags")


@pytest.mark.parametrize("width", [320, 1400])
def test_lines_that_cannot_be_added_are_marked_and_left_out(open_console, width):  # noqa: F811
    page = open_console(viewport={"width": width, "height": 900})
    page.goto(TAGS)
    page.get_by_text("Add many at once").click()
    lines = page.get_by_label("One tag on each line")
    lines.fill("Puppy\nVIP customer\n" + "n" * 101)
    page.get_by_role("button", name="Look at them").click()
    expect(page.get_by_role("alert")).to_contain_text("2 lines cannot be added")
    expect(page.get_by_text("Line 2: “VIP Customer” is there already.")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.get_by_role("button", name="Add the other one, without these 2").click()
    expect(page.locator(".said")).to_contain_text("Added the tag “Puppy”.")


def test_a_person_of_links_sends_the_form_after_a_new_sign_in_elsewhere(open_console, demo):  # noqa: F811
    page = open_console()
    page.goto(TAGS)
    page.get_by_label("Name", exact=True).fill("Typed before")
    page.context.clear_cookies()
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Your session is over")
    page.get_by_role("button", name="I signed in: send my form").click()
    expect(page.get_by_role("alert")).to_contain_text("You are not signed in yet, so your form was not sent.")
    # As a new link does it.
    other = page.context.new_page()
    other.goto("/console/sign-in")
    other.get_by_label("Your key").fill(demo.key)
    other.get_by_role("button", name="Sign in").click()
    expect(other.get_by_role("heading", level=1)).to_have_text("Companies")
    page.get_by_role("button", name="I signed in: send my form").click()
    expect(page.locator(".said")).to_contain_text("Added the tag “Typed before”.")


def put_one_in(demo, name):
    """Adds a tag elsewhere, so that the list of an open page is another one."""
    status, _, made = demo.call("/admin/v1/companies/cmp_001/customer_tags", demo.key, {"name": name})
    assert status == 200, made


@pytest.mark.parametrize("has_script", [True, False])
@pytest.mark.parametrize("width", [390, 1400])
def test_written_places_stay_when_the_list_is_another_one(open_console, demo, has_script, width):  # noqa: F811
    page = open_console(java_script_enabled=has_script, viewport={"width": width, "height": 900})
    page.goto(f"{TAGS}?archived=1")
    for name in ["Third", "Fourth"]:
        add(page, name)
    page.get_by_label("Third: move to place").fill("1")
    page.get_by_label("VIP Customer: move to place").fill("4")
    if has_script:
        expect(page.locator("#order .waits .what a")).to_have_text(["VIP Customer", "Third"])
    put_one_in(demo, "Of Ana")
    if has_script:
        expect(page.locator(".news")).to_be_visible()
    page.get_by_label("Third: move to place").press("Enter")
    if has_script:
        told = page.locator(".told")
        expect(told).to_contain_text("changed this yourself")
        expect(page.locator(".news")).to_have_count(0)
        expect(page.get_by_label("Third: move to place")).to_have_value("1")
        expect(page.get_by_label("VIP Customer: move to place")).to_have_value("4")
        assert names(page) == ["VIP Customer", "First-time Customer", "Third", "Fourth"]
        told.get_by_role("link", name="Show it as it is now").click()
    expect(page.get_by_role("alert")).to_contain_text("with the places that you wrote")
    assert page.locator(".news, .told, .said").count() == 0
    expect(page.locator("#order .waits .what a")).to_have_text(["VIP Customer", "Third"])
    fields = page.locator(".tools input")
    assert [field.input_value() for field in fields.all()] == ["4", "2", "1", "4", "5"]
    page.get_by_role("button", name="Third: move there").click()
    where = ".told" if has_script else ".said"
    expect(page.locator(where)).to_contain_text(re.compile("Third”? is number 1 now"))
    assert names(page) == ["Third", "First-time Customer", "Fourth", "VIP Customer", "Of Ana"]
    expect(page.get_by_role("alert")).to_have_count(0)
    assert page.url.split("?")[0].endswith(TAGS)
    assert "archived=1" in page.url


@pytest.mark.parametrize("way", ["link", "Add", "Search"])
def test_the_page_asks_before_written_places_are_lost(warned, way):  # noqa: F811
    page, is_warned = warned
    page.goto(TAGS)
    place = page.get_by_label("VIP Customer: move to place")
    if way == "Add":
        page.get_by_label("Name", exact=True).fill("Third")
    place.fill("2")
    link = page.get_by_role("link", name="Statuses")
    assert is_warned(link if way == "link" else page.get_by_role("button", name=way, exact=True))
    expect(place).to_have_value("2")


@pytest.mark.parametrize("has_script", [True, False])
def test_a_list_is_not_sorted_over_written_places(open_console, has_script):  # noqa: F811
    page = open_console(java_script_enabled=has_script)
    page.goto(TAGS)
    place = page.get_by_label("VIP Customer: move to place")
    place.fill("2")
    page.get_by_role("button", name="Sort by name").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was sorted yet")
    expect(place).to_have_value("2")
    expect(page.locator(".waits")).to_have_count(1)
    # The old place is nothing to lose.
    place.fill("1")
    expect(page.locator(".waits")).to_have_count(0 if has_script else 1)
    page.get_by_role("button", name="Sort by name").click()
    expect(page.locator(".said")).to_be_visible()
    assert names(page) == ["First-time Customer", "VIP Customer"]


def test_a_place_that_a_row_has_already_is_told_so(open_console):  # noqa: F811
    page = open_console()
    page.goto(TAGS)
    place = page.get_by_label("First-time Customer: move to place")
    place.fill(" 2 ")
    place.press("Enter")
    expect(page.locator(".told")).to_have_text("First-time Customer is number 2 already.")
    expect(page.locator("#live")).to_have_text("First-time Customer is number 2 already.")
    expect(page.locator(".told button")).to_have_count(0)


@pytest.mark.parametrize("width, has_script", [(390, True), (1400, True), (390, False), (1400, False)])
def test_ideas_are_taken_one_after_the_other(open_console, demo, width, has_script):  # noqa: F811
    status, _, made = demo.call("/admin/v1/companies?company_id=new", demo.key, {"name": "New"})
    assert status == 200, made
    page = open_console(java_script_enabled=has_script, viewport={"width": width, "height": 800})
    tags = TAGS.replace("cmp_001", "new")
    page.goto(tags)
    page.get_by_text("Grooming", exact=True).click()
    ideas = ["Regular groom", "Nervous at the dryer", "Nips when handled", "Matted coat"]
    for button, following in itertools.pairwise(page.get_by_role("button", name=f"Add {idea}") for idea in ideas):
        button.scroll_into_view_if_needed()
        before = following.bounding_box()["y"]
        button.click()
        expect(button).to_have_count(0)
        expect(page.locator(".said")).to_contain_text("Added the tag “")
        page.wait_for_load_state()
        # Nothing has to be opened or looked for again: the next one stays where it was, or the page begins at the ideas.
        if has_script:
            assert abs(following.bounding_box()["y"] - before) < 100
        else:
            expect(following).to_be_in_viewport(ratio=1)
    assert names(page) == ideas[:3]
    # By keyboard, and with the way back.
    page.get_by_role("button", name="Add Matted coat").press("Enter")
    expect(page.locator(".said")).to_contain_text("Added the tag “Matted coat”.")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Add Matted coat")).to_be_visible()
    assert names(page) == ideas[:3]
    # Another day
    page.goto(tags)
    expect(page.get_by_role("heading", name="Ideas to begin with")).to_have_count(0)
    page.get_by_role("link", name="Ideas to begin with").click()
    expect(page.get_by_role("heading", name="Ideas to begin with")).to_be_in_viewport()
    page.get_by_text("Grooming", exact=True).click()
    page.get_by_role("button", name="Add Matted coat").click()
    expect(page.locator(".said")).to_contain_text("Added the tag “Matted coat”.")
    assert names(page) == ideas
