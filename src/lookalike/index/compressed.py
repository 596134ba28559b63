"""Inverted files of compressed vectors, whose best candidates are ranked again by their own.

Codes alone stay in memory; the vectors for the second look lie in a mapped file, of which a search
reads a few rows. Fast scanning of 4-bit codes: André et al., 2015; rotations: Ge et al., 2013.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import faiss
import numpy as np

from ..distances import Distance
from ..types import Effort, Footprint, Neighbours, Vectors
from . import Mask, Positions, Structure, faiss_calls
from .ivf import MOST_TRAINING, TRAIN_EACH, IVFOptions, Probing, enough, right_clusters, short_ones
from .refinement import Refinement
from .rotation import Rotation

_LEAST_CANDIDATES = 40
_ROTATION_ROUNDS = 10
"""Of 50 that FAISS would make, the first bring nearly all of the gain."""
_ROTATION_TRAINING = 16_384
"""Vectors that a rotation is learned of; four times as many, as FAISS takes, gain nothing."""
_BITS = 4
"""Of a part's code, that fast scanning can look up in registers."""
_LEAST_TRAINING = 256
"""Vectors without which FAISS learns no rotation."""


@dataclass(frozen=True, slots=True)
class CompressedOptions(IVFOptions):
    """The inverted file's knobs, and how many candidates get a second look."""

    refine: int = 10
    """Candidates for each hit that are ranked by their own vectors."""

    def __post_init__(self) -> None:
        IVFOptions.__post_init__(self)
        if self.refine < 1:
            raise ValueError(f"refine must be 1 or more, not {self.refine}")


class Compressed:
    """What the three kinds below have in common: all but how FAISS is to encode a vector."""

    Options: ClassVar = CompressedOptions
    kind: ClassVar[str]
    knobs: ClassVar = frozenset({"probes", "refine"})

    def __init__(
        self, base: Any, refinement: Refinement, options: CompressedOptions, *, mapped: bool
    ) -> None:
        self._base = base
        self._refinement = refinement
        self._options = options
        self._mapped = mapped
        self._ivf = faiss.downcast_index(faiss.extract_index_ivf(base))
        self._rotation = (
            Rotation(faiss.downcast_VectorTransform(base.chain.at(0)))
            if isinstance(base, faiss.IndexPreTransform)
            else None
        )
        self._probing = Probing(self._ivf, options.probes)
        self._count = int(base.ntotal)  # asking FAISS takes as long as ranking candidates

    @staticmethod
    def description(dim: int, clusters: int) -> str:
        """What FAISS's index factory is to make."""
        raise NotImplementedError

    @classmethod
    def create(
        cls,
        dim: int,
        distance: Distance,
        options: CompressedOptions,
        expected: int,
        workspace: Path,
    ) -> Self:
        """An empty one, which must be trained."""
        # Of vectors of length 1 the nearest are the same by either metric, and clusters better.
        metric = "squared euclidean" if distance.normalised else distance.metric
        base = faiss.index_factory(
            dim,
            cls.description(dim, options.clusters_for(expected)),
            faiss_calls.metric_number(metric),
        )
        return cls(base, Refinement.create(dim, distance, workspace), options, mapped=False)

    @classmethod
    def suits(cls, structure: Structure, options: CompressedOptions, expected: int) -> bool:
        """If it has the clusters that are wanted."""
        return isinstance(structure, cls) and right_clusters(structure._ivf, options, expected)

    @staticmethod
    def coding(dim: int) -> tuple[int, int, int]:
        """Of a description: bytes of a code, values of a centroid, vectors packed together."""
        raise NotImplementedError

    @classmethod
    def bytes_for(
        cls, dim: int, distance: Distance, options: CompressedOptions, expected: int
    ) -> Footprint:
        """Codes, numbers, centroids, the rotation and its codebook; on disk the vectors too.

        Codes that are packed to be scanned fast fill packs: half of each list's last one is empty,
        and more of the only one of a list that has few.
        """
        code, width, pack = cls.coding(dim)
        clusters = options.clusters_for(expected)
        packed = max(expected + clusters * pack // 2, clusters * pack) if pack > 1 else expected
        rotation = 4 * width * (dim + (1 << _BITS)) if pack > 1 else 0
        memory = packed * code + 8 * expected + 4 * width * clusters + rotation
        value = 2 if distance.normalised else 4
        return Footprint(memory + value * dim * expected, memory)

    @classmethod
    def load(cls, folder: Path, options: CompressedOptions, *, mapped: bool) -> Self:
        """A saved one: the codes are read, the vectors mapped."""
        base = faiss_calls.read(folder / faiss_calls.FILE, mapped=False)
        return cls(base, Refinement.load(folder, mapped=mapped), options, mapped=mapped)

    @property
    def training_vectors(self) -> int:
        """Some for each cluster."""
        return min(TRAIN_EACH * int(self._ivf.nlist), MOST_TRAINING)

    def train(self, sample: Vectors) -> None:
        """Learn clusters and codes from `sample`: float32 [n, dim]."""
        self._ivf.cp.min_points_per_centroid = 1  # FAISS warns on standard error
        if isinstance(self._ivf, faiss.IndexIVFPQFastScan):
            self._ivf.pq.cp.min_points_per_centroid = 1
        sample = enough(sample, max(int(self._ivf.nlist), _LEAST_TRAINING))
        rotation = self._rotation.transform if self._rotation is not None else None
        if isinstance(rotation, faiss.OPQMatrix):
            rotation.niter = _ROTATION_ROUNDS
            rotation.max_train_points = _ROTATION_TRAINING
            # For the codes that there will be: FAISS's usual 8 bits take ten times as long.
            codes = faiss.ProductQuantizer(rotation.d_out, rotation.M, _BITS)
            codes.cp.min_points_per_centroid = 1
            rotation.pq = codes
            rotation.train(sample)
            rotation.pq = None
        self._base.train(sample)

    def add(self, vectors: Vectors) -> None:
        """Append `vectors`: float32 [n, dim]."""
        if self._mapped:
            raise TypeError("a mapped structure cannot be added to")
        self._base.add(vectors)
        self._refinement.add(vectors)
        self._count = int(self._base.ntotal)

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None, effort: Effort | None
    ) -> Neighbours:
        """The best candidates of the nearest clusters by their codes, ranked by their vectors."""
        if self._count == 0:
            return faiss_calls.none(len(queries), k)
        probes: int | None
        probes = usual = self._probing.count(effort)
        if allowed is not None:
            if len(queries) > 1:  # each looks as far as it has to
                return faiss_calls.one_by_one(self.search, queries, k, allowed, effort)
            probes = self._probing.restricted(self._rotated(queries), usual, allowed)
        if probes is None:
            return faiss_calls.all_of(self._refinement.index, queries, k, allowed)
        candidates = self._candidates(k, effort)
        selector = None if allowed is None else faiss_calls.selector(allowed)
        found = self._looked_at(queries, k, candidates, probes, selector)
        for i in short_ones(found):
            query = queries[i : i + 1]
            wider = self._probing.reaching(self._rotated(query), k, allowed)
            one = None if wider is None else self._looked_at(query, k, candidates, wider, selector)
            if one is None or faiss_calls.is_short(one):  # as a query of zeros makes codes useless
                one = faiss_calls.all_of(self._refinement.index, query, k, allowed)
            found.rows[i], found.scores[i] = one.rows[0], one.scores[0]
        return found

    def reach(
        self, query: Vectors, k: int | None, allowed: Mask | None, effort: Effort | None
    ) -> Positions | None:
        """All members of the nearest clusters; of more of these where they are too few."""
        if self._count == 0:  # of which nothing may have been learned
            return None
        return self._probing.members(self._rotated(query), k, allowed, effort)

    def among(self, queries: Vectors, k: int, positions: Positions) -> Neighbours:
        """The `k` nearest of these positions."""
        return self._refinement.among(queries, k, positions)

    def at(self, positions: Positions | slice) -> Vectors:
        """The vectors there, float32 [n, dim]; half precision where they have length 1."""
        return self._refinement.at(positions)

    def save(self, folder: Path) -> None:
        """Write it into an empty folder."""
        faiss.write_index(self._base, str(folder / faiss_calls.FILE))
        self._refinement.save(folder)

    @property
    def precision(self) -> float:
        """Of the vectors by which candidates are ranked."""
        return self._refinement.precision

    @property
    def memory_bytes(self) -> int:
        """Codes, numbers, centroids and the rotation; not the vectors."""
        lists = faiss.downcast_InvertedLists(self._ivf.invlists)
        sizes = np.array([lists.list_size(number) for number in range(lists.nlist)], np.int64)
        pack = lists.n_per_block if isinstance(lists, faiss.BlockInvertedLists) else 1
        code = lists.block_size // pack if pack > 1 else int(self._ivf.code_size)
        packed = int((-(-sizes // pack) * pack).sum())
        width = 4 * int(self._ivf.d)
        rotation = 0 if self._rotation is None else width * int(self._rotation.transform.d_in)
        return packed * int(code) + 8 * len(self) + len(sizes) * width + rotation

    def __len__(self) -> int:
        return self._count

    def _rotated(self, queries: Vectors) -> Vectors:
        """As the inverted file is asked."""
        return queries if self._rotation is None else self._rotation.apply(queries)

    def _candidates(self, k: int, effort: Effort | None) -> int:
        refine = self._options.refine
        if effort is not None and effort.refine is not None:
            refine = effort.refine
        return min(max(refine * k, _LEAST_CANDIDATES), max(self._count, k))

    def _looked_at(
        self, queries: Vectors, k: int, candidates: int, probes: int, selector: Any
    ) -> Neighbours:
        """The `k` best of the candidates by their vectors; -1 past the end."""
        parameters = self._probing.parameters(probes, selector)
        near = self._ivf.search(self._rotated(queries), candidates, params=parameters)[1]
        return self._refinement.best(queries, near, k)


class IVFPQ(Compressed):
    """Product quantisation to 4 bits a part, a part for about 8 values (Jégou et al., 2011)."""

    kind: ClassVar = "ivfpq"

    @staticmethod
    def description(dim: int, clusters: int) -> str:
        """A rotation to four values a part, lists, codes in the order that is scanned fast."""
        parts, values = _parts(dim)
        return f"OPQ{parts}_{values},IVF{clusters},PQ{parts}x{_BITS}fsr"

    @staticmethod
    def coding(dim: int) -> tuple[int, int, int]:
        """Half a byte a part."""
        parts, values = _parts(dim)
        return (parts + 1) // 2, values, 32


class IVFSQ(Compressed):
    """Scalar quantisation: 8 bits a value."""

    kind: ClassVar = "ivfsq"

    @staticmethod
    def description(dim: int, clusters: int) -> str:  # noqa: ARG004
        """Lists of bytes."""
        return f"IVF{clusters},SQ8"

    @staticmethod
    def coding(dim: int) -> tuple[int, int, int]:
        """A byte a value."""
        return dim, dim, 1


class RaBitQ(Compressed):
    """Binary quantisation: a bit a value after a random rotation (Gao and Long, 2024)."""

    kind: ClassVar = "rabitq"

    @staticmethod
    def description(dim: int, clusters: int) -> str:
        """A rotation, lists, bits in the order that is scanned fast."""
        return f"RR{dim},IVF{clusters},RaBitQfs"

    @staticmethod
    def coding(dim: int) -> tuple[int, int, int]:
        """A bit a value, and two factors by which distances are estimated."""
        return (dim + 7) // 8 + 8, dim, 32


def _parts(dim: int) -> tuple[int, int]:
    """Into how many parts a product quantiser cuts a vector, and how many values these have."""
    parts = max(1, min(max(dim // 8, 32), dim // 2))
    return parts, parts * max(1, min(4, dim // parts))
