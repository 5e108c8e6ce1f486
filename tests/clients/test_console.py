"""The console as people use it: in Chromium, by mouse, by keyboard, without script, on small and large screens."""

import itertools
import os
import pathlib
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

TAGS = "/console/c/cmp_001/customer_tags"
# Screenshots for people, if a folder is named.
SHOTS = os.environ.get("CONSOLE_SCREENSHOTS")
# The page looks for others’ changes every five seconds.
expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def chromium():
    """Debian's Chromium. The package of playwright brings none."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_console(chromium, demo):
    """Opens a page that is signed in. At the end, no page asked another host for anything or broke the policy."""
    contexts, asked, complaints = [], [], []

    def open_one(key=demo.key, **options):
        context = chromium.new_context(base_url=demo.base, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda line: complaints.append(line.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/console/sign-in")
        page.get_by_label("Your key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Companies")
        return page

    yield open_one
    for context in contexts:
        context.close()
    foreign = [url for url in asked if not url.startswith((demo.base, "data:"))]
    assert foreign == []
    # Chromium says of each answer that it is an error; these are not the policy's complaints.
    usual = "Failed to load resource"
    assert [text for text in complaints if usual not in text] == []


def names(page):
    return page.locator(".rows").first.locator(".what a").all_inner_texts()


def from_menu(page, name):
    """Follows a link of the navigation, which small screens have in a menu."""
    button = page.get_by_role("button", name="Menu", exact=True)
    if button.is_visible():
        button.click()
    page.locator("#menu").get_by_role("link", name=name, exact=True).click()


def add(page, name):
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".said")).to_contain_text(f"Added the tag “{name}”.")


def shoot(page, name):
    if SHOTS:
        page.screenshot(path=str(pathlib.Path(SHOTS) / f"{name}.png"), full_page=True)


# The rules that a page is held against. In the dark only colors differ.
SCHEMES = {"light": {}, "dark": {"runOnly": ["color-contrast"]}}


def faults_of(page, axe, name):
    """The faults that axe finds on the page in light and in dark, if there is one, and an overflow."""
    assert page.locator("h1").count() == 1, name
    width, faults = page.viewport_size["width"], []
    for scheme, rules in SCHEMES.items():
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        shoot(page, f"{name}-{width}-{scheme}".replace(", ", "-").replace(" ", "-"))
        found = axe.run(page, options={**rules, "resultTypes": ["violations"]}).response["violations"] if axe else []
        faults += [(name, scheme, one["id"], one["nodes"][0]["html"][:200]) for one in found]
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if overflow > 0:
        faults.append((name, "is wider than the screen by", overflow))
    return faults


def pages(demo):
    """Every page of the console by its name."""
    _, _, keys = demo.call("/admin/v1/keys", demo.key)
    key = keys["keys"][0]["id"]
    company = "/console/c/cmp_001"
    return {
        "companies": "/console?all=1",
        "new company": "/console/companies/new",
        "nothing found": "/console?q=nothing",
        "company": company,
        "tags": TAGS,
        "life cycles": f"{company}/life_cycles",
        "statuses": f"{company}/action_statuses?archived=1",
        "tag": f"{TAGS}/tag_001",
        "default": f"{company}/life_cycles/lc_001",
        "history": f"{company}/history",
        "change": f"{company}/history/2",
        "back": f"{company}/history/1/back",
        "locations": f"{company}/locations",
        "location": f"{company}/locations/biz_001",
        "company settings": f"{company}/settings",
        "bring lists in": f"{company}/import",
        "keys": "/console/keys",
        "key": f"/console/keys/{key}",
        "new key": "/console/keys/new",
        "invite": "/console/people/new",
        "sessions": "/console/sessions",
        "ideas": f"{TAGS}?ideas=1",
        "not there": "/console/nothing",
    }


@pytest.mark.parametrize("width", [320, 390, 1400])
def test_every_page_is_accessible_and_fits(open_console, demo, width):
    page = open_console(viewport={"width": width, "height": 900})
    page.goto(f"{TAGS}/tag_001")
    page.get_by_label("Name").fill("VIP")
    page.get_by_role("button", name="Save").click()
    # The narrowest screens show what narrow ones show: the question there is whether it fits.
    axe, faults = Axe() if width > 320 else None, []
    for name, path in pages(demo).items():
        page.goto(path)
        faults += faults_of(page, axe, name)
    page.get_by_role("link", name="Customer settings").click()
    if width < 752:
        page.get_by_role("button", name="Menu", exact=True).click()
    page.get_by_role("button", name="Sign out").click()
    faults += faults_of(page, axe, "sign in")
    assert faults == []


# The greatest height of the header at a width, in pixels. With the banner of the demo, a menu or the tabs take the rest.
HEADERS = [(320, 84), (390, 84), (820, 130), (1400, 140)]


@pytest.mark.parametrize("width, most", HEADERS)
def test_the_header_leaves_the_screen_to_the_page(open_console, demo, width, most):
    page = open_console(viewport={"width": width, "height": 800})
    header, menu = page.locator("header"), page.get_by_role("button", name="Menu", exact=True)
    for path in ("/console", TAGS, "/console/keys"):
        page.goto(path)
        assert header.bounding_box()["height"] <= most, path
        assert menu.is_visible() == (width < 752)
    long = {"name": "Sankt-Bernhardshunde-und-Langhaarkatzen-Pflegesalon am Großen Müggelsee in Köpenick bei Berlin, Nr.3"}
    assert len(long["name"]) == 100
    status, _, _ = demo.call("/admin/v1/companies?company_id=long", demo.key, long)
    assert status == 200
    page.goto(TAGS.replace("cmp_001", "long"))
    assert header.bounding_box()["height"] <= most + 20
    axe = Axe()
    if menu.is_visible():
        menu.click()
        expect(page.get_by_role("link", name="Life cycles")).to_be_in_viewport(ratio=1)
    assert faults_of(page, axe, "menu") == []


@pytest.mark.parametrize("has_script", [True, False])
def test_the_menu_of_a_small_screen_opens_by_mouse_and_by_keyboard(open_console, has_script):
    page = open_console(java_script_enabled=has_script, viewport={"width": 390, "height": 800})
    page.goto(TAGS)
    menu, close = (page.get_by_role("button", name=name, exact=True) for name in ("Menu", "Close"))
    statuses = page.get_by_role("link", name="Statuses")
    expect(statuses).not_to_be_visible()
    menu.click()
    expect(statuses).to_be_visible()
    close.click()
    expect(statuses).not_to_be_visible()
    for _ in range(2):  # the link around the page, and the company
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(statuses).to_be_visible()
    page.keyboard.press("Escape")
    expect(statuses).not_to_be_visible()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.locator(":focus").inner_text() == "Statuses":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Statuses")
    expect(statuses).not_to_be_visible()


@pytest.mark.parametrize("has_script", [True, False])
@pytest.mark.parametrize("width", [390, 1400])
def test_a_list_is_managed_by_mouse(open_console, has_script, width):
    page = open_console(java_script_enabled=has_script, viewport={"width": width, "height": 800})
    page.get_by_role("link", name="Happy Paws Pet Care").click()
    page.get_by_role("link", name="Tags", exact=True).first.click()
    page.get_by_role("radio", name="Teal").check(force=True)
    add(page, "Senior pet")
    assert names(page) == ["VIP Customer", "First-time Customer", "Senior pet"]

    page.get_by_text("Add many at once").click()
    page.get_by_label("One tag on each line").fill("Puppy #FF0000\nKitten")
    page.get_by_role("button", name="Look at them").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Add 2 tags?")
    page.get_by_role("button", name="Add all").click()
    expect(page.locator(".said")).to_contain_text("Added the tag “Puppy” and added the tag “Kitten”.")

    page.get_by_role("button", name="Kitten: up").click()
    expect(page.locator(".what a").nth(3)).to_have_text("Kitten")
    expect(page.locator(".told" if has_script else ".said")).to_be_visible()
    page.get_by_label("Puppy: move to place").fill("1")
    page.get_by_label("Puppy: move to place").press("Enter")
    told = "Puppy is number 1 now." if has_script else "“Puppy” is number 1 now."
    expect(page.locator(".told" if has_script else ".said")).to_contain_text(told)
    assert names(page)[0] == "Puppy"
    page.get_by_role("button", name="Sort by name").click()
    expect(page.locator(".what a").first).to_have_text("First-time Customer")

    page.get_by_role("link", name="Puppy").click()
    page.get_by_label("Name").fill("Young dog")
    page.get_by_label("Description").fill("Until its first birthday")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".said")).to_contain_text("Renamed “Puppy” to “Young dog”, and changed its description.")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".said")).to_contain_text("Renamed “Young dog” to “Puppy”, and changed its description.")
    from_menu(page, "Tags")
    page.get_by_role("link", name="Puppy").click()
    page.get_by_role("button", name="Put away").click()
    expect(page.locator(".said")).to_contain_text("Put away the tag “Puppy”.")
    assert "Puppy" not in names(page)
    page.get_by_label("also those put away").check()
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Puppy").click()
    page.get_by_role("button", name="Take back").click()
    expect(page.locator(".said")).to_contain_text("Took back the tag “Puppy”.")
    assert "Puppy" in names(page)


def test_a_list_is_put_into_order_by_dragging(open_console):
    page = open_console(viewport={"width": 1400, "height": 900})
    page.goto(TAGS)
    add(page, "Third")
    grip = page.get_by_role("button", name=re.compile("^Third: drag"))
    first = page.locator(".rows li").first.bounding_box()
    box = grip.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"], first["y"] + 30, steps=5)
    page.mouse.move(box["x"], first["y"] + 2, steps=5)
    page.mouse.up()
    assert names(page) == ["Third", "VIP Customer", "First-time Customer"]
    expect(page.locator(".told")).to_contain_text("Third is number 1 now.")
    expect(grip).to_be_focused()
    page.reload()
    assert names(page) == ["Third", "VIP Customer", "First-time Customer"]


def test_a_finger_drags_too(open_console):
    page = open_console(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page.goto(TAGS)
    add(page, "Third")
    grip = page.get_by_role("button", name=re.compile("^Third: drag"))
    grip.scroll_into_view_if_needed()
    box, first = grip.bounding_box(), page.locator(".rows li").first.bounding_box()
    touch = page.context.new_cdp_session(page)
    x, y = box["x"] + 10, box["y"] + 10
    send = lambda kind, points: touch.send(
        "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
    )
    send("touchStart", [{"x": x, "y": y}])
    for step in range(1, 9):
        send("touchMove", [{"x": x, "y": y + (first["y"] + 2 - y) * step / 8}])
    send("touchEnd", [])
    expect(page.locator(".told")).to_contain_text("Third is number 1 now.")
    assert names(page)[0] == "Third"


def test_everything_goes_by_keyboard_alone(open_console):
    page = open_console()
    page.goto(TAGS)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")

    def tab_to(locator, key="Tab"):
        for _ in range(60):
            if locator.evaluate("element => element === document.activeElement"):
                return
            page.keyboard.press(key)
        raise AssertionError(f"{locator} is not reached by {key}")

    tab_to(page.get_by_label("Name", exact=True))
    page.keyboard.type("By keys")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(".said")).to_contain_text("Added the tag “By keys”.")
    expect(page.locator(".rows li").last.locator("circle")).to_have_attribute("fill", "#C62828")

    live = page.locator("#live")
    grip = page.get_by_role("button", name=re.compile("^By keys: drag"))
    tab_to(grip)
    page.keyboard.press("Space")
    expect(live).to_contain_text("Held. By keys, 3 of 3.")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(live).to_have_text("By keys, 1 of 3")
    expect(grip).to_be_focused()
    page.keyboard.press("Escape")
    expect(live).to_have_text("Left where it was. By keys, 3 of 3")
    assert names(page)[2] == "By keys"
    page.keyboard.press("Space")
    page.keyboard.press("ArrowUp")
    expect(live).to_have_text("By keys, 2 of 3")
    page.keyboard.press("Tab")
    expect(live).to_have_text("Left where it was. By keys, 3 of 3")
    tab_to(grip, "Shift+Tab")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    expect(live).to_have_text("Dropped. By keys, 2 of 3")
    expect(page.locator(".told")).to_contain_text("By keys is number 2 now.")
    up = page.get_by_role("button", name="By keys: up")
    tab_to(up)
    page.keyboard.press("Enter")
    expect(live).to_have_text("By keys, 1 of 3")
    expect(up).to_be_focused()
    expect(up).to_have_attribute("aria-disabled", "true")
    expect(page.locator(".told")).to_contain_text("By keys is number 1 now.")
    page.reload()
    assert names(page)[0] == "By keys"


def test_the_default_asks_for_its_successor(open_console):
    page = open_console()
    page.goto("/console/c/cmp_001/life_cycles/lc_001")
    page.get_by_label("This is the default. Which one becomes it?").select_option("Regular")
    page.get_by_role("button", name="Put away").click()
    expect(page.locator(".said")).to_contain_text(
        "Put away the life cycle “Qualified” and made “Regular” the default."
    )
    page.get_by_role("button", name="Undo").click()
    page.goto("/console/c/cmp_001/life_cycles")
    expect(page.locator(".rows li").first).to_contain_text("Qualified Default")


def test_two_people_edit_one_list(open_console, demo):
    own = {"name": "Ben", "scopes": ["*"], "all_companies": True}
    _, _, made = demo.call("/admin/v1/keys", demo.key, own)
    ana, ben = open_console(), open_console(key=made["secret"])
    for page in (ana, ben):
        page.goto(f"{TAGS}/tag_001")
    ana.get_by_label("Name").fill("VIP of Ana")
    ana.get_by_role("button", name="Save").click()
    expect(ana.locator(".said")).to_be_visible()
    expect(ben.locator(".news")).to_contain_text("Somebody changed this company")
    ben.get_by_label("Name").fill("VIP of Ben")
    ben.get_by_role("button", name="Save").click()
    expect(ben.get_by_role("alert")).to_be_focused()
    expect(ben.locator(".both")).to_contain_text("VIP of Ana")
    expect(ben.get_by_label("Name")).to_have_value("VIP of Ben")
    ben.get_by_role("button", name="Save").click()
    expect(ben.locator(".said")).to_contain_text("Renamed “VIP of Ana” to “VIP of Ben”.")


def test_a_double_click_adds_once_and_what_was_typed_is_not_lost(open_console):
    page = open_console()
    page.goto(TAGS)
    page.get_by_label("Name", exact=True).fill("Once")
    page.get_by_role("button", name="Add", exact=True).dblclick()
    expect(page.locator(".said")).to_contain_text("Added the tag “Once”.")
    assert names(page).count("Once") == 1

    page.get_by_label("Name", exact=True).fill("Half typed")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.get_by_role("link", name="Statuses").click(no_wait_after=True)
    page.wait_for_timeout(0)
    expect(page.get_by_label("Name", exact=True)).to_have_value("Half typed")
    assert asked == ["confirm"]


@pytest.fixture
def warned(open_console):
    """A page, and a function that clicks at something, waits for the warning, and stays."""
    page = open_console()
    page.on("dialog", lambda dialog: dialog.dismiss())

    def is_warned(locator):
        with page.expect_event("dialog") as asked:
            locator.click(no_wait_after=True)
        return asked.value.type in ("beforeunload", "confirm")

    return page, is_warned


def test_a_form_of_which_nothing_was_done_still_warns(warned):
    page, is_warned = warned
    statuses = page.get_by_role("link", name="Statuses")
    page.goto(TAGS)
    page.get_by_label("Name", exact=True).fill("VIP Customer")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert is_warned(statuses)
    # The text is sent again without a warning, and then nothing is left to lose.
    page.get_by_label("Name", exact=True).fill("Another")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".said")).to_contain_text("Added the tag “Another”.")
    page.get_by_text("Add many at once").click()
    page.get_by_label("One tag on each line").fill("Puppy")
    page.get_by_role("button", name="Look at them").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Add 1 tag?")
    assert is_warned(statuses)
    page.get_by_role("button", name="Add it").click()
    expect(page.locator(".said")).to_contain_text("Added the tag “Puppy”.")
    statuses.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Statuses")


def test_another_form_of_the_page_warns_before_typed_text_is_lost(warned):
    page, is_warned = warned
    page.goto(TAGS)
    name, search = page.get_by_label("Name", exact=True), page.get_by_role("button", name="Search")
    name.fill("Half typed")
    assert is_warned(search)
    expect(name).to_have_value("Half typed")
    # A person who stays is warned again.
    assert is_warned(page.get_by_role("link", name="Statuses"))
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".said")).to_contain_text("Added the tag “Half typed”.")
    search.click()
    expect(page).to_have_url(re.compile("q="))


def test_a_form_waits_for_the_order_that_is_being_saved(open_console):
    page = open_console()
    page.goto(TAGS)
    add(page, "Third")
    waiting = []
    page.route("**/order", lambda route: waiting.append((route, route.fetch())), times=1)
    page.get_by_role("button", name="Third: up").click()
    page.get_by_role("button", name="Sort by name").click()
    while not waiting:
        page.wait_for_timeout(20)
    # The server has written, and its answer is late.
    [(route, answer)] = waiting
    route.fulfill(response=answer)
    expect(page.locator(".what a").first).to_have_text("First-time Customer")
    assert names(page) == ["First-time Customer", "Third", "VIP Customer"]


def test_the_history_is_undone_and_gone_back_in(open_console):
    page = open_console()
    page.goto(TAGS)
    add(page, "Later")
    page.get_by_role("link", name="History").click()
    page.get_by_role("link", name="demo added the tag “Later”").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("demo added the tag “Later”")
    page.go_back()
    page.get_by_role("link", name="The command “load”").click()
    page.get_by_role("link", name="Go back to this moment").click()
    expect(page.get_by_role("heading", name="Tag “Later”")).to_be_visible()
    page.get_by_role("button", name="Go back").click()
    page.get_by_role("link", name="Tags", exact=True).first.click()
    assert "Later" not in names(page)


def test_a_colleague_is_invited_and_the_history_names_her(open_console, chromium, demo):
    page = open_console()
    page.get_by_role("link", name="Keys and people").click()
    page.get_by_role("link", name="Invite a person").click()
    page.get_by_label("Name", exact=True).fill("Ana Díaz")
    page.get_by_label("Short name of the staff member").fill("ana")
    page.get_by_label("All, also those made later").check()
    page.get_by_role("button", name="Make the link").click()
    link = page.get_by_label("The link").input_value()
    context = chromium.new_context()
    ana = context.new_page()
    ana.goto(link)
    ana.get_by_role("button", name="Sign in as Ana Díaz").click()
    ana.goto(demo.base + TAGS)
    add(ana, "By Ana")
    page.goto("/console/c/cmp_001/history")
    expect(page.get_by_role("link", name="Ana Díaz (ana) added the tag “By Ana”")).to_be_visible()
    page.goto("/console/keys")
    page.get_by_role("link", name="Ana Díaz").click()
    page.get_by_text("Revoke it…").click()
    page.get_by_role("button", name="Revoke for good").click()
    expect(page.locator(".said")).to_contain_text("Revoked.")
    ana.goto(demo.base + TAGS)
    expect(ana.get_by_role("heading", level=1)).to_have_text("Sign in")
    context.close()


def test_the_link_of_the_demo_signs_in_once(chromium, demo):
    link = next(line for line in demo.welcome if line.startswith("console")).split()[1]
    _, _, log = demo.call("/admin/v1/keys/-/changes", demo.key)
    assert log["changes"][0]["summary"] == "made a link for signing in"
    context = chromium.new_context()
    page = context.new_page()
    page.goto(link)
    page.get_by_role("button", name="Sign in as demo").click()
    expect(page.get_by_text("This is a demo")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.goto(link)
    expect(page.get_by_role("heading", level=1)).to_have_text("This link does not work")
    context.close()


def test_a_thousand_entries_are_one_page(open_console, demo):
    changes = [
        {"create": {"collection": "customer_tags", "entry": {"name": f"Tag {at}", "color": color}}}
        for at, color in zip(range(998), itertools.cycle(["#C62828", "#2E7D32", ""]))
    ]
    status, _, _ = demo.call("/admin/v1/companies/cmp_001:batch", demo.key, {"changes": changes})
    assert status == 200
    page = open_console()
    page.goto(TAGS)
    assert len(names(page)) == 1_000
    page.get_by_role("searchbox").fill("tag 99")
    page.get_by_role("button", name="Search").click()
    assert names(page) == ["Tag 99", *(f"Tag {at}" for at in range(990, 998))]
