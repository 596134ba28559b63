"""An example of each answer, by the name of its model, for the OpenAPI description."""

from __future__ import annotations

from typing import Any

_ID = "5c5c7b2f1d6f0c6d1a9b2a7b6c6f7a53c3ff6f2f83c2f8a53a7f9b0e2d6b1c44"
_JOB = "9f86d081884c7d65"
_THUMBNAIL = f"/v1/collections/photos/pictures/{_ID}/thumbnail"

_COLLECTION: dict[str, Any] = {
    "name": "photos",
    "pictures": 9000,
    "recipe": "default",
    "upload_bytes": 20_000_000,
    "reads_text": True,
    "comparators": ["basic", "histogram", "mutual", "orb", "phash", "sift", "ssim", "verified"],
    "looks_again": [],
}
_PROBLEM: dict[str, Any] = {
    "type": "tag:lookalike,2026:weights-missing",
    "title": "Conflict",
    "status": 409,
    "detail": "the weights of clip-vit-b-32 are not on this machine",
}
_PICTURE: dict[str, Any] = {
    "id": _ID,
    "path": "/srv/photos/cats/a.jpg",
    "places": ["/srv/photos/cats/a.jpg"],
    "label": "cats",
    "metadata": {"year": 1969},
    "width": 800,
    "height": 600,
    "format": "JPEG",
    "size": 120_000,
    "added": "2026-01-31T12:00:00Z",
    "thumbnail": _THUMBNAIL,
}
_HIT: dict[str, Any] = {
    "id": _ID,
    "path": "/srv/photos/cats/a.jpg",
    "places": ["/srv/photos/cats/a.jpg"],
    "score": 0.912,
    "distance": 0.088,
    "scores": {},
    "unavailable": {},
    "kinship": None,
    "probability": None,
    "evidence": None,
    "label": "cats",
    "metadata": {"year": 1969},
    "alike": [],
    "width": 800,
    "height": 600,
    "thumbnail": _THUMBNAIL,
}
_JOB_SHOWN: dict[str, Any] = {
    "id": _JOB,
    "kind": "ingest",
    "state": "running",
    "asked": {"path": "/srv/photos", "prune": False, "retry": False},
    "progress": {"doing": "indexing", "seen": 512, "total": 9000, "stored": 512},
    "problem": None,
    "created": "2026-01-31T12:00:00Z",
    "started": "2026-01-31T12:00:00Z",
    "ended": None,
    "events": f"/v1/collections/photos/jobs/{_JOB}/events",
}
_MEMBER: dict[str, Any] = {
    "id": _ID,
    "path": "/srv/photos/cats/a.jpg",
    "kind": "exact",
    "inliers": None,
    "judged": False,
    "width": 800,
    "height": 600,
    "bytes": 120_000,
}
_CURSOR = "WyI4ZDc0YmUwZjNhMTI5YzU2IiwyNCwiNWM1YyIsOTAwMF0"

EXAMPLES: dict[str, dict[str, Any]] = {
    "Health": {"status": "ok"},
    "Ready": {"status": "ready"},
    "CollectionSummary": _COLLECTION,
    "Collections": {
        "collections": [_COLLECTION],
        "broken": [{"name": "old", "problem": _PROBLEM}],
    },
    "BrokenCollection": {"name": "old", "problem": _PROBLEM},
    "Stats": {
        "path": "/srv/lookalike/photos",
        "recipe": "default",
        "pictures": 9000,
        "places": 9012,
        "failed": 3,
    },
    "StoredPicture": _PICTURE,
    "Pictures": {"pictures": [_PICTURE], "total": 9000, "next": "8951"},
    "Found": {"hits": [_HIT], "next": _CURSOR, "took_ms": 1.4},
    "FoundAll": {
        "results": [
            {"hits": [_HIT], "next": _CURSOR, "problem": None},
            {
                "hits": None,
                "next": None,
                "problem": {
                    "type": "tag:lookalike,2026:unknown-picture",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "no stored picture has the id '00'",
                },
            },
        ]
    },
    "Matched": {
        "scores": {"verified": 0.81},
        "unavailable": {},
        "kinship": "copy",
        "evidence": {
            "inliers": 1,
            "matches": 2,
            "mirrored": False,
            "region": [[0.0, 0.0], [400.0, 0.0], [400.0, 300.0], [0.0, 300.0]],
            "points": [[12.0, 30.5, 24.0, 61.0]],
        },
        "size_a": [400, 300],
        "size_b": [800, 600],
    },
    "KeptAll": {
        "results": [
            {"name": "a.jpg", "id": _ID, "outcome": "stored", "problem": None},
            {"name": "b.jpg", "id": None, "outcome": None, "problem": "a damaged JPEG"},
        ]
    },
    "Ingested": {
        "stored": 9000,
        "copies": 12,
        "unchanged": 0,
        "replaced": 0,
        "removed": 0,
        "failed": 3,
        "ignored": 1,
        "seconds": 61.2,
    },
    "ShownJob": _JOB_SHOWN,
    "ShownJobs": {"jobs": [_JOB_SHOWN]},
    "Failures": {
        "failures": [{"path": "/srv/photos/a.jpg", "reason": "a damaged JPEG", "retry": False}],
        "more": False,
    },
    "Duplicates": {
        "kinds": ["exact", "copy", "near"],
        "groups": [
            {
                "kind": "exact",
                "bytes": 120_000,
                "keep": {**_MEMBER, "why": "the first place where it was found"},
                "others": [{**_MEMBER, "path": "/srv/photos/cats/copy of a.jpg"}],
            }
        ],
        "total": 1,
        "others": 1,
        "bytes": 120_000,
        "pictures": 9000,
        "seconds": 2.1,
        "age": 71.5,
        "current": True,
        "job": None,
    },
    "Facetted": {
        "labels": [{"value": "cats", "count": 512}],
        "formats": [{"value": "JPEG", "count": 9000}],
        "sizes": [{"least": 0, "below": 512, "count": 12}],
    },
    "Mapped": {"points": [{"id": _ID, "x": 0.12, "y": -0.5, "label": "cats"}], "total": 9000},
    "Session": {"name": "page", "scope": "read"},
    "Recipes": {
        "recipes": [
            {
                "name": "default",
                "summary": "EfficientNet-Lite0 (ImageNet), int8 in ONNX Runtime.",
                "embeddings": ["default"],
                "comparators": [],
            }
        ]
    },
    "Models": {
        "models": [
            {
                "name": "resnet50.tv_in1k",
                "recipe": "resnet50",
                "dim": 2048,
                "megabytes": 102.4,
                "licence": "BSD-3-Clause",
                "source": "https://huggingface.co/timm/resnet50.tv_in1k",
                "state": "missing",
            }
        ]
    },
    "Findings": {
        "sound": True,
        "findings": [
            {"name": "decoder", "sound": True, "text": "a worker process starts in 0.12 s"}
        ],
    },
}
