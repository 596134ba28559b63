"""schemathesis over the whole API: no 5xx, no answer that the description does not know."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import samples
from serving import service

pytest.importorskip("schemathesis", reason="schemathesis is not installed")

EXAMPLES = 50
"""Of each call, beside those that cover every parameter's bounds."""
_NOT_HELD_TO = "positive_data_acceptance"
"""A filter or a cursor is text to the description, and not every text is one."""

_OF_FORMS = """
[[operations]]
include-method = "POST"
include-path = "/v1/collections/{name}/pictures"
checks.negative_data_rejection.enabled = false
"""
"""All that a form says is text: a `label` of true or null is a word like any other."""


def test_every_answer_is_as_described(tmp_path: Path) -> None:
    root = samples.write_classes((tmp_path / "root").resolve(), each=4)
    id = hashlib.sha256(samples.encoded(0)).hexdigest()
    config = tmp_path / "schemathesis.toml"
    config.write_text(f'[parameters]\nname = "photos"\nid = "{id}"\n{_OF_FORMS}')
    with service(tmp_path / "collections", root=(root,), compat=True) as (client, _):
        client.post("/v1/collections", json={"name": "photos"})
        client.post("/v1/collections/photos/pictures", json={"path": str(root)})
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
        command += [f"{client.base_url}/openapi.json", "--phases", "examples,coverage,fuzzing"]
        command += ["--max-examples", str(EXAMPLES), "--exclude-checks", _NOT_HELD_TO]
        command += ["--exclude-path-regex", "/events$|/doctor$", "--workers", "1"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-1000:]
