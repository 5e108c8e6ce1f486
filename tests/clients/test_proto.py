"""The `.proto` files that the program writes."""

from conftest import ROOT, run


def test_the_files_are_those_of_the_repository(tmp_path):
    run("proto", "--out", tmp_path / "new" / "proto")
    written = {path.relative_to(tmp_path / "new" / "proto"): path for path in tmp_path.rglob("*.proto")}
    own = {path.relative_to(ROOT / "proto"): path for path in (ROOT / "proto").rglob("*.proto")}
    assert written.keys() == own.keys() and len(own) > 10
    for name, path in own.items():
        assert written[name].read_text() == path.read_text(), name
    assert (tmp_path / "new" / "proto" / "buf.yaml").read_text().startswith("version: v2")
