"""The judge of histories finds the faults that it must find: a test that cannot fail proves nothing."""

import pytest
from history import Read, Write, faults

BOUND = 1.0
BEFORE = {"w0": 0, "w1": 0}
# Two writers: their second writes overlap.
WRITES = [
    Write(0.0, 0.1, 2, "w0", 1, 0),
    Write(0.2, 0.3, 3, "w1", 1, 1),
    Write(0.4, 0.9, 5, "w0", 2, 0),
    Write(0.5, 0.6, 4, "w1", 2, 1),
]
SHOWN = {2: {"w0": 1, "w1": 0}, 3: {"w0": 1, "w1": 1}, 4: {"w0": 1, "w1": 2}, 5: {"w0": 2, "w1": 2}}


def read(begun, revision, shown=None, stale=None, at_least=0, node=0):
    return Read(begun, begun + 0.01, revision, shown or SHOWN[revision], stale, at_least, node)


def test_nothing_is_wrong_with_a_good_history():
    reads = [
        # Just within the bound, and before the acknowledgement: both are allowed.
        read(1.29, 2),
        read(1.5, 5),
        read(0.55, 5, node=1),
        # As old as the answer says.
        read(4.25, 2, stale=3, node=2),
        read(4.3, 5, at_least=5, node=2),
    ]
    assert faults(BEFORE, WRITES, reads, BOUND) == []


@pytest.mark.parametrize(
    "writes, expected",
    [
        (WRITES[:1] + WRITES[2:], "never: [3]"),
        ([*WRITES, Write(2.0, 2.1, 3, "w1", 3, 0)], "acknowledged twice: [3]"),
        ([WRITES[0]._replace(revision=3), WRITES[1]._replace(revision=2), *WRITES[2:]], "was acknowledged when"),
        ([*WRITES, Write(1.0, 1.1, 6, "w1", 2, 0)], "after the writer's write 2"),
    ],
    ids=["a lost write", "a fork", "an order against time", "a write made twice"],
)
def test_what_is_wrong_with_writes_is_found(writes, expected):
    [found] = faults(BEFORE, writes, [], BOUND)
    assert expected in found


@pytest.mark.parametrize(
    "reads, expected",
    [
        ([read(1.31, 2)], "out of date for 1.010 s"),
        ([read(4.35, 2, stale=3)], "said 3"),
        ([read(0.4, 2, at_least=3)], "asked for 3"),
        ([read(0.15, 3)], "before anybody wrote it"),
        ([read(0.7, 4, shown=SHOWN[5])], "and not as"),
        ([read(1.0, 5), read(1.1, 4)], "went back from revision 5 to 4"),
    ],
    ids=["too old", "older than it says", "older than asked for", "from the future", "a mixture", "backwards"],
)
def test_what_is_wrong_with_reads_is_found(reads, expected):
    [found] = faults(BEFORE, WRITES, reads, BOUND)
    assert expected in found
