"""The JSON Schema of documents, beside the reader that it describes: whatever the reader takes fits the schema, and
whatever the schema refuses the reader refuses too."""

import copy
import json
import random
import re

import jsonschema
import jsonschema_rs
import yaml
from conftest import ROOT, run
from documents import blocks

SCHEMA = json.loads(run("schema").stdout)
# Validates thousands of documents in the time that the package in Python takes for some hundreds.
VALIDATOR = jsonschema_rs.Draft7Validator(SCHEMA)

WHOLE = {
    "id": "c", "name": "Paws", "country": "US", "timezone": "America/New_York", "state": "active",
    "source": {"kind": "moego", "mode": "mirror"},
    "businesses": [{
        "id": "b", "name": "Here", "state": "active", "avatar": "", "phone": "1", "business_phone": "1", "email": "a@b",
        "website": "http://w", "facebook": "f", "instagram": "i", "yelp": "y", "google": "g",
        "address": {
            "id": "a", "address1": "1", "address2": "2", "city": "c", "state": "NY", "postal_code": "00123",
            "country": "US", "latitude": 1.5, "longitude": "-2", "type": "primary",
        },
    }],
    "life_cycles": [{
        "id": "e", "name": "New", "was": ["Old", "o_1"], "state": "active", "description": "d", "color": "#FFF", "is_default": True,
        "created_by": "s", "created_time": "2023-01-01T10:00:00Z", "last_updated_by": "s",
        "last_updated_time": "2023-01-01T10:00:00.123456Z",
    }],
    # These have entries of the same form, but no default.
    "customer_tags": [], "referral_sources": [], "action_statuses": [{"name": "Called", "is_default": False}],
}

# Values that fit some key or none. Each is put in the place of every value of a whole company.
VALUES = [
    None, True, False, 0, 7, -3, 1.5, 7.0, 1e20, 91, 181, "", " ", "x", "a b", "é", "US", "us", " DE ", "gB", "Xx", "UK", "EU", "USA", "#FFF", "#ffffff",
    " #000000 ", "FFF", "#FFFF", "active", "archived", "Active", "moego", "mirror", "cutover", "primary", "secondary", "true", "Yes", "OFF", "maybe",
    "1.5", "1e1", ".5", "5.", "1,5", "-90", "90.5", "UTC", "europe/berlin", " etc/gmt+5 ", "gmt+0", "cuba", "US/Eastern", "us/EASTERN", "GMT0", "America/Argentina", "America/argentina/ushuaia", "Etc/GMT+1", "Etc/GMT+13", "Nowhere/City", "Mars/Olympus", "America/Nowhere", "Berlin", "a@b", "a@b@c", "http://w", "https:///w",
    "javascript:w", "2023-01-01T10:00:00Z",
    "2023-01-01T10:00:00+01:00", "2023-01-01T10:00:00+00:00", "2023-01-01T10:00:00.123456000+00:00", "2023-01-01T10:00:00.1234567Z", "1969-12-31T23:59:59Z",
    "2023-01-01T10:00:00.Z", "2023-01-01T10:00:60Z", "2023-01-01T10:00:00ZabZ", " 2023-01-01T10:00:00Z", "2023-02-30T10:00:00Z", "2023-01-01",
    # Padded, in parts that are composed, with marks that are not, and in other scripts.
    f" {'n' * 100}\n", f"{'t' * 500}  ", f"{'t' * 500}\n t", "e\u0301" * 100, "e\u0301" * 101, "é" * 100, "é" * 101, "猫" * 100, "猫" * 101,
    f"{'n' * 99}\u00a0n", "\u00a0" + "n" * 100 + "\u00a0", "a\tb", "a\nb", "t" * 499 + "\r\nt", " a@b ", f"  http://{'w' * 493}  ", "é@b", "a" * 64, "a" * 65, "n" * 100, "n" * 101, "t" * 500, "t" * 501, [], {}, ["x"],
    ["x"] * 20, ["x"] * 21, [{}], {"name": "x"}, [{"name": "x"}], [{"name": "x"}, {"id": "y"}], {"kind": "moego"}, {"mode": "mirror"}, {"latitude": 1}, {"latitude": 1, "longitude": 2},
]


def places(value, path=()):
    """The path of every value within a value."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(inner, (*path, key))


PLACES = list(places(WHOLE))


def changed(path, change):
    company = copy.deepcopy(WHOLE)
    inner = company
    for key in path[:-1]:
        inner = inner[key]
    change(inner, path[-1])
    return company


def refused(companies, folder):
    """The indexes of the companies that the reader refuses, in one run."""
    for number, company in enumerate(companies):
        # Locations are unique on the server, and each company is one of its own.
        if isinstance(company, dict) and company.get("id") == "c":
            company["id"] = f"c{number}"
            businesses = company.get("businesses")
            for business in businesses if isinstance(businesses, list) else ():
                if isinstance(business, dict) and business.get("id") == "b":
                    business["id"] = f"b{number}"
    # One company on each line, the first one on the second line.
    lines = range(2, len(companies) + 2)
    text = '{"companies": [\n' + ",\n".join(map(json.dumps, companies)) + "\n]}\n"
    done = run("load", "--data-dir", folder, "-", stdin=text, check=False, timeout=300)
    assert done.returncode in (0, 1) and "companies were not loaded" in done.stderr or done.returncode == 0, done.stderr
    problems = re.findall(r"^  line (\d+): (.*)", done.stderr, re.M)
    # Many of the companies have the same id.
    again = ("names the company", "belongs to another company")
    found = {int(line) for line, problem in problems if not any(words in problem for words in again)}
    assert found <= set(lines), done.stderr
    return {line - lines[0] for line in found}


def fits(company):
    return VALIDATOR.is_valid({"companies": [company]})


# Refused by rules that no schema says: which companies and names exist, the state of a default, the range of a number
# that is written as a text, and whole numbers that are written with a point or an exponent, which are no id.
BEYOND = {
    ("id",): ["left out", 7.0, 1e20], ("name",): ["left out"], ("life_cycles", 0, "state"): ["archived"],
    "id": [7.0, 1e20], "created_by": [7.0, 1e20], "last_updated_by": [7.0, 1e20], "latitude": ["90.5"],
}
# Everywhere: control characters, the length of texts that may be composed or folded, days that are none.
BEYOND_ALL = ["a\tb", "a\nb", "t" * 499 + "\r\nt", "e\u0301" * 101, "猫" * 101, "2023-02-30T10:00:00Z"]


def test_a_whole_company_fits_and_is_taken(tmp_path):
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert fits(WHOLE) and refused([copy.deepcopy(WHOLE)], tmp_path) == set()


def test_the_schema_and_the_reader_agree_about_every_value_at_every_place(tmp_path):
    cases = [(path, value, changed(path, lambda inner, key: inner.__setitem__(key, value)))
             for path in PLACES for value in VALUES]
    cases += [(path, "left out", changed(path, lambda inner, key: inner.__delitem__(key))) for path in PLACES]
    cases += [(path, "unknown key", changed(path, lambda inner, key: inner.__setitem__("nmae", "x")))
              for path in PLACES if isinstance(path[-1], str)]
    verdicts = [fits(company) for *_, company in cases]
    bad = refused([company for *_, company in cases], tmp_path)
    stricter = [case[:2] for number, case in enumerate(cases) if not verdicts[number] and number not in bad]
    assert stricter == [], "the schema refuses what the reader takes"
    laxer = [case[:2] for number, case in enumerate(cases) if verdicts[number] and number in bad]
    laxer = [(path, value) for path, value in laxer if value not in (BEYOND.get(path) or BEYOND.get(path[-1], ())) and value not in BEYOND_ALL]
    assert not laxer, f"{laxer}: the schema lets through what it could refuse"


def put(company, path, value):
    """Puts a value at a place, if an earlier one left the place there."""
    try:
        for key in path[:-1]:
            company = company[key]
        company[path[-1]] = copy.deepcopy(value)
    except (IndexError, KeyError, TypeError):
        pass


def test_the_schema_refuses_nothing_that_the_reader_takes(tmp_path):
    """Several values at once, since what one value means may depend on another."""
    chance, companies = random.Random(7), []
    for _ in range(1_000):
        companies.append(copy.deepcopy(WHOLE))
        for _ in range(chance.randint(2, 4)):
            put(companies[-1], chance.choice(PLACES), chance.choice(VALUES))
    verdicts = [fits(company) for company in companies]
    bad = refused(companies, tmp_path)
    assert [company for number, company in enumerate(companies) if not verdicts[number] and number not in bad] == []


def test_documented_documents_fit_the_schema():
    # As editors read YAML: a time is a text there.
    class Loader(yaml.SafeLoader):
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    documents = [block.text for block in blocks("docs/operating.md") if "companies:" in block.text]
    assert len(documents) == 2
    for document in documents:
        VALIDATOR.validate(yaml.load(document, Loader))
    VALIDATOR.validate(yaml.load((ROOT / "crates/server/demo/demo.yaml").read_text(), Loader))


def test_the_schema_completes_countries_and_time_zones_and_stays_small():
    (codes, _), (zones, pattern) = (SCHEMA["definitions"][name]["anyOf"] for name in ["country", "time_zone"])
    assert len(codes["enum"]) == 249 and codes["enum"] == sorted(codes["enum"]) and "GB" in codes["enum"]
    assert len(zones["enum"]) > 590 and {"America/New_York", "US/Eastern", "UTC"} <= set(zones["enum"])
    for zone in zones["enum"]:
        assert all(re.search(pattern["pattern"], name) for name in [zone, zone.upper(), f" {zone.lower()}"]), zone
        assert not re.search(pattern["pattern"], zone + "x"), zone
    assert len(json.dumps(SCHEMA)) < 42_000


def test_every_time_zone_of_the_schema_is_taken_in_any_case(tmp_path):
    zones = SCHEMA["definitions"]["time_zone"]["anyOf"][0]["enum"]
    names = [form for zone in zones for form in (zone, zone.upper(), zone.lower())]
    companies = [{"id": f"z{number}", "name": name, "timezone": name} for number, name in enumerate(names)]
    assert refused(companies, tmp_path) == set()


def test_the_schema_of_a_starter_vocabulary_is_made_by_the_command_beside_it(tmp_path):
    vocabularies = sorted((ROOT / "docs/vocabularies").glob("*.yaml"))
    assert len(vocabularies) == 4
    for path in vocabularies:
        schema, command = path.read_text().splitlines()[:2]
        name = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", schema)[1]
        assert command.endswith(f": customer-settings schema > {name}"), path
        VALIDATOR.validate(yaml.safe_load(path.read_text()))


def test_the_server_publishes_the_schema_that_the_command_prints(demo):
    status, headers, schema = demo.call("/schemas/document.json")
    assert (status, headers["Content-Type"]) == (200, "application/schema+json")
    assert schema == SCHEMA
