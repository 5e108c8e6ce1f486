"""Wrong documents and plans with the built program: everything that is wrong is told in one run, at its place."""

import json

import pytest
from conftest import run
from test_as_code import PLAN_CHANGED, on, tags, write

FAR = "".join(f"- {{id: far_{at}, name: Far {at}}}\n" for at in range(450))
UNREACHABLE = "127.0.0.1:9"


@pytest.fixture
def remote(demo, tmp_path):
    """Runs a command on the demo's server."""
    return on(demo, tmp_path)


@pytest.fixture
def document(tmp_path):
    return tmp_path / "document.yaml"


def unreachable(tmp_path):
    key = tmp_path / "other.key"
    key.touch(mode=0o600)
    key.write_text("secret")
    return ["--server", f"http://{UNREACHABLE}", "--key-file", key]


def test_a_plan_that_was_made_for_other_data_says_so(remote, tmp_path):
    (tmp_path / "other").mkdir()
    company = write(tmp_path / "company.json", {"companies": [{"id": "elsewhere", "name": "Elsewhere"}]})
    run("apply", company, "--yes", "--data-dir", tmp_path / "other")
    document, plan = write(tmp_path / "tags.json", tags({"name": "New"}, company="elsewhere")), tmp_path / "settings.plan"
    run("plan", document, "--out", plan, "--data-dir", tmp_path / "other")
    refused = remote("apply", plan, "--yes", check=False)
    assert refused.returncode == PLAN_CHANGED, refused.stderr
    assert "the plan for company elsewhere" in refused.stderr and "there is no such company here" in refused.stderr, refused.stderr


def test_a_plan_that_was_carried_out_names_who_archived_its_entry(demo, remote, tmp_path):
    document, plan = write(tmp_path / "tags.json", tags({"name": "New"})), tmp_path / "settings.plan"
    remote("plan", document, "--out", plan)
    remote("apply", plan, "--yes")
    assert "applied: no differences" in remote("apply", plan, "--yes").stderr
    (new,) = [entry["id"] for entry in json.loads(remote("entry", "list", "cmp_001", "customer_tags", "--output", "json").stdout)["entries"]
              if entry["name"] == "New"]
    remote("entry", "archive", "cmp_001", "customer_tags", new, "--as-staff", "staff_7")
    refused = remote("apply", plan, "--yes", check=False)
    assert refused.returncode == PLAN_CHANGED, refused.stderr
    for part in ["was carried out with revision 2", f'(staff_7) (archived customer_tags/{new} "New"', "it would change nothing"]:
        assert part in refused.stderr, refused.stderr


def test_a_mirrors_refusal_has_the_places_of_the_document(demo, remote, document):
    source = "companies: [{id: cmp_001, source: {kind: moego}}]"
    run("apply", "-", "--yes", "--data-dir", demo.data_dir, stdin=source)
    document.write_text("companies:\n- id: cmp_001\n  customer_tags:\n  - {id: tag_001, name: Other}\n")
    refused = remote("plan", document, "--output", "json", check=False)
    (plan,) = json.loads(refused.stdout)["plans"]
    (violation,) = plan["error"]["violations"]
    assert "MoeGo" in violation.pop("description")
    place = {"file": str(document), "line": 4, "company": "cmp_001", "field": "customer_tags[0].name", "reason": "MIRRORED"}
    assert (refused.returncode, violation) == (1, place)
    refused = remote("plan", document, check=False)
    assert f"! refused: {document}: line 4: customer_tags[0].name belongs to MoeGo" in refused.stdout, refused.stdout


def test_the_server_is_asked_although_no_company_can_be_planned(remote, document, tmp_path):
    document.write_text("companies:\n- id: c d\n  customer_tags: [{name: A}, {name: a}]\n")
    for command, said in [(lambda *rest, **how: remote(*rest, "--ignore", "foo", **how), "--ignore"), (run, UNREACHABLE)]:
        place = unreachable(tmp_path) if command is run else []
        refused = command("plan", document, *place, "--output", "json", check=False)
        told = json.loads(refused.stdout)
        assert said in refused.stderr.splitlines()[0] and told["error"]["message"], refused.stderr
        found = [(one["line"], one["field"]) for one in told["problems"]]
        assert (2, "id") in found, told
    # The problems that need no server are told of a company that cannot be planned, too.
    refused = remote("plan", document, check=False)
    assert 'line 3: customer_tags[1].name "a" is taken by customer_tags[0] (line 3)' in refused.stderr, refused.stderr


def test_a_company_that_is_named_twice_hides_nothing_else(remote, document):
    wrong = "- name: happy paws pet care\n  customer_tags: [{name: A}, {name: a}]\n"
    for between, again in [("", "names the company cmp_001 again"), (FAR, "is the company cmp_001, which line 2")]:
        document.write_text(f"companies:\n- id: cmp_001\n{between}{wrong}")
        refused = remote("plan", document, check=False)
        line = 3 + between.count("\n")
        first, second, _ = refused.stderr.splitlines()
        assert f"line {line}: " in first and again in first, refused.stderr
        assert f"line {line + 1}: customer_tags[1].name" in second, refused.stderr


def test_a_company_with_an_id_and_a_namesake_without_are_told_however_far_apart(remote, document):
    with_id, without = "- {id: new, name: Twin}\n", "- name: twin\n"
    for first, second in [(with_id, without), (without, with_id)]:
        document.write_text(f"companies:\n{first}{FAR}{second}")
        refused = remote("plan", document, check=False)
        again = f"line {FAR.count(chr(10)) + 3}: name is also the name of the company on line 2 of {document}"
        assert again in refused.stderr, refused.stderr
    document.write_text(f"companies:\n{with_id}- {{id: other, name: twin}}\n")
    assert remote("plan", document, check=False).returncode == 0


def test_an_entry_that_may_be_archived_takes_no_name_without_a_server(document, tmp_path):
    def refused(tags):
        document.write_text(f"companies: [{{id: c, customer_tags: [{tags}]}}]")
        ended = run("plan", document, *unreachable(tmp_path), "--output", "json", check=False)
        return [one["reason"] for one in json.loads(ended.stdout).get("problems", [])]

    assert refused("{id: a, name: A}, {name: A}") == []
    assert refused("{id: a, name: A, state: active}, {name: A}") == ["NAME_TAKEN"]
