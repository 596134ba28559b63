"""What is small: judgements, calibration, tuning, what extractors have learned. One index."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ...types import Judgement, Tuning
from .cluster import Write
from .mapping import writing_alias
from .reading import Reading

_KNOWN_FOR = 2.0
"""Seconds for which what another process keeps meanwhile may go unnoticed."""
_CALIBRATION = "calibration"


class Small:
    """Of one collection."""

    def __init__(self, index: Reading, generation: int, embeddings: Sequence[str]) -> None:
        self._index = index
        self._generation = generation
        self._embeddings = embeddings
        self._known: dict[str, Any] = {}
        self._known_at = float("-inf")

    def learned(self) -> dict[str, bytes]:
        """What extractors have learned, by embedding."""
        return {name: content for name, (_, content) in self.learned_by().items()}

    def learned_by(self) -> dict[str, tuple[str, bytes]]:
        """The same with the fingerprint of what has learned it."""
        ids = {self._of("learned", name): name for name in self._embeddings}
        found = self._index.by_ids(list(ids))
        return {
            ids[id]: (
                each["_source"]["said"]["fingerprint"],
                base64.b64decode(each["_source"]["said"]["content"]),
            )
            for id, each in found.items()
        }

    def keep_learned(self, embedding: str, fingerprint: str, content: bytes) -> None:
        """Keep what an extractor has learned, unless another process was first."""
        said = {"fingerprint": fingerprint, "content": base64.b64encode(content).decode()}
        self._keep("create", self._of("learned", embedding), "learned", said)

    def calibration(self) -> str | None:
        """What was kept of scores."""
        said = self._now().get(_CALIBRATION)
        return None if said is None else said["text"]

    def keep_calibration(self, text: str) -> None:
        """Keep it in place of what was kept."""
        self._keep("index", _CALIBRATION, _CALIBRATION, {"text": text})

    def tuning(self, embedding: str, made_for: Mapping[str, Any]) -> Tuning | None:
        """What `tune` has found, if that was of an index such as `made_for` says."""
        said = self._now().get(self._of("tuning", embedding))
        if said is None or said["made_for"] != made_for:
            return None
        return Tuning.from_json(said["tuning"])

    def keep_tuning(self, embedding: str, made_for: Mapping[str, Any], tuning: Tuning) -> None:
        """Keep it in place of what was kept."""
        said = {"made_for": dict(made_for), "tuning": tuning.to_json()}
        self._keep("index", self._of("tuning", embedding), "tuning", said)

    def judge(self, said: Sequence[Judgement]) -> None:
        """Keep what was said of pairs; what is said last of one counts."""
        index = writing_alias(self._index.index)
        writes = {
            f"{each.a}-{each.b}": Write(
                "index",
                index,
                f"{each.a}-{each.b}",
                {"kind": "judgement", "judged": each.judged, "said": each.to_json()},
            )
            for each in said
        }
        self._index.cluster.write(list(writes.values()))

    def take_back(self, a: str, b: str) -> bool:
        """Forget what was said of two pictures; whether anything was."""
        id = "-".join(sorted((a, b)))
        there = bool(self._index.by_ids([id], source=False))
        if there:
            self._index.cluster.write([Write("delete", self._index.index, id)])
        return there

    def judgements(self) -> list[Judgement]:
        """All that was said, in the order in which it was."""
        every = [
            Judgement(**hit["_source"]["said"])
            for block in self._index.every({"term": {"kind": "judgement"}}, ["said"])
            for hit in block
        ]
        return sorted(every, key=lambda each: (each.judged, each.a, each.b))

    def drop(self) -> None:
        """Delete what is of this generation alone."""
        ids = [self._of(kind, name) for kind in ("learned", "tuning") for name in self._embeddings]
        self._index.cluster.write([Write("delete", self._index.index, id) for id in ids])

    def _now(self) -> dict[str, Any]:
        """What every search goes by, asked for now and then."""
        if time.monotonic() - self._known_at > _KNOWN_FOR:
            ids = [_CALIBRATION, *(self._of("tuning", name) for name in self._embeddings)]
            found = self._index.by_ids(ids)
            self._known = {id: each["_source"]["said"] for id, each in found.items()}
            self._known_at = time.monotonic()
        return self._known

    def _of(self, kind: str, embedding: str) -> str:
        return f"{kind}-{self._generation}-{embedding}"

    def _keep(self, action: Any, id: str, kind: str, said: Mapping[str, Any]) -> None:
        body = {"kind": kind, "said": json.loads(json.dumps(said))}
        self._index.cluster.write([Write(action, writing_alias(self._index.index), id, body)])
        self._known_at = float("-inf")
