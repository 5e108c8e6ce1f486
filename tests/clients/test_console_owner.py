"""An owner's work in the console beside the lists: companies, locations, keys of programs; on small and large screens,
without script, and by keyboard alone."""

import re

import pytest
from playwright.sync_api import expect
from test_console import chromium, from_menu, open_console  # noqa: F401, fixtures of pytest

SIZES = [(390, True), (1400, True), (390, False)]


def said(page, text):
    expect(page.locator(".said")).to_contain_text(text)


@pytest.mark.parametrize("width, has_script", SIZES)
def test_a_company_and_its_locations_are_made_changed_and_put_away(open_console, width, has_script):
    page = open_console(java_script_enabled=has_script, viewport={"width": width, "height": 800})
    page.get_by_role("link", name="New company").click()
    page.get_by_label("Name").fill("Paws & Más")
    page.get_by_label("Country").select_option("Austria")
    page.get_by_label("Time zone").fill("Vienna Time")
    page.get_by_role("button", name="Make the company").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Country")).to_have_value("AT")
    page.get_by_label("Time zone").fill("Europe/Vienna")
    page.get_by_role("button", name="Make the company").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Paws & Más")

    from_menu(page, "Locations")
    page.get_by_label("Name").fill("Harbour")
    page.get_by_role("button", name="Add").click()
    said(page, "Added the location “Harbour”.")
    page.get_by_role("link", name="Harbour").click()
    page.get_by_label("Website").fill("harbour.example")
    page.get_by_label("Street and number").fill("1 Pier")
    page.get_by_label("City").fill("Boston")
    page.get_by_role("button", name="Save").click()
    said(page, "Changed address and website of “Harbour”.")
    expect(page.get_by_text("Boston")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    said(page, "Changed address and website of “Harbour”.")
    expect(page.get_by_text("Boston")).not_to_be_visible()
    page.get_by_role("link", name="Harbour").click()
    expect(page.get_by_label("Website")).to_have_value("")
    page.get_by_role("button", name="Put away").click()
    said(page, "Put away the location “Harbour”.")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("link", name="Harbour")).to_be_visible()

    from_menu(page, "Company")
    page.get_by_label("Name").fill("Paws")
    page.get_by_role("button", name="Save").click()
    said(page, "Renamed “Paws & Más” to “Paws”.")
    page.get_by_role("button", name="Put away").click()
    from_menu(page, "Companies")
    expect(page.get_by_role("link", name="Paws", exact=True)).not_to_be_visible()
    page.get_by_label("also those put away").check()
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Paws", exact=True).click()
    from_menu(page, "Company")
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_role("button", name="Put away")).to_be_visible()


@pytest.mark.parametrize("width, has_script", SIZES)
def test_a_program_gets_a_key_which_is_watched_rotated_and_revoked(open_console, demo, width, has_script):
    page = open_console(java_script_enabled=has_script, viewport={"width": width, "height": 800})
    from_menu(page, "Keys and people")
    page.get_by_role("link", name="Give a program a key").click()
    page.get_by_label("Name", exact=True).fill("Booking page")
    page.get_by_label("Change the four lists").check()
    page.get_by_label("Only these").check()
    page.get_by_label("Happy Paws Pet Care").check()
    page.get_by_label("Until the end of").fill("2999-12-31")
    page.get_by_label("Only from these network addresses").fill("here")
    page.get_by_role("button", name="Make the key").click()
    expect(page.locator("#addresses-wrong")).to_be_visible()
    # Nothing that was chosen is lost.
    expect(page.get_by_label("Happy Paws Pet Care")).to_be_checked()
    expect(page.get_by_label("Until the end of")).to_have_value("2999-12-31")
    page.get_by_label("Only from these network addresses").fill("127.0.0.0/8")
    page.get_by_role("button", name="Make the key").click()
    secret = page.get_by_label("The key", exact=True).input_value()
    tags = "/admin/v1/companies/cmp_001/customer_tags"
    status, _, _ = demo.call(tags, secret, {"name": "Booked online"})
    assert status == 200
    status, _, _ = demo.call(tags.replace("cmp_001", "cmp_002"), secret)
    assert status == 403
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_text("Happy Paws Pet Care").first).to_be_visible()
    page.get_by_role("link", name="What was done with it").click()
    page.get_by_role("link", name="Added the tag “Booked online”").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Booking page added the tag “Booked online”")

    from_menu(page, "Keys and people")
    page.get_by_role("link", name="Booking page").click()
    page.get_by_label("The old one works for another").select_option("week")
    page.get_by_role("button", name="Make a new secret").click()
    new = page.get_by_label("The key", exact=True).input_value()
    assert [demo.call(tags, one)[0] for one in (secret, new)] == [200, 200] and new != secret
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_text("The secret from before works until")).to_be_visible()
    page.get_by_text("Revoke it…").click()
    page.get_by_role("button", name="Revoke for good").click()
    said(page, "Revoked.")
    assert [demo.call(tags, one)[0] for one in (secret, new)] == [401, 401]


def test_a_person_is_invited_by_keyboard_alone(open_console):
    page = open_console()
    page.goto("/console/people/new")

    def tab_to(locator):
        for _ in range(80):
            if locator.evaluate("element => element === document.activeElement"):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{locator} is not reached")

    tab_to(page.get_by_label("Name", exact=True))
    page.keyboard.type("Ana")
    for scope in ("See keys and people", "Give keys and invite people"):
        tab_to(page.get_by_label(scope))
        page.keyboard.press("Space")
    tab_to(page.get_by_label("Happy Paws Pet Care"))
    page.keyboard.press("Space")
    expect(page.get_by_label("Only these")).to_be_checked()
    tab_to(page.get_by_role("button", name="Make the link"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("A link for Ana")
    tab_to(page.get_by_role("link", name="Done"))
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile("see keys and people, give keys and invite people, .* · Happy Paws", re.I))).to_be_visible()
    tab_to(page.get_by_text("Revoke it…"))
    page.keyboard.press("Enter")
    tab_to(page.get_by_role("button", name="Revoke for good"))
    page.keyboard.press("Enter")
    said(page, "Revoked.")


def test_a_form_outlives_its_session(open_console, demo):
    page = open_console()
    page.goto("/console/people/new")
    page.get_by_label("Name", exact=True).fill("Ana")
    page.get_by_label("Happy Paws Pet Care").check()
    page.context.clear_cookies()
    page.get_by_role("button", name="Make the link").click()
    page.get_by_label("Your key").fill(demo.key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Send it now, in your name").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("A link for Ana")
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_text(re.compile("· Happy Paws Pet Care")).first).to_be_visible()
