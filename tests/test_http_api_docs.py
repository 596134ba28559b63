"""The calls of docs/http-api.md, run in their order by a shell against a real service."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import samples
from serving import service

PAGE = Path(__file__).parents[1] / "docs" / "http-api.md"
STRICT = """\
set -euo pipefail
curl() { command curl --silent --show-error --fail-with-body --max-time 60 "$@"; echo; }
"""


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_every_call_of_the_page_is_answered_without_an_error(tmp_path: Path) -> None:
    root, here = tmp_path / "srv" / "photos", tmp_path / "here"
    for number in range(4):
        samples.write(root / "cups" / f"{number}.jpg", number, "JPEG")
    for number, name in enumerate(("cat.jpg", "dog.jpg", "query.jpg")):
        samples.write(here / name, 10 + number, "JPEG")
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) > 8
    with service(tmp_path / "collections", root=(root,)) as (client, _):
        script = STRICT + "\n".join(blocks)
        script = script.replace("http://127.0.0.1:8000", str(client.base_url).rstrip("/"))
        script = script.replace("/srv/photos", str(root))
        done = subprocess.run(["bash", "-c", script], cwd=here, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        assert '"state":"done"' in done.stdout
        assert client.get("/v1/collections").json() == {"collections": [], "broken": []}
    assert (here / "thumbnail.jpg").stat().st_size > 100
    assert (here / "match.png").read_bytes().startswith(b"\x89PNG")
