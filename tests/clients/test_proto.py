"""The `.proto` files that the program writes."""

import re

from conftest import ROOT, run


def test_the_files_are_those_of_the_repository(tmp_path):
    run("proto", "--out", tmp_path / "new" / "proto")
    written = {path.relative_to(tmp_path / "new" / "proto"): path for path in tmp_path.rglob("*.proto")}
    own = {path.relative_to(ROOT / "proto"): path for path in (ROOT / "proto").rglob("*.proto")}
    assert written.keys() == own.keys() and len(own) > 10
    for name, path in own.items():
        assert written[name].read_text() == path.read_text(), name
    assert (tmp_path / "new" / "proto" / "buf.yaml").read_text().startswith("version: v2")


def test_no_two_packages_import_each_other():
    """Go has no such packages."""
    texts = [path.read_text() for path in (ROOT / "proto").rglob("*.proto")]
    names = {str(path.relative_to(ROOT / "proto")): re.search(r"^package (.+);", path.read_text(), re.M).group(1)
             for path in (ROOT / "proto").rglob("*.proto")}
    imports = {}
    for text in texts:
        package = re.search(r"^package (.+);", text, re.M).group(1)
        found = {names[name] for name in re.findall(r'^import "(.+)";', text, re.M) if name in names}
        imports.setdefault(package, set()).update(found - {package})
    while imports:
        free = {package for package, imported in imports.items() if not imported & imports.keys()}
        assert free, f"these packages import each other: {imports}"
        for package in free:
            del imports[package]
