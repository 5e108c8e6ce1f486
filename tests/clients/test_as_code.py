"""Settings as code with the built program: plans, their application, exports and copies, against a running server."""

import json
import os
import signal
import subprocess
import time

import pytest
import yaml
from conftest import PROGRAM, run

TAGS = "/admin/v1/companies/cmp_001/customer_tags"
PLAN_CHANGED, DIFFERENCES = 5, 7


@pytest.fixture
def remote(demo, tmp_path):
    """Runs a command on the demo's server."""
    return on(demo, tmp_path)


def on(server, tmp_path, key=None):
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(key or server.key)

    def command(*arguments, **options):
        return run(*arguments, "--server", server.base, "--key-file", path, **options)

    return command


def write(path, document):
    path.write_text(json.dumps(document))
    return path


def tags(*entries, company="cmp_001"):
    return {"companies": [{"id": company, "customer_tags": list(entries)}]}


def steps(remote, *arguments):
    """The steps of a plan."""
    plans = json.loads(remote("plan", *arguments, "--output", "json").stdout)["plans"]
    return [step for plan in plans for step in plan["steps"]]


def test_what_is_exported_is_planned_to_nothing(remote, tmp_path):
    exported = tmp_path / "exported.yaml"
    for without in [(), ("--without", "audit"), ("--without", "ids,audit"), ("--without", "businesses")]:
        exported.write_text(remote("export", *without).stdout)
        assert "no differences" in remote("plan", exported, "--prune", "--check").stdout, without
    assert "businesses" not in exported.read_text()
    table, document = tmp_path / "table.csv", tmp_path / "document.yaml"
    table.write_text(remote("export", "--company", "cmp_001", "--format", "csv").stdout)
    document.write_text(run("convert", "csv", table, "--company", "cmp_001").stdout)
    assert "no differences" in remote("plan", document, "--prune", "--check").stdout


def test_the_data_and_its_server_give_the_same_document_and_plan(demo, remote, tmp_path):
    # JSON has three digits behind the point for the second of these times, and documents have six for both.
    times = ["2023-01-01T10:00:00Z", "2023-01-01T10:00:00.5Z", "2023-01-01T10:00:00.123456Z"]
    old = tags(*({"id": f"old{i}", "name": f"Old {i}", "created_time": time} for i, time in enumerate(times)))
    run("apply", write(tmp_path / "old.json", old), "--yes", "--data-dir", demo.data_dir)
    exported = remote("export").stdout
    assert "2023-01-01T10:00:00.500000Z" in exported
    assert run("export", "--data-dir", demo.data_dir).stdout == exported
    document = write(tmp_path / "new.json", tags({"id": "tag_001", "name": "VIP"}, {"id": "n", "name": "New"}))
    here = run("plan", document, "--data-dir", demo.data_dir, "--output", "json").stdout
    assert json.loads(here) == json.loads(remote("plan", document, "--output", "json").stdout)


def test_differences_are_exit_code_7(remote, tmp_path):
    document = write(tmp_path / "new.json", tags({"id": "tag_001", "name": "VIP"}))
    found = remote("plan", document, "--check", check=False)
    assert (found.returncode, found.stderr) == (DIFFERENCES, "")
    assert found.stdout.splitlines()[0] == "Plan: 1 renamed, in 1 of 1 companies"
    remote("apply", document, "--yes")
    assert remote("plan", document, "--check").returncode == 0


def test_a_plan_that_changed_says_what_differs_and_by_whom(demo, remote, tmp_path):
    document = write(tmp_path / "new.json", tags({"id": "tag_001", "name": "VIP", "color": "#fff"}))
    plan = tmp_path / "settings.plan"
    remote("plan", document, "--out", plan)
    demo.call(f"{TAGS}/tag_001", demo.key, {"color": "#000"}, "PATCH", {"Settings-Staff-Id": "staff_7"}.items())
    refused = remote("apply", plan, "--yes", check=False)
    assert refused.returncode == PLAN_CHANGED, refused.stderr
    for part in ["cmp_001", " (staff_7) (updated customer_tags/tag_001", 'rename customer_tags/tag_001 "VIP" (name, color)']:
        assert part in refused.stderr, refused.stderr
    assert demo.call(f"{TAGS}/tag_001", demo.key)[2]["name"] == "VIP Customer"
    refused = remote("apply", plan, "--yes", "--output", "json", check=False)
    assert refused.returncode == PLAN_CHANGED
    found = json.loads(refused.stdout)
    assert (found["results"], found["error"]["reason"]) == ([], "PLAN_CHANGED")
    told = found["error"]["metadata"]
    assert [told[key] for key in ("company_id", "revisions", "staff_ids")] == ["cmp_001", "2", "staff_7"]
    assert told["steps"].splitlines()[0] == 'rename customer_tags/tag_001 "VIP" (name, color)'


def test_a_plan_that_is_not_whole_is_refused(remote, tmp_path):
    document = write(tmp_path / "new.json", {"companies": [
        {"id": f"cmp_00{i}", "customer_tags": [{"name": "New"}]} for i in (1, 2)]})
    plan, other = tmp_path / "settings.plan", tmp_path / "other.plan"
    remote("plan", document, "--out", plan)
    head, first, second = plan.read_text().splitlines()
    wrong = {
        "has 1 of 2 companies": f"{head}\n{first}\n",
        "has 0 of 2 companies": head + "\n",
        "has 3 of 2 companies": f"{head}\n{first}\n{second}\n{second}\n",
        "line 3: EOF": f"{head}\n{first}\n{second[:80]}",
        "line 2: missing field `digest`": f"{head}\n{first[:first.rindex(',')]}}}\n{second}\n",
        "is not as 'plan' wrote it": f"{head}\n{first}\n{second.replace('New', 'Newer', 1)}\n",
        "is a plan of version 99, and this program reads version 1": f"{head.replace(':1,', ':99,', 1)}\n{first}\n{second}\n",
    }
    for said, text in wrong.items():
        text = text.replace('{"companies":2,"plan":1,', '{"companies":2,"plan":99,') if "99" in said else text
        other.write_text(text)
        refused = remote("apply", other, "--yes", check=False)
        assert refused.returncode == 1, (said, refused.stderr)
        assert f"{other} " in refused.stderr and said in refused.stderr, (said, refused.stderr)
        assert "make the plan again" in refused.stderr
    refused = remote("apply", plan, document, "--yes", check=False)
    assert f"{plan} is a plan, and a plan is applied by itself" in refused.stderr, refused.stderr
    refused = remote("plan", document, plan, check=False)
    assert f"{plan} is a plan, which 'apply' takes" in refused.stderr, refused.stderr
    assert "applied: 2 created" in remote("apply", plan, "--yes").stderr


def test_a_former_name_that_is_done_with_is_told_with_its_line(remote, tmp_path):
    document = tmp_path / "new.yaml"
    document.write_text("companies:\n- id: cmp_002\n- id: cmp_001\n  customer_tags:\n  - {name: VIP Customer, was: Old}\n")
    told = remote("plan", document).stdout
    assert f"! {document}: line 5: customer_tags[0].was names nothing that is to be renamed any more" in told, told
    (warning,) = json.loads(remote("plan", document, "--output", "json").stdout)["plans"][1]["warnings"]
    assert [warning[key] for key in ("file", "line", "field", "reason")] == [
        str(document), 5, "customer_tags[0].was", "WAS_UNUSED"]


def test_an_archived_entry_of_a_new_ones_name_is_told_and_taken_back_as_the_plan_says(demo, remote, tmp_path):
    assert demo.call(f"{TAGS}/tag_001:archive", demo.key, {}, "POST")[0] == 200
    document = tmp_path / "new.yaml"
    text = "companies:\n- id: cmp_001\n  customer_tags:\n  - {name: VIP Customer}\n"
    document.write_text(text)
    said = "customer_tags[0].name is also the name of the archived entry tag_001, beside which a new one is made: to take that one back, give "
    how = "'id: tag_001' and 'state: active'"
    here = ["--data-dir", demo.data_dir]
    for shown in [remote("plan", document).stdout, run("plan", document, *here).stdout]:
        assert shown.splitlines()[0] == "Plan: 1 created, in 1 of 1 companies", shown
        assert f"! {document}: line 4: {said}{how}" in shown, shown
    markdown = remote("plan", document, "--markdown").stdout.replace("\\", "")
    assert f"- {document}: line 4: {said}{how}" in markdown, markdown
    (warning,) = json.loads(remote("plan", document, "--output", "json").stdout)["plans"][0]["warnings"]
    assert [warning[key] for key in ("line", "field", "reason")] == [4, "customer_tags[0].name", "NAME_ARCHIVED"]
    # It refuses nothing, and a plan file has the new entry's id.
    plan = tmp_path / "new.plan"
    remote("plan", document, "--out", plan)
    document.write_text(text.replace("name: VIP", "id: tag_001, state: active, name: VIP"))
    restored = remote("apply", document, "--yes")
    assert "1 restored" in restored.stdout and "!" not in restored.stdout, restored
    remote("entry", "archive", "cmp_001", "customer_tags", "tag_001")
    assert "applied: 1 created" in remote("apply", plan, "--yes").stderr


def test_what_is_wrong_with_a_document_is_told_without_a_server_too(tmp_path):
    (tmp_path / "key").write_text("secret")
    (tmp_path / "key").chmod(0o600)
    document = tmp_path / "wrong.yaml"
    document.write_text("companies:\n- id: cmp_001\n  customer_tags:\n  - {name: A, color: red}\n")
    for place in [["--server", "http://127.0.0.1:9", "--key-file", tmp_path / "key"], ["--data-dir", tmp_path / "none"]]:
        for command in [["plan"], ["apply", "--yes"]]:
            refused = run(*command, document, *place, check=False)
            lines = refused.stderr.splitlines()
            assert refused.returncode == 1, refused.stderr
            assert f"{document}: cmp_001: line 4: customer_tags[0].color" in refused.stderr, refused.stderr
            assert ("127.0.0.1:9" if "--server" in place else "none") in lines[0], lines
            told = json.loads(run(*command, document, *place, "--output", "json", check=False).stdout)
            assert told["error"]["message"] and [one["line"] for one in told["problems"]] == [4], told


def test_contradictions_within_a_document_are_told_without_a_server(tmp_path):
    (tmp_path / "key").write_text("secret")
    (tmp_path / "key").chmod(0o600)
    document = tmp_path / "wrong.yaml"
    document.write_text(
        "companies:\n- id: c\n  businesses:\n  - {id: b, name: B}\n  - {id: b, name: C}\n  customer_tags:\n"
        "  - {id: t, name: A}\n  - {id: t, name: B}\n  - {name: X}\n  - {name: x}\n  - {name: Y, is_default: true}\n"
        "  life_cycles:\n  - {name: N, is_default: true}\n  - {name: O, is_default: true}\n- id: d\n"
    )
    server = ["--server", "http://127.0.0.1:9", "--key-file", tmp_path / "key"]
    expected = [(5, "DUPLICATE"), (8, "DUPLICATE"), (10, "NAME_TAKEN"), (11, "NO_DEFAULT"), (14, "DEFAULT_TWICE")]
    for place in [server, ["--data-dir", tmp_path / "none"], [*server, "--ignore", "is_default"]]:
        refused = run("plan", document, *place, "--output", "json", check=False)
        told = json.loads(refused.stdout)
        found = [(one["line"], one["reason"]) for one in told["problems"]]
        assert found == (expected[:4] if "--ignore" in place else expected), told
        assert told["error"]["message"] and refused.returncode == 1, told
    assert "customer_tags[3].name \"x\" is taken by customer_tags[2] (line 9) of the same document" in refused.stderr
    copied = run("plan", document, "--as", "e", *server, "--output", "json", check=False)
    assert copied.stdout == "" and "a document of one company" in copied.stderr
    document.write_text("companies: [{id: c, name: C}]")
    for copy in [[], ["--as", "e"]]:
        refused = run("plan", document, *copy, *server, "--output", "json", check=False)
        assert refused.returncode == 6 and "127.0.0.1:9" in json.loads(refused.stdout)["error"]["message"], refused


def test_a_plan_is_written_into_a_file_and_no_other_place(remote, tmp_path):
    document = write(tmp_path / "new.json", tags({"name": "New"}))
    refused = remote("plan", document, "--out", "-", check=False)
    assert (refused.returncode, "--out takes a file" in refused.stderr) == (2, True), refused.stderr


def test_several_companies_are_exported_by_their_ids(remote, demo):
    for chosen in [["--company", "cmp_002,cmp_001"], ["--company", "cmp_002", "--company", "cmp_001"]]:
        companies = yaml.safe_load(remote("export", *chosen).stdout)["companies"]
        assert [company["id"] for company in companies] == ["cmp_002", "cmp_001"]
    refused = remote("export", "--company", "cmp_002,no id", check=False)
    assert (refused.returncode, refused.stderr.endswith('; it is "no id"\n')) == (2, True), refused.stderr
    refused = remote("export", "--company", "cmp_002,cmp_001", "--format", "csv", check=False)
    assert (refused.returncode, "writes one company" in refused.stderr) == (2, True), refused.stderr


def test_a_plan_does_not_replace_its_document(remote, tmp_path):
    document = write(tmp_path / "new.json", tags({"name": "New"}))
    linked = tmp_path / "linked"
    linked.symlink_to(document)
    for out in [document, linked]:
        refused = remote("plan", document, "--out", out, check=False)
        assert (refused.returncode, "is a document itself" in refused.stderr) == (2, True), refused.stderr
    assert json.loads(document.read_text()) == tags({"name": "New"})


def test_refusals_have_the_file_and_the_line(remote, tmp_path):
    """Company by company and as a whole, however far down."""
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("companies:\n- id: cmp_001\n  customer_tags:\n  - name: New\n")
    bad = "- id: cmp_002\n  customer_tags:\n  - {name: Red}\n  - name: red\n"
    twins = "- name: Twin\n  businesses: [{name: A}, {name: a}]\n"
    for head, below in [("companies:\n", ""), ("# two\nversion: 1\ncompanies:\n", ""), ("companies:\n", "version: 1\n")]:
        second.write_text(head + bad + twins + below)
        refused = remote("plan", first, second, check=False)
        line = head.count("\n") + 4
        assert refused.returncode == 1
        assert f"! refused: {second}: line {line}: customer_tags[1]" in refused.stdout, refused.stdout
        assert f"! refused: {second}: line {line + 2}: businesses[1] names the same location" in refused.stdout, refused.stdout
        assert "\nTwin\n" in refused.stdout or "businesses[1]" in refused.stdout
    second.write_text("foo: 1\n")
    refused = remote("plan", first, second, check=False)
    assert f"{second}: line 1: foo is unknown" in refused.stderr, refused.stderr


def test_one_run_finds_everything_that_is_wrong(demo, remote, tmp_path):
    """The problems of reading beside those that only a plan finds, each at its place in the document."""
    document, other = tmp_path / "document.yaml", tmp_path / "other.yaml"
    document.write_text("""companies:
- id: cmp_001
  nmae: Paws
  customer_tags:
  - {id: a b, name: Left out}
  - {id: tag_001, name: First-time customer, colour: red}
  - {id: new, name: First-time  Customer}
  - {name: Regular, is_default: true}
- id: c d
  name: Not planned
- name: Also not planned
  id: cmp_001
""")
    other.write_text("companies:\n- {id: cmp_002, customer_tags: [{name: A, is_default: true}]}\n- {id: unknown}\nversoin: 1\n")
    broken = tmp_path / "broken.yaml"
    broken.write_text("companies: [\n")
    absent = tmp_path / "absent.yaml"
    ended = remote("plan", broken, tmp_path, absent, document, other, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    first, second = f"{document}: cmp_001: line", f"{other}: cmp_002: line"
    for told in [
        f"{first} 3: nmae is unknown; did you mean name?",
        f"{first} 5: customer_tags[0].id must be an id",
        f"{first} 6: customer_tags[1].colour is unknown",
        f'{first} 6: customer_tags[1].name "First-time customer" is taken by',
        f"{first} 8: customer_tags[3].is_default must not be true",
        f"{document}: c d: line 9: id must be an id",
        f"{first} 11: names the company again, as line 2 of {document} does",
        f"{second} 2: customer_tags[0].is_default must not be true",
        f"{other}: unknown: line 3: name is required, since there is no company",
        f"{other}: line 4: versoin is unknown; did you mean version?",
        f"{broken}: line 1: cannot be read",
        f"{tmp_path} cannot be read: Is a directory",
        f"{absent} cannot be read: No such file",
    ]:
        assert told in ended.stderr
    assert ended.stderr.endswith("error: the document is wrong, and nothing was planned\n")
    # In the order of the documents and their lines.
    files = [str(one) for one in (broken, tmp_path, absent, document, other)]
    for command, name in [("plan", "plans"), ("apply", "results")]:
        flags = ["--data-dir", demo.data_dir] + (["--yes"] if command == "apply" else [])
        again = run(command, *files, *flags, check=False)
        assert (again.returncode, again.stdout, again.stderr) == (1, "", ended.stderr)
        again = run(command, *files, *flags, "--output", "json", check=False)
        assert (again.returncode, again.stderr) == (1, ended.stderr)
        found = json.loads(again.stdout)
        assert (sorted(found), found[name]) == (sorted([name, "problems"]), [])
        places = [(files.index(one["file"]), one.get("line", 0)) for one in found["problems"]]
        assert places == sorted(places) and len(places) == len(ended.stderr.splitlines()) - 1
        assert {
            "file": str(document), "line": 5, "company": "cmp_001", "field": "customer_tags[0].id", "reason": "MALFORMED_ID",
            "description": found["problems"][4]["description"],
        } in found["problems"], found["problems"]
        assert [one["reason"] for one in found["problems"][:3]] == ["UNREADABLE", "NOT_READ", "NOT_READ"]


def test_refusals_of_a_plan_have_their_places_in_json_too(remote, tmp_path):
    document = tmp_path / "document.yaml"
    document.write_text("""companies:
- id: cmp_001
  businesses: [{id: biz_new, name: New}]
- id: cmp_002
  customer_tags:
  - {name: Red}
  - {name: red}
""")
    for command, name in [(["plan"], "plans"), (["apply", "--yes"], "results")]:
        refused = remote(*command, document, "--output", "json", check=False)
        (error,) = [one["error"] for one in json.loads(refused.stdout)[name] if one.get("error")]
        (violation,) = error["violations"]
        told = [violation[key] for key in ("file", "line", "field", "reason")]
        assert told == [str(document), 7, "customer_tags[1].name", "NAME_TAKEN"], told
        assert violation["description"] == '"red" is taken by customer_tags[0] (line 6) of the same document'
    # An id that another company's location has.
    remote("apply", "-", "--yes", stdin="companies: [{id: cmp_001, businesses: [{id: biz_new, name: New}]}]")
    document.write_text("companies:\n- id: cmp_002\n  businesses:\n  - name: Other\n  - {id: biz_new, name: New}\n")
    refused = remote("plan", document, check=False)
    told = f"refused: {document}: line 5: businesses[1].id biz_new belongs to a location of company cmp_001, which keeps it, archived or not\n"
    assert (refused.returncode, told in refused.stdout) == (1, True), refused.stdout
    # A refusal of the whole request.
    refused = remote("plan", document, "--ignore", "foo", "--output", "json", check=False)
    found = json.loads(refused.stdout)
    assert (found["plans"], found["error"]["violations"][0]["field"]) == ([], "ignore[0]")


def test_a_location_belongs_to_one_company_of_all_documents(remote, tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    far = "".join(f"- {{id: far_{at}, name: Far {at}}}\n" for at in range(450))
    first.write_text("companies:\n- id: cmp_001\n  businesses:\n  - {id: biz_new, name: New}\n" + far)
    second.write_text("companies:\n- id: cmp_002\n  businesses:\n  - {name: Other}\n  - {id: biz_new, name: New}\n")
    again = f"names the location biz_new again, as line 4 of {first} does: it belongs to one company"
    for documents in [(first, second), (first.with_name("both.yaml"),)]:
        line = 5
        if len(documents) == 1:
            text = first.read_text() + second.read_text().removeprefix("companies:\n")
            documents[0].write_text(text)
            line = text.count("\n")
        refused = remote("plan", *documents, check=False)
        place = f"{documents[-1]}: cmp_002: line {line}: businesses[1].id "
        assert refused.stderr.startswith(place + again.replace(str(first), str(documents[0]))), refused.stderr
        assert (refused.returncode, refused.stdout) == (1, "")
    # A company that only the server knows to be the same, in the same request.
    first.write_text("companies:\n- id: cmp_001\n- {name: Happy Paws Pet Care}\n- {id: cmp_002, nmae: x}\n")
    refused = remote("plan", first, check=False)
    lines = refused.stderr.splitlines()
    assert [line.split(": ")[2] for line in lines[:-1]] == ["line 3", "line 4"], refused.stderr
    assert f"names the company cmp_001 again, as the company on line 2 of {first} did" in lines[0]


def test_a_single_document_that_is_missing_is_said_so(remote, tmp_path):
    absent = tmp_path / "absent.yaml"
    for command in [["plan"], ["apply", "--yes"]]:
        refused = remote(*command, absent, check=False)
        assert (refused.returncode, refused.stderr) == (1, f"error: {absent} cannot be read: No such file or directory (os error 2)\n")
        refused = remote(*command, absent, tmp_path, check=False)
        assert refused.stderr.endswith("error: not every document can be read, and nothing was planned\n")


def test_each_wrong_former_name_is_told(remote, tmp_path):
    names = [entry["name"] for entry in json.loads(remote("entry", "list", "cmp_001", "customer_tags", "--output", "json").stdout)["entries"]][:2]
    document = write(tmp_path / "document.json", tags({"id": "brand_new", "name": "New", "was": names}))
    refused = remote("plan", document, check=False)
    assert refused.stdout.count("is ambiguous: the id brand_new is new, and") == 2, refused.stdout
    assert all(f'"{name}" is the active entry' in refused.stdout for name in names)


def test_the_problems_that_are_not_listed_are_counted(remote, tmp_path):
    document = write(tmp_path / "document.json", tags(*({"name": ""} for _ in range(101))))
    refused = remote("plan", document, check=False)
    more = "company has 1 more problem, not listed here: correct those that are, and give the document again\n"
    assert more in refused.stderr and len(refused.stderr.splitlines()) == 102, refused.stderr


def test_what_depends_on_a_value_that_was_left_out_is_not_told(remote, tmp_path):
    document = tmp_path / "document.yaml"
    document.write_text("companies:\n- id: cmp_001\n  customer_tags:\n  - {id: tag_001, name: ''}\n")
    ended = remote("plan", document, "--prune", check=False)
    assert ended.stderr.splitlines() == [
        f"{document}: cmp_001: line 4: customer_tags[0].name is required and must not be blank; it is \"\"",
        "error: the document is wrong, and nothing was planned",
    ]


def test_apply_prints_json_in_every_case(remote, tmp_path):
    document = write(tmp_path / "new.json", tags({"name": "New"}))
    results = lambda done: json.loads(done.stdout)["results"]
    (done,) = results(remote("apply", document, "--yes", "--output", "json"))
    assert done["counts"]["created"] == 1
    (done,) = results(remote("apply", document, "--yes", "--output", "json"))
    assert done["companyId"] == "cmp_001" and "error" not in done
    write(document, tags({"name": "Red"}, {"name": "red"}))
    refused = remote("apply", document, "--yes", "--output", "json", check=False)
    (done,) = results(refused)
    assert refused.returncode == 1 and "customer_tags[1]" in json.dumps(done["error"])
    mixed = tags({"id": "tag_001", "name": "Changed"})
    mixed["companies"] += tags({"name": "Red"}, {"name": "red"}, company="cmp_002")["companies"]
    refused = remote("apply", write(document, mixed), "--yes", "--output", "json", check=False)
    (done,) = results(refused)
    assert (refused.returncode, done["companyId"], sorted(done)) == (1, "cmp_002", ["companyId", "error"])
    both = remote("plan", document, "--markdown", "--output", "json", check=False)
    assert (both.returncode, "exclude each other" in both.stderr) == (2, True)


def test_errors_name_the_flags_that_were_given(remote, tmp_path):
    document = write(tmp_path / "new.json", tags({"name": "New"}))
    for flags, code, said in [(["--as", "a b"], 2, "--as must be"), (["--ignore", "order,foo"], 1, "--ignore (number 2)")]:
        refused = remote("plan", document, *flags, check=False)
        assert refused.returncode == code and refused.stderr.startswith(f"error: {said}"), refused.stderr
    assert '; it is "foo"' in refused.stderr, refused.stderr
    refused = remote("plan", write(document, tags()), "--prune", check=False)
    assert "or allow as many with --prune-limit 2\n" in refused.stdout, refused.stdout


def test_a_company_is_copied_to_a_new_one_and_into_another(remote, tmp_path):
    copy = tmp_path / "copy.yaml"
    copy.write_text(remote("export", "--company", "cmp_001", "--without", "ids,audit").stdout)
    assert "tag_001" not in copy.read_text()
    assert all(step["action"] == "CREATE" for step in steps(remote, copy, "--as", "cmp_new"))
    remote("apply", copy, "--as", "cmp_new", "--yes")
    # The source's ids stay its own, and names and order are the same.
    for list_name in ["customer_tags", "referral_sources", "life_cycles", "action_statuses"]:
        names = [
            [entry["name"] for entry in json.loads(remote("entry", "list", company, list_name, "--output", "json").stdout)["entries"]]
            for company in ["cmp_001", "cmp_new"]
        ]
        assert names[0] == names[1], list_name
    assert remote("plan", copy, "--as", "cmp_new", "--check").returncode == 0
    # A company that is there keeps its own name.
    assert {"companies"} & {step["collection"] for step in steps(remote, copy, "--as", "cmp_002")} == set()
    plan = tmp_path / "copy.plan"
    remote("plan", copy, "--as", "cmp_002", "--out", plan)
    remote("apply", plan, "--yes")
    assert json.loads(remote("company", "get", "cmp_002", "--output", "json").stdout)["name"] != "Happy Paws Pet Care"
    assert remote("plan", copy, "--as", "cmp_002", "--check").returncode == 0
    refused = remote("apply", plan, "--as", "cmp_001", "--yes", check=False)
    assert (refused.returncode, "a plan says itself" in refused.stderr) == (2, True)
    copy.write_text(remote("export").stdout)
    refused = remote("plan", copy, "--as", "cmp_new", check=False)
    assert "one company" in refused.stderr


def test_documents_are_read_in_any_form_and_wrong_ones_by_their_lines(demo, remote, tmp_path):
    """Company by company where that is possible, and as a whole where it is not, with the same result."""
    exported = remote("export").stdout
    head, *rest = exported.splitlines(keepends=True)
    indented = head + "".join("  " + line for line in rest)
    aliased = exported.replace("country: US", "country: &c US", 1).replace("country: US", "country: *c", 1)
    forms = {
        "plain": exported,
        "marked": "\ufeff---\n# a comment\nversion: 1\n\n" + exported + "# the end\n",
        "indented": indented,
        "windows": exported.replace("\n", "\r\n"),
        "aliases": aliased,
        "version last": exported + "version: 1\n",
    }
    document = tmp_path / "document.yaml"
    for name, text in forms.items():
        document.write_bytes(text.encode())
        assert "no differences" in remote("plan", document, "--check").stdout, name
        assert "no differences" in remote("plan", "-", "--check", stdin=text).stdout, name
        assert remote("apply", "-", "--yes", stdin=text).returncode == 0, name
    wrong = exported.replace("color: ", "colour: ", 1)
    line = wrong[: wrong.index("colour")].count("\n") + 1
    document.write_text(wrong)
    refused = remote("plan", document, check=False)
    assert f"line {line}: action_statuses[0].colour" in refused.stderr, refused.stderr
    # A pipe can be read once.
    plan = tmp_path / "pipe.plan"
    os.mkfifo(plan)
    fed = subprocess.Popen(["sh", "-c", f"printf 'companies: [{{id: cmp_001, name: X}}]' > {plan}"])
    assert "name" in remote("plan", plan).stdout
    fed.wait(timeout=10)


def test_a_company_is_named_once_however_far_apart(remote, tmp_path):
    """Requests have 200 companies at most, so that no request has both places."""
    far = "".join(f"- id: far_{at}\n  # a comment\n  name: Far {at}\n" for at in range(450))
    document, other = tmp_path / "document.yaml", tmp_path / "other.yaml"

    def refused(text, *files):
        document.write_text(text)
        before = remote("export").stdout
        for command in (["plan"], ["apply", "--yes"]):
            ended = remote(*command, document, *files, check=False)
            assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
        assert remote("export").stdout == before
        return ended.stderr

    twice = "version: 1\ncompanies:\n- id: cmp_001\n  name: Paws\n" + far + "- id: cmp_001\n"
    line = twice.count("\n")
    again = f"{document}: cmp_001: line {line}: names the company again, as line 3 of {document} does\n"
    assert again in refused(twice)
    # Another form is read as a whole, and a company is told once.
    aliased = twice.replace("Far 449", "&last Far 449").replace("name: Paws", "country: US")
    assert refused(aliased + "  country: &c US\n").count("names the company again") == 1
    # In another file.
    other.write_text("companies:\n\n- {id: far_7}\n")
    again = f"{other}: far_7: line 3: names the company again, as line 23 of {document} does\n"
    assert again in refused("companies:\n" + far, other)
    # Without ids, by the names as they are compared.
    named = "companies:\n- name: Happy  Salon\n" + far + "- name: happy SALON\n"
    again = f"happy SALON: line {named.count(chr(10))}: names the company again, as line 2 of {document} does\n"
    assert again in refused(named)
    # Once by its id, and once by its name, which only the server knows.
    both = "companies:\n- id: cmp_001\n" + far + "- name: happy paws pet care\n"
    again = f"happy paws pet care: line {both.count(chr(10))}: is the company cmp_001, which line 2 of {document} names by its id\n"
    assert again in refused(both)


def test_full_catalogs_go_through_a_server(remote, tmp_path):
    lists = ["customer_tags", "referral_sources", "life_cycles", "action_statuses"]
    entries = [{"name": f"{i:0100}", "description": "d" * 500} for i in range(1000)]
    company = {"id": "full", "name": "Full", **{name: entries for name in lists}}
    document = write(tmp_path / "full.json", {"companies": [company]})
    assert document.stat().st_size > 2 << 20
    assert "applied: 4001 created" in remote("apply", document, "--yes").stderr
    assert remote("plan", document, "--check").returncode == 0


def test_plans_have_colors_where_they_are_wanted(remote, tmp_path, monkeypatch):
    document = write(tmp_path / "new.json", tags({"id": "tag_001", "name": "VIP"}, {"id": "n", "name": "New"}))
    plain = remote("plan", document).stdout
    assert "\x1b" not in plain
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    colored = remote("plan", document).stdout
    assert "\x1b[1mPlan: 1 created, 1 renamed" in colored
    assert "\x1b[32m+\x1b[0m" in colored and "\x1b[33m>\x1b[0m" in colored
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("CLICOLOR_FORCE")
    assert remote("plan", document).stdout == plain


def companies(count, name, many=8):
    tags = [{"id": f"t{i}", "name": f"{name} {i}"} for i in range(many)]
    return {"companies": [{"id": f"c{i:03}", "name": f"C{i}", "customer_tags": tags} for i in range(count)]}


def test_a_key_that_lacks_a_scope_for_the_last_company_writes_none(start, tmp_path):
    server, count = start(), 250
    key = run("key", "create", "--data-dir", server.data_dir, "--name", "ci", "--scope", "*").stdout.strip()
    on(server, tmp_path, key)("apply", write(tmp_path / "first.json", companies(count, "Old")), "--yes")
    scopes = "settings:read,settings:write,companies:read"
    few = run("key", "create", "--data-dir", server.data_dir, "--name", "few", "--scope", scopes).stdout.strip()
    document = companies(count, "New")
    document["companies"][-1]["name"] = "Another name"
    refused = on(server, tmp_path, few)("apply", write(tmp_path / "second.json", document), "--yes", check=False)
    assert refused.returncode == 4 and "companies:write" in refused.stderr and "applied" not in refused.stderr
    assert server.call("/admin/v1/companies/c000", key)[2]["revision"] == "1"


@pytest.mark.parametrize("killed", ["server", "client"])
def test_a_plan_that_broke_off_is_applied_again(start, tmp_path, killed):
    server, count = start(), 250
    key = run("key", "create", "--data-dir", server.data_dir, "--name", "ci", "--scope", "*").stdout.strip()
    remote = on(server, tmp_path, key)
    remote("apply", write(tmp_path / "first.json", companies(count, "Old")), "--yes")
    plan = tmp_path / "settings.plan"
    remote("plan", write(tmp_path / "second.json", companies(count, "New")), "--out", plan)
    applies = subprocess.Popen(
        [PROGRAM, "apply", plan, "--yes", "--server", server.base, "--key-file", tmp_path / "key"],
        stderr=subprocess.PIPE, text=True,
    )
    while server.call("/admin/v1/companies/c010", key)[2]["revision"] == "1":
        time.sleep(0.005)
    if killed == "server":
        server.stop(signal.SIGKILL)
        assert applies.wait(timeout=60) != 0
        server = start()
        remote = on(server, tmp_path, key)
    else:
        applies.kill()
        applies.wait(timeout=60)
    applies.stderr.close()
    remote("apply", plan, "--yes")
    assert remote("plan", tmp_path / "second.json", "--check").returncode == 0
    # Each company was written once, by one of the two.
    revisions = [server.call(f"/admin/v1/companies/c{i:03}", key)[2]["revision"] for i in range(count)]
    assert revisions == ["2"] * count


def test_companies_that_take_too_long_together_are_planned_and_applied_in_smaller_groups(start, tmp_path, monkeypatch):
    count, many = 200, 2
    monkeypatch.setenv("CUSTOMER_SETTINGS_LIMITS_REQUEST_TIMEOUT_MS", "400")
    server = start()
    key = run("key", "create", "--data-dir", server.data_dir, "--name", "ci", "--scope", "*").stdout.strip()
    remote = on(server, tmp_path, key)
    plan, total = tmp_path / "settings.plan", f"{count * (many + 1)} created"
    shown = remote("plan", write(tmp_path / "first.json", companies(count, "Old", many)), "--out", plan)
    assert shown.stdout.splitlines()[0] == f"Plan: {total}, in {count} of {count} companies", shown
    # Every company is a commit of its own, so that 200 take longer than 400 ms on any machine.
    applied = remote("apply", plan, "--yes")
    assert "companies in one request take too long: going on with" in applied.stderr, applied
    # Each was written once, and is counted once.
    assert applied.stderr.splitlines()[-1] == f"applied: {total}", applied
    assert {server.call(f"/admin/v1/companies/c{i:03}", key)[2]["revision"] for i in range(count)} == {"1"}
    document = write(tmp_path / "second.json", companies(count, "New", many))
    again = remote("apply", document, "--yes", "--output", "json")
    results = json.loads(again.stdout)["results"]
    assert [result["companyId"] for result in results] == [f"c{i:03}" for i in range(count)]
    assert {result["counts"]["renamed"] for result in results} == {many}
    assert remote("plan", document, "--check").returncode == 0


def test_a_document_in_windows_1252_is_read_with_a_note(remote, tmp_path):
    document = tmp_path / "latin.yaml"
    document.write_bytes("companies:\n- id: cmp_001\n  customer_tags:\n  - {name: Café}\n".encode("cp1252"))
    done = remote("plan", document)
    assert "Café" in done.stdout
    note = f"{document}: read as Windows-1252, as it is no UTF-8: if letters are wrong in it, save the file as UTF-8"
    assert done.stderr.splitlines() == [note]
    labels = "- {name: Café, color: fbca04}\n".encode("cp1252")
    (tmp_path / "labels.yml").write_bytes(labels)
    done = run("convert", "github-labels", tmp_path / "labels.yml", "--company", "c")
    assert "name: Café" in done.stdout and "read as Windows-1252" in done.stderr
    # Another letter is UTF-8: the file was damaged, and is no other encoding.
    document.write_bytes("companies:\n- name: Café\n- name: Caf".encode() + b"\xc3\n")
    refused = remote("plan", document, check=False)
    assert refused.returncode == 1 and f"{document}: line 3: the byte 0xC3 is no UTF-8" in refused.stderr
