"""What is asked -> one vector for each embedding that can answer."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeGuard

import numpy as np

from . import expansion, picture, reranking, sources
from .decoding import Encoded
from .errors import BadQuery, NoText, PictureError
from .extract import Extractor, TextEncoder
from .extract.pooling import unit
from .features import FeaturePipeline, Features
from .places import place_of
from .stages import stage
from .types import Box, Effort, Limits, LocalFeatures, Picture, Record, Vectors

if TYPE_CHECKING:
    import PIL.Image

    Query = (
        str
        | os.PathLike[str]
        | bytes
        | bytearray
        | memoryview
        | np.ndarray[Any, Any]
        | PIL.Image.Image
        | Record
    )
    """A file, bytes of one, uint8 pixels [h, w, 3], a float vector [dim], a PIL image, a record."""

_UNLIKE_WEIGHT = 0.5
"""How much of what hits are to be unlike is taken away from what they are to be like."""
_FULL_SIZE = 1_000_000_000
"""A shortest side that no picture has, so that none is shrunk as it is decoded."""


class Asking(TypedDict, total=False):
    """The keywords of a search; see `Question`."""

    text: str | Sequence[str]
    text_weight: float
    unlike: Sequence[Query]
    unlike_text: str | Sequence[str]
    k: int | None
    offset: int
    where: str | None
    threshold: float | None
    radius: float | None
    embedding: str | None
    probes: int | Literal["all"] | None
    ef_search: int | None
    refine: int | None
    crop: Box | None
    compare: str | Sequence[str] | None
    order: Literal["last", "fused"] | None
    collapse: bool
    expand: int | None
    rerank: int | None
    confident: bool
    weights: Sequence[float] | None
    words: str | None
    depth: int | None


@dataclass(slots=True)
class Question:
    """All that a search says, apart from the pictures that its hits are to be like.

    `BadQuery` if it makes no sense. Never changed; not frozen, as every search makes one, and
    freezing takes longer than all the checks.
    """

    text: str | Sequence[str] = ()
    """Words that the hits are to fit: one text, or several, whose mean counts."""
    text_weight: float = 0.5
    """Of the words against the pictures, 0 to 1, where there are both."""
    unlike: Sequence[Query] = ()
    """Pictures that the hits are not to be like."""
    unlike_text: str | Sequence[str] = ()
    """Words that the hits are not to fit."""
    k: int | None = 10
    """How many hits, None for all that the index reaches."""
    offset: int = 0
    """How many of the best to leave out."""
    where: str | None = None
    """A filter; see `filters`."""
    threshold: float | None = None
    """The least score of a hit."""
    embedding: str | None = None
    """One of several to search by alone; else they are fused."""
    radius: float | None = None
    """The greatest distance of a hit."""
    probes: int | Literal["all"] | None = None
    """How far the index looks, with the next two; see `types.Effort`."""
    ef_search: int | None = None
    refine: int | None = None
    crop: Box | None = None
    """The part of the pictures that is asked with; all of them unless given."""
    compare: str | Sequence[str] | None = None
    """Comparators that look again, in order; None for those of the recipe."""
    order: Literal["last", "fused"] | None = None
    """What becomes of their scores; None for what the recipe says."""
    collapse: bool = False
    """Whether hits that are nearly identical to a better one are put under that."""
    expand: int | None = None
    """With how many of its nearest a query is expanded before hits are found."""
    rerank: int | None = None
    """How many of the best are ranked again by the neighbours that they share with the query."""
    confident: bool = False
    """Whether only hits are wanted that are as good as a copy is, by what `calibrate` found."""
    weights: Sequence[float] | None = None
    """What each of several pictures counts; all the same unless given."""
    words: str | None = None
    """Words of labels and metadata, whose pictures are fused with the others."""
    depth: int | None = None
    """How far each of several that are fused looks at least; `k` unless given."""

    def __post_init__(self) -> None:
        k = 1 if self.k is None else self.k
        if not (_is_whole(k) and _is_whole(self.offset) and k >= 1 and self.offset >= 0):
            raise BadQuery(
                f"k must be 1 or more and offset 0 or more, not {self.k} and {self.offset}"
            )
        if self.threshold is not None and math.isnan(self.threshold):
            raise BadQuery("threshold must be a number, not NaN")
        if self.radius is not None and math.isnan(self.radius):
            raise BadQuery("radius must be a number, not NaN")
        if not 0 <= self.text_weight <= 1:
            raise BadQuery(f"text_weight must be from 0 to 1, not {self.text_weight}")
        if self.text == "" or self.text or self.unlike_text:
            self._check_texts()
        if self.weights is not None and not all(0 < each < math.inf for each in self.weights):
            raise BadQuery(f"weights must be numbers above 0, not {list(self.weights)}")
        if self.words is not None and not self.words.strip():
            raise BadQuery("the words to look for are empty")
        if self.order not in (None, "last", "fused"):
            raise BadQuery(f"order must be last or fused, not {self.order!r}")
        _check_number("expand", self.expand, expansion.MOST)
        _check_number("rerank", self.rerank, reranking.MOST)
        box = self.crop
        if box is not None and not (
            0 <= box.x < math.inf
            and 0 <= box.y < math.inf
            and 0 < box.width < math.inf
            and 0 < box.height < math.inf
        ):
            raise BadQuery(
                "a crop is x, y, width and height in pixels, the last two more than 0, "
                f"not {box.x:g}, {box.y:g}, {box.width:g}, {box.height:g}"
            )

    def _check_texts(self) -> None:
        if not all(each.strip() for each in (*self.texts, *self.unlike_texts)):
            raise BadQuery("the text to search with is empty")

    @property
    def looks_anywhere(self) -> bool:
        """Whether neither a filter nor a bound is asked for, nor another effort than usual."""
        bounded = self.where is not None or self.threshold is not None or self.radius is not None
        return (
            not bounded and self.probes is None and self.ef_search is None and self.refine is None
        )

    @property
    def effort(self) -> Effort | None:
        """How far the index is to look, None for as far as usual; `BadQuery` if it is no number."""
        if self.probes is None and self.ef_search is None and self.refine is None:
            return None
        for name in ("probes", "ef_search", "refine"):
            value = getattr(self, name)
            most = {"ef_search": 10_000, "refine": 1_000}.get(name, 1_000_000)
            whole = _is_whole(value) and 1 <= value <= most
            if not (value is None or whole or (name == "probes" and value == "all")):
                raise BadQuery(f"{name} must be a whole number, 1 to {most:,}, not {value!r}")
        return Effort(self.probes, self.ef_search, self.refine)

    @property
    def texts(self) -> Sequence[str]:
        """`text` as a list."""
        return [self.text] if isinstance(self.text, str) else self.text

    @property
    def unlike_texts(self) -> Sequence[str]:
        """`unlike_text` as a list."""
        return [self.unlike_text] if isinstance(self.unlike_text, str) else self.unlike_text

    @property
    def only_pictures(self) -> bool:
        """Whether nothing but pictures is asked with."""
        return not (self.text or self.unlike or self.unlike_text)


def _check_number(name: str, number: int | None, most: int) -> None:
    if not (number is None or (_is_whole(number) and 1 <= number <= most)):
        raise BadQuery(f"{name} must be a whole number, 1 to {most:,}, not {number!r}")


def _is_whole(number: object) -> bool:
    return type(number) is int or isinstance(number, np.integer)


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """A picture that is asked with, as a recipe sees it."""

    vectors: Mapping[str, Vectors]
    """By embedding, float32 [1, dim]."""
    local: LocalFeatures | None = None
    """Where the recipe has them made of every picture."""
    source: Encoded | Picture | None = None
    """None for a vector that came ready."""
    size: tuple[int, int] = (0, 0)
    """Width and height of the original in pixels."""
    record: Record | None = None
    """Of a stored picture that is asked with as it is."""

    def decoded(self, pipeline: FeaturePipeline, shortest_side: int) -> Picture:
        """The picture, of at least so many pixels; `BadQuery` where there is none."""
        if isinstance(self.source, Picture):
            return self.source
        if self.source is None:
            raise BadQuery("a vector cannot be compared as a picture can: give the picture")
        return pipeline.decoder.decode(self.source, shortest_side)


def described(
    query: Query | Encoded,
    pipeline: FeaturePipeline,
    dims: Mapping[str, int],
    limits: Limits,
    crop: Box | None = None,
) -> Described:
    """One picture in any form, or the part of it in `crop`, as a recipe sees it.

    `dims`: by embedding. `PictureError` if it cannot be decoded, `BadQuery` if it is no query.
    """
    if is_vector(query):
        if crop is not None:
            raise BadQuery("a vector has no part to crop")
        return Described({name: _ready(query, name, dim) for name, dim in dims.items()})
    source = _source(query, limits)
    if crop is not None:
        source = _cropped(source, crop, pipeline)
    return of_features(pipeline.of_one(source), source)


def is_vector(query: object) -> TypeGuard[np.ndarray[Any, Any]]:
    """Whether a query is a ready vector, and no picture."""
    return isinstance(query, np.ndarray) and query.ndim < 3 and query.dtype != np.uint8


def of_features(features: Features, source: Encoded | Picture) -> Described:
    """What a pipeline made of a picture."""
    return Described(features.vectors, features.local, source, features.original_size)


def _source(query: Query | Encoded, limits: Limits) -> Encoded | Picture:
    """What is to be decoded, or is already."""
    if isinstance(query, Encoded):
        return query
    if isinstance(query, bytes | bytearray | memoryview):
        return upload(bytes(query), "the query", limits)
    if isinstance(query, str | os.PathLike):
        return sources.encoded_at(place_of(os.fspath(query)))
    if isinstance(query, np.ndarray):
        return picture.from_pixels(query)
    if not isinstance(query, Record) and hasattr(query, "convert") and hasattr(query, "size"):
        return picture.from_pil(query)
    raise BadQuery(
        f"cannot search with {type(query).__name__}: give a path, the bytes of a picture, "
        "uint8 pixels, a float vector or a PIL image"
    )


def _cropped(source: Encoded | Picture, crop: Box, pipeline: FeaturePipeline) -> Picture:
    """The part of a picture, of all its pixels."""
    if isinstance(source, Encoded):
        source = pipeline.decoder.decode(source, _FULL_SIZE)
    height, width = source.pixels.shape[:2]
    if crop.x >= width or crop.y >= height:
        raise BadQuery(
            f"the crop begins at {crop.x:g}, {crop.y:g}, outside the picture, which has "
            f"{width} x {height} pixels"
        )
    return picture.from_pixels(crop.crop(source.pixels))


def upload(data: bytes, name: str, limits: Limits) -> Encoded:
    """Bytes that came from elsewhere; `PictureError` if they are more than is allowed."""
    if len(data) > limits.upload_bytes:
        most = f"{limits.upload_bytes / 1e6:g}"
        raise PictureError(name, f"{len(data) / 1e6:.1f} MB, over the limit of {most}")
    return Encoded(name, data=data)


def mean(every: Sequence[Vectors], weights: Sequence[float] | None = None) -> Vectors:
    """Several float32 [1, dim] as one: the mean of their directions, float32 [1, dim]."""
    if len(every) == 1:
        return every[0]
    directions = unit(np.concatenate(every))
    return np.average(directions, axis=0, weights=weights).astype(np.float32)[np.newaxis]


def combined(
    pictures: Vectors | None,
    question: Question,
    unlike: Sequence[Vectors],
    extractor: Extractor,
) -> Vectors | None:
    """All that is asked as one vector of an embedding for each picture, float32 [q, dim].

    `pictures`: float32 [q, dim], or None where none is asked with; `unlike`: each [1, dim].
    None if this embedding can say nothing, as it does not read text. Directions are added
    with their weights, so that a hit's score is the weighted sum of its scores for each.
    """
    if question.only_pictures:
        return pictures
    encode = text_encoder(extractor)
    like = None if pictures is None else unit(pictures)
    if question.texts and encode is not None:
        with stage("extract"):
            words = unit(mean([encode([each]) for each in question.texts]))
        weight = question.text_weight
        like = words if like is None else (1 - weight) * like + weight * words
    if like is None:
        return None
    away = list(unlike)
    if encode is not None:
        away += [encode([each]) for each in question.unlike_texts]
    if away:
        like = unit(like) - _UNLIKE_WEIGHT * unit(mean(away))
    return np.asarray(like, np.float32)


def text_encoder(extractor: Extractor) -> Callable[[Sequence[str]], Vectors] | None:
    """What turns text into vectors for this extractor, None if nothing does."""
    if isinstance(extractor, TextEncoder) and extractor.reads_text:
        return extractor.encode_text
    return None


def check_text(question: Question, extractors: Mapping[str, Extractor], recipe: str) -> None:
    """`NoText` if words are asked with and no embedding reads them."""
    if (question.texts or question.unlike_texts) and not any(
        map(text_encoder, extractors.values())
    ):
        named = question.embedding
        raise NoText(f"the embedding {named}" if named else f"the recipe {recipe}")


def _ready(vector: np.ndarray[Any, Any], name: str, dim: int) -> Vectors:
    """A ready vector, [dim] or [1, dim], as float32 [1, dim]."""
    if vector.ndim == 0 or (vector.ndim == 2 and len(vector) != 1):
        raise BadQuery(
            f"a query is one vector, not an array of shape {vector.shape}; pixels must be uint8"
        )
    ready = np.asarray(vector, np.float32).reshape(1, -1)
    if ready.shape[1] != dim:
        raise BadQuery(
            f"the query vector has {ready.shape[1]} values, this collection's {name} have {dim}"
        )
    return ready
