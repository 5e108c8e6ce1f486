"""Judges the answers of a load by the rules for several nodes.

Every writer has an entry of its own, whose description is the number of the writer's last write. Every
revision therefore has exactly one content. All times are from one clock that never goes back.
"""

from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple


class Write(NamedTuple):
    """An acknowledged write."""

    begun: float
    acknowledged: float
    revision: int
    writer: str
    number: int
    node: int


class Read(NamedTuple):
    """An answer."""

    begun: float
    answered: float
    revision: int
    # The content of the answer: the number of each writer's last write.
    shown: dict
    # The seconds of Settings-Stale, if the answer has that header.
    stale: int | None
    # The revision that the request asked for at least.
    at_least: int
    node: int


def faults(before, writes, reads, bound):
    """The faults of a history that began with `before`, the content of revision 1. An answer may be `bound`
    seconds older than it says."""
    writes = sorted(writes, key=lambda write: write.revision)
    found = faults_of_writes(writes)
    if found:
        return found
    contents = [None, before]
    for write in writes:
        contents.append({**contents[-1], write.writer: write.number})
    acknowledged = Newest((write.acknowledged, write.revision) for write in writes)
    begun = Newest((write.begun, write.revision) for write in writes)
    for read in reads:
        said = f"node {read.node} showed revision {read.revision}"
        oldest = read.begun - bound - (read.stale or 0)
        if read.revision < acknowledged.at(oldest):
            lag = read.begun - acknowledged.first_after(read.revision)
            found.append(f"{said}, which was out of date for {lag:.3f} s, and said {read.stale or 'nothing'}")
        if read.revision < read.at_least:
            found.append(f"{said}, and was asked for {read.at_least} at least")
        if read.revision > begun.at(read.answered):
            found.append(f"{said} before anybody wrote it")
        elif read.shown != contents[read.revision]:
            found.append(f"{said} as {read.shown} and not as {contents[read.revision]}")
    return found + faults_of_order(reads)


def faults_of_writes(writes):
    """Writes are linearizable: each makes one revision, without gaps, in an order that fits their
    times."""
    revisions = [write.revision for write in writes]
    if revisions != list(range(2, len(writes) + 2)):
        twice = [one for one, other in zip(revisions, revisions[1:]) if one == other]
        missing = set(range(2, max(revisions) + 1)) - set(revisions)
        return [f"revisions acknowledged twice: {twice}; never: {sorted(missing)}"]
    found = []
    earliest = float("inf")
    for write in reversed(writes):
        if write.begun > earliest:
            found.append(f"{write} has a place before a write that was acknowledged when it began")
        earliest = min(earliest, write.acknowledged)
    last = {}
    for write in writes:
        if write.number <= last.get(write.writer, 0):
            found.append(f"{write} has a place after the writer's write {last[write.writer]}")
        last[write.writer] = write.number
    return found


def faults_of_order(reads):
    """No node goes back, for a reader that sends one request after the other."""
    found, last = [], {}
    for read in reads:
        before = last.get(read.node)
        if before and before.answered <= read.begun and read.revision < before.revision:
            found.append(f"node {read.node} went back from revision {before.revision} to {read.revision}")
        last[read.node] = read
    return found


def lags(writes, reads):
    """The time that each answer had been out of date when its request was sent: 0 for most."""
    acknowledged = Newest((write.acknowledged, write.revision) for write in writes)
    return [max(0.0, read.begun - acknowledged.first_after(read.revision)) for read in reads]


class Newest:
    """The highest revision at a time."""

    def __init__(self, events):
        events = sorted(events)
        self.times = [time for time, _ in events]
        self.revisions = list(accumulate((revision for _, revision in events), max))

    def at(self, time):
        index = bisect_right(self.times, time)
        return self.revisions[index - 1] if index else 1

    def first_after(self, revision):
        """The time of the first higher revision."""
        index = bisect_right(self.revisions, revision)
        return self.times[index] if index < len(self.times) else float("inf")
