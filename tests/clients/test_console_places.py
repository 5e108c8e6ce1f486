"""The console where it runs: at an address with TLS, over many companies, in browsers that send little; and the pages
that people see seldom."""

import http.client
import ssl
import subprocess

import pytest
from axe_playwright_python.sync_playwright import Axe
from database import free_port
from playwright.sync_api import expect, sync_playwright
from test_console import TAGS, chromium, faults_of, from_menu, open_console  # noqa: F401, fixtures of pytest
from test_proxies import proxy  # noqa: F401, a fixture of pytest

NAME = "settings.example"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    files = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    where = ["-out", files[0], "-keyout", files[1]]
    subprocess.run([*command, *names, *where], check=True, capture_output=True)
    return files


@pytest.fixture
def named(start, tmp_path):
    """Starts a server that people reach by its name, and a browser for which the name leads to it."""
    data, browsers = tmp_path / "data", []
    with sync_playwright() as playwright:

        def open_one(scheme, *arguments):
            env = {"CUSTOMER_SETTINGS_PUBLIC_URL": f"{scheme}://{NAME}"}
            server = start("--demo", "--data-dir", str(data), *arguments, data_dir=data, env=env)
            port = {"http": 80, "https": 443}[scheme]
            rule = f"--host-resolver-rules=MAP {NAME}:{port} {server.address}"
            browsers.append(
                playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", rule])
            )
            return server, browsers[-1]

        yield open_one
        for browser in browsers:
            browser.close()


def sign_in(page, key):
    page.goto("/console")
    page.get_by_label("Your key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Companies")


def link_for_ana(page):
    """Invites a person to all companies: the link to send."""
    page.goto("/console/people/new")
    page.get_by_label("Name", exact=True).fill("Ana")
    page.get_by_label("All, also those made later").check()
    page.get_by_role("button", name="Make the link").click()
    return page.get_by_label("The link").input_value()


def test_with_tls_and_an_address_the_cookie_is_secure_and_links_have_the_address(named, certificate):
    server, browser = named("https", "--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]))
    url = f"https://{NAME}"
    context = browser.new_context(base_url=url, ignore_https_errors=True)
    page = context.new_page()
    sign_in(page, (server.data_dir / "demo-key").read_text())
    [cookie] = context.cookies()
    assert (cookie["name"], cookie["path"], cookie["sameSite"]) == ("__Host-session", "/", "Lax")
    assert cookie["secure"] and cookie["httpOnly"]
    link = link_for_ana(page)
    assert link.startswith(f"{url}/console/link?token=")
    ana = browser.new_context(ignore_https_errors=True).new_page()
    ana.goto(link)
    ana.get_by_role("button", name="Sign in as Ana").click()
    expect(ana.get_by_role("heading", level=1)).to_have_text("Companies")
    # A name that somebody else points at this machine.
    insecure = ssl._create_unverified_context()
    asked = http.client.HTTPSConnection(server.address, context=insecure)
    asked.request("GET", "/console", headers={"Host": "evil.example"})
    assert asked.getresponse().status == 421


def test_behind_a_proxy_that_sends_a_host_of_its_own_all_is_of_the_public_address(start, tmp_path, proxy, certificate):  # noqa: F811
    data, url = tmp_path / "data", f"https://{NAME}"
    server = start("--demo", "--data-dir", str(data), data_dir=data, env={"CUSTOMER_SETTINGS_PUBLIC_URL": url})
    (safe, clear), (cert, key) = (free_port(), free_port()), certificate
    to = f"proxy_pass http://{server.address};"
    tls = f"listen 127.0.0.1:{safe} ssl; ssl_certificate {cert}; ssl_certificate_key {key};"
    plain = f"listen 127.0.0.1:{clear}; location / {{ {to} proxy_set_header Host $host; }}"
    proxy("nginx", f"server {{ {tls} location / {{ {to} }} }} server {{ {plain} }}", safe)
    rules = f"MAP {NAME}:443 127.0.0.1:{safe}, MAP {NAME}:80 127.0.0.1:{clear}"
    args = ["--no-sandbox", f"--host-resolver-rules={rules}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=args)
        context = browser.new_context(base_url=url, ignore_https_errors=True)
        page = context.new_page()
        sign_in(page, (data / "demo-key").read_text())
        [cookie] = context.cookies()
        assert cookie["name"] == "__Host-session" and cookie["secure"]
        link = link_for_ana(page)
        assert link.startswith(f"{url}/console/link?token=")
        page.goto(link)
        page.get_by_role("button", name="Sign in as Ana").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Companies")

        # On the machine itself this browser takes the Secure cookie too.
        home = browser.new_context(base_url=server.base).new_page()
        sign_in(home, (data / "demo-key").read_text())

        # Over plain http nobody is asked for a key, and the way out works.
        page = browser.new_context(base_url=f"http://{NAME}", ignore_https_errors=True).new_page()
        page.goto("/console/c/cmp_001/customer_tags")
        expect(page.get_by_text("Nothing shows that this page came to you encrypted")).to_be_visible()
        expect(page.get_by_label("Your key")).to_have_count(0)
        assert faults_of(page, Axe(), "no key here") == []
        page.get_by_role("button", name="It does: sign in here").click()
        expect(page.get_by_text("Use the console with https://.")).to_be_visible()
        page.go_back()
        page.get_by_role("link", name=f"Open {url}/console").click()
        page.get_by_label("Your key").fill((data / "demo-key").read_text())
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(f"{url}/console/c/cmp_001/customer_tags")
        browser.close()


def test_a_browser_without_fetch_metadata_sends_its_origin_with_our_forms(named):
    url = f"http://{NAME}"
    _, browser = named("http")
    page = browser.new_context(base_url=url).new_page()
    sent = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    page.goto("/console/sign-in")
    expect(page.get_by_text("Signing in is off here")).to_be_visible()

    def submit():
        page.evaluate("""() => {
            const form = document.createElement('form');
            Object.assign(form, { method: 'post', action: '/console/sign-out' });
            document.body.append(form);
            form.submit();
        }""")

    submit()
    # Plain HTTP elsewhere than on this machine: Chromium names the origin alone, as old browsers do everywhere.
    expect(page.get_by_role("status")).to_contain_text("You are signed out.")
    expect(page).to_have_url(f"{url}/console/sign-in")
    headers = sent[0].all_headers()
    assert "sec-fetch-site" not in headers and headers["origin"] == url
    # A page with another referrer policy, or a frame in a sandbox, names none, and is refused.
    other = {"content_type": "text/html", "headers": {"Referrer-Policy": "no-referrer"}}
    page.route("**/console/sign-in", lambda route: route.fulfill(body="<!doctype html><title>x</title>", **other))
    page.goto("/console/sign-in")
    submit()
    expect(page.get_by_text("This form was not sent by a page of the console")).to_be_visible()
    headers = sent[-1].all_headers()
    assert "sec-fetch-site" not in headers and headers["origin"] == "null"


@pytest.fixture
def hundred(demo):
    """A hundred companies beside that of the demo."""
    for at in range(1, 101):
        body = {"name": f"Salon {at:03}"}
        status, _, _ = demo.call(f"/admin/v1/companies?company_id=salon_{at:03}", demo.key, body)
        assert status == 200
    return demo


@pytest.mark.parametrize("has_script", [True, False])
def test_a_hundred_companies_are_found_and_switched_between(hundred, open_console, has_script):
    page = open_console(java_script_enabled=has_script, viewport={"width": 390, "height": 800})
    page.get_by_role("link", name="More companies").click()
    expect(page.get_by_role("link", name="Salon 077")).to_be_visible()
    page.get_by_role("link", name="Customer settings").click()
    page.get_by_role("searchbox").fill("salon 042")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Salon 042").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Salon 042")
    from_menu(page, "Companies")
    page.get_by_role("searchbox").fill("salon_099")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Salon 099").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Salon 099")


@pytest.mark.parametrize("has_script", [True, False])
def test_a_person_is_invited_for_two_of_a_hundred_companies(hundred, open_console, has_script):
    page = open_console(java_script_enabled=has_script, viewport={"width": 390, "height": 800})
    page.goto("/console/people/new")
    page.get_by_label("Name", exact=True).fill("Ana")
    for wanted in ("Salon 042", "Salon 099"):
        page.get_by_role("searchbox").fill(wanted)
        page.keyboard.press("Enter")
        expect(page.get_by_label(wanted)).to_be_visible()
        page.get_by_label(wanted).check()
        if not has_script:
            page.get_by_label("Only these").check()
    expect(page.get_by_label("Only these")).to_be_checked()
    expect(page.get_by_label("Salon 042")).to_be_checked()
    page.get_by_role("button", name="Make the link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("A link for Ana")
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_text("2 companies")).to_be_visible()


def test_a_search_for_a_company_does_not_forget_that_text_was_typed(hundred, open_console):
    page, asked = open_console(), []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.goto("/console/keys/new")
    page.get_by_label("Name", exact=True).fill("Till")
    page.get_by_role("searchbox").fill("Salon 042")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Salon 042")).to_be_visible()
    assert asked == []
    page.get_by_role("link", name="Companies", exact=True).click(no_wait_after=True)
    page.wait_for_timeout(0)
    assert asked == ["confirm"]
    expect(page.get_by_label("Name", exact=True)).to_have_value("Till")


def seldom(page, demo):
    """Pages that need something before them: a name, and the way there."""
    page.goto(TAGS)
    page.get_by_text("Add many at once").click()
    page.get_by_label("One tag on each line").fill("Puppy #FF0000\nKitten")
    page.get_by_role("button", name="Look at them").click()
    yield "lines"
    page.get_by_text("Change the lines").click()
    yield "lines, open"
    # A form that no page sends so.
    page.goto(f"{TAGS}/tag_001")
    page.evaluate("document.querySelector('main [name=etag]').remove()")
    page.get_by_label("Name").fill("Typed before")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing was done")
    yield "unsent"
    _, _, keys = demo.call("/admin/v1/keys", demo.key)
    path = f"/console/keys/{keys['keys'][0]['id']}"
    page.goto(path)
    expect(page.get_by_role("heading", name="Signed in")).to_be_visible()
    yield "key with sessions"
    page.goto(f"{path}/changes")
    yield "changes of a key"
    page.goto("/console/people/new")
    page.get_by_label("Name", exact=True).fill(" ")
    page.get_by_label("All, also those made later").check()
    page.get_by_role("button", name="Make the link").click()
    yield "invite, refused"
    page.goto("/console/c/cmp_001/locations/biz_001")
    page.get_by_label("Website").fill("javascript:alert(1)")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()
    yield "location, refused"
    page.goto("/console/keys/new")
    page.get_by_label("Name", exact=True).fill("Till")
    page.get_by_label("All, also those made later").check()
    page.get_by_role("button", name="Make the key").click()
    yield "secret"
    page.goto("/console/c/cmp_001/import")
    page.get_by_label("Paste it here").fill("name\nFresh\n")
    page.get_by_role("button", name="Show what would change").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What would change")
    yield "plan"
    demo.call("/admin/v1/companies/cmp_001/customer_tags", demo.key, {"name": "Fresh"})
    page.get_by_role("button", name="Do this").click()
    expect(page.get_by_role("alert")).to_contain_text("has changed since")
    yield "plan that changed"
    page.goto(TAGS)
    page.get_by_label("Fresh: move to place").fill("9")
    page.get_by_label("Fresh: move to place").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Nothing was moved yet")
    yield "list with a wrong place"
    yield from put_away(page, demo)
    page.goto(path)
    page.get_by_label("Name", exact=True).fill("Typed before")
    demo.call(path.replace("/console/", "/admin/v1/"), demo.key, {"name": "Meanwhile"}, "PATCH")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Saved meanwhile")).to_be_visible()
    yield "key in both versions"
    page.goto(TAGS)
    page.get_by_label("Name", exact=True).fill("Typed before")
    page.context.clear_cookies()
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Your session is over")
    yield "session over"
    page.get_by_label("Your key").fill(demo.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Welcome back")
    yield "welcome back"
    yield from links(page)


def put_away(page, demo):
    """The pages where an entry is put away, and another one is about to get its name."""
    status, _, answer = demo.call("/admin/v1/companies/cmp_001/customer_tags/tag_002:archive", demo.key, {})
    assert status == 200, answer
    page.goto(TAGS)
    page.get_by_label("Name", exact=True).fill("First-time Customer")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("link", name="The one that is put away")).to_be_visible()
    yield "name that is put away"
    page.goto(TAGS)
    page.get_by_text("Add many at once").click()
    page.get_by_label("One tag on each line").fill("First-time customer\nKitten #FFD70")
    page.get_by_role("button", name="Look at them").click()
    expect(page.get_by_label("Take “First-time Customer” back")).to_be_checked()
    yield "line that is put away"
    page.goto("/console/c/cmp_001/import")
    page.get_by_label("Paste it here").fill("name\nFirst-time Customer\n")
    page.get_by_role("button", name="Show what would change").first.click()
    expect(page.get_by_role("button", name="Take it back instead")).to_be_visible()
    yield "plan of what is put away"


def links(page):
    """The pages of a link that signs in once."""
    link = link_for_ana(page)
    page.goto(link)
    expect(page.get_by_role("heading", level=1)).to_have_text("Welcome")
    yield "link"
    page.get_by_role("button", name="Sign in as Ana").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Companies")
    page.goto(link)
    expect(page.get_by_text("You are signed in here already, as Ana.")).to_be_visible()
    yield "used link"
    page.get_by_role("link", name="Go on").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Companies")


@pytest.mark.parametrize("width", [320, 1400])
def test_pages_that_are_seen_seldom_are_accessible_and_fit(open_console, demo, width):
    page = open_console(viewport={"width": width, "height": 900})
    page.on("dialog", lambda dialog: dialog.accept())
    axe, faults = Axe(), []
    for name in seldom(page, demo):
        faults += faults_of(page, axe, name)
    assert faults == []
