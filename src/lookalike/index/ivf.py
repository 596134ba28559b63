"""Inverted files: k-means clusters, of which a search looks into the nearest.

Sivic and Zisserman, 2003; Jégou et al., 2011.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import faiss
import numpy as np
import numpy.typing as npt

from ..distances import Distance
from ..types import Effort, Footprint, Neighbours, Vectors
from . import Mask, Positions, Structure, faiss_calls, neighbours

TRAIN_EACH = 40
"""Vectors for each cluster that k-means sees: more change little (FAISS asks for 39)."""
MOST_TRAINING = 256_000
_OUTGROWN = 2.0
"""The clusters wanted by now, for each that there is, from which on they are learned anew."""
_NEARLY_ALL = 0.75
"""The allowed share from which on it does not matter which are not."""
_FAR = 2.0
"""Times the lists that a filter's share explains, from which on every allowed vector is seen."""
_MEMBERS = 10
"""Of lists for each hit, where those looked into first hold fewer than there are to be hits."""


@dataclass(frozen=True, slots=True)
class IVFOptions:
    """How many clusters there are, and how many a search looks into."""

    clusters: int = 0
    """0: four times the square root of the number of vectors; never more than there are vectors."""
    probes: int | Literal["all"] = 16
    """Of the nearest clusters, how many are looked into: time, and recall."""

    def __post_init__(self) -> None:
        if not 0 <= self.clusters <= 1_000_000:
            raise ValueError(f"clusters must be 0 to 1,000,000, not {self.clusters}")
        if self.probes != "all" and self.probes < 1:
            raise ValueError(f'probes must be 1 or more or "all", not {self.probes}')

    def clusters_for(self, expected: int) -> int:
        """How many there are to be for about so many vectors."""
        wanted = self.clusters or round(4 * expected**0.5)
        return max(1, min(wanted, expected))


class IVF:
    """Vectors by the cluster they lie in; all members of the nearest clusters are compared."""

    Options: ClassVar = IVFOptions
    kind: ClassVar = "ivf"
    knobs: ClassVar = frozenset({"probes"})

    def __init__(self, index: faiss.IndexIVFFlat, options: IVFOptions, *, mapped: bool) -> None:
        self._index = index
        self._mapped = mapped
        self._probing = Probing(index, options.probes)

    @classmethod
    def create(
        cls,
        dim: int,
        distance: Distance,
        options: IVFOptions,
        expected: int,
        workspace: Path,  # noqa: ARG003
    ) -> Self:
        """An empty one, which must be trained."""
        index = faiss.IndexIVFFlat(
            faiss.IndexFlatL2(dim),  # clusters are ranked by L2, whatever their members are by
            dim,
            options.clusters_for(expected),
            faiss_calls.metric_number(distance.metric),
        )
        return cls(index, options, mapped=False)

    @classmethod
    def suits(cls, structure: Structure, options: IVFOptions, expected: int) -> bool:
        """If it has the clusters that are wanted."""
        return isinstance(structure, cls) and right_clusters(structure._index, options, expected)

    @classmethod
    def bytes_for(
        cls,
        dim: int,
        distance: Distance,  # noqa: ARG003
        options: IVFOptions,
        expected: int,
    ) -> Footprint:
        """Vectors, their numbers and places, and centroids."""
        total = expected * (4 * dim + 16) + 4 * dim * options.clusters_for(expected)
        return Footprint(total, total)

    @classmethod
    def load(cls, folder: Path, options: IVFOptions, *, mapped: bool) -> Self:
        """A saved one."""
        index = faiss_calls.read(folder / faiss_calls.FILE, mapped=mapped)
        return cls(index, options, mapped=mapped)

    @property
    def training_vectors(self) -> int:
        """Some for each cluster."""
        return min(TRAIN_EACH * int(self._index.nlist), MOST_TRAINING)

    def train(self, sample: Vectors) -> None:
        """Learn the clusters from `sample`: float32 [n, dim]."""
        self._index.cp.min_points_per_centroid = 1  # FAISS warns on standard error
        self._index.train(enough(sample, self._index.nlist))
        self._index.set_direct_map_type(faiss.DirectMap.Array)

    def add(self, vectors: Vectors) -> None:
        """Append `vectors`: float32 [n, dim]."""
        if self._mapped:
            raise TypeError("a mapped structure cannot be added to")
        self._index.add(vectors)

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None, effort: Effort | None
    ) -> Neighbours:
        """The nearest members of the nearest clusters; of more of these, the fewer are allowed."""
        probes: int | None
        probes = usual = self._probing.count(effort)
        if allowed is not None:
            if len(queries) > 1:  # each looks as far as it has to
                return faiss_calls.one_by_one(self.search, queries, k, allowed, effort)
            probes = self._probing.restricted(queries, usual, allowed)
        selector = None if allowed is None else faiss_calls.selector(allowed)
        found = self._looked_at(queries, k, probes, selector)
        for i in short_ones(found):
            query = queries[i : i + 1]
            wider = self._probing.reaching(query, k, allowed)
            rows, scores = self._looked_at(query, k, wider, selector)
            scores[rows < 0] = -np.inf
            found.rows[i], found.scores[i] = rows[0], scores[0]
        return found

    def reach(
        self, query: Vectors, k: int | None, allowed: Mask | None, effort: Effort | None
    ) -> Positions | None:
        """All members of the nearest clusters; of more of these where they are too few."""
        return self._probing.members(query, k, allowed, effort)

    def among(self, queries: Vectors, k: int, positions: Positions) -> Neighbours:
        """The `k` nearest of these positions."""
        metric = faiss_calls.metric_of(self._index)

        def compared(some: Positions) -> Neighbours:
            found = faiss_calls.exact(queries, self.at(some), k, metric)
            return Neighbours(some[found.rows], found.scores)

        return neighbours.in_parts(compared, len(queries), k, positions)

    def at(self, positions: Positions | slice) -> Vectors:
        """The vectors there, float32 [n, dim]."""
        if isinstance(positions, slice):
            positions = np.arange(*positions.indices(len(self)))
        if len(positions) == 0:
            return np.empty((0, self._index.d), np.float32)
        vectors: Vectors = self._index.reconstruct_batch(positions)
        return vectors

    def _looked_at(self, queries: Vectors, k: int, probes: int | None, selector: Any) -> Neighbours:
        """The `k` nearest in so many lists, or in all; past the end -1, and any score."""
        lists = int(self._index.nlist) if probes is None else probes
        parameters = self._probing.parameters(lists, selector)
        return faiss_calls.search(self._index, queries, k, parameters)

    def save(self, folder: Path) -> None:
        """Write it into an empty folder."""
        faiss.write_index(self._index, str(folder / faiss_calls.FILE))

    @property
    def memory_bytes(self) -> int:
        """Vectors, their numbers and places, and centroids."""
        width = 4 * int(self._index.d)
        return len(self) * (width + 16) + int(self._index.nlist) * width

    def __len__(self) -> int:
        return int(self._index.ntotal)


class Probing:
    """How many inverted lists a search looks into, and what FAISS has to be told for it."""

    def __init__(self, ivf: Any, usual: int | Literal["all"]) -> None:
        self._ivf = ivf
        self._usual = usual
        # Making FAISS's parameter object costs as much as a tenth of a search: made once.
        self._made: dict[int, Any] = {}
        self._list_of: npt.NDArray[np.int32] | None = None
        self._counted: tuple[Mask, npt.NDArray[np.int64]] | None = None

    def count(self, effort: Effort | None) -> int:
        """How many lists this effort looks into."""
        lists = int(self._ivf.nlist)
        wanted = self._usual if effort is None or effort.probes is None else effort.probes
        return lists if wanted == "all" else min(wanted, lists)

    def restricted(self, query: Vectors, probes: int, allowed: Mask) -> int | None:
        """How many lists give a query, float32 [1, dim], the usual candidates under a filter.

        All lists are gone through from the nearest on, until there are enough. None if that takes
        far more than the allowed share would explain: then they lie elsewhere, as cats do that are
        asked for with a dog, the nearest of them in no list in particular.
        """
        lists = int(self._ivf.nlist)
        counts = self._allowed_in_lists(allowed)
        share = max(int(counts.sum()), 1) / max(len(allowed), 1)
        if share > _NEARLY_ALL:  # as where a few have been removed
            return min(round(probes / share) + 1, lists)
        nearest = self._ivf.quantizer.search(query, lists)[1][0]
        seen = np.cumsum(counts[nearest])
        needed = int(np.count_nonzero(seen < probes * len(allowed) / lists)) + 1
        return None if needed > min(_FAR * probes / share + 1, lists) else needed

    def reaching(self, query: Vectors, k: int, allowed: Mask | None) -> int | None:
        """How many lists hold members enough for `k` hits of a query, float32 [1, dim].

        From the nearest on; None if it takes all of them.
        """
        lists = int(self._ivf.nlist)
        if allowed is None:
            sizes = self._ivf.invlists
            counts = np.array([sizes.list_size(number) for number in range(lists)], np.int64)
        else:
            counts = self._allowed_in_lists(allowed)
        if _MEMBERS * k >= counts.sum():
            return None
        nearest = self._ivf.quantizer.search(query, lists)[1][0]
        return int(np.searchsorted(np.cumsum(counts[nearest]), _MEMBERS * k)) + 1

    def _allowed_in_lists(self, allowed: Mask) -> npt.NDArray[np.int64]:
        """How many are allowed in each list; kept, as many queries come with one filter."""
        counted = self._counted
        if counted is None or counted[0] is not allowed:
            list_of = self._list_of
            if list_of is None or len(list_of) != len(allowed):
                list_of = self._list_of = faiss_calls.list_numbers(self._ivf, len(allowed))
            counts = np.bincount(list_of[allowed], minlength=int(self._ivf.nlist))
            counted = self._counted = allowed, counts
        return counted[1]

    def parameters(self, probes: int, selector: Any = None) -> Any:
        """FAISS's parameters."""
        if selector is not None:
            return faiss.SearchParametersIVF(nprobe=probes, sel=selector)
        made = self._made.get(probes)
        if made is None:
            made = self._made[probes] = faiss.SearchParametersIVF(nprobe=probes)
        return made

    def members(
        self, query: Vectors, k: int | None, allowed: Mask | None, effort: Effort | None
    ) -> Positions | None:
        """The positions in the lists nearest to a query, float32 [1, dim]; None for all.

        Where `k` hits are wanted and fewer are there, in as many lists as hold enough.
        """
        probes = self.count(effort)
        if probes >= self._ivf.nlist:
            return None
        members = self._members(query, probes)
        if k is None:
            return members
        those = len(members) if allowed is None else int(np.count_nonzero(allowed[members]))
        wider = probes if those >= k else self.reaching(query, k, allowed)
        if wider == probes:
            return members
        return None if wider is None else self._members(query, wider)

    def _members(self, query: Vectors, probes: int) -> Positions:
        return faiss_calls.list_members(self._ivf, self._ivf.quantizer.search(query, probes)[1][0])


def right_clusters(ivf: Any, options: IVFOptions, expected: int) -> bool:
    """Whether there are as many as wanted; where nobody said, not far fewer than would be now."""
    wanted, lists = options.clusters_for(expected), int(ivf.nlist)
    return lists == wanted if options.clusters else wanted <= _OUTGROWN * lists


def short_ones(found: Neighbours) -> list[int]:
    """The queries that have found fewer than were asked for."""
    if not faiss_calls.is_short(found):
        return []
    short: list[int] = np.flatnonzero(found.rows[:, -1] < 0).tolist()
    return short


def enough(sample: Vectors, least: int) -> Vectors:
    """`sample` over and over, where it is smaller than FAISS's training accepts."""
    if len(sample) >= least:
        return np.ascontiguousarray(sample)
    return np.resize(sample, (least, sample.shape[1]))
