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
from ..types import Effort, Neighbours, Vectors
from . import Mask, Positions, Structure, faiss_calls
from .ivf import MOST_TRAINING, TRAIN_EACH, IVFOptions, Probing, enough, right_clusters
from .refinement import Refinement

_LEAST_CANDIDATES = 40
_ROTATION_ROUNDS = 10
"""Of 50 that FAISS would make, the first bring nearly all of the gain."""
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
        self._ivf = faiss.extract_index_ivf(base)
        self._rotation = (
            faiss.downcast_VectorTransform(base.chain.at(0))
            if isinstance(base, faiss.IndexPreTransform)
            else None
        )
        self._probing = Probing(self._ivf, options.probes)
        self._both: Any = None
        self._made: dict[tuple[int, float], Any] = {}

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
        if hasattr(self._ivf, "pq"):
            self._ivf.pq.cp.min_points_per_centroid = 1
        if isinstance(self._rotation, faiss.OPQMatrix):
            # It learns for codes of a byte, unless told of those that we make.
            codes = faiss.ProductQuantizer(self._rotation.d_out, self._rotation.M, 4)
            codes.cp.min_points_per_centroid = 1
            self._rotation.pq = codes
            self._rotation.niter = _ROTATION_ROUNDS
        self._base.train(enough(sample, max(int(self._ivf.nlist), _LEAST_TRAINING)))

    def add(self, vectors: Vectors) -> None:
        """Append `vectors`: float32 [n, dim]."""
        if self._mapped:
            raise TypeError("a mapped structure cannot be added to")
        self._base.add(vectors)
        self._refinement.add(vectors)
        self._both = None

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None, effort: Effort | None
    ) -> Neighbours:
        """The best candidates of the nearest clusters by their codes, ranked by their vectors."""
        if len(self) == 0:
            return faiss_calls.none(len(queries), k)
        probes = self._probing.count(effort)
        candidates = self._candidates(k, effort)
        if allowed is None:
            parameters = self._parameters(probes, candidates / k)
            found = faiss_calls.search(self._refined, queries, k, parameters)
        else:
            farther = self._probing.restricted(self._rotated(queries), probes, allowed)
            if farther is None:
                return faiss_calls.all_of(self._refinement.index, queries, k, allowed)
            chosen = faiss_calls.selector(allowed)
            parameters = self._with_refinement(farther, candidates / k, chosen)
            found = faiss_calls.search(self._refined, queries, k, parameters)
        if faiss_calls.is_short(found):
            short = found.rows[:, -1] < 0
            flat = self._refinement.index
            rows, scores = faiss_calls.all_of(flat, queries[short], k, allowed)
            found.rows[short], found.scores[short] = rows, scores
        return found

    def reach(self, query: Vectors, k: int | None, effort: Effort | None) -> Positions | None:  # noqa: ARG002
        """All members of the nearest clusters."""
        return self._probing.members(self._rotated(query), effort)

    def among(self, queries: Vectors, k: int, positions: Positions) -> Neighbours:
        """The `k` nearest of these positions."""
        allowed = np.zeros(len(self), np.bool_)
        allowed[positions] = True
        k = min(k, len(positions))
        if k == 0:
            return faiss_calls.none(len(queries), 0)
        return faiss_calls.all_of(self._refinement.index, queries, k, allowed)

    def at(self, positions: Positions | slice) -> Vectors:
        """The vectors there, float32 [n, dim]; half precision where they have length 1."""
        return self._refinement.at(positions)

    def save(self, folder: Path) -> None:
        """Write it into an empty folder."""
        faiss.write_index(self._base, str(folder / faiss_calls.FILE))
        self._refinement.save(folder)

    @property
    def memory_bytes(self) -> int:
        """Codes, numbers and centroids; not the vectors."""
        width = 4 * int(self._ivf.d)
        return len(self) * (int(self._ivf.code_size) + 8) + int(self._ivf.nlist) * width

    def __len__(self) -> int:
        return int(self._base.ntotal)

    @property
    def _refined(self) -> Any:
        """The two as one FAISS index."""
        if self._both is None:
            flat = self._refinement.index
            metric, flat.metric_type = flat.metric_type, self._base.metric_type
            both = faiss.IndexRefine(self._base, flat)  # which wants them to be the same
            both.metric_type = flat.metric_type = metric
            self._both = both
        return self._both

    def _rotated(self, queries: Vectors) -> Vectors:
        """As the inverted file is asked."""
        if self._rotation is None:
            return queries
        rotated: Vectors = self._rotation.apply(queries)
        return rotated

    def _candidates(self, k: int, effort: Effort | None) -> int:
        refine = self._options.refine
        if effort is not None and effort.refine is not None:
            refine = effort.refine
        return min(max(refine * k, _LEAST_CANDIDATES), max(len(self), k))

    def _parameters(self, probes: int, factor: float) -> Any:
        # Making FAISS's parameter objects costs as much as a tenth of a search: made once.
        made = self._made.get((probes, factor))
        if made is None:
            made = self._with_refinement(probes, factor, None)
            self._made[probes, factor] = made
        return made

    def _with_refinement(self, probes: int, factor: float, selector: Any) -> Any:
        parameters = self._probing.parameters(probes, selector)
        if self._rotation is not None:
            parameters = faiss.SearchParametersPreTransform(index_params=parameters)
        return faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=parameters)


class IVFPQ(Compressed):
    """Product quantisation to 4 bits a part, a part for about 8 values (Jégou et al., 2011)."""

    kind: ClassVar = "ivfpq"

    @staticmethod
    def description(dim: int, clusters: int) -> str:
        """A rotation to four values a part, lists, codes in the order that is scanned fast."""
        parts = max(1, min(max(dim // 8, 32), dim // 2))
        values = parts * max(1, min(4, dim // parts))
        return f"OPQ{parts}_{values},IVF{clusters},PQ{parts}x4fsr"


class IVFSQ(Compressed):
    """Scalar quantisation: 8 bits a value."""

    kind: ClassVar = "ivfsq"

    @staticmethod
    def description(dim: int, clusters: int) -> str:  # noqa: ARG004
        """Lists of bytes."""
        return f"IVF{clusters},SQ8"


class RaBitQ(Compressed):
    """Binary quantisation: a bit a value after a random rotation (Gao and Long, 2024)."""

    kind: ClassVar = "rabitq"

    @staticmethod
    def description(dim: int, clusters: int) -> str:
        """A rotation, lists, bits in the order that is scanned fast."""
        return f"RR{dim},IVF{clusters},RaBitQfs"
