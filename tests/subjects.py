"""Pictures as comparators see them: read from files, described by real parts, or gone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NoReturn

from lookalike import recipe
from lookalike.compare import Subject
from lookalike.errors import PictureError
from lookalike.extract.local import KeypointExtractor, KeypointOptions
from lookalike.picture import decode, from_pixels
from lookalike.types import Limits, LocalFeatures, Picture, Pixels, Vectors


class Present:
    """A picture that is there, with RootSIFT and the default model's vector."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture

    @cached_property
    def local_features(self) -> LocalFeatures:
        return KeypointExtractor(KeypointOptions(), "cpu").extract_local([self.picture])[0]

    @cached_property
    def vectors(self) -> Mapping[str, Vectors]:
        return {name: model.extract([self.picture]) for name, model in default_models().items()}

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.original_size


class Gone:
    """A picture whose file has gone, and of which nothing is stored but its size."""

    size = (640, 480)

    def _refuse(self) -> NoReturn:
        raise PictureError("/gone.jpg", "the file is not there any more")

    @property
    def picture(self) -> Picture:
        self._refuse()

    @property
    def local_features(self) -> LocalFeatures:
        self._refuse()

    @property
    def vectors(self) -> Mapping[str, Vectors]:
        self._refuse()


class Stored(Gone):
    """A picture whose file has gone, and whose features are stored."""

    def __init__(self, of: Subject) -> None:
        self._of = of
        self.size = of.size

    @property
    def local_features(self) -> LocalFeatures:
        return self._of.local_features

    @property
    def vectors(self) -> Mapping[str, Vectors]:
        return self._of.vectors


class Vectored(Gone):
    """Vectors alone, by embedding."""

    def __init__(self, vectors: Mapping[str, Vectors]) -> None:
        self._vectors = vectors

    @property
    def vectors(self) -> Mapping[str, Vectors]:
        return self._vectors


def subject(pixels: Pixels) -> Present:
    """Of pixels, uint8 [h, w, 3]."""
    return Present(from_pixels(pixels))


def subject_at(path: Path) -> Present:
    """Of a file, decoded at its full size."""
    return Present(decode(path.read_bytes(), source=str(path), shortest_side=0, limits=Limits()))


@cache
def default_models() -> Mapping[str, Any]:
    """Those of the recipe `default`, by embedding."""
    return {each.name: each.make_extractor("cpu") for each in recipe.load("default").embeddings}
