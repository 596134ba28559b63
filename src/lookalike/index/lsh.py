"""Locality-sensitive hashing by random hyperplanes (Charikar, 2002): hash tables, looked up.

A bit of a key says on which side of a plane a vector lies, so near vectors tend to share keys.
Looking into the buckets nearest to the query's own, too, is multi-probe LSH (Lv et al., 2007).
"""

from __future__ import annotations

import heapq
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal, Self
from zipfile import BadZipFile

import faiss
import numpy as np
import numpy.typing as npt

from ..distances import Compared, Distance, differing_bits
from ..errors import PlanesUnusable
from ..types import Effort, Footprint, Neighbours, Vectors
from . import Mask, Positions, Structure, faiss_calls

_TABLES = "tables.npz"
_BLOCK = 16_384
_CANDIDATES = 10
"""For each hit, before buckets farther off are looked into as well."""
_ENOUGH = 0.5
"""Of the candidates that a filter's share lets expect."""
_ALL_FROM = 4_096
"""Buckets of each table, from which on looking at every vector costs less."""
Planes = npt.NDArray[np.float32]
"""float32 [num_hashtables, hash_size, dim]."""


@dataclass(frozen=True, slots=True)
class LSHOptions:
    """The knobs by the names that users of lshash know."""

    hash_size: int = 12
    """Bits of a key: the more, the fewer vectors share a bucket."""
    num_hashtables: int = 8
    """Tables, each with planes of its own: memory, and recall."""
    probes: int | Literal["all"] = 8
    """Buckets that are looked into in each table; all: every vector is a candidate."""
    store_file: str = ""
    """The path of a .npz that keeps the planes, as lshash writes it; made if it is not there."""
    overwrite: bool = False
    """Draw the planes from `seed`, whatever the file holds."""
    seed: int = 0
    """Of the random planes."""

    def __post_init__(self) -> None:
        if not 1 <= self.hash_size <= 62:
            raise ValueError(f"hash_size must be 1 to 62, not {self.hash_size}")
        if not 1 <= self.num_hashtables <= 1_000:
            raise ValueError(f"num_hashtables must be 1 to 1,000, not {self.num_hashtables}")
        if self.probes != "all" and self.probes < 1:
            raise ValueError(f'probes must be 1 or more or "all", not {self.probes}')
        if self.store_file and not Path(self.store_file).expanduser().is_absolute():
            raise ValueError(f"store_file must be an absolute path, not {self.store_file}")


class LSH:
    """Hash tables whose buckets give the candidates, which are then ranked exactly."""

    Options: ClassVar = LSHOptions
    kind: ClassVar = "lsh"
    knobs: ClassVar = frozenset({"probes"})
    training_vectors: ClassVar = 0

    def __init__(
        self, storage: faiss.IndexFlat, planes: Planes, options: LSHOptions, *, mapped: bool
    ) -> None:
        self._storage = storage
        self._planes = planes
        self._options = options
        self._mapped = mapped
        self._added: list[npt.NDArray[np.int64]] = []
        self._tables: _Tables | None = None

    @classmethod
    def create(
        cls,
        dim: int,
        distance: Distance,
        options: LSHOptions,
        expected: int,  # noqa: ARG003
        workspace: Path,  # noqa: ARG003
    ) -> Self:
        """An empty one."""
        storage = faiss.IndexFlat(dim, faiss_calls.metric_number(distance.metric))
        return cls(storage, planes_of(options, dim), options, mapped=False)

    @classmethod
    def suits(cls, structure: Structure, options: LSHOptions, expected: int) -> bool:  # noqa: ARG003
        """If it has the same planes."""
        if not isinstance(structure, cls):
            return False
        return np.array_equal(structure._planes, planes_of(options, structure._storage.d))

    @classmethod
    def coded(cls, distance: Distance, options: LSHOptions, dim: int) -> Distance:
        """`hamming` compares the keys of all tables: 0 to hash_size x num_hashtables.

        `PlanesUnusable` if the store file cannot be used.
        """
        planes = planes_of(options, dim).reshape(-1, dim)
        if distance.name != "hamming":
            return distance

        def differing_keys(query: Vectors, vectors: Vectors) -> Compared:
            return differing_bits(planes @ query, vectors @ planes.T)

        return replace(distance, exact=differing_keys)

    @classmethod
    def bytes_for(
        cls,
        dim: int,
        distance: Distance,  # noqa: ARG003
        options: LSHOptions,
        expected: int,
    ) -> Footprint:
        """Vectors, of each table a key and a position for every one, and the planes."""
        tables = options.num_hashtables
        total = expected * (4 * dim + 12 * tables) + 4 * dim * tables * options.hash_size
        return Footprint(total, total)

    @classmethod
    def load(cls, folder: Path, options: LSHOptions, *, mapped: bool) -> Self:
        """A saved one; the vectors are mapped, the tables read."""
        storage = faiss_calls.read(folder / faiss_calls.FILE, mapped=mapped)
        with np.load(folder / _TABLES, allow_pickle=False) as arrays:
            made = cls(storage, arrays["planes"], options, mapped=mapped)
            made._tables = _Tables(arrays["keys"], arrays["order"])
        return made

    def train(self, sample: Vectors) -> None:
        """There is nothing to learn."""

    def add(self, vectors: Vectors) -> None:
        """Append `vectors`: float32 [n, dim]."""
        if self._mapped:
            raise TypeError("a mapped structure cannot be added to")
        if self._tables is not None:
            self._added, self._tables = [self._tables.by_position()], None
        for start in range(0, len(vectors), _BLOCK):
            block = vectors[start : start + _BLOCK]
            self._added.append(_keys(self._projected(block)))
            self._storage.add(block)

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None, effort: Effort | None
    ) -> Neighbours:
        """The nearest in the buckets looked into: in twice as many where these hold too few."""
        found = faiss_calls.none(len(queries), k)
        for i in range(len(queries)):
            positions = self._candidates(queries[i : i + 1], k, allowed, effort)
            nearest = faiss_calls.among(self._storage, queries[i : i + 1], k, positions)
            width = nearest.rows.shape[1]
            found.rows[i, :width], found.scores[i, :width] = nearest.rows[0], nearest.scores[0]
        return found

    def reach(
        self,
        query: Vectors,
        k: int | None,  # noqa: ARG002
        allowed: Mask | None,  # noqa: ARG002
        effort: Effort | None,
    ) -> Positions | None:
        """All that lie in the buckets looked into."""
        probes = self._probes(effort)
        if probes == "all" or probes >= min(1 << self._options.hash_size, _ALL_FROM):
            return None
        return self._in_buckets(self._projected(query)[:, 0], probes)

    def among(self, queries: Vectors, k: int, positions: Positions) -> Neighbours:
        """The `k` nearest of these positions."""
        return faiss_calls.among(self._storage, queries, k, positions)

    def at(self, positions: Positions | slice) -> Vectors:
        """The vectors there, float32 [n, dim]."""
        return faiss_calls.flat_vectors(self._storage)[positions]

    def save(self, folder: Path) -> None:
        """Write it into an empty folder."""
        faiss.write_index(self._storage, str(folder / faiss_calls.FILE))
        tables = self._sorted
        with (folder / _TABLES).open("wb") as file:
            np.savez(file, planes=self._planes, keys=tables.keys, order=tables.order)

    @property
    def memory_bytes(self) -> int:
        """Vectors, of each table a key and a position for every one, and the planes."""
        tables = self._options.num_hashtables
        return len(self) * (4 * int(self._storage.d) + 12 * tables) + self._planes.nbytes

    def __len__(self) -> int:
        return int(self._storage.ntotal)

    def _projected(self, vectors: Vectors) -> npt.NDArray[np.float32]:
        """How far vectors lie from every plane: float32 [tables, n, bits], above 0 on one side."""
        tables, bits, dim = self._planes.shape
        flat = vectors @ self._planes.reshape(-1, dim).T
        return flat.reshape(len(vectors), tables, bits).transpose(1, 0, 2)

    def _probes(self, effort: Effort | None) -> int | Literal["all"]:
        if effort is None or effort.probes is None:
            return self._options.probes
        return effort.probes

    def _candidates(
        self, query: Vectors, k: int, allowed: Mask | None, effort: Effort | None
    ) -> Positions:
        """What is ranked for one query: the buckets looked into, more of them, or everything."""
        probes = self._probes(effort)
        most = min(1 << self._options.hash_size, _ALL_FROM)
        everything = np.arange(len(self)) if allowed is None else np.flatnonzero(allowed)
        if probes == "all" or probes >= most:
            return everything
        projected = self._projected(query)[:, 0]
        found = self._in_buckets(projected, probes)
        wanted = min(_CANDIDATES * k, len(everything))
        if allowed is not None:
            # Where far fewer pass than the filter's share, those that pass lie elsewhere.
            usual = len(found) * len(everything) / len(allowed)
            found = found[np.flatnonzero(allowed[found])]
            if len(found) < _ENOUGH * usual:
                return everything
        while len(found) < wanted and probes < most:
            probes *= 4
            found = self._in_buckets(projected, probes)
            found = found if allowed is None else found[np.flatnonzero(allowed[found])]
        return found if len(found) >= wanted else everything

    def _in_buckets(self, projected: npt.NDArray[np.float32], probes: int) -> Positions:
        """Positions in the `probes` nearest buckets of each table, ascending, each once."""
        tables = self._sorted
        every = [
            tables.members(number, np.fromiter(_nearest_keys(margins, probes), np.int64))
            for number, margins in enumerate(projected)
        ]
        return np.unique(np.concatenate(every)).astype(np.int64)

    @property
    def _sorted(self) -> _Tables:
        tables = self._tables
        if tables is None:
            width = self._options.num_hashtables
            every = [np.empty((width, 0), np.int64), *self._added]
            tables = self._tables = _Tables.of(np.concatenate(every, axis=1))
            self._added = []
        return tables


@dataclass(frozen=True, slots=True, eq=False)
class _Tables:
    """Hash tables as sorted keys: a bucket is a run of equal ones."""

    keys: npt.NDArray[np.int64]
    """int64 [tables, n], each row ascending."""
    order: npt.NDArray[np.int32]
    """int32 [tables, n], the position that each key belongs to."""

    @classmethod
    def of(cls, keys: npt.NDArray[np.int64]) -> _Tables:
        """From keys by position, int64 [tables, n]."""
        order = np.argsort(keys, axis=1, kind="stable")
        return cls(np.take_along_axis(keys, order, axis=1), order.astype(np.int32))

    def members(self, table: int, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """The positions in some buckets of one table."""
        starts = np.searchsorted(self.keys[table], keys)
        ends = np.searchsorted(self.keys[table], keys + 1)
        full = np.flatnonzero(ends > starts)
        pairs = zip(starts[full].tolist(), ends[full].tolist(), strict=True)
        runs = [self.order[table, start:end] for start, end in pairs]
        return np.concatenate(runs) if runs else self.order[table, :0]

    def by_position(self) -> npt.NDArray[np.int64]:
        """The keys by position, int64 [tables, n]."""
        keys = np.empty_like(self.keys)
        np.put_along_axis(keys, self.order.astype(np.int64), self.keys, axis=1)
        return keys


def planes_of(options: LSHOptions, dim: int) -> Planes:
    """The planes that these options name: of the store file, or drawn, and then kept there."""
    shape = (options.num_hashtables, options.hash_size, dim)
    if not options.store_file:
        return _drawn(options.seed, shape)
    path = Path(options.store_file).expanduser()
    if path.exists() and not options.overwrite:
        return _read_planes(path, shape, path.stat().st_mtime_ns)
    drawn = _drawn(options.seed, shape)
    if not _holds(path, drawn):
        _keep(path, drawn)
    return drawn


@lru_cache(maxsize=8)
def _drawn(seed: int, shape: tuple[int, int, int]) -> Planes:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _holds(path: Path, planes: Planes) -> bool:
    """Whether a store file has these very planes, as another process may have just kept them."""
    try:
        return np.array_equal(_read_planes(path, planes.shape, path.stat().st_mtime_ns), planes)
    except (OSError, PlanesUnusable):
        return False


def _keep(path: Path, planes: Planes) -> None:
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez_compressed(file, *planes)
        temporary.rename(path)
    except OSError as error:
        raise PlanesUnusable(path, error.strerror or str(error)) from error


@lru_cache(maxsize=8)
def _read_planes(path: Path, shape: tuple[int, ...], modified_ns: int) -> Planes:  # noqa: ARG001
    """Lshash's format: for each table an array [hash_size, dim].

    `modified_ns`: when the file was written, so that another one is read anew.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            planes = np.array([arrays[name] for name in arrays.files], np.float32)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise PlanesUnusable(path, f"it cannot be read ({error})") from error
    if planes.shape != shape:
        raise PlanesUnusable(path, f"its planes are {planes.shape}, {shape} are wanted")
    return planes


def _keys(projected: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """float32 [tables, n, bits] -> int64 [tables, n]."""
    weights = np.left_shift(np.int64(1), np.arange(projected.shape[2]))
    keys: npt.NDArray[np.int64] = (projected > 0).astype(np.int64) @ weights
    return keys


def _nearest_keys(margins: npt.NDArray[np.float32], count: int) -> Iterator[int]:
    """The keys of the `count` buckets nearest to a query, its own first.

    `margins`: float32 [bits], how far it lies from each plane. A bucket is as far as the planes
    between: the sets of bits to flip are made by rising sum of squared margins from a heap.
    """
    own = int(_keys(margins[np.newaxis, np.newaxis])[0, 0])
    yield own
    order = np.argsort(np.abs(margins), kind="stable")
    costs = (margins[order].astype(np.float64) ** 2).tolist()
    flips = [1 << bit for bit in order.tolist()]
    heap = [(costs[0], 0, flips[0])]
    for _ in range(count - 1):
        if not heap:
            return
        cost, last, flipped = heapq.heappop(heap)
        yield own ^ flipped
        if last + 1 < len(costs):
            further = cost + costs[last + 1]
            heapq.heappush(heap, (further, last + 1, flipped | flips[last + 1]))
            shifted = (flipped ^ flips[last]) | flips[last + 1]
            heapq.heappush(heap, (further - costs[last], last + 1, shifted))
