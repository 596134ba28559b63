"""A real Elasticsearch for tests: Elastic's own distribution without the optional modules.

From Maven Central, kept in ~/.cache/lookalike-tests. LOOKALIKE_TEST_ELASTIC says which to use: the
URL of one that runs, or anything else for one of its own; LOOKALIKE_TEST_ELASTIC_VERSION another
version, with a client that suits it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

VERSION = os.environ.get("LOOKALIKE_TEST_ELASTIC_VERSION", "9.2.0")
_ARTIFACT = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
_JAVAS = range(17, 24) if VERSION.startswith("8.") else range(21, 100)
_CACHE = Path("~/.cache/lookalike-tests").expanduser()
_STARTS_WITHIN = 180.0
_NO_WATERMARKS = "cluster.routing.allocation.disk.threshold_enabled=false"
"""However full the disk of the machine is that tests."""


def java_home() -> Path | None:
    """A Java of 21 or newer; of 17 to 23 for a server of version 8."""
    given = os.environ.get("ES_JAVA_HOME")
    found = [Path(given)] if given else sorted(Path("/usr/lib/jvm").glob("*"), reverse=True)
    for each in found:
        release = each / "release"
        if (each / "bin/java").exists() and release.exists():
            text = release.read_text("utf-8")
            version = text.partition('JAVA_VERSION="')[2].partition('"')[0].partition(".")[0]
            if version.isdigit() and int(version) in _JAVAS:
                return each
    return None


def distribution() -> Path:
    """The unzipped distribution, fetched once; skips the test where that cannot be."""
    if java_home() is None:
        pytest.skip(f"needs a Java of {_JAVAS[0]} or newer: set ES_JAVA_HOME")
    folder = _CACHE / f"elasticsearch-{VERSION}"
    if not folder.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        archive = _CACHE / f"elasticsearch-{VERSION}.zip"
        if not archive.exists():
            _fetch()
        with tempfile.TemporaryDirectory(dir=_CACHE) as unpacked:
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(unpacked)
            inside = Path(unpacked) / folder.name
            for program in (inside / "bin").iterdir():
                program.chmod(0o755)
            inside.rename(folder)
    return folder


def _fetch() -> None:
    if shutil.which("mvn") is None:
        pytest.skip("needs Maven (mvn) to fetch Elasticsearch")
    wanted = ["dependency:copy", f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={_CACHE}"]
    done = subprocess.run(["mvn", "-q", "-B", *wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"Maven cannot fetch Elasticsearch: {done.stdout[-300:]}")


@dataclass
class Node:
    """One node of a cluster, with files of its own."""

    name: str
    port: int
    transport: int
    folder: Path
    settings: Sequence[str] = ()
    heap: str = "512m"
    prepare: Callable[[Path], None] | None = None
    """Is given the folder of the program, before that starts for the first time."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; `wait` says when it answers."""
        home = self.folder / "home"
        if not home.exists():  # its own, as it writes beside its program
            shutil.copytree(distribution(), home)
            for each in ("data", "logs"):
                (self.folder / each).mkdir()
            if self.prepare is not None:
                self.prepare(home)
        user = None
        if os.geteuid() == 0:  # which Elasticsearch refuses to run as
            user = pwd.getpwnam("nobody")
            owner = f"{user.pw_uid}:{user.pw_gid}"
            subprocess.run(["chown", "-R", owner, str(self.folder)], check=True)
        settings = [
            f"node.name={self.name}",
            f"http.port={self.port}",
            f"transport.port={self.transport}",
            "network.host=127.0.0.1",
            f"path.data={self.folder}/data",
            f"path.logs={self.folder}/logs",
            f"path.repo={self.folder.parent}/repository",
            "xpack.ml.enabled=false",
            *self.settings,
        ]
        if not any(each.startswith("xpack.security.enabled") for each in settings):
            settings.append("xpack.security.enabled=false")
        options = [part for each in settings for part in ("-E", each)]
        log = (self.folder / "output.log").open("wb")
        with log:
            self.process = subprocess.Popen(
                [str(home / "bin/elasticsearch"), *options],
                env={
                    **{key: each for key, each in os.environ.items() if key != "JAVA_HOME"},
                    "ES_JAVA_HOME": str(java_home()),
                    "ES_JAVA_OPTS": f"-Xms{self.heap} -Xmx{self.heap} -XX:-AlwaysPreTouch",
                    "HOME": str(self.folder),
                    "TMPDIR": "/tmp",
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
                user=None if user is None else user.pw_uid,
                group=None if user is None else user.pw_gid,
                extra_groups=None if user is None else [],
            )

    def wait(self, nodes: int = 1) -> None:
        """Until the cluster answers and has so many nodes; with security, until it listens."""
        if "xpack.security.enabled=true" in self.settings:
            self._wait_for(f"started {{{self.name}}}")
            return
        end = time.monotonic() + _STARTS_WITHIN
        asked = f"{self.url}/_cluster/health?wait_for_nodes=>={nodes}&timeout=5s"
        while time.monotonic() < end:
            if self.process is not None and self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), urllib.request.urlopen(asked, timeout=10) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.5)
        output = (self.folder / "output.log").read_text("utf-8", "replace")
        pytest.fail(f"Elasticsearch does not start: {output[-3000:]}")

    def _wait_for(self, text: str) -> None:
        end = time.monotonic() + _STARTS_WITHIN
        while time.monotonic() < end:
            if text in (self.folder / "output.log").read_text("utf-8", "replace"):
                return
            time.sleep(0.5)
        output = (self.folder / "output.log").read_text("utf-8", "replace")
        pytest.fail(f"Elasticsearch does not start: {output[-3000:]}")

    def stop(self, *, kill: bool = False) -> None:
        """End it: politely, or as a machine does that loses its power."""
        if self.process is None:
            return
        pids = [self.process.pid, *_children(self.process.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9 if kill else 15)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            self.process.wait(30)
        while any(Path(f"/proc/{pid}").exists() for pid in pids[1:]):
            time.sleep(0.1)
        self.process = None


def _children(pid: int) -> list[int]:
    """The processes that one has started, and theirs: the launcher starts the server."""
    found: list[int] = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            number, _, rest = each.read_text("utf-8", "replace").partition(" (")
            if int(rest.rpartition(") ")[2].split()[1]) == pid:
                found += [int(number), *_children(int(number))]
    return found


def in_memory() -> str | None:
    """Where files wait for no disk, if there is such a place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def free_port() -> int:
    """One that nobody listens on at this moment."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


@contextlib.contextmanager
def running(
    settings: Sequence[str] = (),
    prepare: Callable[[Path], None] | None = None,
    *,
    heap: str = "512m",
    folder: Path | None = None,
) -> Iterator[Node]:
    """One node that is a cluster by itself; `folder` keeps its files, and may have them already."""
    with _folder() if folder is None else contextlib.nullcontext(folder) as files:
        place = files / "one"
        place.mkdir(exist_ok=True)
        alone = ["discovery.type=single-node", _NO_WATERMARKS, *settings]
        node = Node("one", free_port(), free_port(), place, alone, heap, prepare)
        try:
            node.start()
            node.wait()
            yield node
        finally:
            node.stop(kill=True)


@contextlib.contextmanager
def three() -> Iterator[list[Node]]:
    """Three nodes that are one cluster."""
    names = ("one", "two", "three")
    transports = [free_port() for _ in names]
    settings = [
        f"discovery.seed_hosts={','.join(f'127.0.0.1:{port}' for port in transports)}",
        f"cluster.initial_master_nodes={','.join(names)}",
        "node.processors=2",
        _NO_WATERMARKS,
    ]
    with _folder() as folder:
        nodes = []
        for name, transport in zip(names, transports, strict=True):
            (folder / name).mkdir()
            nodes.append(Node(name, free_port(), transport, folder / name, settings))
        try:
            for node in nodes:
                node.start()
            for node in nodes:
                node.wait(len(names))
            yield nodes
        finally:
            for node in nodes:
                node.stop(kill=True)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """For the files of a cluster, with a repository of snapshots that every node may write to."""
    with tempfile.TemporaryDirectory(prefix="lookalike-elastic-", dir=in_memory()) as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "repository").mkdir()
        (Path(folder) / "repository").chmod(0o777)
        yield Path(folder)
