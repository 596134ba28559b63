"""The vectors by which candidates are ranked at last: a file that grows, and is mapped to be read.

FAISS can map a flat index from its file, but writes one only from memory. So the file is written
here: what FAISS writes of an empty index, which ends with the number of stored values, then these.
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import weakref
from pathlib import Path
from typing import IO, Any

import faiss
import numpy as np
import numpy.typing as npt

from ..distances import Distance
from ..types import Neighbours, Vectors
from . import Positions, faiss_calls, neighbours

_NAME = "refinement.faiss"
_KEPT_LEAST = 2_048
"""Positions from which on a copy of their vectors is kept for the next query among the same."""
_KEPT_BYTES = 64 << 20
"""The largest such copy."""
_COUNT_AT = 8
"""Where a FAISS file says its number of vectors: after its mark and the dimension."""


class Refinement:
    """Vectors by position: half precision where they have length 1, else single."""

    def __init__(self, path: Path, file: IO[bytes] | None, header: bytes, count: int) -> None:
        self._path = path
        self._file = file
        """Open while it may grow; it is gone with it."""
        self._header = header
        self._count = count
        self._index: Any = None
        self._stored: npt.NDArray[np.uint8] | None = None
        self._kept: tuple[Positions, Any] | None = None
        if file is not None:
            weakref.finalize(self, _discard, path, file)

    @classmethod
    def create(cls, dim: int, distance: Distance, workspace: Path) -> Refinement:
        """An empty one, in a temporary file in `workspace`."""
        metric = faiss_calls.metric_number(distance.metric)
        empty = _empty_halves(dim, metric) if distance.normalised else faiss.IndexFlat(dim, metric)
        header = faiss.serialize_index(empty).tobytes()[:-8]
        return cls(*_opened(workspace, header), header, 0)

    @classmethod
    def load(cls, folder: Path, *, mapped: bool) -> Refinement:
        """A saved one; if it is not `mapped`, a copy that may be added to."""
        path = folder / _NAME
        index = faiss_calls.read(path, mapped=True)
        count = int(index.ntotal)
        if mapped:
            made = cls(path, None, b"", count)
            made._index = index
            return made
        with path.open("rb") as source:
            header = source.read(path.stat().st_size - count * index.code_size - 8)
            source.seek(8, os.SEEK_CUR)
            copy, file = _opened(folder.parent, header)
            shutil.copyfileobj(source, file)
        return cls(copy, file, header, count)

    @property
    def precision(self) -> float:
        """How far a value may be from what was added, as a share of it."""
        halves = isinstance(self.index, faiss.IndexScalarQuantizer)
        return float(np.finfo(np.float16 if halves else np.float32).eps) / 2

    def add(self, vectors: Vectors) -> None:
        """Append `vectors`: float32 [n, dim]."""
        assert self._file is not None
        kind = np.float16 if self._grows_by_halves else np.float32
        self._file.write(np.ascontiguousarray(vectors, kind).data)
        self._count += len(vectors)
        self._index = self._stored = None

    @property
    def index(self) -> Any:
        """A flat FAISS index of all, mapped."""
        index = self._index
        if index is None:
            self._finish()
            index = self._index = faiss_calls.read(self._path, mapped=True)
        return index

    def at(self, positions: Positions | slice) -> Vectors:
        """The vectors there, float32 [n, dim]."""
        codes = self._codes[positions]
        if self._halves:
            decoded: Vectors = self.index.sa_decode(codes)  # numpy takes five times as long
            return decoded
        return codes.view(np.float32)

    def among(self, queries: Vectors, k: int, positions: Positions) -> Neighbours:
        """The `k` nearest of these positions; -1 past the end. `queries`: float32 [q, dim].

        Of many positions that several queries come with, as behind one filter, the vectors are
        copied once: read one after the other they are compared in a quarter of the time.
        """
        if not self._halves:
            return faiss_calls.among(self.index, queries, k, positions)
        kept = self._kept
        if kept is None or kept[0] is not positions:
            if not self._worth_keeping(positions):
                return self._copied_among(queries, k, positions)
            kept = self._kept = positions, self._copied(positions, self._empty())
        found = faiss_calls.search(kept[1], queries, min(k, len(positions)), None)
        return Neighbours(positions[found.rows], found.scores)

    def _copied_among(self, queries: Vectors, k: int, positions: Positions) -> Neighbours:
        few = self._empty()

        def compared(some: Positions) -> Neighbours:
            copied = self._copied(some, few)
            found = faiss_calls.search(copied, queries, min(k, len(some)), None)
            return Neighbours(some[found.rows], found.scores)

        return neighbours.in_parts(compared, len(queries), k, positions)

    def _worth_keeping(self, positions: Positions) -> bool:
        return len(positions) >= _KEPT_LEAST and (
            len(positions) * self._codes.shape[1] <= _KEPT_BYTES
        )

    def _copied(self, positions: Positions, into: Any) -> Any:
        """A FAISS index filled with the vectors at these positions."""
        size = self._codes.shape[1]
        into.codes.resize(len(positions) * size)
        codes = faiss.rev_swig_ptr(into.codes.data(), len(positions) * size).reshape(-1, size)
        np.take(self._codes, positions, axis=0, out=codes, mode="clip")  # else through a copy
        into.ntotal = len(positions)
        return into

    def _empty(self) -> Any:
        return _empty_halves(self.index.d, self.index.metric_type)

    def best(self, queries: Vectors, candidates: Positions, k: int) -> Neighbours:
        """The `k` nearest of each query's candidates, int64 [q, c], -1 for none; -1 past the end.

        `queries`: float32 [q, dim].
        """
        if self._halves:
            found = faiss_calls.none(len(queries), min(k, candidates.shape[1]))
            for i, some in enumerate(candidates):
                there = some[some >= 0]
                rows, scores = self.among(queries[i : i + 1], k, there)
                found.rows[i, : rows.shape[1]], found.scores[i, : rows.shape[1]] = rows, scores
            return found
        scores = np.empty(candidates.shape, np.float32)
        self.index.compute_distance_subset(
            len(queries),
            faiss.swig_ptr(np.ascontiguousarray(queries)),
            candidates.shape[1],
            faiss.swig_ptr(scores),
            faiss.swig_ptr(candidates),
        )
        if faiss_calls.metric_of(self.index) == "squared euclidean":
            np.negative(scores, out=scores)
        if len(queries) == 1:  # numpy's general way takes longer than the comparing
            first = np.negative(scores[0]).argsort(kind="stable")[:k]
            return Neighbours(candidates[:, first], scores[:, first])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return Neighbours(
            np.take_along_axis(candidates, order, axis=1), np.take_along_axis(scores, order, axis=1)
        )

    @property
    def _codes(self) -> npt.NDArray[np.uint8]:
        """All of them as they are stored, uint8 [n, bytes]."""
        codes = self._stored
        if codes is None:
            index = self.index
            shape = int(index.ntotal), int(index.code_size)
            codes = np.empty(shape, np.uint8)
            if index.ntotal:
                every = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * index.code_size)
                codes = every.reshape(shape)
            self._stored = codes
        return codes

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        self._finish()
        shutil.copyfile(self._path, folder / _NAME)

    @property
    def _halves(self) -> bool:
        return isinstance(self.index, faiss.IndexScalarQuantizer)

    @property
    def _grows_by_halves(self) -> bool:
        return self._header.startswith(b"IxSQ")

    def _finish(self) -> None:
        """Have a file that grows say how much it holds."""
        if self._file is None:
            return
        end = self._file.tell()
        values = end - len(self._header) - 8
        self._file.seek(_COUNT_AT)
        self._file.write(struct.pack("<q", self._count))
        self._file.seek(len(self._header))
        self._file.write(struct.pack("<Q", values if self._grows_by_halves else values // 4))
        self._file.seek(end)
        self._file.flush()


def _empty_halves(dim: int, metric: int) -> Any:
    """An empty FAISS index of half precision."""
    return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, metric)


def _opened(workspace: Path, header: bytes) -> tuple[Path, IO[bytes]]:
    workspace.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=workspace, suffix=".tmp")
    file = os.fdopen(number, "wb")
    file.write(header + bytes(8))
    return Path(name), file


def _discard(path: Path, file: IO[bytes]) -> None:
    file.close()
    path.unlink(missing_ok=True)
