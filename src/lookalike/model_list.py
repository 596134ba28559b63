"""The models that ready recipes use: what they are, whether they are here, and fetching them.

What is said of them here is known without torch, and without the models themselves.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import recipe
from .errors import UnknownName
from .extract import weights
from .extract.onnx_model import Model
from .extract.weights import OPEN_CLIP_NAMES, TIMM_NAMES, HubFile


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One model, as a recipe uses it."""

    name: str
    recipe: str
    dim: int
    megabytes: float
    """The size of the file with its weights, a megabyte being a million bytes."""
    licence: str
    source: str
    state: str
    """`bundled`, `cached` or `missing`."""
    path: Path | None
    """Where its file lies on this machine."""

    def to_json(self) -> dict[str, Any]:
        """The model as `lookalike models --json` prints it."""
        return asdict(self) | {"path": None if self.path is None else str(self.path)}


def listed() -> list[ListedModel]:
    """Every model of the ready recipes, in their order."""
    return list(_listed())


def fetch(name: str) -> ListedModel:
    """Fetch a model beforehand, by its own name or its recipe's; nothing if it is here already.

    `UnknownName`, `WeightsMissing` (what to fetch from where, and where to put it), or
    `MissingPackage`.
    """
    every = listed()
    for model in every:
        if name in (model.name, model.recipe):
            if model.path is None:
                weights.fetch(model.name, _FROM_HUBS[model.name].hub)
            return next(each for each in listed() if each.recipe == model.recipe)
    known = {each.name for each in every} | {each.recipe for each in every}
    raise UnknownName("model", name, known)


@dataclass(frozen=True, slots=True)
class _FromHub:
    dim: int
    megabytes: float
    licence: str
    hub: HubFile


def _of_timm(name: str, dim: int, megabytes: float, licence: str) -> tuple[str, _FromHub]:
    return name, _FromHub(dim, megabytes, licence, HubFile(f"timm/{name}", TIMM_NAMES))


_LAION = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
_FROM_HUBS: Mapping[str, _FromHub] = dict(
    [
        _of_timm("vgg16.tv_in1k", 4096, 553.4, "BSD-3-Clause"),
        _of_timm("inception_resnet_v2.tf_in1k", 1536, 223.6, "Apache-2.0"),
        _of_timm("resnet50.tv_in1k", 2048, 102.4, "BSD-3-Clause"),
        _of_timm("beit_base_patch16_224.in22k_ft_in22k_in1k", 768, 346.1, "Apache-2.0"),
        _of_timm("vit_small_patch14_dinov2.lvd142m", 384, 88.2, "Apache-2.0"),
        (
            "ViT-B-32 laion2b_s34b_b79k",
            _FromHub(512, 605.1, "MIT", HubFile(_LAION, OPEN_CLIP_NAMES)),
        ),
    ]
)
"""By name; sizes are those of the tensors. Tests hold it against what the libraries say."""


def _listed() -> Iterator[ListedModel]:
    for each in recipe.ready():
        for embedding in each.embeddings:
            part, options = embedding.extractor.name, embedding.extractor.options
            if part == "onnx":
                yield _bundled(each.name, embedding.make_extractor("cpu").model)
            elif part == "timm":
                yield _from_hub(each.name, options.model)
            elif part == "clip":
                yield _from_hub(each.name, f"{options.model} {options.pretrained}")


def _bundled(recipe_name: str, model: Model) -> ListedModel:
    told = tomllib.loads(model.path.with_suffix(".toml").read_text("utf-8"))
    return ListedModel(
        name=model.name,
        recipe=recipe_name,
        dim=model.dim,
        megabytes=round(model.path.stat().st_size / 1e6, 1),
        licence=told["licence"],
        source=told["source"],
        state="bundled",
        path=model.path,
    )


def _from_hub(recipe_name: str, name: str) -> ListedModel:
    known = _FROM_HUBS[name]
    path = weights.cached(known.hub)
    return ListedModel(
        name=name,
        recipe=recipe_name,
        dim=known.dim,
        megabytes=known.megabytes,
        licence=known.licence,
        source=f"https://huggingface.co/{known.hub.repo}",
        state="missing" if path is None else "cached",
        path=path,
    )
