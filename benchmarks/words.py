"""Finding pictures by words with the default network: how many of the first ten are right.

    python benchmarks/words.py --data FOLDER [--json FILE]

FOLDER is `caltech60`. Two sets of queries: the names of its 60 folders, and 76 other words for
what they hold, written down before any way of doing it was tried. By cosine, among all pictures,
also after the collection's own principal components, as the recipe `default-pca` has them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measured import machine
from PIL import Image

from lookalike.extract.onnx import OnnxExtractor, OnnxOptions
from lookalike.index.projection import Projection
from lookalike.picture import from_pixels

Array = npt.NDArray[Any]

OTHER_WORDS = {
    "airplanes": ("aeroplane", "passenger jet"),
    "Faces": ("human face", "person portrait"),
    "ant": ("insect",),
    "bass": ("fish",),
    "bonsai": ("little tree in a pot",),
    "brontosaurus stegosaurus": ("dinosaur",),
    "buddha": ("statue of buddha",),
    "cannon": ("artillery gun",),
    "cellphone": ("mobile phone",),
    "chair windsor_chair wheelchair": ("seat",),
    "cougar_face": ("puma", "wild cat"),
    "crayfish crab": ("lobster",),
    "crocodile crocodile_head": ("alligator",),
    "cup": ("coffee mug",),
    "dalmatian": ("spotted dog",),
    "dolphin": ("porpoise", "marine mammal"),
    "emu": ("big flightless bird",),
    "ewer": ("pitcher", "jug"),
    "ferry ketch schooner": ("ship", "boat"),
    "ketch schooner": ("sailboat", "sailing ship"),
    "flamingo_head": ("pink flamingo",),
    "garfield": ("cartoon cat",),
    "gerenuk": ("antelope",),
    "grand_piano": ("piano",),
    "hawksbill": ("sea turtle",),
    "headphone": ("headset",),
    "ibis flamingo_head": ("wading bird",),
    "inline_skate": ("roller skates",),
    "joshua_tree": ("yucca", "desert tree"),
    "lamp": ("desk light",),
    "laptop": ("notebook computer",),
    "llama": ("alpaca",),
    "lotus water_lilly": ("flower",),
    "electric_guitar grand_piano mandolin saxophone metronome": ("musical instrument",),
    "electric_guitar mandolin": ("string instrument", "guitar"),
    "menorah": ("jewish candelabrum",),
    "minaret": ("mosque tower",),
    "pagoda": ("japanese temple",),
    "panda": ("giant panda bear",),
    "pigeon": ("dove",),
    "pyramid": ("ancient egypt tomb",),
    "revolver": ("pistol", "handgun"),
    "rhino": ("rhinoceros",),
    "sea_horse": ("seahorse",),
    "saxophone": ("sax",),
    "stapler": ("office stapler",),
    "trilobite": ("fossil",),
    "umbrella": ("parasol",),
    "watch": ("wristwatch",),
    "water_lilly lotus": ("water lily", "pond plant"),
    "wrench": ("spanner",),
    "wrench stapler": ("tool",),
    "wheelchair": ("invalid chair",),
    "windsor_chair chair": ("wooden chair",),
    "emu flamingo_head ibis pigeon": ("bird",),
    "crocodile crocodile_head hawksbill brontosaurus stegosaurus": ("reptile",),
    "crab crayfish": ("crustacean",),
    "cellphone laptop headphone": ("electronic device",),
    "revolver cannon": ("weapon",),
    "beaver": ("rodent",),
    "starfish": ("echinoderm",),
    "cup ewer": ("kitchen vessel",),
    "pagoda minaret pyramid buddha": ("temple",),
    "ferry": ("car ferry",),
    "watch metronome": ("timepiece",),
}
"""Folders that count, by name -> queries."""
COMPONENTS = (None, 256, 128, 64)


def main() -> None:
    """Print P@10 for both sets of queries, the names that fail, and the time of a query."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    extractor = OnnxExtractor(OnnxOptions("efficientnet-lite0-int8"), "cpu")
    first = time.perf_counter()
    extractor.encode_text(["first"])
    seconds = {"load_ms": 1000 * (time.perf_counter() - first)}
    stored, labels = vectors(extractor, sorted(given.data.glob("*/*.jpg")))
    names = {name.replace("_", " "): [name] for name in np.unique(labels).tolist()}
    others = {query: key.split() for key, queries in OTHER_WORDS.items() for query in queries}
    asked = {"60 names": names, "76 other words": others}
    rows = {
        name: {
            "plain" if each is None else f"pca {each}": precisions(
                stored, labels, extractor.encode_text(list(queries)), list(queries.values()), each
            )
            for each in COMPONENTS
        }
        for name, queries in asked.items()
    }
    print("P@10            " + "".join(f"{name:>9}" for name in rows["60 names"]))
    for name, row in rows.items():
        print(f"{name:16}" + "".join(f"{np.mean(each):9.3f}" for each in row.values()))
    plain = dict(zip(names, rows["60 names"]["plain"], strict=True))
    for limit, low in ((0.1, 0.0), (0.3, 0.11), (0.5, 0.31)):
        print(f"{low:.1f}-{limit}: " + ", ".join(n for n, p in plain.items() if low <= p <= limit))
    seconds["query_ms"] = milliseconds(extractor, [*names, *others])
    print("load {load_ms:.0f} ms, a query {query_ms:.2f} ms (median)".format(**seconds))
    if given.json:
        means = {
            name: {each: float(np.mean(values)) for each, values in row.items()}
            for name, row in rows.items()
        }
        result = {"machine": machine(), "precision_at_10": means, "by_name": plain, **seconds}
        given.json.write_text(json.dumps(result, indent=1) + "\n")


def vectors(extractor: OnnxExtractor, paths: Sequence[Path]) -> tuple[Array, Array]:
    """float32 [n, dim] of length 1, and each picture's folder."""
    every = np.concatenate(
        [
            extractor.extract([from_pixels(np.asarray(Image.open(path).convert("RGB")))])
            for path in paths
        ]
    )
    return unit(every), np.array([path.parent.name for path in paths])


def precisions(
    stored: Array, labels: Array, asked: Array, right: Sequence[list[str]], components: int | None
) -> list[float]:
    """P@10 of each query; `right`: the folders that count for it."""
    if components:
        projection = Projection.learn(stored, components)
        stored, asked = unit(projection.apply(stored)), projection.apply(asked)
    nearest = np.argsort(-(asked @ stored.T), axis=1)[:, :10]
    return [
        float(np.isin(labels[found], folders).mean())
        for found, folders in zip(nearest, right, strict=True)
    ]


def milliseconds(extractor: OnnxExtractor, queries: Sequence[str]) -> float:
    """The median time to encode one."""
    times = []
    for query in queries:
        started = time.perf_counter()
        extractor.encode_text([query])
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def unit(values: Array) -> Array:
    """The same at length 1."""
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))


if __name__ == "__main__":
    main()
