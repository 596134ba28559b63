"""A real Ray cluster on this machine, two workers, an object store; workers and drivers killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import object_store
import pytest
from elastic_node import free_port
from object_store import BUCKET, ObjectStore
from samples import command, encoded, environment, lookalike

import lookalike as api

pytest.importorskip("ray", reason="needs ray: make test-ray")

PICTURES = 400
FOLDER = f"s3://{BUCKET}/photos"
BATCH = 16
AT_WORK = 2 * BATCH
"""Pictures that a worker reads and describes at once."""
UNDER_WAY = 2 * 3 * BATCH
"""Pictures that a driver has given out to its two workers at most."""


@dataclass
class RayCluster:
    """One node with two cores, in a session of its own. Ray takes its word for a GPU."""

    address: str
    process: subprocess.Popen[bytes]

    def workers(self) -> list[int]:
        """The processes of actors that describe pictures."""
        return [pid for pid in self._children() if _name(pid).startswith("ray::_Describer")]

    def _children(self) -> list[int]:
        session = self.process.pid
        found = []
        for each in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ProcessLookupError):
                if session in _ancestors(int(each.name)):
                    found.append(int(each.name))
        return found

    def stop(self) -> None:
        """All of it; nothing that another cluster started."""
        children = self._children()
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        for pid in [*children, self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(20)


def _ancestors(pid: int) -> list[int]:
    found: list[int] = []
    while pid > 1:
        text = (Path("/proc") / str(pid) / "stat").read_text("utf-8", "replace")
        pid = int(text.rpartition(") ")[2].split()[1])
        found.append(pid)
    return found


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "cmdline").read_text("utf-8", "replace")
    return ""


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store.running() as running:
        for number in range(PICTURES):
            running.put(f"photos/{number % 3}/{number:03}.png", encoded(number))
        running.put("photos/0/000-copy.png", encoded(0))
        running.put("photos/broken.jpg", b"\xff\xd8\xff\xe0 and no more")
        yield running


@pytest.fixture(scope="module")
def cluster(store: ObjectStore) -> Iterator[RayCluster]:
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # a path of a socket may not be long
    port = free_port()
    started = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *(f"--port={port}", "--num-cpus=2", "--num-gpus=1", "--object-store-memory=200000000"),
        *("--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={folder}"),
    ]
    log = Path(folder) / "start.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            started, env=environment(**store.environment), stdout=output, stderr=output
        )
    cluster = RayCluster(f"127.0.0.1:{port}", process)
    try:
        end = time.monotonic() + 120
        while "Ray runtime started" not in log.read_text("utf-8", "replace"):
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"Ray does not start: {log.read_text('utf-8', 'replace')[-2000:]}")
            time.sleep(0.2)
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def alone(store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection that this machine makes by itself."""
    home = tmp_path_factory.mktemp("alone") / "c"
    done = lookalike("index", FOLDER, "-c", home, "--json", env=store.environment)
    assert json.loads(done.stdout)["stored"] == PICTURES
    return home


@dataclass
class Indexing:
    """`lookalike index --ray` at work."""

    process: subprocess.Popen[str]
    store: ObjectStore
    before: int
    errors: str = ""
    """What it said beside its report."""

    def reads(self) -> Counter[str]:
        """How often each object was read since it began."""
        return Counter(self.store.reads()[self.before :])

    def wait_for_reads(self, count: int) -> None:
        end = time.monotonic() + 120
        while self.reads().total() < count:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end
            time.sleep(0.005)

    def report(self) -> dict[str, int]:
        output, self.errors = self.process.communicate(timeout=180)
        assert self.process.returncode == 1, self.errors  # one picture is broken
        report: dict[str, int] = json.loads(output)
        return report


def index(cluster: RayCluster, store: ObjectStore, home: Path) -> Indexing:
    asked = command("index", FOLDER, "-c", home, "--ray", cluster.address, "--json")
    before = len(store.reads())
    process = subprocess.Popen(
        asked,
        env=environment(**store.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Indexing(process, store, before)


def content(home: Path) -> dict[str, tuple[list[str], bytes]]:
    """Every picture: its places, and its vector bit for bit."""
    with api.open(home) as opened:
        ((name, _),) = opened.engine.dims(None).items()
        return {
            record.id: (
                sorted(place.path for place in record.places),
                opened.store.vectors(name, record.id).tobytes(),
            )
            for record in opened.newest(limit=10 * PICTURES)
        }


def test_a_cluster_makes_what_one_machine_makes(
    cluster: RayCluster, store: ObjectStore, alone: Path, tmp_path: Path
) -> None:
    indexing = index(cluster, store, tmp_path / "c")
    report = indexing.report()
    assert (report["stored"], report["copies"], report["failed"]) == (PICTURES, 1, 1)
    assert set(indexing.reads().values()) == {1}
    assert indexing.reads().total() == PICTURES + 2
    assert content(tmp_path / "c") == content(alone)

    again = index(cluster, store, tmp_path / "c")
    report = again.report()
    assert (report["unchanged"], report["failed"]) == (PICTURES + 1, 1)
    assert again.reads().total() == 0


def test_a_worker_killed_midway_costs_what_it_had_at_work(
    cluster: RayCluster, store: ObjectStore, alone: Path, tmp_path: Path
) -> None:
    indexing = index(cluster, store, tmp_path / "c")
    indexing.wait_for_reads(4 * BATCH)
    killed = cluster.workers()[0]
    os.kill(killed, signal.SIGKILL)
    assert indexing.reads().total() < PICTURES, "it was killed too late to be of interest"
    report = indexing.report()
    assert (report["stored"], report["copies"], report["failed"]) == (PICTURES, 1, 1)
    reads = indexing.reads()
    assert len(reads) == PICTURES + 2
    assert reads.total() - len(reads) <= AT_WORK
    assert content(tmp_path / "c") == content(alone)
    told = indexing.errors.splitlines()
    assert any("worker died" in each for each in told), told
    assert all(each.startswith(("Ray: ", "`lookalike failures")) for each in told), told


def test_a_driver_killed_midway_is_gone_on_from_what_it_had_stored(
    cluster: RayCluster, store: ObjectStore, alone: Path, tmp_path: Path
) -> None:
    home = tmp_path / "c"
    first = index(cluster, store, home)
    first.wait_for_reads(UNDER_WAY + 6 * BATCH)
    first.process.kill()
    first.process.communicate()
    end = time.monotonic() + 60
    while cluster.workers():  # who works for nobody
        assert time.monotonic() < end
        time.sleep(0.2)
    done_before = first.reads()
    kept = len(content(home))
    assert 0 < kept < PICTURES

    second = index(cluster, store, home)
    report = second.report()
    assert report["stored"] == PICTURES - kept
    assert report["unchanged"] >= kept
    read_twice = done_before & second.reads()
    assert read_twice.total() <= UNDER_WAY
    assert len(done_before | second.reads()) == PICTURES + 2
    assert content(home) == content(alone)


def test_a_cluster_with_too_few_gpus_says_so(
    cluster: RayCluster, store: ObjectStore, tmp_path: Path
) -> None:
    said = refused(store, tmp_path, cluster.address, "--ray-gpus", "2")
    assert "a core and 2 of a GPU, and the Ray cluster has 2 cores and 1 GPUs" in said
    assert not (tmp_path / "c").exists()


def test_a_share_of_a_gpu_is_asked_for_and_has_to_be_made_use_of(
    cluster: RayCluster, store: ObjectStore, tmp_path: Path
) -> None:
    said = refused(store, tmp_path, cluster.address, "--ray-gpus", "0.5")
    assert "this model is made for CPUs" in said


def test_no_cluster_is_one_line(store: ObjectStore, tmp_path: Path) -> None:
    said = refused(store, tmp_path, f"127.0.0.1:{free_port()}")
    assert "no Ray cluster answers" in said
    assert not (tmp_path / "c").exists()


def test_what_is_no_cluster_is_one_line(store: ObjectStore, tmp_path: Path) -> None:
    said = refused(store, tmp_path, store.url.removeprefix("http://"))
    assert "(something else does)" in said
    assert not (tmp_path / "c").exists()


def test_a_machine_without_this_lookalike_is_one_line(
    cluster: RayCluster, store: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "lookalike.py").write_text("raise ImportError('another one')")
    there = json.dumps({"runtime_env": {"env_vars": {"PYTHONPATH": str(tmp_path)}}})
    said = refused(store, tmp_path, cluster.address, RAY_JOB_CONFIG_JSON_ENV_VAR=there)
    assert "cannot start (ImportError: another one)" in said


def refused(store: ObjectStore, folder: Path, address: str, *more: str, **env: str) -> str:
    """The one line that is said of such a cluster, after what Ray itself has said."""
    done = lookalike(
        *("index", FOLDER, "-c", folder / "c"),
        *("--ray", address, *more),
        env=store.environment | env,
    )
    assert done.returncode == 2
    *before, line = done.stderr.splitlines()
    assert all(each.startswith("Ray: ") for each in before), done.stderr
    return line
