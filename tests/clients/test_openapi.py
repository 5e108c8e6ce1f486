"""The served OpenAPI document, judged by somebody else's validator."""

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator


def examples(node, place="#"):
    """Every object of the document that has both an example and a schema."""
    if isinstance(node, dict):
        if "example" in node and "schema" in node:
            yield place, node["schema"], node["example"]
        for key, value in node.items():
            if key != "example":
                yield from examples(value, f"{place}/{key}")
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from examples(value, f"{place}/{i}")


def test_the_document_and_each_of_its_examples_are_valid(demo):
    _, _, document = demo.call("/openapi.json")
    OpenAPIV31SpecValidator(document).validate()
    count = 0
    for place, schema, example in examples(document):
        # References start at the document's root, so the schema needs the document's components.
        schema = {"components": document["components"], **schema}
        found = [error.message for error in Draft202012Validator(schema).iter_errors(example)]
        assert not found, f"{place}: {found}"
        count += 1
    assert count > 0
