"""The documentation page in a browser, behind a proxy that puts a path before it: it is whole, asks no other host for
anything, and axe finds no fault in it."""

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from front import front
from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.long

PREFIX = "/settings"
# One operation of each HTTP method and service. With all of them open, axe takes many minutes.
SOME = {"ListCustomerTags", "ListChangesByEntryId", "UpdateEntry", "DeleteEntry", "CreateKey"}

SCROLL = """async () => {
  for (let y = 0; y < document.documentElement.scrollHeight; y += 400) {
    window.scrollTo(0, y)
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
  }
}"""


@pytest.fixture
def proxied(demo):
    """The server's address behind the proxy."""

    with front(demo.base, PREFIX) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    """Debian's browser: Playwright would download one of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


def open_page(browser, address, width, scheme, opened=False):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.problems = []
    page.on("request", lambda one: one.url.startswith((address, "data:", "blob:")) or page.problems.append(one.url))
    page.on("requestfailed", lambda one: page.problems.append(f"failed: {one.url}"))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("response", lambda one: one.ok or page.problems.append(f"{one.status}: {one.url}"))
    if opened:
        page.route("**/openapi.json", some_operations)
        page.route("**/docs/start.js", everything_open)
    page.goto(f"{address}/docs")
    page.get_by_role("heading", name="customer-settings").wait_for(timeout=60_000)
    if opened:
        # The page makes its sections once they come into view.
        page.evaluate(SCROLL)
        page.get_by_role("heading", name="Delete an archived entry").wait_for(timeout=60_000)
    return page


def some_operations(route):
    document = route.fetch().json()
    for path, item in list(document["paths"].items()):
        document["paths"][path] = {method: one for method, one in item.items() if one["operationId"] in SOME}
    tags = {one["tags"][0] for item in document["paths"].values() for one in item.values()}
    document["tags"] = [tag for tag in document["tags"] if tag["name"] in tags]
    for group in document["x-tagGroups"]:
        group["tags"] = [tag for tag in group["tags"] if tag in tags]
    route.fulfill(body=json.dumps(document), content_type="application/json")


def everything_open(route):
    script = route.fetch().text()
    opened = "defaultOpenAllTags: true, expandAllResponses: true,"
    assert "url: 'openapi.json'," in script
    script = script.replace("url: 'openapi.json',", f"url: 'openapi.json', {opened}")
    route.fulfill(body=script, content_type="text/javascript; charset=utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("opened", [False, True])
def test_axe_finds_no_fault(browser, proxied, width, scheme, opened):
    page = open_page(browser, proxied, width, scheme, opened)
    found = Axe().run(page)
    assert len(found.response["passes"]) > 20, "axe saw the page"
    assert found.violations_count == 0, found.generate_report()
    assert page.problems == []
    page.close()


def test_groups_and_titles_are_in_plain_words(browser, proxied):
    page = open_page(browser, proxied, 1400, "light")
    text = page.locator("body").inner_text()
    groups = [
        "MoeGo's methods", "BusinessService (moego.business.business.v1)", "SettingService (moego.business.setting.v1)",
        "Managing",
    ]
    places = [text.index(group) for group in groups]
    assert places == sorted(places)
    assert proxied in text, "the server is the one behind the proxy"
    assert page.locator("input:visible").count() == 0, "there is no place that would show a key"
    for shown in ("Managing", "EntryService (customersettings.v1)"):
        page.get_by_text(shown, exact=True).first.click()
    page.get_by_text("Archive an entry", exact=True).first.wait_for(timeout=60_000)
    assert page.problems == []
    page.close()
