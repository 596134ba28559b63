"""The values that travel between the rooms: small, frozen, numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""uint8 [height, width, 3], RGB, upright."""

Vectors = npt.NDArray[np.float32]
"""float32 [n, dim], C-contiguous."""

Rows = npt.NDArray[np.int64]
"""int64 [n]: row numbers of one store; -1 means none."""

Metadata = Mapping[str, Any]
"""What a user says of a picture: JSON values by name."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a stranger's picture may cost. Checked before, or enforced while, it is decoded."""

    pixels: int = 50_000_000
    """Width times height, read from the header before any pixel is allocated."""
    upload_bytes: int = 20_000_000
    """The size of an uploaded file."""
    file_bytes: int = 500_000_000
    """The size of a file read from disk or out of an archive."""
    seconds: float = 10.0
    """Wall-clock time of one decode, after which its process is killed."""
    memory_bytes: int = 1_000_000_000
    """Address space that one decode may take on top of the idle process."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture, perhaps smaller than its original (JPEGs shrink while they decode)."""

    pixels: Pixels
    sha256: bytes
    """Digest of the encoded bytes, 32 bytes: the picture's identity."""
    format: str
    """JPEG, PNG, WEBP, GIF, BMP, TIFF, HEIF, AVIF; or ARRAY for pixels that came ready."""
    original_size: tuple[int, int]
    """Width and height of the original in pixels, upright."""
    byte_size: int
    """Length of the encoded bytes."""


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a picture, in pixels of the upright original, from its top left corner."""

    x: float
    y: float
    width: float
    height: float

    def crop(self, pixels: Pixels) -> Pixels:
        """What lies in the box, uint8 [h, w, 3], of all pixels of a picture in full size.

        Edges are rounded, and cut to the picture; at least one pixel is left.
        """
        height, width = pixels.shape[:2]
        left, top = min(max(round(self.x), 0), width - 1), min(max(round(self.y), 0), height - 1)
        right, bottom = round(self.x + self.width), round(self.y + self.height)
        return pixels[top : max(bottom, top + 1), left : max(right, left + 1)]


@dataclass(frozen=True, slots=True, eq=False)
class LocalFeatures:
    """What stands out in one picture: n keypoints, the strongest first, and their descriptors."""

    xy: npt.NDArray[np.float32]
    """float32 [n, 2], x and y in pixels of the original picture."""
    scale: npt.NDArray[np.float32]
    """float32 [n], the diameter of what was described, in pixels of the original picture."""
    angle: npt.NDArray[np.float32]
    """float32 [n], degrees clockwise from the x axis; 0 where the detector knows none."""
    descriptors: npt.NDArray[Any]
    """[n, width]: float32, or uint8 that hold bits."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place where a picture lies, with what is said of it there."""

    path: str
    """An absolute path, `ARCHIVE!/MEMBER`, `upload:ID/NAME`, or any URI."""
    label: str | None = None
    metadata: Metadata = field(default_factory=dict)
    size: int = 0
    """Bytes."""
    modified_ns: int = 0
    """Nanoseconds since 1970, as the file system says."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one stored picture; the same content is one record, wherever it lies."""

    id: str
    """Hexadecimal sha256 of the content."""
    format: str
    width: int
    height: int
    size: int
    added: float
    """Seconds since 1970."""
    places: tuple[Place, ...]

    @property
    def path(self) -> str:
        """The first of its places."""
        return self.places[0].path

    def place_at(self, path: str) -> Place | None:
        """The one of its places that has this path."""
        return next((place for place in self.places if place.path == path), None)

    @property
    def label(self) -> str | None:
        """The label at its first place."""
        return self.places[0].label

    @property
    def metadata(self) -> Metadata:
        """The metadata at its first place."""
        return self.places[0].metadata


Kinship = Literal["copy", "near", "similar"]
"""The same picture, edited; the same scene or burst; only alike."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Where one picture was found in another: the keypoints that agree, and how they map."""

    query_xy: npt.NDArray[np.float32]
    """float32 [n, 2], of each match that agrees, in pixels of the query's original."""
    candidate_xy: npt.NDArray[np.float32]
    """float32 [n, 2], the same in pixels of the candidate's original."""
    matches: int
    """How many there were before geometry had its say."""
    homography: npt.NDArray[np.float64] | None
    """float64 [3, 3], query to candidate; None where no plane maps to a plane."""
    region: npt.NDArray[np.float32] | None
    """float32 [4, 2], the query's corners in the candidate, clockwise from its upper left."""
    mirrored: bool
    """Whether it was found as in a mirror."""

    @property
    def inliers(self) -> int:
        """How many matches agree."""
        return len(self.query_xy)

    def to_json(self) -> dict[str, Any]:
        """What the command line and the service print."""
        return {
            "inliers": self.inliers,
            "matches": self.matches,
            "mirrored": self.mirrored,
            "region": None if self.region is None else np.round(self.region, 1).tolist(),
        }


_NO_SCORES: Mapping[str, float | None] = MappingProxyType({})
_NO_REASONS: Mapping[str, str] = MappingProxyType({})


class Hit(NamedTuple):
    """A stored picture that answers a query.

    A tuple, as making one costs a third of a frozen dataclass, and every query makes ten.
    """

    record: Record
    score: float
    """Higher is better, in the embedding's own scale (cosine: -1 to 1)."""
    distance: float
    """Lower is better, in the scale that the distance's name promises (cosine: 0 to 2)."""
    scores: Mapping[str, float | None] = _NO_SCORES
    """In each one's own scale: by comparator, and by candidate source where several are fused.

    None where a comparator could not compare.
    """
    kinship: Kinship | None = None
    """What the picture is to the query, where the recipe tells."""
    evidence: Evidence | None = None
    """Where the query was found in the picture, where a comparator looked for it."""
    probability: float | None = None
    """That the picture is a copy of the query, 0 to 1; None where `calibrate` knows nothing."""
    alike: tuple[Any, ...] = ()
    """Other hits, nearly identical to this better one, where hits are collapsed."""
    unavailable: Mapping[str, str] = _NO_REASONS
    """By comparator that could not compare: why."""

    @property
    def id(self) -> str:
        """The picture's id."""
        return self.record.id

    @property
    def path(self) -> str:
        """The first place of the picture."""
        return self.record.path

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the picture lies."""
        return self.record.places

    @property
    def label(self) -> str | None:
        """The label at its first place."""
        return self.record.label

    @property
    def metadata(self) -> Metadata:
        """The metadata at its first place."""
        return self.record.metadata

    def to_json(self) -> dict[str, Any]:
        """The hit as the command line and the service print it."""
        record = self.record
        return {
            "id": record.id,
            "path": record.path,
            "places": [place.path for place in record.places],
            "score": round(self.score, 6),
            "distance": round(self.distance, 6),
            "scores": dict(self.scores),
            "unavailable": dict(self.unavailable),
            "kinship": self.kinship,
            "probability": None if self.probability is None else round(self.probability, 6),
            "evidence": self.evidence.to_json() if self.evidence else None,
            "label": record.label,
            "metadata": dict(record.metadata),
            "alike": [
                {"id": hit.id, "path": hit.path, "score": round(hit.score, 6)} for hit in self.alike
            ],
        }


@dataclass(frozen=True, slots=True)
class Judgement:
    """What somebody has said of two pictures; it goes both ways."""

    a: str
    """Hexadecimal sha256 of one picture's content; the lower of the two comes first."""
    b: str
    same: bool
    """Whether they are to count as the same picture."""
    judged: float
    """Seconds since 1970."""
    judge: str
    """Who said so."""

    def to_json(self) -> dict[str, Any]:
        """As `lookalike judgements --json` prints it."""
        return {
            "a": self.a,
            "b": self.b,
            "same": self.same,
            "judged": self.judged,
            "judge": self.judge,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked, and how it is."""

    name: str
    sound: bool
    text: str


@dataclass(frozen=True, slots=True)
class Effort:
    """How far an approximate index looks; what is None is as its recipe, or `tune`, has it."""

    probes: int | Literal["all"] | None = None
    """Inverted lists (ivf and its kin), or buckets of each hash table (lsh)."""
    ef_search: int | None = None
    """Candidates that the walk of a graph keeps (hnsw)."""
    refine: int | None = None
    """Candidates for each hit that are ranked by their own vectors (compressed kinds)."""

    def or_else(self, usual: Effort | None) -> Effort:
        """The same; where it says nothing, as `usual`."""
        if usual is None:
            return self
        return Effort(
            usual.probes if self.probes is None else self.probes,
            usual.ef_search if self.ef_search is None else self.ef_search,
            usual.refine if self.refine is None else self.refine,
        )

    def to_json(self) -> dict[str, int | str]:
        """What it says."""
        said = {"probes": self.probes, "ef_search": self.ef_search, "refine": self.refine}
        return {name: value for name, value in said.items() if value is not None}

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.to_json().items()) or "exact"


@dataclass(frozen=True, slots=True)
class Trial:
    """What searches with one effort found, one query a call on one thread, and their times."""

    effort: Effort
    recall: float
    """Of the true nearest, 0 to 1."""
    median_ms: float
    p99_ms: float
    queries_per_second: float

    def to_json(self) -> dict[str, Any]:
        """The trial as `lookalike tune --json` prints it."""
        return {
            "effort": self.effort.to_json(),
            "recall": round(self.recall, 6),
            "median_ms": round(self.median_ms, 4),
            "p99_ms": round(self.p99_ms, 4),
            "queries_per_second": round(self.queries_per_second, 1),
        }


@dataclass(frozen=True, slots=True)
class Tuning:
    """The effort that was chosen for an index, and what it was chosen by."""

    structure: str
    """The kind of what was measured."""
    vectors: int
    """How many there were."""
    wanted: float
    """The recall that was to be reached."""
    k: int
    sample: int
    """How many queries were tried."""
    measured: float
    """Seconds since 1970."""
    chosen: Trial

    @property
    def reached(self) -> bool:
        """Whether the chosen effort has the recall that was wanted."""
        return self.chosen.recall >= self.wanted

    def to_json(self) -> dict[str, Any]:
        """As the catalogue keeps it and `lookalike stats --json` prints it."""
        return {
            "structure": self.structure,
            "vectors": self.vectors,
            "wanted": self.wanted,
            "k": self.k,
            "sample": self.sample,
            "measured": self.measured,
            **self.chosen.to_json(),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Tuning:
        """What `to_json` made; `KeyError`, `TypeError` or `ValueError` for anything else."""
        chosen = Trial(
            Effort(**said["effort"]),
            float(said["recall"]),
            float(said["median_ms"]),
            float(said["p99_ms"]),
            float(said["queries_per_second"]),
        )
        return cls(
            str(said["structure"]),
            int(said["vectors"]),
            float(said["wanted"]),
            int(said["k"]),
            int(said["sample"]),
            float(said["measured"]),
            chosen,
        )


class Footprint(NamedTuple):
    """What an index takes, in bytes."""

    disk: int
    memory: int
    """Of it, what has to be in memory for searches to be fast."""


class Neighbours(NamedTuple):
    """The nearest of each query, best first."""

    rows: npt.NDArray[np.int64]
    """int64 [q, k], -1 = none."""
    scores: npt.NDArray[np.float32]
    """float32 [q, k], higher is better; -inf where there is none."""
