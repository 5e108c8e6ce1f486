"""Takes the blocks of code out of the documents, so that the tests run the same text that people read."""

import dataclasses
import re
import textwrap

from conftest import ROOT


@dataclasses.dataclass
class Block:
    heading: str
    language: str
    text: str
    line: int


def blocks(document):
    """The blocks of code of a document, each with the heading that it stands under."""
    found, heading, block = [], "", None
    for number, line in enumerate((ROOT / document).read_text().splitlines(), start=1):
        fence = re.fullmatch(r" *```(\w*).*", line)
        if fence and block is None:
            block = Block(heading, fence[1], "", number)
        elif fence:
            block.text = textwrap.dedent(block.text)
            found.append(block)
            block = None
        elif block is not None:
            block.text += line + "\n"
        elif line.startswith("#"):
            heading = line.lstrip("# ")
    assert block is None, f"{document}:{block.line}: the block has no end"
    return found


def block(document, heading, language):
    """The only block of a language under a heading."""
    found = [one for one in blocks(document) if (one.heading, one.language) == (heading, language)]
    assert len(found) == 1, f"{document}, {heading}: {len(found)} blocks of {language}"
    return found[0].text
