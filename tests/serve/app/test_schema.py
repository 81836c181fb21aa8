"""Whatever fits the OpenAPI schema, or nearly does, is answered as the schema says."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.app.conftest import TOKEN

CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "ignored_auth",
)
"""The first leaves no 5xx but 503, the only one that the schema has."""


@pytest.mark.slow
def test_every_answer_is_one_that_the_schema_has(server, tmp_path):
    command = [str(Path(sys.executable).with_name("schemathesis")), "run"]
    command += [f"http://127.0.0.1:{server.port}/openapi.json", "--checks", ",".join(CHECKS)]
    command += ["--header", f"Authorization: Bearer {TOKEN}", "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", "5", "--seed", "1", "--suppress-health-check", "all", "--no-color"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stdout[-6000:] + told.stderr[-2000:]
    assert server.client.get("/readyz").status_code == 200
