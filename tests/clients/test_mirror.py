"""`mirror` and `convert moego`: the program's own demo is the account, behind a front that breaks in every way."""

import base64
import contextlib
import email.utils
import http.server
import json
import re
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest
import yaml
from conftest import PROGRAM, run
from documents import blocks
from test_documents import play

LISTS = ["customer/tags:list", "customer/referral_sources:list", "leads/life_cycles", "leads/action_status"]
KEYS = ["tags", "referralSources", "lifeCycles", "actionStatuses"]
COMPANIES = ["cmp_001", "cmp_002"]
CATALOGS = ["customer_tags", "referral_sources", "life_cycles", "action_statuses"]
TAGS = "cmp_001/customer/tags:list"


class Account:
    """The account, behind a front that counts requests and breaks answers."""

    def __init__(self, server):
        self.server, self.key = server, server.key
        self.paths, self.at_once, self.most_at_once = [], 0, 0
        self.credentials = set()
        # (a part of the path, what happens to the answer: a function of the parsed answer, or a status, or a stall)
        self.faults = []
        account, lock = self, threading.Lock()

        class Front(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # An answer is sent in one piece: its second piece would wait for the client to acknowledge the first one.
            wbufsize = -1

            def do_POST(self):
                with lock:
                    account.at_once += 1
                    account.most_at_once = max(account.most_at_once, account.at_once)
                    account.paths.append(self.path)
                    account.credentials.add(self.headers["Authorization"])
                try:
                    self.answer(self.rfile.read(int(self.headers["Content-Length"])))
                finally:
                    with lock:
                        account.at_once -= 1

            def answer(self, body):
                request = urllib.request.Request(account.server.base + self.path, data=body, method="POST")
                for name in ["Authorization", "Content-Type"]:
                    request.add_header(name, self.headers[name])
                with urllib.request.urlopen(request, timeout=20) as answer:
                    status, headers, content = answer.status, {}, answer.read()
                for fault in [fault for part, fault in account.faults if part in self.path]:
                    status, headers, content = fault(status, headers, content)
                self.send_response(status)
                cut = headers.pop("cut", 0)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content) + cut))
                self.end_headers()
                self.wfile.write(content)
                self.close_connection = bool(cut)

            def log_message(self, *_):
                pass

        self.listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()
        self.base = f"http://127.0.0.1:{self.listener.server_port}"

    @contextlib.contextmanager
    def broken(self, part, fault):
        self.faults.append((part, fault))
        try:
            yield
        finally:
            self.faults.pop()

    def change(self, path, body, method="PATCH"):
        status, _, answer = self.server.call(f"/admin/v1/companies/cmp_001{path}", self.key, body, method)
        assert status == 200, answer

    def end(self):
        self.listener.shutdown()
        self.listener.server_close()


def lists(server, key):
    """Everything that the public API says of the companies, as JSON."""
    found = {"companies": server.call("/v1/companies:list", key, {})[2]["companies"]}
    for company in COMPANIES:
        found[company] = [server.call("/v1/businesses:list", key, {"companyId": company})[2]]
        found[company] += [server.call(f"/v1/setting/companies/{company}/{path}", key, {})[2] for path in LISTS]
    return found


class Copy:
    """The server here, and the command that fills it."""

    def __init__(self, account, server, folder, key):
        self.account, self.server, self.key = account, server, key
        self.arguments = ["--from", account.base, "--from-key-file", folder / "account.key", "--pace", "0s",
                          "--server", server.base, "--key-file", folder / "here.key"]

    def mirror(self, *arguments):
        """The exit code, the outcomes by company, and the lines of standard error."""
        done = run("mirror", *arguments, *self.arguments, "--output", "json", check=False)
        told = json.loads(done.stdout or '{"companies": []}')
        outcomes, self.error = told["companies"], told.get("error")
        return done.returncode, {one["companyId"]: one for one in outcomes}, done.stderr

    def changes(self, since=0, company="cmp_001"):
        """The changes of the company since a revision, in words."""
        path = f"/admin/v1/companies/{company}/changes?pageSize=100"
        found = self.server.call(path, self.key)[2]["changes"]
        return [change["summary"] for change in reversed(found) if int(change["revision"]) > since]

    def check(self, company="cmp_001"):
        """The last comparison of the company, as the server shows it."""
        check = self.server.call(f"/admin/v1/companies/{company}", self.key)[2]["source"].get("lastCheck", {})
        check.pop("checkedTime", None)
        return check

    def revision(self):
        return int(self.server.call("/admin/v1/companies/cmp_001", self.key)[2]["revision"])

    def agrees(self):
        return lists(self.server, self.key) == lists(self.account.server, self.account.key)


@pytest.fixture
def copied(demo, start, tmp_path):
    """An account with six tags in its first company, and its copy here."""
    account = Account(demo)
    for letter in "ABCD":
        account.change(f"/customer_tags?entryId=tag_{letter}", {"name": f"Tag {letter}"}, "POST")
    here = tmp_path / "here"
    here.mkdir()
    key = run("key", "create", "--data-dir", here, "--name", "mirror", "--scope", "*").stdout.strip()
    for name, secret in [("account.key", account.key), ("here.key", key)]:
        (tmp_path / name).write_text(secret)
        (tmp_path / name).chmod(0o600)
    copy = Copy(account, start(data_dir=here), tmp_path, key)
    code, outcomes, said = copy.mirror()
    assert (code, {one["state"] for one in outcomes.values()}) == (0, {"CHANGED"}), said
    assert copy.agrees() and len(copy.changes()) == 1
    account.paths.clear()
    yield copy
    account.end()


def answering(change):
    """A fault that changes the parsed answer."""

    def fault(status, headers, content):
        return status, headers, json.dumps(change(json.loads(content))).encode()

    return fault


def status(code, times=None, **headers):
    """A fault that answers a status, always or so many times."""
    left = [times]

    def fault(good, _, content):
        if left[0] == 0:
            return good, {}, content
        left[0] = left[0] and left[0] - 1
        return code, dict(headers), b'{"code": 13, "message": "no"}'

    return fault


def only(**keys):
    return answering(lambda answer: {**answer, **keys})


def companies(change):
    return answering(lambda answer: {**answer, "companies": [change(one) for one in answer["companies"]]})


def places(change):
    return answering(lambda answer: {**answer, "businesses": [change(one) for one in answer["businesses"]]})


def stall(good, headers, content):
    time.sleep(1)
    return good, headers, content


OVER = "Sun, 06 Nov 1994 08:49:37 GMT"
LEFT_ALONE = {
    "truncated": (TAGS, lambda code, headers, content: (code, headers, content[:40])),
    "cut off": (TAGS, lambda code, headers, content: (code, {"cut": 10}, content)),
    "no body": (TAGS, lambda code, headers, content: (code, headers, b"")),
    "a page of HTML": (TAGS, lambda code, headers, content: (code, {"Content-Type": "text/html"}, b"<html>soon back</html>")),
    "a missing key": (TAGS, answering(lambda _: {})),
    "null for a list": (TAGS, only(tags=None)),
    "another list": (TAGS, answering(lambda answer: {"referralSources": answer["tags"]})),
    "an entry without a name": (TAGS, answering(lambda answer: {"tags": answer["tags"] + [{"id": "x"}]})),
    "two entries of one id": (TAGS, answering(lambda answer: {"tags": answer["tags"] + [{"id": "tag_A", "name": "Other"}]})),
    "no content": (TAGS, status(204)),
    "a redirection": (TAGS, status(302, Location="/elsewhere")),
    "not modified": (TAGS, status(304)),
    "401": (TAGS, status(401)),
    "403": (TAGS, status(403)),
    "404": (TAGS, status(404)),
    "429 three times": (TAGS, status(429, 3, **{"Retry-After": "0"})),
    "429 for an hour": (TAGS, status(429, 1, **{"Retry-After": "3600"})),
    "429 until a date": (TAGS, status(429, 1, **{"Retry-After": email.utils.formatdate(time.time() + 7200, usegmt=True)})),
    "429 until a date that is over, three times": (TAGS, status(429, 3, **{"Retry-After": OVER})),
    "500 three times": (TAGS, status(500, 3)),
    "503 three times": (TAGS, status(503, 3)),
    "a stall": (TAGS, stall),
    "locations of another company": ("businesses:list", answering(lambda answer: {
        **answer, "businesses": [{**one, "companyId": "cmp_other"} for one in answer["businesses"]]})),
    "endless pages": ("businesses:list", only(nextPageToken="2")),
    "a number for the next page": ("businesses:list", only(nextPageToken=2)),
    "a list without pages that names a next one": (TAGS, only(tags=[], nextPageToken="more")),
    "a key twice": (TAGS, lambda code, headers, content: (code, headers, b'{"tags": [], ' + content[1:])),
}


def test_an_answer_that_is_none_leaves_the_company_alone(copied):
    for number, (name, (part, fault)) in enumerate(LEFT_ALONE.items()):
        copied.account.change("/customer_tags/tag_A", {"name": f"Renamed {number}"})
        before, revision = lists(copied.server, copied.key), copied.revision()
        copied.account.paths.clear()
        with copied.account.broken(part, fault):
            code, outcomes, said = copied.mirror("--from-timeout", "300ms")
        expected = {"401": 4, "429 for an hour": 6, "429 until a date": 6}.get(name, 1)
        assert (code, outcomes["cmp_001"]["state"]) == (expected, "LEFT_ALONE"), (name, said)
        assert "was not read" in outcomes["cmp_001"]["problems"][0], name
        assert lists(copied.server, copied.key) == before and copied.revision() == revision, name
        asked = [path for path in copied.account.paths if TAGS in path]
        assert len(asked) == (3 if "three times" in name else 0 if "businesses" in part else 1), name
        # With the fault gone everything is as the account has it.
        assert copied.mirror()[0] == 0 and copied.agrees(), name
        assert copied.changes(revision) == [f'updated customer_tags/tag_A "Renamed {number}" (name)'], name


def test_a_company_that_the_account_has_twice_is_left_alone(copied):
    before = lists(copied.server, copied.key)
    twice = answering(lambda answer: {**answer, "companies": answer["companies"] + [{"id": "cmp_001", "name": "Other"}]})
    with copied.account.broken("companies:list", twice):
        code, outcomes, _ = copied.mirror()
    assert code == 1 and outcomes["cmp_002"]["state"] == "AGREES" and len(outcomes) == len(COMPANIES)
    assert outcomes["cmp_001"]["problems"] == ["was not read: the account has the company twice, with different values"]
    assert lists(copied.server, copied.key) == before


def test_a_list_whose_pages_never_end_is_not_read_for_ever(copied):
    pages = []

    def page(items):
        pages.clear()

        def next_page(_):
            pages.append(1)
            return {"companies": items(len(pages)), "nextPageToken": str(len(pages) + 1)}

        return answering(next_page)

    for items, most, said in [
        (lambda _: [], 20, "20 in a row are empty"),
        (lambda number: [{"id": f"cmp_{number}", "name": "C"}], 1000, "there are more than 1000"),
    ]:
        with copied.account.broken("companies:list", page(items)):
            code, outcomes, told = copied.mirror()
        assert (code, outcomes, len(pages)) == (1, {}, most) and f"the pages do not end: {said}" in told, told


def test_a_long_round_says_how_far_it_is(copied):
    with copied.account.broken("cmp_001/customer", stall):
        said = copied.mirror()[2]
    assert re.search(r"so far: 0 of 2 companies, \d requests; next: /v1/setting/companies/cmp_001/", said), said
    assert "so far" not in copied.mirror()[2]


def test_an_account_that_does_not_answer_is_named_with_the_reason(copied):
    def said(address):
        arguments = ["--from", address, *copied.arguments[2:6]]
        done = [run("convert", "moego", *arguments, check=False), run("mirror", *arguments, *copied.arguments[6:], check=False)]
        assert [one.returncode for one in done] == [6, 6] and done[0].stderr == done[1].stderr, done
        return done[0].stderr

    tls = copied.account.base.replace("http://", "https://")
    assert f"{tls} does not answer in TLS: is this the address of the account's API?" in said(tls)
    assert "cannot be reached: dns error: failed to lookup" in said("https://account.invalid")
    with copied.account.broken(TAGS, status(301, Location="https://elsewhere.example/")):
        code, outcomes, _ = copied.mirror("--check")
    assert code == 1 and "HTTP status 301 Moved Permanently, which leads to https://elsewhere.example/" in outcomes["cmp_001"]["problems"][0]
    with copied.account.broken(TAGS, stall):
        code, outcomes, _ = copied.mirror("--check", "--from-timeout", "300ms")
    assert code == 1 and outcomes["cmp_001"]["problems"][0].endswith("did not answer in time; see --from-timeout")


ODD = {
    "no name": lambda company: {key: value for key, value in company.items() if key != "name"},
    "null for a country": lambda company: {**company, "country": None},
    "a time zone without an id": lambda company: {**company, "timezone": {}},
}


@pytest.mark.parametrize("what", ODD)
def test_a_company_of_another_form_is_left_alone_by_name(copied, what):
    before = lists(copied.server, copied.key)
    path = "/admin/v1/companies/cmp_002/customer_tags?entryId=new"
    assert copied.account.server.call(path, copied.account.key, {"name": "New"}, "POST")[0] == 200
    with copied.account.broken("companies:list", companies(lambda one: ODD[what](one) if one["id"] == "cmp_001" else one)):
        code, outcomes, said = copied.mirror()
    assert (code, [outcomes[id]["state"] for id in COMPANIES]) == (1, ["LEFT_ALONE", "CHANGED"]), said
    assert "cmp_001: was not read: the company is not of the expected form" in said
    assert lists(copied.server, copied.key)["cmp_001"] == before["cmp_001"]


def without(key):
    return lambda one: {name: value for name, value in one.items() if name != key}


GONE = {
    "country": [without("country"), lambda one: {**one, "country": ""}],
    "timezone": [without("timezone"), lambda one: {**one, "timezone": None}, lambda one: {**one, "timezone": {"id": ""}}],
    "address": [without("address"), lambda one: {**one, "address": None}, lambda one: {**one, "address": {}},
                lambda one: {**one, "address": {"id": "", "city": ""}}],
}


@pytest.mark.parametrize("key", GONE)
def test_a_value_that_the_account_has_no_more_is_empty_here(copied, key):
    for change in GONE[key]:
        part, fault = ("businesses:list", places(change)) if key == "address" else ("companies:list", companies(change))
        with copied.account.broken(part, fault):
            assert copied.mirror("--check")[0] == 7
            assert copied.mirror()[0] == 0
            code, outcomes, said = copied.mirror("--check")
            assert (code, {one["state"] for one in outcomes.values()}) == (0, {"AGREES"}), said
        here = lists(copied.server, copied.key)
        things = here["cmp_001"][0]["businesses"] if key == "address" else here["companies"]
        assert things and not any(one.get(key) for one in things), things
        assert copied.mirror()[0] == 0 and copied.agrees()


def test_the_id_of_an_entry_that_was_deleted_here_is_left_out_alone(copied):
    copied.account.change("/customer_tags/tag_B:archive", {}, "POST")
    assert copied.mirror()[0] == 0
    deleted = copied.server.call("/admin/v1/companies/cmp_001/customer_tags/tag_B", copied.key, method="DELETE")
    assert deleted[0] == 200, deleted
    assert copied.mirror()[0] == 0 and copied.agrees()
    copied.account.change("/customer_tags/tag_B:restore", {}, "POST")
    copied.account.change("/customer_tags/tag_A", {"name": "Renamed"})
    code, outcomes, _ = copied.mirror()
    assert (code, outcomes["cmp_001"]["state"], outcomes["cmp_001"]["problems"]) == (1, "CHANGED", [
        "customer_tags/tag_B: tag_B belongs to an entry that was deleted, and is never given again: it is left out, and the rest is copied"])


def test_a_round_that_ends_early_says_so_of_the_others(copied):
    with copied.account.broken(TAGS, status(401)):
        code, outcomes, _ = copied.mirror()
    assert code == 4 and "HTTP status 401" in outcomes["cmp_001"]["problems"][0]
    assert outcomes["cmp_002"]["problems"] == ['was not read, as the round ended with "cmp_001"']


def test_a_check_that_could_not_read_all_still_tells_of_differences(copied):
    copied.account.change("/customer_tags/tag_A", {"name": "Renamed"})
    with copied.account.broken("cmp_002/customer/tags:list", status(404)):
        code, outcomes, said = copied.mirror("--check")
    assert code == 7 and [outcomes[id]["state"] for id in COMPANIES] == ["DIFFERS", "LEFT_ALONE"]
    assert "error: 1 of 2 companies stay as they are, wholly or in part" in said


def test_a_list_of_companies_that_is_none_ends_the_round(copied):
    before = lists(copied.server, copied.key)
    for fault, code in [
        (status(401), 4), (status(403), 4), (status(404), 1), (status(500), 6), (status(429, **{"Retry-After": "0"}), 6),
        (status(418), 1), (answering(lambda _: {}), 1), (only(more="x" * (17 << 20)), 1), (lambda code, headers, content: (code, headers, content[:9]), 1),
    ]:
        with copied.account.broken("companies:list", fault):
            ended, outcomes, said = copied.mirror()
        assert (ended, outcomes) == (code, {}) and "the account was not read" in said
        assert copied.error in said and "the account was not read" in copied.error
    assert lists(copied.server, copied.key) == before


def test_an_account_that_recovers_within_three_tries_is_read(copied):
    for number, fault in enumerate([status(429, 2, **{"Retry-After": "0"}), status(500, 2), status(503, 1)]):
        copied.account.change("/customer_tags/tag_A", {"name": f"Renamed {number}"})
        with copied.account.broken(TAGS, fault):
            assert copied.mirror()[0] == 0
        assert copied.agrees()


def test_a_list_without_companies_changes_nothing(copied):
    before = lists(copied.server, copied.key)
    with copied.account.broken("companies:list", only(companies=[])):
        code, outcomes, said = copied.mirror()
    assert code == 1 and set(outcomes) == set(COMPANIES)
    assert all(f"{company}: is not in the account any more" in said for company in COMPANIES)
    assert all("not in the account any more" in one["problems"][0] for one in outcomes.values())
    assert lists(copied.server, copied.key) == before


def short(count):
    return answering(lambda answer: {"tags": answer["tags"][:count]})


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_that_lost_much_is_left_alone_until_somebody_allows_it(copied, count):
    copied.account.change("/referral_sources/ref_001", {"name": "Renamed"})
    revision, before = copied.revision(), lists(copied.server, copied.key)["cmp_001"][1]
    lost = 6 - count
    with copied.account.broken(TAGS, short(count)):
        code, outcomes, said = copied.mirror("--accept-archive", str(lost - 1))
        assert code == 1 and f"--accept-archive {lost}" in outcomes["cmp_001"]["problems"][0], said
        assert lists(copied.server, copied.key)["cmp_001"][1] == before
        # Another list of the company is not held back.
        assert copied.changes(revision) == ['updated referral_sources/ref_001 "Renamed" (name)']
    # A whole list in between: the next round agrees with none.
    assert copied.mirror()[0] == 0
    with copied.account.broken(TAGS, short(count)):
        assert copied.mirror("--accept-archive", str(lost))[0] == 0
        assert len(lists(copied.server, copied.key)["cmp_001"][1]["tags"]) == count
    # All are back, with their ids and places.
    assert copied.mirror()[0] == 0 and copied.agrees()


def test_one_entry_that_vanished_is_archived_and_is_restored_with_its_id(copied):
    revision = copied.revision()
    copied.account.change("/customer_tags/tag_B:archive", {}, "POST")
    assert copied.mirror()[0] == 0 and copied.agrees()
    copied.account.change("/customer_tags/tag_B:restore", {}, "POST")
    assert copied.mirror()[0] == 0 and copied.agrees()
    archived, restored = copied.changes(revision)
    assert 'archived customer_tags/tag_B "Tag B"' in archived and archived.count("tag_") == 1
    assert 'restored customer_tags/tag_B "Tag B"' in restored and restored.count("tag_") == 1


def test_a_second_round_that_finds_the_same_agrees(copied):
    with copied.account.broken(TAGS, short(0)):
        command = [PROGRAM, "mirror", "--every", "1ms", *map(str, copied.arguments)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            said = []
            for line in process.stderr:
                said.append(line)
                if "6 archived" in line:
                    break
            process.kill()
    said = [line for line in said if not line.startswith("so far")]
    assert "--accept-archive 6" in said[0] and sum("--accept-archive" in line for line in said) == 1, said
    assert lists(copied.server, copied.key)["cmp_001"][1]["tags"] == []


def test_two_runs_agree_as_two_rounds_of_one_run_do(copied):
    """Under cron every round is a process of its own."""
    revision, agrees = copied.revision(), {"result": "AGREES", "problems": "", "heldBack": ""}
    assert copied.mirror("--once")[0] == 0 and copied.check() == agrees

    def left_alone(count, fault=None):
        with copied.account.broken(TAGS, short(count)):
            with copied.account.broken(TAGS, fault) if fault else contextlib.nullcontext():
                code, outcomes, _ = copied.mirror("--once", "--from-timeout", "300ms")
        assert code == 1 and copied.revision() == revision and copied.agrees()
        check = copied.check()
        assert check["result"] == "LEFT_ALONE"
        assert check["problems"] == "; ".join(outcomes["cmp_001"]["problems"])[:500]
        return check

    first = left_alone(0)
    assert "--accept-archive 6" in first["problems"] and re.fullmatch("customer_tags:[0-9a-f]{32}", first["heldBack"])
    # A round that finds another list does not agree, and is the one that the next round agrees with.
    other = left_alone(1)
    assert other["heldBack"] != first["heldBack"] and left_alone(0) == first
    # Neither does one that finds the list whole.
    assert copied.mirror("--once")[0] == 0 and copied.check() == agrees
    assert left_alone(0) == first
    # An answer that is none says nothing about the list, so it does not agree, and the round before still counts.
    for fault in [status(500), status(404), only(tags=None), stall]:
        failed = left_alone(0, fault)
        assert failed["problems"].startswith("was not read") and failed["heldBack"] == first["heldBack"]
    with copied.account.broken("companies:list", status(500)):
        assert copied.mirror("--once")[0] == 6 and copied.check()["heldBack"] == first["heldBack"]
    with copied.account.broken(TAGS, short(0)):
        # A check asks, and does not count as a round.
        assert copied.mirror("--check")[0] == 7 and copied.check()["heldBack"] == first["heldBack"]
        code, outcomes, _ = copied.mirror("--once")
    assert (code, outcomes["cmp_001"]["counts"]["archived"]) == (0, 6)
    assert copied.check() == {"result": "CHANGED", "problems": "", "heldBack": ""}
    assert lists(copied.server, copied.key)["cmp_001"][1]["tags"] == []


def test_the_history_names_the_mirror_as_the_author_of_a_round(copied):
    copied.account.change("/customer_tags/tag_A", {"name": "Renamed"})
    assert copied.mirror()[0] == 0
    changes = copied.server.call("/admin/v1/companies/cmp_001/changes", copied.key)[2]["changes"]
    assert {change["staffId"] for change in changes} == {"mirror"} and changes[0]["keyId"]
    assert copied.agrees()


def test_a_round_says_of_each_mirror_how_it_ended(copied):
    checks = lambda: [copied.check(company)["result"] for company in COMPANIES]
    assert checks() == ["CHANGED", "CHANGED"]
    assert copied.mirror()[0] == 0 and checks() == ["AGREES", "AGREES"]
    shown = run("company", "get", "cmp_001", *copied.arguments[6:]).stdout
    assert re.search(r"source\.lastCheck\.checkedTime +\d{4}-", shown) and re.search(r"source\.lastCheck\.result +AGREES", shown), shown
    with copied.account.broken("cmp_001", status(401)):
        copied.mirror()
    assert "401" in copied.check()["problems"] and "the round ended" in copied.check("cmp_002")["problems"]
    assert copied.mirror("--company", "cmp_002")[0] == 0 and checks() == ["LEFT_ALONE", "AGREES"]
    with copied.account.broken("companies:list", only(companies=[])):
        copied.mirror()
    assert copied.check()["problems"] == "is not in the account any more"
    # More than the server takes is cut.
    many = entries(lambda tags: tags + [{"id": f"t{i}", "name": "TAG a"} for i in range(50)])
    with copied.account.broken(TAGS, many):
        assert copied.mirror()[0] == 1
    assert len(copied.check()["problems"]) == 500 and copied.check()["problems"].endswith("…")


def test_an_order_and_a_name_are_taken_over_exactly(copied):
    revision = copied.revision()
    ids = ["tag_D", "tag_C", "tag_001", "tag_002", "tag_A", "tag_B"]
    copied.account.change("/customer_tags:reorder", {"ids": ids}, "POST")
    assert copied.mirror()[0] == 0 and copied.agrees()
    copied.account.change("/action_statuses/as_001", {"name": "Called", "color": "#123456"})
    copied.account.change("/life_cycles/lc_002", {"isDefault": True})
    copied.account.change("", {"name": "Happier Paws", "country": "CA"})
    copied.account.change("/businesses/biz_001", {"email": "new@example.com"})
    assert copied.mirror()[0] == 0 and copied.agrees()
    reordered, changed = copied.changes(revision)
    assert "reordered" in reordered or "moved" in reordered
    assert "Happier Paws" in changed and "biz_001" in changed


def test_two_entries_that_exchange_their_names_stay_two(copied):
    revision = copied.revision()
    for entry, name in [("tag_A", "X"), ("tag_B", "Tag A"), ("tag_A", "Tag B")]:
        copied.account.change(f"/customer_tags/{entry}", {"name": name})
    assert copied.mirror()[0] == 0 and copied.agrees()
    (summary,) = copied.changes(revision)
    assert "archived" not in summary and "created" not in summary


def entries(change):
    return answering(lambda answer: {"tags": change(answer["tags"])})


REFUSED = {
    "two entries of one name": (TAGS, entries(lambda tags: tags + [{"id": "tag_new", "name": "TAG a"}]), 'customer_tags/tag_new: the name "TAG a" is that of tag_A'),
    "a name that is too long": (TAGS, entries(lambda tags: [{**tags[0], "name": "n" * 101}] + tags[1:]), "customer_tags/tag_001: name has 101"),
    "an id that is none": (TAGS, entries(lambda tags: tags + [{"id": "no id\x1b[31m", "name": "Other"}]), "customer_tags/"),
    "no default": ("leads/life_cycles", answering(lambda answer: {"lifeCycles": [{**one, "isDefault": False} for one in answer["lifeCycles"]]}), "the default stays as it is"),
    "two defaults": ("leads/life_cycles", answering(lambda answer: {"lifeCycles": [{**one, "isDefault": True} for one in answer["lifeCycles"]]}), "the default stays as it is"),
    "a color that is none": ("leads/action_status", answering(lambda answer: {"actionStatuses": [{**one, "color": "red"} for one in answer["actionStatuses"]]}), "action_statuses/as_001: color"),
    "a time zone that is none": ("companies:list", answering(lambda answer: {**answer, "companies": [{**one, "timezone": {"id": "Nowhere/City"}} for one in answer["companies"]]}), "company: timezone"),
}


def test_values_that_the_rules_refuse_are_named_and_stay(copied):
    before, revision = lists(copied.server, copied.key), copied.revision()
    for name, (part, fault, problem) in REFUSED.items():
        with copied.account.broken(part, fault):
            code, outcomes, said = copied.mirror()
        problems = outcomes["cmp_001"]["problems"]
        assert code == 1 and any(problem in one for one in problems), (name, problems)
        assert outcomes["cmp_001"]["state"] == "LEFT_ALONE", name
        assert "\x1b" not in said
        assert lists(copied.server, copied.key) == before and copied.revision() == revision, name


def test_requests_are_few_one_at_a_time_and_with_the_account_s_key(copied):
    code, outcomes, _ = copied.mirror()
    assert (code, {one["state"] for one in outcomes.values()}) == (0, {"AGREES"})
    assert len(copied.account.paths) == 1 + 5 * len(COMPANIES) and copied.account.most_at_once == 1
    assert copied.account.credentials == {"Basic " + base64.b64encode(copied.account.key.encode()).decode()}
    # Nothing to do writes nothing.
    assert len(copied.changes()) == 1
    copied.account.paths.clear()
    estimate = json.loads(run("mirror", "--estimate", *copied.arguments, "--output", "json").stdout)
    assert (estimate["companies"], estimate["requests"]) == (2, 11) and copied.account.paths == ["/v1/companies:list"]


def test_a_check_says_what_differs_and_changes_nothing(copied):
    assert copied.mirror("--check")[0] == 0
    copied.account.change("/customer_tags/tag_A", {"name": "Renamed"})
    before = lists(copied.server, copied.key)
    code, outcomes, said = copied.mirror("--check")
    assert (code, outcomes["cmp_001"]["state"], outcomes["cmp_001"]["counts"]["renamed"]) == (7, "DIFFERS", 1)
    assert "cmp_001: differs: 1 renamed" in said
    assert lists(copied.server, copied.key) == before


def test_a_first_copy_is_checked_before_there_is_a_store(copied, tmp_path):
    (tmp_path / "empty").mkdir()
    checked = run("mirror", "--check", *copied.arguments[:6], "--data-dir", tmp_path / "empty", check=False)
    assert checked.returncode == 7 and "cmp_001: differs: 17 created" in checked.stderr, checked
    assert list((tmp_path / "empty").iterdir()) == []


def test_what_is_free_here_stays_and_what_the_account_has_is_refused(copied):
    tag = "/admin/v1/companies/cmp_001/customer_tags/tag_A"
    status_, _, refusal = copied.server.call(tag, copied.key, {"name": "Mine"}, "PATCH")
    assert status_ == 400 and refusal["details"][0]["reason"] == "MIRRORED" and "change it at MoeGo" in refusal["message"]
    free = {"description": "Ours", "color": "#ABCDEF"}
    assert copied.server.call(tag, copied.key, free, "PATCH")[0] == 200
    copied.account.change("/customer_tags/tag_A", {"name": "Renamed"})
    assert copied.mirror()[0] == 0 and copied.agrees()
    entry = copied.server.call(tag, copied.key)[2]
    assert {name: entry[name] for name in ["name", *free]} == {"name": "Renamed", **free}


def test_an_edit_here_leaves_the_author_and_the_time_of_a_tag_and_is_in_the_history(copied):
    tag = "/admin/v1/companies/cmp_001/customer_tags/tag_A"
    copied.server.call(tag, copied.key, {"description": "Ours"}, "PATCH", {"Settings-Staff-Id": "staff_7"}.items())
    assert copied.agrees()
    last = copied.server.call("/admin/v1/companies/cmp_001/changes", copied.key)[2]["changes"][0]
    assert last["staffId"] == "staff_7"
    code, outcomes, _ = copied.mirror("--check")
    assert (code, outcomes["cmp_001"]["state"]) == (0, "AGREES")
    copied.account.change("/customer_tags/tag_A", {"name": "Renamed"})
    assert copied.mirror()[0] == 0 and copied.agrees()
    assert copied.server.call(tag, copied.key)[2]["description"] == "Ours"


@pytest.mark.parametrize("time", ["2001-01-01T00:00:00Z", "2001-01-01T00:00:00.123Z", "2001-01-01T00:00:00.123456Z"])
def test_an_author_and_an_older_time_of_a_tag_are_those_of_the_account(copied, time):
    audited = entries(lambda tags: [{**tags[0], "lastUpdatedBy": "staff_9", "lastUpdatedTime": time}, *tags[1:]])
    with copied.account.broken(TAGS, audited):
        code, outcomes, _ = copied.mirror("--check")
        assert (code, outcomes["cmp_001"]["state"]) == (7, "DIFFERS")
        assert copied.mirror()[0] == 0
        code, outcomes, _ = copied.mirror("--check")
        assert (code, outcomes["cmp_001"]["state"]) == (0, "AGREES")
    here = copied.server.call(f"/v1/setting/companies/{TAGS}", copied.key, {})[2]["tags"][0]
    assert (here["lastUpdatedBy"], here["lastUpdatedTime"]) == ("staff_9", time)
    # The account has its own again.
    assert copied.mirror()[0] == 0 and copied.agrees()


UNLIKE = {
    "no author": {"lastUpdatedBy": "", "lastUpdatedTime": "2030-01-01T00:00:00Z"},
    "no time of the last change": {"lastUpdatedTime": None},
    "a time with more than six digits behind the point": {"lastUpdatedTime": "2030-01-01T00:00:00.123456789Z"},
}


@pytest.mark.parametrize("what", UNLIKE)
def test_an_author_or_a_time_that_cannot_be_the_same_here_never_agrees(copied, what):
    with copied.account.broken(TAGS, entries(lambda tags: [{**tags[0], **UNLIKE[what]}, *tags[1:]])):
        copied.mirror()
        for arguments in [["--check"], ["cutover", "--yes"]]:
            code, outcomes, said = copied.mirror(*arguments)
            assert (code, outcomes["cmp_001"]["state"]) == (1, "LEFT_ALONE"), said
            assert f"these have {what}, which is not possible here: tag_001" in outcomes["cmp_001"]["problems"][0]


def test_an_id_that_belongs_to_another_company_here_is_left_out_alone(copied):
    own = "companies: [{id: own, name: Own, businesses: [{id: biz_taken, name: Ours}]}]"
    run("apply", "--yes", "-", *copied.arguments[-4:], stdin=own)
    for business in ["biz_taken", "biz_free"]:
        copied.account.change(f"/businesses?businessId={business}", {"name": "There"}, "POST")
    copied.account.change("/customer_tags/tag_A", {"name": "Renamed"})
    code, outcomes, said = copied.mirror()
    problem = "businesses/biz_taken: biz_taken belongs to a location of company own, which keeps it, archived or not: it is left out, and the rest is copied"
    assert (code, outcomes["cmp_001"]["state"], outcomes["cmp_001"]["problems"]) == (1, "CHANGED", [problem]), said
    here = json.loads(run("business", "list", "cmp_001", *copied.arguments[-4:], "--output", "json").stdout)["businesses"]
    ids = [business["id"] for business in here]
    assert "biz_free" in ids and "biz_taken" not in ids
    assert copied.server.call("/admin/v1/companies/cmp_001/customer_tags/tag_A", copied.key)[2]["name"] == "Renamed"
    assert copied.check() == {"result": "LEFT_ALONE", "problems": problem} or problem in copied.check()["problems"]
    code, outcomes, _ = copied.mirror()
    assert (code, outcomes["cmp_001"]["state"]) == (1, "LEFT_ALONE")


def test_a_location_that_moved_within_the_account_is_named_with_its_company_and_the_step_that_ends_the_mirror(copied):
    moved = copied.server.call("/v1/businesses:list", copied.key, {"companyId": "cmp_002"})[2]["businesses"][0]

    def without(answer):
        # The fault sees both companies' lists. The location is not in its old company any more.
        others = [one for one in answer["businesses"] if one["id"] != moved["id"]]
        here = others and others[0]["companyId"] == "cmp_001"
        return {**answer, "businesses": others + [{**moved, "companyId": "cmp_001"}] if here else others}

    with copied.account.broken("businesses:list", answering(without)):
        copied.mirror("--accept-archive", "9")
        code, outcomes, said = copied.mirror("cutover", "--yes", "--accept-archive", "9")
        left_out, step = outcomes["cmp_001"]["problems"]
    assert code == 1 and outcomes["cmp_002"]["state"] == "CUT_OVER", said
    assert left_out.startswith(f"businesses/{moved['id']}: {moved['id']} belongs to a location of company cmp_002, which keeps it")
    document, command = re.search(r"echo '(.*)' \| customer-settings (apply --yes -)", step).groups()
    run(*command.split(), *copied.arguments[-4:], stdin=document)
    source = copied.server.call("/admin/v1/companies/cmp_001", copied.key)[2]["source"]
    assert source["mode"] == "CUTOVER"


def test_a_cutover_needs_agreement_and_ends_the_mirror(copied):
    with copied.account.broken(TAGS, entries(lambda tags: tags + [{"id": "x", "name": "TAG a"}])):
        assert copied.mirror("cutover", "--yes", "--company", "cmp_001")[0] == 1
    unasked = run("mirror", "cutover", *copied.arguments, check=False, stdin="")
    assert (unasked.returncode, "or 'mirror --check' without cutover to see" in unasked.stderr) == (2, True), unasked.stderr
    copied.account.change("/customer_tags/tag_A", {"name": "Renamed"})
    code, outcomes, said = copied.mirror("cutover", "--yes", "--company", "cmp_001")
    assert (code, outcomes["cmp_001"]["state"]) == (0, "CUT_OVER"), said
    assert copied.agrees()
    company = "/admin/v1/companies/cmp_001"
    source = copied.server.call(company, copied.key)[2]["source"]
    assert (source["kind"], source["mode"], source["lastCheck"]["result"]) == ("moego", "CUTOVER", "AGREES")
    assert copied.server.call(company, copied.key, {"name": "Mine"}, "PATCH")[0] == 200
    copied.account.paths.clear()
    code, outcomes, _ = copied.mirror()
    assert code == 0 and outcomes["cmp_001"]["state"] == "CUT_OVER"
    assert not any("cmp_001" in path for path in copied.account.paths)
    assert copied.server.call(company, copied.key)[2]["name"] == "Mine"


def test_two_mirrors_at_once_do_no_harm(copied):
    revision = copied.revision()
    copied.account.change("/customer_tags/tag_A", {"name": "Renamed"})
    copied.account.change("/customer_tags/tag_B:archive", {}, "POST")
    command = [PROGRAM, "mirror", *map(str, copied.arguments)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [(process.communicate(timeout=60)[1], process.returncode) for process in both]
    # The later one finds nothing to do, or that the plan has changed.
    assert all(code == 0 or "no longer the one that was shown" in said for said, code in ends), ends
    assert copied.agrees() and len(copied.changes(revision)) == 1
    # One alone says that it made the change.
    assert sum("cmp_001: changed" in said for said, _ in ends) == 1, ends


def test_two_first_copies_at_once_are_one_and_tell_of_no_foreign_location(copied, tmp_path):
    """Each may look at a company before, and at its locations after, the other one makes it."""
    for attempt in range(3):
        data = tmp_path / f"empty-{attempt}"
        data.mkdir()
        run("key", "create", "--data-dir", data, "--name", "Website")
        command = [PROGRAM, "mirror", *map(str, copied.arguments[:6]), "--data-dir", str(data)]
        both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        ends = [(process.communicate(timeout=60)[1], process.returncode) for process in both]
        assert [code for _, code in ends] == [0, 0], ends
        for company in COMPANIES:
            assert sum(f"{company}: changed" in said for said, _ in ends) == 1, ends
            changes = json.loads(run("history", "list", company, "--data-dir", data, "--output", "json").stdout)["changes"]
            assert len(changes) == 1, changes


def test_a_mirror_that_is_killed_anywhere_is_finished_by_the_next_one(copied):
    copied.account.change("/customer_tags/tag_A", {"name": "Renamed"})
    revision = copied.revision()
    for request in range(1, 12):
        process = subprocess.Popen([PROGRAM, "mirror", *map(str, copied.arguments)], stderr=subprocess.DEVNULL)
        copied.account.paths.clear()

        def kill(good, headers, content, process=process, request=request):
            if len(copied.account.paths) == request:
                process.kill()
            return good, headers, content

        with copied.account.broken("", kill):
            process.wait(timeout=60)
    assert copied.mirror()[0] == 0 and copied.agrees()
    assert copied.changes(revision) == ['updated customer_tags/tag_A "Renamed" (name)']


def test_a_database_is_filled_as_a_directory_is(copied, postgres):
    url = postgres()
    run("key", "create", "--database-url", url, "--name", "Website")
    arguments = [*copied.arguments[:6], "--database-url", url]
    assert "cmp_001: changed: 17 created" in run("mirror", *arguments).stderr
    assert run("mirror", "--check", *arguments).returncode == 0
    of_database = yaml.safe_load(run("export", "--database-url", url).stdout)
    of_directory = yaml.safe_load(run("export", "--data-dir", copied.server.data_dir).stdout)
    for company in [*of_database["companies"], *of_directory["companies"]]:
        for entry in sum((company.get(catalog, []) for catalog in CATALOGS), []):
            # Each store has its own times for what the account tells no time of.
            entry.pop("created_time"), entry.pop("created_by"), entry.pop("last_updated_time"), entry.pop("last_updated_by")
    assert of_database == of_directory


def test_a_damaged_company_here_holds_no_other_back(copied):
    with contextlib.closing(sqlite3.connect(copied.server.data_dir / "customer-settings.db")) as db, db:
        db.execute("UPDATE entries SET state = 'lost' WHERE company_id = 'cmp_001' AND id = 'tag_A'")
    path = "/admin/v1/companies/cmp_002/customer_tags?entryId=new"
    assert copied.account.server.call(path, copied.account.key, {"name": "New"}, "POST")[0] == 200
    code, outcomes, said = copied.mirror()
    assert (code, outcomes["cmp_001"]["state"], outcomes["cmp_002"]["state"]) == (1, "LEFT_ALONE", "CHANGED"), said


def test_a_server_that_cannot_be_reached_ends_the_round(copied):
    copied.server.stop()
    code, outcomes, _ = copied.mirror("--timeout", "1s")
    assert (code, outcomes, copied.account.paths) == (6, {}, [])


def test_a_company_that_is_no_mirror_is_taken_over_only_by_name(demo, tmp_path):
    account = Account(demo)
    (tmp_path / "account.key").write_text(account.key)
    (tmp_path / "account.key").chmod(0o600)
    arguments = ["--from", account.base, "--from-key-file", tmp_path / "account.key", "--pace", "0s"]
    # The document of convert is one that load takes, and makes no mirror.
    document = run("convert", "moego", *arguments).stdout
    companies = yaml.safe_load(document)["companies"]
    assert [company["id"] for company in companies] == COMPANIES and "source" not in companies[0]
    assert companies[0]["customer_tags"][0] == {
        "id": "tag_001", "name": "VIP Customer", "last_updated_by": "staff_001", "last_updated_time": "2023-01-01T10:00:00Z"}
    data = tmp_path / "copy"
    data.mkdir()
    run("load", "--data-dir", data, "-", stdin=document)
    done = run("mirror", *arguments, "--data-dir", data, check=False)
    assert done.returncode == 1 and "cmp_001: is here already, and is no mirror" in done.stderr
    # A cutover ends mirrors, and makes none.
    before = run("export", "--data-dir", data).stdout
    cutover = ["mirror", "cutover", "--yes", *arguments, "--data-dir", data]
    done = run(*cutover, "--company", "cmp_001", check=False)
    problem = "cmp_001: is no mirror, so there is nothing to cut over: 'mirror --company cmp_001' makes it one\n"
    assert done.returncode == 1 and problem in done.stderr, done.stderr
    done = run(*cutover, check=False)
    problem = "error: no company here is a mirror, so there is nothing to cut over\n"
    assert (done.returncode, done.stderr) == (1, problem)
    assert run("export", "--data-dir", data).stdout == before
    done = run("mirror", *arguments, "--data-dir", data, "--company", "cmp_001")
    assert "cmp_001: changed: 1 updated" in done.stderr
    done = run(*cutover)
    assert "companies: 1 cut over; requests: " in done.stderr and "cmp_002" not in done.stderr, done.stderr
    run("company", "get", "cmp_002", "--data-dir", data)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    done = run(*cutover[:-1], fresh, "--company", "cmp_002", check=False)
    assert done.returncode == 1 and "cmp_002: is no mirror, so" in done.stderr
    done = run(*cutover[:-1], tmp_path / "none", "--output", "json", check=False)
    assert done.returncode == 1 and "there is no directory" in json.loads(done.stdout)["error"], done
    assert run("convert", "moego", *arguments, "--company", "cmp_9", check=False).returncode == 3
    with account.broken(TAGS, status(500)):
        done = run("convert", "moego", *arguments, check=False)
        assert done.returncode == 1 and "cmp_001" in done.stderr and "cmp_002" in done.stdout
        assert done.stderr.endswith("error: 1 company was not read; the document has all others\n"), done.stderr
    account.end()


def test_a_key_travels_to_no_other_machine_in_the_clear(tmp_path):
    (tmp_path / "key").write_text("secret")
    for mode, url, said in [(0o600, "http://openapi.moego.pet", "must begin with https://"),
                            (0o600, "http://127.0.0.1:9/v1/", "give it without /v1"),
                            (0o644, "http://127.0.0.1:9", "chmod 600"),
                            (0o600, "http://127.0.0.1:9", "Connection refused")]:
        (tmp_path / "key").chmod(mode)
        done = run("convert", "moego", "--from", url, "--from-key-file", tmp_path / "key", check=False)
        assert done.returncode == (6 if "refused" in said else 2) and said in done.stderr, done.stderr
        assert not re.search(r"\bsecret\b(?! itself)", done.stderr)


def test_the_page_is_played_as_written(demo, tmp_path):
    demo.call("/admin/v1/companies/cmp_001/customer_tags/tag_001", demo.key, {"description": "Not of the account"}, "PATCH")
    reader = tmp_path / "reader"
    reader.mkdir()
    every = [block for block in blocks("docs/mirroring.md") if block.language == "sh"]
    play(every, reader, [
        ("https://openapi.moego.pet", demo.base),
        ("cat > moego.key", f"cp {demo.data_dir}/demo-key moego.key"),
        ("--from-key-file moego.key", "--from-key-file moego.key --pace 0s"),
        # The mirrors are over already.
        ("mode: cutover}", "mode: cutover}, country: CA"),
    ])
    copy = yaml.safe_load(run("export", "--data-dir", reader / "data").stdout)["companies"]
    assert [(company["source"]["mode"], company["country"]) for company in copy] == [("cutover", "CA")] * 2  # The second one is in Canada.
    account = yaml.safe_load((reader / "account.yaml").read_text())["companies"]
    assert [company["id"] for company in account] == COMPANIES
