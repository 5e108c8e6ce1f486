"""Makes the pictures in docs/images from the demo of the built program. Run it by hand, after changes of pages:

    target/test-clients/bin/python tests/clients/pictures.py

A picture must stay small, since every clone brings it: it has at most 256 colors. docs/images/console has every page of
the console, for docs/console.md."""

import pathlib
import tempfile

from conftest import ROOT, Server
from PIL import Image
from playwright.sync_api import sync_playwright

IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 150_000
USUAL = "http://127.0.0.1:8080"
COMPANY = "/console/c/cmp_001"
WIDE = {"width": 1200, "height": 720}
MIDDLE = {"width": 1000, "height": 640}
MOST_HEIGHT = 1200
TAGS = "/admin/v1/companies/cmp_001/customer_tags"
NEW_TAGS = {
    "Senior pet": "#6A1B9A",
    "Needs medication": "#C62828",
    "Nervous around others": "#6D4C41",
    "Pays yearly": "#2E7D32",
}

# A list as a salon's spreadsheet program saves it.
TABLE = """name;color;description
VIP;#F9A825;"Comes every week: greet by name."
First-time Customer;#0288D1;
Senior pet;#6A1B9A;Walks slowly
Puppy;#2E7D32;Until its first birthday
Allergic to lavender;#C62828;
"""


def fill(server):
    """Changes as a salon would make them."""

    def call(path, body, method):
        status, _, answer = server.call(TAGS + path, server.key, body, method)
        assert status == 200, answer

    call("/tag_001", {"color": "#F9A825", "description": "Comes every week: greet by name."}, "PATCH")
    call("/tag_002", {"color": "#0277BD"}, "PATCH")
    for name, color in NEW_TAGS.items():
        call("", {"name": name, "color": color}, "POST")
    call("/tag_001", {"name": "VIP"}, "PATCH")


def shoot(page, name, height=None):
    file = IMAGES / f"{name}.png"
    if height:
        page.set_viewport_size({**page.viewport_size, "height": height})
    page.screenshot(path=file)
    # Without dithering, areas stay of one color.
    Image.open(file).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    size = file.stat().st_size
    print(f"{file.relative_to(ROOT)}: {size:,} bytes")
    assert size < MOST_BYTES


def form(page, name, button):
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("All, also those made later").check()
    page.get_by_role("button", name=button).click()


def make_all(browser, server):
    """Every page of the console, in the order of docs/console.md."""
    (IMAGES / "console").mkdir(exist_ok=True)
    page = browser.new_page(base_url=server.base, viewport=MIDDLE)
    page.goto("/console/sign-in")
    shoot(page, "console/sign-in")
    page = signed_in(browser, server, viewport=MIDDLE)
    _, _, keys = server.call("/admin/v1/keys", server.key)
    key = f"/console/keys/{keys['keys'][0]['id']}"
    for name, path in {
        "companies": "/console?all=1",
        "company-new": "/console/companies/new",
        "overview": COMPANY,
        "tags": f"{COMPANY}/customer_tags",
        "referral-sources": f"{COMPANY}/referral_sources",
        "life-cycles": f"{COMPANY}/life_cycles",
        "statuses": f"{COMPANY}/action_statuses",
        "entry": f"{COMPANY}/customer_tags/tag_001",
        "default": f"{COMPANY}/life_cycles/lc_001",
        "history": f"{COMPANY}/history",
        "change": f"{COMPANY}/history/2",
        "go-back": f"{COMPANY}/history/6/back",
        "locations": f"{COMPANY}/locations",
        "location": f"{COMPANY}/locations/biz_001",
        "company-settings": f"{COMPANY}/settings",
        "keys-and-people": "/console/keys",
        "invite": "/console/people/new",
        "key-new": "/console/keys/new",
        "key": key,
        "key-changes": f"{key}/changes",
        "sessions": "/console/sessions",
        "not-there": "/console/nothing",
    }.items():
        page.goto(path)
        height = page.evaluate("document.documentElement.scrollHeight")
        shoot(page, f"console/{name}", height=min(max(height, 500), MOST_HEIGHT))
        page.set_viewport_size(MIDDLE)
    page.goto(f"{COMPANY}/customer_tags")
    page.get_by_text("Add many at once").click()
    page.get_by_label("One tag on each line").fill("Puppy #FF0000\nKitten")
    page.get_by_role("button", name="Look at them").click()
    shoot(page, "console/add-many")
    page.goto(f"{COMPANY}/import")
    page.get_by_label("Paste it here").fill(TABLE)
    shoot(page, "console/import", height=900)
    page.get_by_role("button", name="Show what would change").first.click()
    page.get_by_role("heading", name="What would change").wait_for()
    shoot(page, "console/import-plan", height=MOST_HEIGHT)
    page.set_viewport_size(MIDDLE)
    # The link and the key are of a server that is gone when the picture is made.
    page.goto("/console/people/new")
    form(page, "Ana Díaz", "Make the link")
    shoot(page, "console/link")
    page.goto("/console/keys/new")
    form(page, "Booking page", "Make the key")
    shoot(page, "console/secret")


def signed_in(browser, server, **options):
    page = browser.new_context(base_url=server.base, **options).new_page()
    page.goto("/console/sign-in")
    page.get_by_label("Your key").fill(server.key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Companies").wait_for()
    return page


def make(browser, server):
    page = signed_in(browser, server, viewport=WIDE)
    page.goto(f"{COMPANY}/customer_tags")
    shoot(page, "console-list")
    page.goto(f"{COMPANY}/history")
    shoot(page, "console-history", height=560)
    page = signed_in(browser, server, viewport=WIDE, color_scheme="dark")
    page.goto(COMPANY)
    shoot(page, "console-company", height=640)
    page = signed_in(browser, server, viewport={"width": 390, "height": 760})
    page.goto(f"{COMPANY}/customer_tags")
    shoot(page, "console-small")
    page.get_by_role("button", name="Menu", exact=True).click()
    shoot(page, "console/menu")
    page = browser.new_page(viewport=WIDE)
    # The page shows its own address, which shall be the same in every picture.
    page.route(f"{USUAL}/**", lambda route: route.fulfill(response=route.fetch(url=route.request.url.replace(USUAL, server.base))))
    page.goto(f"{USUAL}/docs")
    page.get_by_role("link", name="SettingService (moego.business.setting.v1)").click()
    page.get_by_role("link", name="List the customer tags of a company").first.click()
    page.get_by_role("heading", name="List the customer tags of a company", exact=True).wait_for()
    page.wait_for_load_state("networkidle")
    shoot(page, "docs")


with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
    server = Server(pathlib.Path(folder) / "data", "--demo")
    try:
        server.key = (server.data_dir / "demo-key").read_text()
        fill(server)
        # Debian's browser: Playwright would download one of its own.
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        make(browser, server)
        make_all(browser, server)
    finally:
        server.stop()
