"""Name -> class, loaded when first asked for. A new part is one file and one line here.

Other packages add theirs under the entry-point groups `lookalike.extractor`, `lookalike.local`,
`lookalike.index` and `lookalike.comparator`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal

from .errors import UnknownName

Seam = Literal["extractor", "local", "index", "comparator", "store", "elastic"]

_TABLE: dict[Seam, dict[str, str]] = {
    "extractor": {
        "bovw": "lookalike.extract.bovw:BagOfVisualWords",
        "clip": "lookalike.extract.clip:ClipExtractor",
        "onnx": "lookalike.extract.onnx:OnnxExtractor",
        "timm": "lookalike.extract.timm:TimmExtractor",
        "vectors": "lookalike.extract.ready:ReadyVectors",
    },
    "local": {
        "keypoints": "lookalike.extract.local:KeypointExtractor",
        "timm": "lookalike.extract.timm:TimmExtractor",
    },
    "index": {
        "auto": "lookalike.index.auto:Auto",
        "flat": "lookalike.index.flat:Flat",
        "hnsw": "lookalike.index.hnsw:HNSW",
        "ivf": "lookalike.index.ivf:IVF",
        "ivfpq": "lookalike.index.compressed:IVFPQ",
        "ivfsq": "lookalike.index.compressed:IVFSQ",
        "lsh": "lookalike.index.lsh:LSH",
        "rabitq": "lookalike.index.compressed:RaBitQ",
    },
    "comparator": {
        "basic": "lookalike.compare.basic:Basic",
        "histogram": "lookalike.compare.histogram:Histogram",
        "mutual": "lookalike.compare.mutual:Mutual",
        "orb": "lookalike.compare.orb:Orb",
        "phash": "lookalike.compare.phash:PHash",
        "sift": "lookalike.compare.sift:Sift",
        "ssim": "lookalike.compare.ssim:Ssim",
        "verified": "lookalike.compare.verified:Verified",
    },
    # By what an address begins with.
    "store": {
        "folder": "lookalike.store.folder:Folder",
        "es+http": "lookalike.store.elastic.home:ElasticHome",
        "es+https": "lookalike.store.elastic.home:ElasticHome",
    },
    # How Elasticsearch indexes vectors.
    "elastic": {
        "flat": "lookalike.store.elastic.kinds:Flat",
        "hnsw": "lookalike.store.elastic.kinds:HNSW",
        "int8_hnsw": "lookalike.store.elastic.kinds:Int8HNSW",
        "bbq_hnsw": "lookalike.store.elastic.kinds:BBQHNSW",
    },
}


@cache
def load(seam: Seam, name: str) -> Any:
    """The class that goes by this name; `UnknownName` suggests the nearest."""
    if name in _TABLE[seam]:
        module, _, attribute = _TABLE[seam][name].partition(":")
        return getattr(import_module(module), attribute)
    for entry in entry_points(group=f"lookalike.{seam}", name=name):
        return entry.load()
    raise UnknownName(seam, name, names(seam))


@cache
def names(seam: Seam) -> Sequence[str]:
    """Every name of a seam, our own first."""
    return (*_TABLE[seam], *(entry.name for entry in entry_points(group=f"lookalike.{seam}")))
