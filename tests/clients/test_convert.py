"""`convert` and `export --format csv` as people run them; the forms of files are in crates/server/src/formats/tests.rs."""

import subprocess

import pytest
import yaml
from conftest import PROGRAM, ROOT, run
from documents import block
from test_documents import play, section

PAGE = "docs/importing.md"
VOCABULARIES = sorted((ROOT / "docs/vocabularies").glob("*.yaml"))


def convert(*arguments, stdin=b""):
    """The exit code, the document, and the lines of standard error."""
    done = subprocess.run([PROGRAM, "convert", *map(str, arguments)], input=stdin, capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode().splitlines()


def test_the_page_is_played_as_written(tmp_path):
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    (tmp_path / "tags.csv").write_text(block(PAGE, "From a spreadsheet", "csv"))
    (tmp_path / "labels.yml").write_text(block(PAGE, "From GitHub labels", "yaml"))
    found = section(PAGE, ["From a spreadsheet", "From GitHub labels", "Into a spreadsheet and back",
                           "From a starter vocabulary"])
    # Standard error is shown under the first command.
    notes = [block for block in found if block.language == "text" and block.heading == "From a spreadsheet"]
    play([block for block in found if block not in notes], tmp_path)
    code, document, said = convert("csv", tmp_path / "tags.csv", "--company", "cmp_001", "--list", "customer_tags")
    assert (code, said) == (1, notes[0].text.splitlines()) and document == (tmp_path / "tags.yaml").read_text()
    exported = yaml.safe_load(run("export", "--data-dir", tmp_path / "data").stdout)["companies"][0]
    assert {"VIP", "Senior pet", "Matted coat"} <= {tag["name"] for tag in exported["customer_tags"]}


def test_a_table_comes_from_standard_input_and_only_the_document_goes_to_standard_output():
    table = "Name;Default\nLead;ja\nCafé;\n".encode("cp1252")
    code, document, said = convert("csv", "-", "--company", "c", "--list", "life_cycles", stdin=table)
    assert (code, document) == (0, "companies:\n- id: c\n  life_cycles:\n  - name: Lead\n    is_default: true\n  - name: Café\n")
    assert said == [
        'Windows-1252, semicolons; line 1 is the header; name is column 1 ("Name"), default is column 2 ("Default")',
        "read as Windows-1252, as it is no UTF-8: if letters are wrong in it, save the file as UTF-8",
        "entries: 2",
    ]
    assert convert("csv", "-", "--company", "c", "--list", "life_cycles", "--quiet", stdin=table) == (0, document, [])


@pytest.mark.parametrize("arguments, stdin, code, expected", [
    (["csv", "-", "--company", "c"], b"VIP\n", 1, "give --list customer_tags"),
    (["csv", "-", "--company", "a b", "--list", "customer_tags"], b"VIP\n", 2, "--company must be an id"),
    (["csv", "-", "--company", "c", "--list", "tags"], b"VIP\n", 2, "customer_tags"),
    (["csv", "-", "--list", "customer_tags"], b"VIP\n", 2, "--company"),
    (["csv", "/nowhere/tags.csv", "--company", "c"], b"", 1, "/nowhere/tags.csv cannot be read"),
    (["csv", "-", "--company", "c", "--list", "customer_tags"], b"Name,Color\nVIP,red\n", 1, "has no entry that can be taken"),
    (["csv", "-", "--company", "c"], b"x" * (16 << 20) + b"x", 1, "standard input has more than 16 MiB"),
    (["csv", "-", "--company", "c", "--list", "customer_tags"], b"<!DOCTYPE html>\n<html>\n", 1, "this is a web page"),
    (["csv", "-", "--company", "c", "--list", "customer_tags"], b'[{"name":"VIP"}]', 1, "this is JSON, and no table"),
    (["csv", "-", "--company", "c", "--list", "customer_tags"], b"Color\nVIP\n", 1, 'the only column has the header "Color"'),
    (["github-labels", "-", "--company", "c"], b"name,color\n", 1, "standard input: line 1: this is the text"),
    (["github-labels", "-", "--company", "c"], "[a]".encode("utf-16")[:-1], 1, "UTF-16"),
    (["moego", "-", "--company", "c"], b"", 2, "moego"),
])
def test_an_error_says_the_way_out_and_writes_no_document(arguments, stdin, code, expected):
    found, document, said = convert(*arguments, stdin=stdin)
    assert (found, document) == (code, "") and expected in "\n".join(said)


def test_a_file_of_the_greatest_size_is_read():
    code, document, _ = convert("csv", "-", "--company", "c", "--list", "customer_tags",
                                stdin=b"VIP\n" + b"\n" * ((16 << 20) - 4))
    assert (code, document) == (0, "companies:\n- id: c\n  customer_tags:\n  - name: VIP\n")


@pytest.fixture(params=["a directory", "PostgreSQL"])
def where(request, tmp_path):
    """New data on either engine."""
    if request.param == "PostgreSQL":
        return ["--database-url", request.getfixturevalue("postgres")()]
    (tmp_path / "data").mkdir()
    return ["--data-dir", tmp_path / "data"]


def test_what_is_exported_as_a_table_changes_nothing_when_it_comes_back(where, tmp_path):
    document = {"companies": [
        {"id": "c", "name": "Paws",
         "customer_tags": [{"id": "-1", "name": "=1+1", "color": "#123456"}, {"name": "'@x", "state": "archived"},
                           {"id": "gone_1", "name": "Gone", "state": "archived"}, {"id": "gone_2", "name": "gone", "state": "archived"}],
         "life_cycles": [{"name": "Größe; \"M\", 2"}, {"name": "Lead", "is_default": True,
                                                      "description": "-one\n\n'=two, \"three\""}]},
        {"id": "d", "name": "Other"},
    ]}
    run("load", *where, "-", stdin=yaml.safe_dump(document))
    table = tmp_path / "c.csv"
    done = subprocess.run([PROGRAM, "export", *where, "--company", "c", "--format", "csv"], capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith(b"\xef\xbb\xbflist,id,name,"), done.stderr
    table.write_bytes(done.stdout)
    code, again, said = convert("csv", table, "--company", "c")
    assert code == 0, said
    assert "c: unchanged at revision 1" in run("load", *where, "-", stdin=again).stderr
    table.write_text(run("export", *where, "--company", "c", "--format", "csv", "--without", "ids").stdout)
    code, again, said = convert("csv", table, "--company", "c")
    assert code == 0, said
    assert "c: unchanged at revision 1" in run("load", *where, "-", stdin=again).stderr
    assert run("export", *where, "--format", "csv", check=False).returncode == 2
    assert run("export", *where, "--format", "csv", "--company", "x", check=False).returncode == 3


def test_every_starter_vocabulary_is_a_document(where):
    assert [path.stem for path in VOCABULARIES] == ["boarding", "daycare", "grooming", "training"]
    for path in VOCABULARIES:
        run("load", *where, "-", stdin=f"companies: [{{id: {path.stem}, name: Paws}}]")
        document = path.read_text().replace("my_company", path.stem)
        assert "revision 2" in run("load", *where, "-", stdin=document).stderr
        assert "unchanged" in run("load", *where, "-", stdin=document).stderr
        [company] = yaml.safe_load(document)["companies"]
        assert all(len(entries) >= 5 for name, entries in company.items() if name != "id") and len(company) == 5
