"""The alerts and the dashboard: promtool reads them, and each name in them is a name that the server has."""

import json
import re
import subprocess
import urllib.request

import yaml
from conftest import ROOT
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from test_program import TAGS

FOLDER = ROOT / "packaging" / "monitoring"


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def of_alerts():
    rules = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
    return [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def of_the_dashboard():
    board = json.loads((FOLDER / "dashboard.json").read_text())
    targets = [target for panel in board["panels"] for target in panel.get("targets", [])]
    variables = {"$__rate_interval": "5m", "$instance": ".*"}
    expressions = [target["expr"] for target in targets]
    for name, value in variables.items():
        expressions = [expression.replace(name, value) for expression in expressions]
    assert len(expressions) > 20 and "$" not in "".join(expressions)
    return expressions


def test_the_alerts_fire_and_stay_silent_where_their_cases_say():
    promtool("check", "rules", FOLDER / "alerts.yaml")
    promtool("test", "rules", FOLDER / "alerts_test.yaml")
    names = re.findall(r"alert: (\w+)", (FOLDER / "alerts.yaml").read_text())
    cases = (FOLDER / "alerts_test.yaml").read_text()
    without = [name for name in names if not re.search(rf'alertname(: |="){name}\b', cases)]
    assert without == [], "alerts without a case"


def test_the_queries_of_the_dashboard_can_be_read(tmp_path):
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(of_the_dashboard())]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", "--lint=none", tmp_path / "rules.yaml")


def lost(given, read, place=""):
    """The places of a document that a reading of it does not have, or has with another value."""
    if isinstance(given, dict) and isinstance(read, dict):
        return [at for key, value in given.items() for at in lost(value, read.get(key), f"{place}/{key}")]
    if isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        return [at for i, value in enumerate(given) for at in lost(value, read[i], f"{place}/{i}")]
    return [] if given == read else [place]


def test_grafanas_own_model_reads_all_of_the_dashboard():
    """The model is made from Grafana's schemas, and drops keys that it does not know."""
    plugins.register_default_plugins()
    board = json.loads((FOLDER / "dashboard.json").read_text())
    read = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    assert lost(board, read) == []


def test_the_panels_lie_side_by_side_and_have_all_variables():
    board = json.loads((FOLDER / "dashboard.json").read_text())
    panels = board["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in panels]
    cells = [(x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) < 24, "panels that lie over others"
    named = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(panels)))
    assert named == used, "variables that are missing or that nothing uses"
    assert all(panel["title"] and (panel["type"] == "row" or panel["description"]) for panel in panels)


def test_each_metric_and_label_in_a_query_is_one_of_the_server(demo):
    """A counter appears with its first count, so the names come from the source, and the labels of the metrics that
    are there already from the server."""
    for key in [demo.key, demo.key, "cs_" + 49 * "x"]:
        demo.call(TAGS, key, {})
    assert demo.call("/admin/v1/companies/cmp_001/customer_tags", demo.key, {"name": "Night Owl"})[0] == 200
    with urllib.request.urlopen(demo.base + "/metrics", timeout=20) as answer:
        text = answer.read().decode()
    labels = {}
    for name, inner in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.M):
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', inner))
    source = (ROOT / "crates" / "server" / "src" / "telemetry" / "names.rs").read_text()
    known = set(labels) | set(re.findall(r'"(customer_settings_\w+)"', source)) | {"up"}
    # Prometheus adds these.
    own = {"job", "instance"}
    for query in [*of_alerts(), *of_the_dashboard()]:
        names = set(re.findall(r"\b(?:customer_settings|process)_\w+|\bup\b", query))
        missing = {name for name in names if re.sub(r"_(bucket|sum|count)$", "", name) not in known} - known
        assert names and not missing, (missing, query)
        if names <= set(labels):
            used = set(re.findall(r"(\w+) ?=~?\"", query))
            used.update(word for inner in re.findall(r"by \((.*?)\)", query) for word in inner.split(", "))
            there = set().union(*(labels[name] for name in names))
            assert used <= there | own, (used - there - own, query)
