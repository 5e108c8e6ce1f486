"""Requests that schemathesis generates from the OpenAPI document: no answer is a 5xx, and each has the form that the
document gives."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

SCHEMATHESIS = pathlib.Path(sys.executable).parent / "schemathesis"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance,unsupported_method"
)
# The first key may not change keys, so that no generated request revokes it. Requests may revoke the other key.
KEYS = {
    "all but keys": ["settings:read", "settings:write", "history:read", "companies:read", "companies:write", "keys:read"],
    "keys": ["*"],
}


def document(demo):
    """The served document without one header: a revision that is not there yet is rightly answered with 503."""
    served = demo.call("/openapi.json")[2]
    header = {"$ref": "#/components/parameters/SettingsMinRevision"}
    for item in served["paths"].values():
        for operation in item.values():
            operation["parameters"] = [one for one in operation.get("parameters", []) if one != header]
    path = demo.data_dir.parent / "openapi.json"
    path.write_text(json.dumps(served))
    return path


def made_up_requests(demo, whose, *arguments):
    """Sends generated requests with a new key: the output of schemathesis, and whether it found nothing."""
    status, _, created = demo.call(
        "/admin/v1/keys", key=demo.key, body={"name": whose, "scopes": KEYS[whose], "allCompanies": True}
    )
    assert status == 200, created
    paths = ["--include-path-regex", "^/admin/v1/keys"] if whose == "keys" else []
    done = subprocess.run(
        [SCHEMATHESIS, "run", document(demo), "--url", demo.base, "--checks", CHECKS, *paths, "--continue-on-failure",
         "--no-color", "-H", f"Authorization: Bearer {created['secret']}", *arguments],
        capture_output=True, text=True, timeout=3600, cwd=demo.data_dir.parent,
        # The record of a run is useless here, and answers of a proxy are not the server's.
        env={**os.environ, "NO_PROXY": "*"},
    )
    return done.stdout + done.stderr, done.returncode == 0


@pytest.mark.parametrize("whose", KEYS)
def test_no_made_up_request_meets_a_bug(demo, whose):
    """Of the phases of schemathesis, the two that walk through the document. The chance of the others is in --long."""
    printed, is_clean = made_up_requests(demo, whose, "--phases", "examples,coverage", "--seed", "1")
    assert is_clean, printed
    assert "panic" not in demo.read_log()


@pytest.mark.long
@pytest.mark.parametrize("whose", KEYS)
def test_no_made_up_request_of_many_meets_a_bug(demo, whose):
    printed, is_clean = made_up_requests(demo, whose, "--max-examples", "300")
    print(printed[-2000:])
    assert is_clean, printed
    assert "panic" not in demo.read_log()
