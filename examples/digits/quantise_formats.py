"""Quantise the digits CNN to the accelerator's formats: ``python examples/digits/quantise_formats.py``.

Needs ``mantissa[train]``. Trains the float network as ``train.py`` does, and for each assignment of formats chooses the range of every
weight channel and activation by least squared error; those with a format of 4 bits are then trained further with rounding in the
forward pass. Writes ``formats/*.onnx`` beside this file, and prints the held-out accuracy of each by the golden model.
"""
from __future__ import annotations

from collections.abc import Mapping
import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import torch

from mantissa.graph import evaluate
from mantissa.onnx_formats import DOMAIN, VERSION
from mantissa.onnx_import import convert

from data import split
from qat import ACTIVATIONS, LAYERS, Assignment, QuantisedCnn, cross_entropy, fine_tune, weight_scales
from train import IR, OPSET, SEED, Cnn, fit

__all__ = ["main", "sensitivities", "uniform"]

HERE = Path(__file__).parent
FOUR = ("int4", "e2m1", "posit4_1")
EIGHT = ("int8", "e4m3", "posit8_0")
MOST_LOSS = 0.01
"""Cross entropy on the training images that one part of the mixed assignment may lose by going to 4 bits, before fine-tuning."""

PARTS = {**{layer: (layer,) for layer in LAYERS}, "a+c": ("a", "c"), **{name: (name,) for name in ("b", "d", "e")}}
"""What gets one format of its own in the mixed assignment; a and c are added, so they share theirs."""


def uniform(weights: str, activations: str, ends: str) -> dict[str, str]:
    """One format for all weights, one for all activations but image, mean and logits: in 4 bits too many of those would be equal."""
    return dict.fromkeys(LAYERS, weights) | dict.fromkeys(ACTIVATIONS, activations) | dict.fromkeys(ENDS, ends)


ENDS: tuple[str, ...] = ("image", "f", "logits")

UNIFORM = {
    **{name: uniform(name, name, name) for name in EIGHT}, "int4": uniform("int4", "int4", "int8"),
    "e2m1": uniform("e2m1", "e2m1", "e4m3"), "posit4_1": uniform("posit4_1", "posit4_1", "posit8_0"),
    "mxfp4": uniform("mxfp4", "e4m3", "e4m3")}


def _calibrated(net: Cnn, assignment: Assignment, images: torch.Tensor) -> QuantisedCnn:
    model = QuantisedCnn(copy.deepcopy(net), assignment)
    model.calibrate(images)
    return model


def sensitivities(net: Cnn, base: Assignment, images: torch.Tensor, labels: torch.Tensor) -> dict[str, tuple[float, str]]:
    """Of each part, the least cross entropy it loses by going to 4 bits alone, and the format that does."""
    start = cross_entropy(_calibrated(net, base, images), images, labels)

    def loss(part: str, name: str) -> float:
        tried = {**base, **dict.fromkeys(PARTS[part], name)}
        return cross_entropy(_calibrated(net, tried, images), images, labels) - start
    return {part: min((loss(part, name), name) for name in FOUR) for part in PARTS}


def _mixed(net: Cnn, images: torch.Tensor, labels: torch.Tensor) -> dict[str, str]:
    """The 8-bit format with the least cross entropy, and 4 bits for each part that loses no more than :data:`MOST_LOSS` alone."""
    name = min(EIGHT, key=lambda name: cross_entropy(_calibrated(net, UNIFORM[name], images), images, labels))
    found = dict(UNIFORM[name])
    for part, (loss, four) in sensitivities(net, found, images, labels).items():
        print(f"mixed: {part} in {four} loses {loss:+.4f}", flush=True)
        if loss <= MOST_LOSS:
            found |= dict.fromkeys(PARTS[part], four)
    return found


class _Writer:
    """Adds nodes to an ONNX graph."""

    def __init__(self, model: QuantisedCnn) -> None:
        self.model = model
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, name: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [name], name, **attributes))
        return name

    def act(self, tensor: str, x: str, name: str) -> str:
        scale = np.array(self.model.scales[tensor], np.float32)
        return self.node("Quantize", name, x, self.constant(f"{name}_scale", scale), domain=DOMAIN, format=self.model.assignment[tensor])

    def layer(self, op: str, layer: str, x: str, **attributes: Any) -> str:
        module, name = getattr(self.model.net, layer), self.model.assignment[layer]
        weight = module.weight.detach().numpy()
        scale, exponents = weight_scales(name, weight, self.model.factors[layer])
        inputs = [self.constant(f"{layer}_weight", weight), self.constant(f"{layer}_weight_scale", scale)]
        if exponents is not None:
            inputs.append(self.constant(f"{layer}_weight_exponents", exponents))
        quantised = self.node("Quantize", f"{layer}_weight_quantised", *inputs, domain=DOMAIN, format=name, axis=0)
        return self.node(op, layer, x, quantised, self.constant(f"{layer}_bias", module.bias.detach().numpy()), **attributes)


def onnx_model(model: QuantisedCnn) -> onnx.ModelProto:
    """The network with a Quantize after each operator and on each weight."""
    make = _Writer(model)

    def conv(layer: str, x: str) -> str:
        return make.layer("Conv", layer, x, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    a = make.act("a", make.node("Relu", "first_relu", conv("first", make.act("image", "image", "image_quantised"))), "a")
    b = make.act("b", make.node("Relu", "second_relu", conv("second", a)), "b")
    c = make.act("c", conv("third", b), "c")
    d = make.act("d", make.node("Relu", "sum_relu", make.node("Add", "sum", a, c)), "d")
    pooled = make.act("d", make.node("MaxPool", "pool", d, kernel_shape=[2, 2], strides=[2, 2]), "d_pooled")
    e = make.act("e", make.node("Relu", "fourth_relu", conv("fourth", pooled)), "e")
    f = make.act("f", make.node("GlobalAveragePool", "mean", e), "f")
    flat = make.act("f", make.node("Flatten", "flatten", f), "f_flat")
    make.act("logits", make.layer("Gemm", "last", flat, transB=1), "logits")
    image, logits = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
                     for name, shape in (("image", (1, 8, 8)), ("logits", (10,))))
    graph = helper.make_graph(make.nodes, "digits", [image], [logits], make.constants)
    return helper.make_model(graph, ir_version=IR, opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, VERSION)])


def accuracy(model: onnx.ModelProto, images: np.ndarray, labels: np.ndarray) -> float:
    """By the golden model."""
    graph = convert(model)
    found = evaluate(graph, graph.quantize(images))[graph.output]
    return float((graph.dequantize(found).argmax(1) == labels).mean())


def main() -> None:
    """Train, quantise, report."""
    torch.set_num_threads(1)
    train, train_labels, test, test_labels = split()
    torch.manual_seed(SEED)
    net = Cnn()
    fit(net, train, train_labels, False)
    images, labels = torch.from_numpy(train), torch.from_numpy(train_labels)
    with torch.no_grad():
        print(f"float: seed {SEED}, {float((net(torch.from_numpy(test)).argmax(1).numpy() == test_labels).mean()):.4f}", flush=True)
    assignments: Mapping[str, Assignment] = UNIFORM | {"mixed": _mixed(net, images, labels)}
    (HERE / "formats").mkdir(exist_ok=True)
    for name, assignment in assignments.items():
        model = _calibrated(net, assignment, images)
        if {*FOUR, "mxfp4"} & {*assignment.values()}:
            torch.manual_seed(SEED)
            fine_tune(model, train, train_labels)
        written = onnx_model(model)
        onnx.save(written, HERE / "formats" / f"{name}.onnx")
        print(f"{name}: {accuracy(written, test, test_labels):.4f} of {len(test)} held-out images", flush=True)


if __name__ == "__main__":
    main()
