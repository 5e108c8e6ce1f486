"""Bringing lists in and taking them along in the console, in Chromium: by script and without, on a small screen."""

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import run
from playwright.sync_api import expect
from test_console import chromium, open_console  # noqa: F401

SETTINGS = "/console/c/cmp_001/settings"
SMALL = {"width": 390, "height": 844}


def accessible(page):
    assert Axe().run(page).violations_count == 0
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"], "the page is wider than the screen"


def open_import(page):
    page.goto(SETTINGS)
    page.get_by_role("link", name="Bring lists in").click()
    accessible(page)


def test_a_file_is_previewed_and_applied_without_script(open_console, demo, tmp_path):  # noqa: F811
    page = open_console(java_script_enabled=False, viewport=SMALL)
    table = tmp_path / "tags.csv"
    table.write_bytes("Name;Farbe\r\nVIP Customer;#00ff00\r\nÄlteres Tier;\r\n".encode("utf-16"))
    page.goto("/console/c/cmp_001/import")
    page.get_by_label("Or choose a file").set_input_files(table)
    page.get_by_role("button", name="Show what would change").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What would change")
    expect(page.locator("main")).to_contain_text("Semicolons; line 1 is the header")
    expect(page.locator("main")).to_contain_text("1 added, 1 changed")
    page.get_by_role("button", name="Do this").click()
    expect(page.locator(".said")).to_contain_text("Undo")
    names = json.loads(run("entry", "list", "cmp_001", "customer_tags", "--data-dir", demo.data_dir, "--output", "json").stdout)
    assert "Älteres Tier" in [entry["name"] for entry in names["entries"]]


def test_a_plan_that_changed_loses_nothing_that_was_typed(open_console, demo):  # noqa: F811
    page = open_console(viewport=SMALL)
    open_import(page)
    typed = "# mine\ncompanies:\n- id: cmp_001\n  customer_tags:\n  - {id: tag_001, name: VIP}\n"
    page.get_by_label("Paste it here").fill(typed)
    page.get_by_role("button", name="Show what would change").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What would change")
    accessible(page)
    demo.call("/admin/v1/companies/cmp_001/customer_tags/tag_001", demo.key, {"name": "Other"}, "PATCH")
    page.get_by_role("button", name="Do this").click()
    expect(page.get_by_role("alert")).to_contain_text("has changed since, so nothing was done")
    accessible(page)
    page.get_by_role("button", name="Change the document").click()
    expect(page.get_by_label("Paste it here")).to_have_value(typed)
    page.get_by_label("Paste it here").fill(typed.replace("VIP", "VIP!").replace("name:", "nmae:"))
    page.get_by_role("button", name="Show what would change").first.click()
    expect(page.get_by_role("alert")).to_contain_text("Line 5: the nmae of tag number 1 is unknown")
    expect(page.get_by_label("Paste it here")).to_have_value(typed.replace("VIP", "VIP!").replace("name:", "nmae:"))
    accessible(page)
    page.get_by_label("Paste it here").fill(typed)
    page.get_by_role("button", name="Show what would change").first.click()
    page.get_by_role("button", name="Do this").click()
    expect(page.locator(".said")).to_contain_text("renamed “Other” to “VIP”", ignore_case=True)


@pytest.mark.parametrize("has_script", [True, False])
def test_what_is_put_away_is_taken_back_and_not_added_twice(open_console, demo, has_script):  # noqa: F811
    tags = "/admin/v1/companies/cmp_001/customer_tags"
    for tag in ("tag_001", "tag_002"):
        assert demo.call(f"{tags}/{tag}:archive", demo.key, {})[0] == 200
    page = open_console(java_script_enabled=has_script, viewport=SMALL)
    page.goto("/console/c/cmp_001/import")
    page.get_by_label("Paste it here").fill("name,color\nVIP Customer,#00FF00\n")
    page.get_by_role("button", name="Show what would change").first.click()
    expect(page.locator("main")).to_contain_text("1 added")
    page.get_by_role("button", name="Take it back instead").click()
    expect(page.locator("main")).to_contain_text("1 taken back")
    page.get_by_role("button", name="Do this").click()
    expect(page.locator(".said")).to_contain_text("Took back the tag “VIP Customer”.")
    page.goto("/console/c/cmp_001/customer_tags")
    page.get_by_text("Add many at once").click()
    page.get_by_label("One tag on each line").fill("Puppy\nfirst-time customer")
    page.get_by_role("button", name="Look at them").click()
    expect(page.get_by_label("Take “First-time Customer” back as it was")).to_be_checked()
    page.get_by_role("button", name="Do this").click()
    expect(page.locator(".said")).to_contain_text("Took back the tag “First-time Customer” and added the tag “Puppy”.")
    listed = demo.call(f"{tags}?show_archived=true", demo.key)[2]["entries"]
    assert [entry["id"] for entry in listed[:2]] == ["tag_001", "tag_002"] and len(listed) == 3


def test_downloads_are_what_the_command_line_exports(open_console, demo):  # noqa: F811
    page = open_console()
    page.goto(SETTINGS)
    for link, arguments in [("Download as YAML", ("--without", "audit")), ("as a table (CSV)", ("--format", "csv"))]:
        with page.expect_download() as download:
            page.get_by_role("link", name=link).click()
        exported = run("export", "--data-dir", demo.data_dir, "--company", "cmp_001", *arguments).stdout
        with open(download.value.path(), newline="") as file:
            assert file.read() == exported.replace("\n", "\r\n") if "csv" in arguments else exported
