"""Fetching pictures by their address: from real servers here, and never from where it may not."""

from __future__ import annotations

import gzip
import ipaddress
import re
import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike import remote
from lookalike.errors import RemoteRefused
from lookalike.remote import fetch, is_public

MEGABYTE = 1_000_000
OK = b"HTTP/1.1 200 OK\r\n"
Answer = Callable[[socket.socket, bytes], None]


def anywhere(_: remote.Address) -> bool:
    """What lets a test reach a server of its own."""
    return True


class Web:
    """A server that answers each request as its test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answer: Answer = lambda connection, _: connection.sendall(OK + b"\r\nbytes")
        self.asked: list[bytes] = []
        self.tls: ssl.SSLContext | None = None
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                try:
                    if self.tls:
                        connection = self.tls.wrap_socket(connection, server_side=True)
                    with connection:
                        request = connection.recv(65536)
                        self.asked.append(request)
                        self.answer(connection, request)
                except OSError:
                    pass

    def say(self, content: bytes) -> None:
        self.answer = lambda connection, _: connection.sendall(content)


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()


PUBLIC = "93.184.216.34"


def internet(monkeypatch: pytest.MonkeyPatch, web: Web, **hosts: list[list[str]]) -> list[str]:
    """Makes `NAME.example` have these addresses, the next list at each lookup. -> the lookups.

    Who connects to the public address reaches `web`; to any other one nobody may.
    """
    looked_up: list[str] = []
    look_up_really, connect_really = socket.getaddrinfo, socket.socket.connect

    def look_up(host: str, port: int, **more: Any) -> Any:
        looked_up.append(host)
        answers = hosts.get(host.removesuffix(".example"))
        if answers is None:
            return look_up_really(host, port, **more)
        given = answers.pop(0) if len(answers) > 1 else answers[0]
        return [entry for each in given for entry in look_up_really(each, port, **more)]

    def connect(self: socket.socket, address: Any) -> None:
        assert address[0] == PUBLIC, address
        connect_really(self, ("127.0.0.1", web.port))

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "connect", connect)
    return looked_up


class TestFetch:
    def test_brings_the_bytes(self, web: Web) -> None:
        content = bytes(range(256)) * 100
        web.say(OK + b"Content-Length: 25600\r\n\r\n" + content)
        url = f"http://127.0.0.1:{web.port}/a%20b/é.jpg?x=1&y=ü#part"
        assert fetch(url, max_bytes=25600, may_reach=anywhere) == content
        head = web.asked[0].decode().splitlines()
        assert head[0] == "GET /a%20b/%C3%A9.jpg?x=1&y=%C3%BC HTTP/1.1"
        assert f"Host: 127.0.0.1:{web.port}" in head
        assert not any(line.lower().startswith(("cookie", "referer", "auth")) for line in head)

    def test_brings_what_comes_in_chunks_or_until_the_end(self, web: Web) -> None:
        url = f"http://127.0.0.1:{web.port}"
        web.say(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
        assert fetch(url, max_bytes=5, may_reach=anywhere) == b"abcde"
        web.say(OK + b"\r\nabcdef")
        assert fetch(url, max_bytes=6, may_reach=anywhere) == b"abcdef"

    def test_is_refused_here_unless_a_test_lets_it(self, web: Web) -> None:
        with pytest.raises(RemoteRefused, match="not a host of the public"):
            fetch(f"http://127.0.0.1:{web.port}/", max_bytes=100)
        assert web.asked == []

    @pytest.mark.parametrize("status", [204, 206, 304, 401, 404, 500])
    def test_takes_no_other_answer_for_a_picture(self, web: Web, status: int) -> None:
        web.say(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        with pytest.raises(RemoteRefused, match=str(status)):
            fetch(f"http://127.0.0.1:{web.port}/", max_bytes=100, may_reach=anywhere)


TRICKS = [
    # not http
    *("file:///etc/passwd", "ftp://example.com/x", "gopher://127.0.0.1:25/", "data:image/png,x"),
    *("//127.0.0.1/", "http:/127.0.0.1/", "http:127.0.0.1", "http://", "http:///x", "javascript:1"),
    *("", " http://127.0.0.1/", "http//127.0.0.1", "jar:http://127.0.0.1!/", "unix:/run/x.sock"),
    # this machine, by any spelling
    *("http://localhost/", "http://LOCALHOST/", "http://localhost./", "https://127.0.0.1/"),
    *("http://127.1/", "http://127.0.1/", "http://127.255.255.254/", "http://2130706433/"),
    *("http://0x7f000001/", "http://0x7f.1/", "http://0177.0.0.1/", "http://017700000001/"),
    *("http://0/", "http://0.0.0.0/", "http://[::]/", "http://[::1]/", "http://[0:0:0:0:0:0:0:1]/"),
    *("http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/"),
    *(
        "http://[::1]:80/",
        "http://[::1%25lo]/",
        "http://[fe80::1%eth0]/",
        "http://[::1].a.example/",
    ),
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    # our networks, and the metadata of clouds
    *("http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.0.1/"),
    *("http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://100.64.0.1/"),
    *("http://100.100.100.200/", "http://168.63.129.16/", "http://[fe80::1]/", "http://[fc00::1]/"),
    *("http://[fec0::1]/", "http://0xa9fea9fe/", "http://2852039166/", "http://[::ffff:10.0.0.1]/"),
    # through other addresses
    *("http://[64:ff9b::127.0.0.1]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b:1::1]/"),
    *("http://[2002:7f00:1::]/", "http://[2002:a00:1::]/", "http://[2001::1]/", "http://[100::1]/"),
    # nobody, everybody, examples, what is reserved
    *(
        "http://224.0.0.1/",
        "http://239.255.255.250/",
        "http://255.255.255.255/",
        "http://240.0.0.1/",
    ),
    *("http://[ff02::1]/", "http://192.0.2.1/", "http://198.18.0.1/", "http://203.0.113.1/"),
    *("http://[2001:db8::1]/", "http://192.0.0.8/", "http://192.88.99.1/"),
    # one host for us, another for somebody else
    *(
        "http://example.com@127.0.0.1/",
        "http://a:b@example.com/",
        "http://127.0.0.1\\@example.com/",
    ),
    *(
        "http://example.com\\.evil/",
        "http://a b/",
        "http://example.com\t/",
        "http://exa\nmple.com/",
    ),
    *("http://example.com\r\nHost: x/", "http://example.com/\r\nX: y", "http://\0127.0.0.1/"),
    *("http://example.com:80@127.0.0.1/", "http://%31%32%37.0.0.1/", "http://127.0.0.1%00.x/"),
    # ports where no web server is, or that are none
    *("http://8.8.8.8:22/", "http://8.8.8.8:25/", "http://8.8.8.8:0/", "http://8.8.8.8:99999/"),
    *("http://8.8.8.8:-1/", "http://8.8.8.8:8x/", "http://[8.8.8.8]/", "http://[::1"),
    "http://8.8.8.8/" + "x" * 4000,
    "http://" + "a" * 64 + ".example/",
    "http://-/",
    "http://./",
]


LEADS_ON = re.compile(r"(?!https?:)[a-z]+:.*|https?://(?!/)[ -~\u00a0-\uffff]+")
"""What is an address of its own in a redirect, not a path on the host that answers."""


class TestTricks:
    @pytest.mark.parametrize("url", TRICKS)
    def test_nothing_is_connected_to(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def connect(_: socket.socket, address: object) -> None:
            raise AssertionError(f"connected to {address}")

        monkeypatch.setattr(socket.socket, "connect", connect)
        with pytest.raises(RemoteRefused) as refused:
            fetch(url, max_bytes=100)
        assert str(refused.value).isprintable()

    def test_there_are_at_least_40(self) -> None:
        assert len(set(TRICKS)) >= 40

    @pytest.mark.parametrize("location", [url for url in TRICKS if LEADS_ON.fullmatch(url)])
    def test_no_redirect_leads_there_either(
        self, location: str, web: Web, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        internet(monkeypatch, web, public=[[PUBLIC]])
        web.say(b"HTTP/1.1 302 Found\r\nLocation: " + location.encode() + b"\r\n\r\n")
        with pytest.raises(RemoteRefused):
            fetch("http://public.example/", max_bytes=100)
        assert len(web.asked) == 1


class TestNames:
    def test_are_looked_up_once_and_the_address_that_was_checked_is_asked(
        self, web: Web, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """DNS rebinding: a second look would find this machine."""
        looked_up = internet(monkeypatch, web, rebound=[[PUBLIC], ["127.0.0.1"]])
        assert fetch("http://rebound.example/", max_bytes=100) == b"bytes"
        assert looked_up == ["rebound.example"]
        assert b"Host: rebound.example\r\n" in web.asked[0]
        with pytest.raises(RemoteRefused, match="not a host of the public"):
            fetch("http://rebound.example/", max_bytes=100)

    def test_are_checked_again_at_each_redirect(
        self, web: Web, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        internet(monkeypatch, web, rebound=[[PUBLIC], ["10.0.0.1"]])
        web.say(b"HTTP/1.1 301 X\r\nLocation: /again\r\n\r\n")
        with pytest.raises(RemoteRefused, match="not a host of the public"):
            fetch("http://rebound.example/", max_bytes=100)
        assert len(web.asked) == 1

    @pytest.mark.parametrize("other", ["127.0.0.1", "::1", "fd00::1", "169.254.169.254"])
    def test_with_one_address_inside_are_refused_whole(
        self, other: str, web: Web, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for both in ([PUBLIC, other], [other, PUBLIC]):
            internet(monkeypatch, web, mixed=[both])
            with pytest.raises(RemoteRefused, match="not a host of the public"):
                fetch("http://mixed.example/", max_bytes=100)
        assert web.asked == []

    def test_that_take_too_long_are_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ended = threading.Event()

        def look_up(*_: object, **__: object) -> list[Any]:
            ended.wait(20)
            return []

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        began = time.monotonic()
        with pytest.raises(RemoteRefused, match=r"within 0\.2 s"):
            fetch("http://slow.example/", max_bytes=100, seconds=0.2)
        ended.set()
        assert time.monotonic() - began < 10

    def test_that_are_none_are_told_without_what_the_resolver_said(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def look_up(*_: object, **__: object) -> None:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        with pytest.raises(RemoteRefused, match=r"no host named none\.example"):
            fetch("http://none.example/", max_bytes=100)


class TestRedirects:
    def test_are_followed_up_to_five(self, web: Web) -> None:
        def lead_on(connection: socket.socket, request: bytes) -> None:
            number = int(request.split()[1].rpartition(b"/")[2])
            if number == 5:
                connection.sendall(OK + b"\r\nthere")
            else:
                location = f"{'../a/' if number % 2 else ''}{number + 1}"
                head = f"HTTP/1.1 307 X\r\nLocation: {location}\r\n\r\nbody"
                connection.sendall(head.encode())

        web.answer = lead_on
        url = f"http://127.0.0.1:{web.port}/a"
        assert fetch(f"{url}/0", max_bytes=5, may_reach=anywhere) == b"there"
        assert len(web.asked) == 6
        with pytest.raises(RemoteRefused, match="more than 5 times"):
            fetch(f"{url}/-1", max_bytes=5, may_reach=anywhere)

    def test_without_a_place_to_go_are_no_picture(self, web: Web) -> None:
        web.say(b"HTTP/1.1 302 X\r\n\r\n")
        with pytest.raises(RemoteRefused, match="302"):
            fetch(f"http://127.0.0.1:{web.port}/", max_bytes=5, may_reach=anywhere)


def dripping(head: bytes, drip: bytes) -> Answer:
    def drip_on(connection: socket.socket, _: bytes) -> None:
        connection.sendall(head)
        until = time.monotonic() + 5
        while time.monotonic() < until:
            connection.sendall(drip)
            if not drip and select.select([connection], [], [], 0.05)[0]:
                return  # the client has gone
            time.sleep(0.02)

    return drip_on


class TestLimits:
    @pytest.mark.parametrize(
        "head",
        [b"Content-Length: 1001\r\n\r\n", b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n"],
        ids=["announced", "endless", "chunked"],
    )
    def test_no_more_is_taken_than_may_be(self, web: Web, head: bytes) -> None:
        web.say(OK + head + bytes(1001) + b"\r\n0\r\n\r\n")
        with pytest.raises(RemoteRefused, match=r"more than 0\.001 MB"):
            fetch(f"http://127.0.0.1:{web.port}/", max_bytes=1000, may_reach=anywhere)

    @pytest.mark.parametrize(
        ("head", "drip"),
        [
            (b"", b""),
            (b"HTTP", b"/"),
            (OK, b"X: y\r\n"),
            (OK + b"X: ", b"y"),
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
            (OK + b"Content-Length: 1000\r\n\r\n", b"x"),
            (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
            (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
            (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
        ],
    )
    def test_an_answer_that_drips_ends_in_time(self, web: Web, head: bytes, drip: bytes) -> None:
        web.answer = dripping(head, drip)
        began = time.monotonic()
        with pytest.raises(RemoteRefused):
            fetch(
                f"http://127.0.0.1:{web.port}/", max_bytes=10_000, seconds=0.5, may_reach=anywhere
            )
        assert time.monotonic() - began < 10

    def test_redirects_get_no_time_of_their_own(self, web: Web) -> None:
        def slowly_on(connection: socket.socket, _: bytes) -> None:
            time.sleep(0.2)
            connection.sendall(b"HTTP/1.1 302 X\r\nLocation: /\r\n\r\n")

        web.answer = slowly_on
        with pytest.raises(RemoteRefused, match=r"within 0\.5 s"):
            fetch(f"http://127.0.0.1:{web.port}/", max_bytes=9, seconds=0.5, may_reach=anywhere)
        assert len(web.asked) <= 3

    @pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "gzip, identity"])
    def test_nothing_is_unpacked(self, web: Web, encoding: str) -> None:
        bomb = gzip.compress(bytes(10 * MEGABYTE))
        head = f"Content-Encoding: {encoding}\r\nContent-Length: {len(bomb)}\r\n\r\n"
        web.say(OK + head.encode() + bomb)
        with pytest.raises(RemoteRefused, match="compressed"):
            fetch(f"http://127.0.0.1:{web.port}/", max_bytes=MEGABYTE, may_reach=anywhere)

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"rubbish\r\n\r\n",
            b"\x16\x03\x01\x02",
            b"SSH-2.0-x\r\n",
            OK + b"Content-Length: 9\r\n\r\nshort",
            OK + b"Content-Length: -1\r\n\r\n" + bytes(2000),
            OK + b"Content-Length: x\r\n\r\n" + bytes(2000),
            OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
            OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nx",
            OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nshort",
            OK + b"X: " + bytes(70_000) + b"\r\n\r\n",
            OK + b"X: y\r\n" * 200 + b"\r\n",
            b"HTTP/1.1 \xff\xff OK\r\n\r\n",
            b"HTTP/1.1 302 X\r\nLocation: http://[\r\n\r\n",
            b"HTTP/1.1 302 X\r\nLocation: http://\xff\xfe/\r\n\r\n",
        ],
    )
    def test_rubbish_is_refused_in_words(self, web: Web, answer: bytes) -> None:
        web.say(answer)
        with pytest.raises(RemoteRefused) as refused:
            fetch(f"http://127.0.0.1:{web.port}/", max_bytes=1000, may_reach=anywhere)
        assert str(refused.value).isprintable()

    def test_nobody_there_is_told(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        with pytest.raises(RemoteRefused, match="refused"):
            fetch(f"http://127.0.0.1:{port}/", max_bytes=10, may_reach=anywhere)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of good.example, by an authority of its own, which is itself."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ("-subj", "/CN=good.example", "-addext", "subjectAltName=DNS:good.example")
    out = ("-keyout", str(file), "-out", str(file.with_suffix(".crt")))
    command = ["openssl", *request.split(), *names, *out]
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no openssl here to make a certificate")
    file.write_bytes(file.read_bytes() + file.with_suffix(".crt").read_bytes())
    return file


class TestSecureConnections:
    def test_are_to_who_proves_to_be_that_host(
        self, web: Web, monkeypatch: pytest.MonkeyPatch, certificate: Path
    ) -> None:
        web.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        web.tls.load_cert_chain(certificate)
        internet(monkeypatch, web, good=[[PUBLIC]], other=[[PUBLIC]])
        with pytest.raises(RemoteRefused, match="no secure connection: self"):
            fetch("https://good.example/", max_bytes=100)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
        assert fetch("https://good.example/", max_bytes=100) == b"bytes"
        with pytest.raises(RemoteRefused, match=r"no secure connection: .*other\.example"):
            fetch("https://other.example/", max_bytes=100)
        assert len(web.asked) == 1

    def test_that_never_come_about_end_in_time(
        self, web: Web, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        internet(monkeypatch, web, mute=[[PUBLIC]])
        web.answer = dripping(b"", b"")
        with pytest.raises(RemoteRefused, match=r"within 0\.3 s"):
            fetch("https://mute.example/", max_bytes=100, seconds=0.3)


class TestIsPublic:
    def test_agrees_with_the_registry_as_python_has_it(self) -> None:
        """Both edges of every network that Python knows of, and beyond them."""
        edges = [0, 2**32 - 1]
        for each in ipaddress.IPv4Address._constants._private_networks:  # type: ignore[attr-defined]
            first, last = int(each.network_address), int(each.broadcast_address)
            edges += [first - 1, first, last, last + 1]
        for number in edges:
            address = ipaddress.IPv4Address(number % 2**32)
            if is_public(address):
                assert address.is_global
                assert not address.is_multicast
                assert not address.is_reserved

    @pytest.mark.parametrize(
        "address",
        [
            *("8.8.8.8", "93.184.216.34", "172.15.255.255", "172.32.0.0", "100.63.255.255"),
            *("169.253.255.255", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450::1"),
            *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
        ],
    )
    def test_lets_the_internet_be_reached(self, address: str) -> None:
        assert is_public(ipaddress.ip_address(address))
