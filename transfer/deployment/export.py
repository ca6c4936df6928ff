"""The classifier in forms that run without this project, and how far their answers are from its own."""

import io
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch.export import Dim, ExportedProgram

from transfer.deployment.package import INT8, ONNX, PROGRAM
from transfer.deployment.predictor import Network, onnx_network
from transfer.evaluation.scores import wilson_interval, with_interval
from transfer.network.program import Program
from transfer.runtime.errors import ExportError

Format = Literal["onnx", "program", "int8"]
FILES: dict[Format, str] = {"onnx": ONNX, "program": PROGRAM, "int8": INT8}
OPSET = 20
# What a node remembers of the code that it comes from: paths of this machine, on which the bytes must not depend.
ORIGIN = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node")
QUANTIZED = ["Conv", "Gemm", "MatMul"]


def exported(program: Program, size_px: int) -> ExportedProgram:
    """The program for batches of any size. Raises ExportError with torch's reason."""
    example = torch.zeros(2, size_px, size_px, 3, dtype=torch.uint8)
    with _told("torch.export"), torch.no_grad():
        found = torch.export.export(program, (example,), dynamic_shapes={"pixels": {0: Dim("batch")}})
    for module in found.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            for key in ORIGIN:
                node.meta.pop(key, None)
    return found


class _told:  # noqa: N801  a context manager
    """Turn whatever a library raises into an ExportError of one line."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, OSError | MemoryError):
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ExportError(f"{self.what}: {lines[0]}") from error


def write_program(path: Path, found: ExportedProgram) -> None:
    packed = io.BytesIO()  # torch's own writer ends the process where a disk is full
    # It complains of tensors that share their memory, and writes them all the same.
    with _told("torch.export.save"), warnings.catch_warnings(action="ignore"):
        torch.export.save(found, packed)
    path.write_bytes(packed.getbuffer())


def write_onnx(path: Path, found: ExportedProgram) -> None:
    """`pixels` (batch, S, S, 3) uint8 -> `probabilities` (batch, classes), `features` (batch, F)."""
    names: Any = {"input_names": ["pixels"], "output_names": ["probabilities", "features"]}
    with _told("torch.onnx.export"):
        made: Any = torch.onnx.export(found, dynamo=True, opset_version=OPSET, verbose=False, **names)
        model = made.model_proto
        for node in model.graph.node:
            del node.metadata_props[:]  # the origin once more
        onnx.save(model, path)
        onnx.checker.check_model(path)


class _Batches(CalibrationDataReader):
    def __init__(self, batches: Iterable[np.ndarray]) -> None:
        self.batches = iter(batches)

    def get_next(self) -> Any:  # None at the end, which the base class does not say
        batch = next(self.batches, None)
        return None if batch is None else {"pixels": batch}


def write_int8(path: Path, source: Path, batches: Iterable[np.ndarray]) -> None:
    """Quantise an ONNX file's convolutions and products to 8 bits, by what they give for pixels (batch, S, S, 3)."""
    prepared = path.with_name(f"{path.stem}.prepared.onnx")
    with _told("ONNX Runtime's quantisation"):
        quant_pre_process(source, prepared, skip_symbolic_shape=True)  # folds batch normalisation into convolutions
        quantize_static(
            prepared,
            path,
            _Batches(batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    prepared.unlink()


def program_network(path: Path) -> Network:
    """A network of a torch.export file, on the CPU."""
    module = torch.export.load(path).module()

    @torch.no_grad()
    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probabilities, features = module(torch.from_numpy(pixels))
        return probabilities.numpy(), features.numpy()

    return run


OPEN: dict[Format, Callable[[Path], Network]] = {
    "onnx": onnx_network,
    "program": program_network,
    "int8": onnx_network,
}


def differences(found: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    """The largest difference of two probabilities (N, classes), and how many answers differ."""
    return {
        "largest_difference": float(np.abs(found - expected).max()),
        "changed_answers": int((found.argmax(1) != expected.argmax(1)).sum()),
    }


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Share of right answers with its interval."""
    hits = int((probabilities.argmax(1) == labels).sum())
    return with_interval("accuracy", hits / len(labels), wilson_interval(hits, len(labels)))
