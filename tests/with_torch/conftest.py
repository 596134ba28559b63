"""Checkpoints made here, of values by chance: what is computed is checked, not what it finds.

The folder is not called `torch`: it would be taken for that package where there is none.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samples import photographs

from lookalike.types import Picture

TINY_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 64,
        "head_width": 32,
        "patch_size": 8,
    },
    "text_cfg": {
        "context_length": 24,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
    },
}

Made = Callable[..., Path]


@pytest.fixture(scope="session")
def timm_weights(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A checkpoint of a model of timm as timm names its tensors: .safetensors or .pth."""
    import timm
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("timm")

    def made(model: str, suffix: str = ".safetensors", seed: int = 0, **arguments: Any) -> Path:
        path = folder / f"{model}-{seed}-{len(arguments)}{suffix}"
        if not path.exists():
            torch.manual_seed(seed)
            state = timm.create_model(model, **arguments).state_dict()
            save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
        return path

    return made


@pytest.fixture(scope="session")
def clip_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of open_clip so small that it is made in no time."""
    import open_clip
    import torch

    folder = tmp_path_factory.mktemp("clip")
    (folder / "tiny.json").write_text(json.dumps(TINY_CLIP), "utf-8")
    torch.manual_seed(0)
    torch.save(open_clip.CLIP(**TINY_CLIP).state_dict(), folder / "tiny.pt")
    return folder


@pytest.fixture(scope="session")
def pictures() -> list[Picture]:
    return photographs()
