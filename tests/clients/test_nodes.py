"""Three nodes over one database, under load, while things break: nothing that was acknowledged is
lost, nothing happens twice, no answer is older than it says, and every node comes back.

The short versions run with `./test`, the long ones with `./test --long`.
"""

import json
import signal
import statistics
import time

import pytest
from conftest import run
from database import Postgres, until
from history import lags
from nodes import BOUND, COMPANY, NO_ANSWER, TAGS, Cluster, Load


@pytest.fixture
def make_server():
    """Makes servers that a test may break. They end with the test."""
    servers = []

    def make():
        servers.append(Postgres())
        return servers[-1]

    yield make
    for server in servers:
        server.remove()


@pytest.fixture
def make_cluster(start):
    """Makes three nodes over a new database of a server."""
    clusters = []

    def make(server):
        clusters.append(Cluster(start, server))
        return clusters[-1]

    yield make
    for cluster in clusters:
        cluster.close()


def check(load, server):
    """Checks the rules after a load: for the answers, for the stored data, and on every node."""
    faults = load.faults()
    assert faults == [], f"{len(faults)} faults: {faults[:3]}"
    acknowledged = {write.revision: f"{write.writer}-{write.number}" for write in load.writes}
    cluster, last = load.cluster, len(load.writes) + 1
    contents = {write.writer: str(write.number) for write in sorted(load.writes, key=lambda write: write.revision)}
    for node in range(3):
        answers = []

        def has_come_back():
            try:
                answers.append(cluster.ask(node, "GET", TAGS))
            except NO_ANSWER:
                return False
            status, headers, _ = answers[-1]
            return status == 200 and "Settings-Stale" not in headers and headers["Settings-Revision"] == str(last)

        until(has_come_back, f"node {node} shows revision {last}")
        shown = {entry["id"]: entry["description"] for entry in answers[-1][2]["entries"]}
        assert {writer: shown[writer] for writer in contents} == contents
    # Each request made the revision of its acknowledgement, and no other.
    logged, page = {}, ""
    while page is not None:
        _, _, answer = cluster.ask(0, "GET", f"{COMPANY}/changes?page_size=500&page_token={page}")
        logged.update((int(change["revision"]), change["requestId"]) for change in answer["changes"])
        page = answer["nextPageToken"] or None
    assert logged.pop(1) == "" and logged == acknowledged
    verified = run("verify", "--database-url", server.url(cluster.database), "--output", "json")
    assert json.loads(verified.stdout)["findings"] == []
    stale = sum(read.stale is not None for read in load.reads)
    print(
        f"{len(load.writes)} writes, {len(load.refused)} attempts more; {len(load.reads)} reads,"
        f" {stale} of them from memory while the database was away;"
        f" the oldest other one was out of date for {oldest(load):.2f} s"
    )


def oldest(load):
    return max(lags(load.writes, [read for read in load.reads if read.stale is None]))


def break_things(load, server, killed, cut, seconds):
    """A node is killed, another one is cut off, the database crashes. Each of them comes back."""
    nodes = load.cluster.nodes
    load.goes_on([0, 1, 2], seconds)
    nodes[killed].server.stop(signal.SIGKILL)
    load.goes_on({0, 1, 2} - {killed}, seconds)
    nodes[killed].restart()
    load.goes_on([0, 1, 2], seconds)

    nodes[cut].network.cut()
    load.is_stale_on([cut], seconds)
    load.goes_on({0, 1, 2} - {cut}, seconds)
    nodes[cut].network.heal()
    load.goes_on([0, 1, 2], seconds)

    server.stop()
    load.is_stale_on([0, 1, 2], seconds)
    server.start()
    load.goes_on([0, 1, 2], seconds)


def test_three_nodes_agree_whatever_breaks(make_cluster, make_server):
    server = make_server().init().start()
    with Load(make_cluster(server)) as load:
        break_things(load, server, killed=0, cut=1, seconds=0)
    check(load, server)


@pytest.mark.long
def test_three_nodes_agree_whatever_breaks_again_and_again(make_cluster, make_server):
    server = make_server().init().start()
    with Load(make_cluster(server)) as load:
        for killed, cut in [(0, 1), (1, 2), (2, 0)]:
            break_things(load, server, killed, cut, seconds=4)
    check(load, server)


def fail_over(load, primary, make_server, seconds):
    """The primary stops from one moment to the next, and its standby replaces it."""
    standby = make_server().copy_of(primary).start()
    primary.wait_for_standby()
    load.goes_on([0, 1, 2], seconds)
    primary.stop()
    standby.promote()
    for node in load.cluster.nodes:
        node.network.target = standby.port
    load.goes_on([0, 1, 2], seconds)
    return standby


def test_a_promoted_standby_has_every_acknowledged_write(make_cluster, make_server):
    server = make_server().init().start()
    with Load(make_cluster(server)) as load:
        server = fail_over(load, server, make_server, seconds=0)
    check(load, server)


@pytest.mark.long
def test_one_standby_after_the_other_is_promoted(make_cluster, make_server):
    server = make_server().init().start()
    with Load(make_cluster(server)) as load:
        for _ in range(4):
            server = fail_over(load, server, make_server, seconds=10)
    check(load, server)


def lose_notices(cluster):
    for node in cluster.nodes:
        node.network.cut_notices()


@pytest.mark.parametrize("notices", ["come", "are lost"])
def test_what_one_node_writes_the_others_show_in_time(make_cluster, postgres_server, notices):
    cluster = make_cluster(postgres_server)
    if notices == "are lost":
        lose_notices(cluster)
    with Load(cluster, writes_on=[0], asks=0) as load:
        load.goes_on([0, 1, 2], seconds=3)
    check(load, postgres_server)
    elsewhere = statistics.median(lags(load.writes, [read for read in load.reads if read.node != 0]))
    # If notices are lost, this delay proves it.
    assert (elsewhere < BOUND / 4) == (notices == "come")


@pytest.mark.parametrize("notices", ["come", "are lost"])
def test_a_revoked_key_is_refused_by_every_node_in_time(make_cluster, postgres_server, notices):
    cluster = make_cluster(postgres_server)
    if notices == "are lost":
        lose_notices(cluster)
    key = {"name": "short-lived", "scopes": ["settings:read"], "allCompanies": True}
    _, _, made = cluster.ask(0, "POST", "/admin/v1/keys", key)
    accepted = {}

    def is_refused_everywhere():
        answers = []
        for number, node in enumerate(cluster.nodes):
            begun = time.monotonic()
            answers.append(node.ask("GET", TAGS, made["secret"])[0])
            if answers[-1] == 200:
                accepted[number] = begun
        return answers == [401, 401, 401]

    assert not is_refused_everywhere() and len(accepted) == 3
    assert cluster.ask(0, "POST", f"/admin/v1/keys/{made['key']['id']}:revoke", {})[0] == 200
    revoked = time.monotonic()
    until(is_refused_everywhere, "every node refuses the key")
    assert max(accepted.values()) < revoked + BOUND
