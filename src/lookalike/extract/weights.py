"""Where a torch model's weights lie, and how a checkpoint is read: never made up, never run.

They are named (`weights = "/path/file.safetensors"`, or a folder with one such file in it), or lie
in the cache of the Hugging Face hub, or are fetched into it. Without any there is no model.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingPackage, WeightsMissing, WeightsUnusable

INSTALL = "pip install 'lookalike[torch]'"

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
_INNER = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of weights on huggingface.co."""

    repo: str
    """`owner/name`, or `owner/name@revision`."""
    names: tuple[str, ...]
    """What it may be called there, best first."""

    @property
    def address(self) -> str:
        """Where a browser finds the best of them."""
        repo, _, revision = self.repo.partition("@")
        return f"https://huggingface.co/{repo}/resolve/{revision or 'main'}/{self.names[0]}"


TIMM_NAMES = ("model.safetensors", "pytorch_model.bin")
OPEN_CLIP_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def find(model: str, given: str, hub: HubFile | None) -> Path:
    """The file with a model's weights: the one that is given, else the hub's, fetched if need be.

    `WeightsMissing` names what to fetch from where, and where to put it.
    """
    if given:
        return _local(model, Path(given).expanduser())
    if hub is None:
        raise WeightsMissing(
            f"no hub is known to have weights for {model}: name a file of yours in the recipe, "
            '`weights = "/path/file.safetensors"`'
        )
    return cached(hub) or fetch(model, hub)


def cached(hub: HubFile) -> Path | None:
    """The file in the hub's cache, if it is there; asks no network."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    repo, _, revision = hub.repo.partition("@")
    for name in hub.names:
        path = try_to_load_from_cache(repo, name, revision=revision or None)
        if isinstance(path, str):
            return Path(path)
    return None


def fetch(model: str, hub: HubFile) -> Path:
    """Fetch the file into the hub's cache, with a bar on standard error."""
    try:
        import huggingface_hub as library
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingPackage(f"fetching the weights of {model}", INSTALL) from error
    repo, _, revision = hub.repo.partition("@")
    why: Exception | None = None
    for name in hub.names:
        address = library.hf_hub_url(repo, name, revision=revision or None)
        try:
            # Asked once: the download itself asks for half a minute where there is no network.
            library.get_hf_file_metadata(address)
            return Path(library.hf_hub_download(repo, name, revision=revision or None))
        except LocalEntryNotFoundError as error:
            why = error
            break
        except EntryNotFoundError as error:
            why = error
        except Exception as error:  # noqa: BLE001 - the library raises those of its HTTP client too
            why = error
            break
    raise WeightsMissing(_how_to_get(model, hub, why, library.constants.HF_HUB_CACHE)) from why


def _how_to_get(model: str, hub: HubFile, why: Exception | None, cache: str) -> str:
    reason = str(why).strip().partition("\n")[0].partition(". ")[0] or type(why).__name__
    folder = f"models--{hub.repo.partition('@')[0].replace('/', '--')}"
    return (
        f"the weights of {model} are not on this machine and could not be fetched ({reason}): "
        f"fetch {hub.address} and name it in the recipe, "
        f'`weights = "/path/{hub.names[0]}"`; or let another machine fetch it '
        f"(`lookalike models fetch`) and copy its folder {folder} into {cache}"
    )


def _local(model: str, path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise WeightsMissing(
            f"the weights of {model} are to be in {path}, but there is no such file: put them "
            "there, or correct `weights` in the recipe (empty: those of the hub)"
        )
    for name in (*TIMM_NAMES, *OPEN_CLIP_NAMES):
        if (path / name).is_file():
            return path / name
    found = sorted(each for each in path.iterdir() if each.suffix in _SUFFIXES)
    if len(found) != 1:
        names = ", ".join(each.name for each in found) or "none"
        raise WeightsMissing(
            f"the weights of {model} are to be in the folder {path}, which should hold one file "
            f"{' or '.join(f'*{suffix}' for suffix in _SUFFIXES)} (found: {names}): name the file "
            "itself in `weights`"
        )
    return found[0]


_digests: dict[tuple[str, int, int], str] = {}
_digesting = threading.Lock()


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file; read once while its size and time stay as they are."""
    state = path.stat()
    key = (str(path.resolve()), state.st_size, state.st_mtime_ns)
    with _digesting:
        if key not in _digests:
            with path.open("rb") as file:
                _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return _digests[key]


def read(path: Path) -> dict[str, Any]:
    """The tensors of a checkpoint by name, on the CPU. Runs no code of the file's."""
    with explained(path):
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        import torch

        return _state(torch.load(path, map_location="cpu", weights_only=True), path)


def _state(checkpoint: Any, path: Path) -> dict[str, Any]:
    """The tensors themselves, out of what training scripts save around them."""
    import torch

    if isinstance(checkpoint, dict):
        for key in _INNER:
            if isinstance(checkpoint.get(key), dict):
                checkpoint = checkpoint[key]
                break
    if not isinstance(checkpoint, dict) or not checkpoint:
        raise WeightsUnusable(f"{path} holds no tensors by name, but a {type(checkpoint).__name__}")
    for name, value in checkpoint.items():
        if not isinstance(value, torch.Tensor):
            kind = type(value).__name__
            raise WeightsUnusable(f"{path}: {name!r} is not a tensor, but a {kind}")
    return {str(name).removeprefix("module."): value for name, value in checkpoint.items()}


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """What goes wrong while weights are read or taken up, as `WeightsUnusable` that says where."""
    try:
        yield
    except WeightsUnusable:
        raise
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        why = f"it calls {code[1]}; such code is never run" if code else "it cannot be unpickled"
        raise WeightsUnusable(f"{path} does not only hold tensors: {why}") from error
    except MemoryError:
        raise
    except Exception as error:  # whatever a library trips over in a foreign file
        raise WeightsUnusable(f"{path} cannot be used: {_difference(str(error))}") from error


def check_finite(network: Any, path: Path) -> None:
    """`WeightsUnusable` if a loaded value is not a number: every vector would be none either."""
    for name, value in network.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise WeightsUnusable(f"{path} cannot be used: {name} holds values that are no numbers")


def _difference(text: str) -> str:
    """The first difference that torch's `load_state_dict` lists, or the first line of any other."""
    shapes = re.search(
        r"size mismatch for (\S+): .*?torch\.Size\((\[.*?\])\).*?torch\.Size\((\[.*?\])\)", text
    )
    if shapes:
        return f"{shapes[1]} has shape {shapes[2]} there, the model takes {shapes[3]}"
    missing = re.search(r'Missing key\(s\) in state_dict: "([^"]+)"', text)
    if missing:
        return f"it lacks {missing[1]}"
    unexpected = re.search(r'Unexpected key\(s\) in state_dict: "([^"]+)"', text)
    if unexpected:
        return f"the model has no {unexpected[1]}"
    return text.strip().partition("\n")[0] or "it is truncated or damaged"
