"""Validates the OpenAPI document, and each of its examples against the schema beside it.

Usage: validate_openapi.py FILE, where FILE is the document or its insta snapshot.
Needs openapi-spec-validator 0.9.0 (and what it brings along); see requirements-openapi.txt beside this file.
"""

import json
import sys
from pathlib import Path

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator


def load(path):
    text = Path(path).read_text(encoding="utf-8")
    if text.startswith("---\n"):
        # An insta snapshot: its head ends at the second line of dashes.
        text = text.split("---\n", 2)[2]
    return json.loads(text)


def contents(node, place="#"):
    """Every media type object that has both an example and a schema."""
    if isinstance(node, dict):
        if "example" in node and "schema" in node:
            yield place, node
        for key, value in node.items():
            if key != "example":
                yield from contents(value, f"{place}/{key}")
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from contents(value, f"{place}/{i}")


def main():
    document = load(sys.argv[1])
    OpenAPIV31SpecValidator(document).validate()
    count = 0
    for place, content in contents(document):
        # References inside start at the document's root, so the schema takes its components along.
        schema = {"components": document["components"], **content["schema"]}
        try:
            Draft202012Validator(schema).validate(content["example"])
        except Exception as error:
            sys.exit(f"the example at {place} does not fit its schema: {error}")
        count += 1
    if count == 0:
        sys.exit("the document has no examples")
    print(f"valid OpenAPI {document['openapi']}: {len(document['paths'])} paths, {count} examples")


if __name__ == "__main__":
    main()
