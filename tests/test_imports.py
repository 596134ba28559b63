"""Imports point down only, read from the source with `ast`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "lookalike"

LAYERS: list[set[str]] = [
    {"__main__"},
    {"cli"},
    {"commands"},
    {"serve"},
    {"gallery", "curve", "report", "drawing"},
    {"tables"},
    {"terminal"},
    {"comparison", "calibrate", "checking"},
    {
        "doctor",
        "picture_map",
        "plan",
        "cluster_plan",
        "duplicates",
        "reindex",
        "reconcile",
        "tune",
        "evaluate",
        "exchange",
        "copies",
        "backup",
    },
    {"opening", "forecast", "trial"},
    {"collection", "export_onnx"},
    {"answering", "pairs", "ray_workers"},
    {"second_look", "collapsing", "neighbourhood", "confidence", "kinships"},
    {"subjects"},
    {"engine"},
    {"originals"},
    {"queries"},
    {"ingest"},
    {"sources", "features", "uploads", "remote", "fusion", "model_list", "onnx_writer"},
    {"archives", "lists", "joining"},
    {"store"},
    {"decoding"},
    {"decode_worker", "recipe"},
    {"picture", "int8", "extract", "index", "local", "compare"},
    {
        "registry",
        "edits",
        "filters",
        "distances",
        "plane",
        "objects",
        "options",
        "quantities",
        "machine",
        "sealed",
        "calibration",
        "client",
    },
    {"expansion", "reranking", "stages", "places"},
    {"types"},
    {"errors"},
]
"""From above to below. A room imports rooms of lower layers only."""

MAY_DECODE = {"picture.py", "decode_worker.py"}
_TO_DRAW = {"PIL", "PIL.Image", "PIL.ImageDraw", "PIL.ImageFont"}
MAY_DRAW = {"edits.py": _TO_DRAW, "drawing.py": _TO_DRAW, "phash.py": {"PIL", "PIL.Image"}}
"""What else may use some of Pillow, though nothing of it that opens a file."""


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room(path: str) -> str:
    return path.removeprefix("lookalike.").partition(".")[0]


def imported(path: Path) -> list[str]:
    """Every module of ours that a file imports, at the top or inside functions, dotted."""
    package = ["lookalike", *path.relative_to(SOURCE).parts[:-1]]
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
            found += names if module == "lookalike" else [module]
    return [name for name in found if name.startswith("lookalike.")]


def outside(path: Path) -> set[str]:
    """What a file uses of Pillow and OpenCV when it runs: modules, and attributes of `cv2`."""
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    used = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            used |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Attribute):
            used.add(ast.unparse(node))
    return used


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down_only(path: Path) -> None:
    if path == SOURCE / "__init__.py":
        return
    here = room("lookalike." + ".".join(path.relative_to(SOURCE).with_suffix("").parts))
    level = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    for name in imported(path):
        there = room(name)
        if there not in (here, "__version__"):
            assert level[here] < level[there], f"{here} imports {there}"


def test_only_the_embedded_store_sees_the_index() -> None:
    seers = {
        path.relative_to(SOURCE).as_posix()
        for path in modules()
        if path.parent.name != "index" and any(room(name) == "index" for name in imported(path))
    }
    inside = ("building", "embedded", "embedding_index", "measuring", "near_pairs", "sizes")
    assert seers <= {f"store/{name}.py" for name in inside}


def test_nobody_but_the_picture_room_decodes() -> None:
    for path in modules():
        if path.name not in MAY_DECODE:
            used = outside(path)
            pillow = {name for name in used if name.split(".")[0] in ("PIL", "pillow_heif")}
            assert pillow <= MAY_DRAW.get(path.name, set())
            assert not used & {"Image.open", "PIL.Image.open", "Image.init", "Image.core"}
            assert not used & {"cv2.imread", "cv2.imdecode", "cv2.imreadmulti", "cv2.VideoCapture"}
