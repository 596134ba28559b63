"""TLS, passwords, API keys and pinned certificates, with Elasticsearch's own security."""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import elastic_node
import pytest
import samples
from conftest import arrival, plan, random_vectors

from lookalike.errors import ClusterRefuses, ClusterUnreachable
from lookalike.store import home_of

SETTINGS = (
    "xpack.security.enabled=true",
    "xpack.security.http.ssl.enabled=true",
    "xpack.security.http.ssl.key=one.key",
    "xpack.security.http.ssl.certificate=one.pem",
    "xpack.security.autoconfiguration.enabled=false",
)

PASSWORD = "secret word"
KEY = "aWQ6c2VjcmV0"
READER = """
reader:
  cluster: [monitor]
  indices: [{names: ["secured*"], privileges: [read, view_index_metadata]}]
"""


@dataclass(frozen=True)
class Secured:
    port: int
    ca: Path
    fingerprint: str

    def address(self, *, login: str = "", options: str = "", name: str = "secured") -> str:
        return f"es+https://{login}127.0.0.1:{self.port}/{name}?replicas=0&patience=2{options}"


def prepared(home: Path) -> None:
    """A certificate of its own; a user `admin`, and `reader` who may only read."""
    config = home / "config"
    wanted = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-keyout", str(config / "one.key"), "-out", str(config / "one.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", *wanted, *names, *files], check=True, capture_output=True
    )
    (config / "roles.yml").write_text(READER)
    for user, role in (("admin", "superuser"), ("reader", "reader")):
        subprocess.run(
            [home / "bin/elasticsearch-users", *f"useradd {user} -r {role} -p".split(), PASSWORD],
            check=True,
            capture_output=True,
            env={**os.environ, "ES_JAVA_HOME": str(elastic_node.java_home())},
        )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    elastic_node.distribution()
    with elastic_node.running(SETTINGS, prepared) as node:
        certificate = (node.folder / "home/config/one.pem").read_text()
        ca = tmp_path_factory.mktemp("trusted") / "ca.pem"
        ca.write_text(certificate)
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
        yield Secured(node.port, ca, digest)


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "PASSWORD", "API_KEY", "CA", "FINGERPRINT"):
        monkeypatch.delenv(f"LOOKALIKE_ES_{name}", raising=False)


def test_a_user_with_the_right_password_and_authority_gets_in(secured: Secured) -> None:
    home = home_of(secured.address(login="admin:secret%20word@", options=f"&ca={secured.ca}"))
    assert not home.exists()
    home.create("", [plan()])
    store = home.open([plan()])
    assert store.put([arrival(1)], {"v": random_vectors(1)}) == ["stored"]
    store.close()
    assert "secret" not in home.address


def test_secrets_come_from_the_environment(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKALIKE_ES_CA", str(secured.ca))
    monkeypatch.setenv("LOOKALIKE_ES_PASSWORD", PASSWORD)
    monkeypatch.setenv("LOOKALIKE_ES_USER", "admin")
    assert not home_of(secured.address(name="other")).exists()


def test_a_wrong_password_or_none_is_said(secured: Secured) -> None:
    trusted = f"&ca={secured.ca}"
    for login in ("admin:wrong@", ""):
        with pytest.raises(ClusterRefuses, match="LOOKALIKE_ES_PASSWORD") as told:
            home_of(secured.address(login=login, options=trusted)).exists()
        assert "wrong@" not in str(told.value)


def test_a_certificate_is_trusted_by_its_fingerprint_alone(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKALIKE_ES_USER", "admin")
    monkeypatch.setenv("LOOKALIKE_ES_PASSWORD", PASSWORD)
    with pytest.raises(ClusterUnreachable, match="not trusted"):
        home_of(secured.address()).exists()
    pinned = f"&fingerprint={secured.fingerprint}"
    assert not home_of(secured.address(options=pinned, name="other")).exists()
    with pytest.raises(ClusterUnreachable, match="another fingerprint"):
        home_of(secured.address(options=f"&fingerprint={'00' * 32}")).exists()


def test_an_authority_that_cannot_be_read_is_named(secured: Secured, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no certificate")
    for name, problem in (("none", "No such file"), ("text", "no certificate is in it")):
        with pytest.raises(ClusterUnreachable, match=f"{name}: {problem}"):
            home_of(secured.address(options=f"&ca={tmp_path / name}")).exists()


def test_a_password_of_any_letters_is_sent(secured: Secured) -> None:
    """And told to be wrong, as it is, not to be unspeakable."""
    address = secured.address(login="admin:пароль@", options=f"&ca={secured.ca}")
    with pytest.raises(ClusterRefuses, match="are wrong or missing"):
        home_of(address).exists()


def test_who_speaks_plainly_to_tls_is_told(secured: Secured) -> None:
    with pytest.raises(ClusterUnreachable, match="es\\+https://"):
        home_of(f"es+http://127.0.0.1:{secured.port}/secured").exists()


def test_who_may_only_read_cannot_write(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = f"&fingerprint={secured.fingerprint}"
    admin = home_of(secured.address(login="admin:secret%20word@", options=pinned))
    if not admin.exists():
        admin.create("", [plan()])
    monkeypatch.setenv("LOOKALIKE_ES_USER", "reader")
    monkeypatch.setenv("LOOKALIKE_ES_PASSWORD", PASSWORD)
    home = home_of(secured.address(options=pinned))
    store = home.open([plan()])
    before = len(store)
    with pytest.raises(ClusterRefuses, match="unauthorized"):
        store.put([arrival(7)], {"v": random_vectors(1)})
    assert len(store) == before
    store.close()
    with pytest.raises(ClusterRefuses):
        home_of(secured.address(options=pinned, name="secured-new")).create("", [plan()])


def test_the_command_line_says_it_in_one_line(secured: Secured) -> None:
    address = secured.address(login="admin:wrong@", options=f"&ca={secured.ca}")
    done = samples.lookalike("stats", "-c", address)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "wrong@" not in done.stderr


class Gate(BaseHTTPRequestHandler):
    """Lets through to the cluster behind it who has the key; this distribution has no API keys."""

    protocol_version = "HTTP/1.1"
    behind = ""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("authorization") != f"ApiKey {KEY}":
            said = b'{"error": {"type": "security_exception", "reason": "no such key"}}'
            self.reply(401, "application/json", said)
            return
        headers = {
            name: self.headers[name] for name in ("accept", "content-type") if name in self.headers
        }
        asked = urllib.request.Request(
            self.behind + self.path, body or None, headers, method=self.command
        )
        try:
            with urllib.request.urlopen(asked) as found:
                self.reply(found.status, found.headers["content-type"], found.read())
        except urllib.error.HTTPError as error:
            self.reply(error.code, error.headers["content-type"], error.read())

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815

    def reply(self, status: int, kind: str | None, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind or "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-elastic-product", "Elasticsearch")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


def test_an_api_key_is_sent_and_a_wrong_one_said(
    elastic: str, elastic_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gate, "behind", elastic)
    with ThreadingHTTPServer(("127.0.0.1", 0), Gate) as gate:
        threading.Thread(target=gate.serve_forever, daemon=True).start()
        address = elastic_address.replace(elastic, f"http://127.0.0.1:{gate.server_port}")
        with pytest.raises(ClusterRefuses, match="API key"):
            home_of(address).exists()
        monkeypatch.setenv("LOOKALIKE_ES_API_KEY", KEY)
        monkeypatch.setenv("LOOKALIKE_ES_PASSWORD", "the key comes first")
        home = home_of(address)
        home.create("", [plan()])
        store = home.open([plan()])
        assert store.put([arrival(1)], {"v": random_vectors(1)}) == ["stored"]
        store.close()
        gate.shutdown()
