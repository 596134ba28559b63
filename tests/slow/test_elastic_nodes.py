"""Several hosts in an address, of which one is a machine that is off, or hangs."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
from conftest import arrival, plan, random_vectors

from lookalike.errors import ClusterUnreachable, ClusterUnwell
from lookalike.store import home_of
from lookalike.store.elastic import node


@pytest.fixture
def hangs() -> Iterator[str]:
    """It takes every connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Nobody answers to a connection, not even with a refusal: its queue is full."""
    monkeypatch.setattr(node, "_CONNECTS_WITHIN", 0.5)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as all:
        for _ in range(3):
            waiting = all.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"


def address(elastic_address: str, host: str, options: str, *, first: bool) -> str:
    own = elastic_address.partition("://")[2].partition("/")[0]
    hosts = f"{host},{own}" if first else f"{own},{host}"
    return elastic_address.replace(own, hosts) + options


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("which", ["hangs", "off"])
def test_another_node_answers_for_it(
    request: pytest.FixtureRequest, elastic_address: str, which: str, first: bool
) -> None:
    host = request.getfixturevalue(which)
    options = "&timeout=2" if which == "hangs" else ""
    home = home_of(address(elastic_address, host, options, first=first))
    assert not home.exists()
    home.create("a recipe", [plan()])
    store = home.open([plan()])
    assert store.put([arrival(i) for i in range(3)], {"v": random_vectors(3)}) == ["stored"] * 3
    assert len(store) == 3
    (found,) = store.nearest("v", random_vectors(1), 3)
    assert len(found) == 3
    store.close()


def test_alone_it_is_said(off: str, hangs: str) -> None:
    with pytest.raises(ClusterUnreachable, match=r"nobody answers there within 0\.5 s"):
        home_of(f"es+http://{off}/photos").exists()
    with pytest.raises(ClusterUnwell, match="took over 1 s"):
        home_of(f"es+http://{hangs}/photos?timeout=1").exists()
