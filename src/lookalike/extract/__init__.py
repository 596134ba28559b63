"""What turns a picture into features: one file a family, named in the registry.

Every extractor is made as `Class(options, device)`, cheaply: weights are loaded when they are first
needed. What else it can do, it shows by one of the further protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from ..types import LocalFeatures, Picture, Vectors

Descriptors = npt.NDArray[Any]
"""float32 or uint8 [n, width]: one line a keypoint."""


class Extractor(Protocol):
    """Turns pictures into vectors. Safe to call from several threads at once."""

    dim: int
    """The length of a vector."""
    fingerprint: str
    """Changes whenever the weights, the preprocessing or what was learned do."""
    shortest_side: int
    """A decoder may shrink a picture while its short side stays at least this long, in pixels."""

    def extract(self, pictures: Sequence[Picture]) -> Vectors:
        """`pictures`: n of them -> float32 [n, dim]; a vector does not depend on its batch."""
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """Turns words into vectors that are compared with those of pictures."""

    @property
    def reads_text(self) -> bool:
        """Whether this very model has a part for text; asking loads nothing large."""
        ...

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """`texts`: n of them -> float32 [n, dim], each of length 1."""
        ...


@runtime_checkable
class LocalExtractor(Protocol):
    """Turns pictures into many descriptors each, with their places. Safe to use from threads."""

    fingerprint: str
    """Changes whenever what it makes of a picture does."""
    shortest_side: int
    """A decoder may shrink a picture while its short side stays at least this long, in pixels."""

    def extract_local(self, pictures: Sequence[Picture]) -> list[LocalFeatures]:
        """The local features of each picture; none where nothing stands out."""
        ...


@runtime_checkable
class Trainable(Protocol):
    """Has to learn from pictures like those of the collection before it can describe any.

    Until `learn` or `restore`, `extract` raises `NotTrained` and the fingerprint is that of the
    options alone.
    """

    wanted_pictures: int
    """How many pictures are a good sample."""

    def sample(self, pictures: Sequence[Picture]) -> list[Descriptors]:
        """What is learned from: [n, width] of each picture."""
        ...

    def learn(self, samples: Sequence[Descriptors], on_progress: Callable[[float], None]) -> bytes:
        """Learn from samples; what was learned, to be kept. Seeded: the same gives the same.

        `samples`: one a picture, as `sample` gives them, also those that are empty.
        `on_progress` is told the share that is done, 0 to 1. Raises `TooLittleToLearnFrom`.
        """
        ...

    def restore(self, learned: bytes) -> None:
        """Take up what `learn` gave before; `RecipeError` if that does not fit the options."""
        ...


@runtime_checkable
class TorchNetwork(Protocol):
    """Has a network of torch that can be exported."""

    def picture_network(self) -> Any:
        """What `extract` gives, as a `torch.nn.Module`, in float32, on the CPU.

        float32 [n, 3, size, size], normalised -> float32 [n, dim].
        """
        ...


@runtime_checkable
class TextNetwork(TextEncoder, Protocol):
    """Has a network for text beside it, which can be exported too."""

    context: int
    """How many tokens it takes."""

    def text_network(self) -> Any:
        """What `encode_text` gives: int64 [n, context] -> float32 [n, dim], of length 1."""
        ...

    def tokenizer_json(self) -> str:
        """What makes tokens of text, as the library `tokenizers` reads it."""
        ...
