"""What stands between a library's model and a vector, as modules of torch: pooling, unit length.

Loaded only by extractors that have found torch. All give float32, whatever the model computes in.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional, init
from torch.overrides import TorchFunctionMode


class Unfilled(TorchFunctionMode):
    """While it lasts, modules are made without values by chance: a second saved at VGG's size.

    Only for a network whose every value is loaded afterwards, strictly.
    """

    _FILLS = frozenset(
        [
            *(torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_),
            *(init.trunc_normal_, init.kaiming_normal_, init.kaiming_uniform_),
        ]
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The tensor as it is, instead of filled; all else as ever."""
        kwargs = kwargs or {}
        if func in self._FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


class TimmNetwork(nn.Module):
    """A timm model without its classifier, pooled in one of several ways.

    `forward`: float [n, 3, size, size], normalised -> float32 [n, dim], of unit length.
    """

    def __init__(self, model: Any, pooling: str, p: float) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling
        self.p = p
        self.prefix = int(getattr(model, "num_prefix_tokens", 0))
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"

    def forward(self, pictures: Any) -> Any:
        """One vector a picture."""
        features = self.model.forward_features(pictures)
        return functional.normalize(self._pooled(features), dim=1)

    def positions(self, pictures: Any) -> Any:
        """The last features before any pooling: float32 [n, side * side, channels], by rows."""
        return self._grid(self.model.forward_features(pictures))

    def _pooled(self, features: Any) -> Any:
        match self.pooling:
            case "default":
                return self.model.forward_head(features, pre_logits=True).float()
            case "fc1":
                head: Any = getattr(self.model, "pre_logits", None)
                if not hasattr(head, "fc1"):
                    raise ValueError("it has no layer fc1, as VGGs do")
                return head.act1(head.fc1(features)).float().mean(dim=(2, 3))
            case "cls":
                if features.dim() != 3 or not self.prefix:
                    raise ValueError("it has no class token")
                return features[:, 0].float()
            case "gem":
                # Radenović, Tolias and Chum 2018, arXiv:1711.02512.
                positive = self._grid(features).clamp(min=1e-6)
                return positive.pow(self.p).mean(dim=1).pow(1 / self.p)
            case _:
                return self._grid(features).mean(dim=1)

    def _grid(self, features: Any) -> Any:
        if features.dim() == 4 and self.channels_last:
            features = features.flatten(1, 2)
        elif features.dim() == 4:
            features = features.flatten(2).transpose(1, 2)
        elif features.dim() == 3:
            features = features[:, self.prefix :]
        if features.dim() != 3 or math.isqrt(features.shape[1]) ** 2 != features.shape[1]:
            raise ValueError("its features do not lie on a square grid")
        return features.float()


class ClipPictures(nn.Module):
    """The part for pictures of an open_clip model.

    `forward`: float [n, 3, size, size], normalised -> float32 [n, dim], of unit length.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Any) -> Any:
        """One vector a picture."""
        return functional.normalize(self.model.encode_image(pictures).float(), dim=-1)


class ClipTexts(nn.Module):
    """The part for text: `forward`: int64 [n, context] -> float32 [n, dim], of unit length."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Any) -> Any:
        """One vector a text."""
        return functional.normalize(self.model.encode_text(tokens).float(), dim=-1)


class ClipNetwork(nn.Module):
    """Both parts, as one thing that moves to a device."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.pictures = ClipPictures(model)
        self.texts = ClipTexts(model)
