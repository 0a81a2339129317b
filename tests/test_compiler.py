"""Compiler: every step against the golden model, for every array size, and what it refuses."""
from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
import json
from pathlib import Path
import re

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from mantissa.compiler import compile
from mantissa.compiler_check import intact, interpret, verify
from mantissa.compiler_emit import blocks
from mantissa.compiler_place import Place
from mantissa.compiler_plan import Life, allocate, prove
from mantissa.compiler_scale import dyadic, dyadic_together
from mantissa.compiler_tasks import normalise
from mantissa.errors import MantissaError
from mantissa.graph import Add, Conv, Graph, MatMul, MaxPool, Rescale, Reshape, Tensor, evaluate
from mantissa.onnx_import import convert, load
from mantissa.onnx_models import gemm, random_cnn, random_mlp
from mantissa.instruction import BYTES
from mantissa.program import Op, decode
from mantissa.registers import PARAM_STRIDE, Capability, Code

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
CAPABILITY = Capability(identity=bytes(8), clock_hz=1_000_000, baud=9600, array=8, requant_lanes=8, packed=False, serial=False,
                        activation_words=1 << 14, weight_words=1 << 15, param_channels=1024, accumulators=16, instructions=64, payload=64)
ARRAYS = (2, 4, 8, 16)


def device(array: int = 8, **changes: int) -> Capability:
    return replace(CAPABILITY, array=array, **changes)


def tensor(name: str, *shape: int, scale: float = 0.1, zero_point: int = 0) -> Tensor:
    onnx = (shape[2], *shape[:2]) if len(shape) == 3 else shape[1:]
    return Tensor(name=name, shape=shape, onnx=onnx, scale=float(np.float32(scale)), zero_point=zero_point)


def graph(tensors: list[Tensor], *nodes: object) -> Graph:
    return Graph(name="g", tensors={t.name: t for t in tensors}, nodes=nodes, input=tensors[0].name,  # pyright: ignore
                 output=nodes[-1].output if nodes else tensors[0].name)


def dense(k: int, n: int, *, weight: int = 1, bias: int = 0, scale: float = 0.1, relu: bool = False) -> MatMul:
    return MatMul(name="dense", inputs=("x",), output="y", weight=np.full((k, n), weight, np.int8),
                  weight_scale=np.full(n, scale, np.float32), bias=np.full(n, bias), relu=relu)


# Scales.

@settings(max_examples=300)
@given(st.floats(2.0 ** -60, 2.0 ** 30, allow_nan=False))
def test_dyadic_is_the_nearest(value: float) -> None:
    b, c = dyadic(Fraction(value))
    assert 0 <= c <= 63 and 0 <= b <= 1 << 31 and (b >= 1 << 30 or c == 63)
    assert abs(Fraction(b, 1 << c) - Fraction(value)) <= Fraction(1, 2 << c)


@pytest.mark.parametrize(("scale", "pair"), [
    (Fraction(1), (1 << 30, 30)), (Fraction(1, 2), (1 << 30, 31)), (Fraction(3, 4), (3 << 29, 31)),
    (1 - Fraction(1, 1 << 40), (1 << 31, 31)), (Fraction(1, 1 << 33), (1 << 30, 63)),
    (Fraction(1, 1 << 34), (1 << 29, 63)), (Fraction((1 << 31) - 1), ((1 << 31) - 1, 0))])
def test_dyadic_cases(scale: Fraction, pair: tuple[int, int]) -> None:
    assert dyadic(scale) == pair


def test_dyadic_of_several_has_one_shift() -> None:
    assert dyadic_together([Fraction(1, 4), Fraction(3, 2)]) == ((1 << 28, 3 << 29), 30)


@pytest.mark.parametrize(("scale", "message"), [
    (Fraction(1 << 31), "Requantization scale must be less than 2**31, not 2.14748e+09"),
    (Fraction(0), "Requantization scale must be positive, not 0")])
def test_dyadic_refuses(scale: Fraction, message: str) -> None:
    with pytest.raises(MantissaError, match=f"^{re.escape(message)}$"):
        dyadic(scale)


def test_impossible_scale_names_the_layer() -> None:
    wrong = graph([tensor("x", 1, 4, scale=1e20), tensor("y", 1, 4, scale=1e-5)], dense(4, 4))
    with pytest.raises(MantissaError, match=r"^Layer dense: Requantization scale must be less than 2\*\*31, not 1e\+24$"):
        compile(wrong, CAPABILITY)


# Whole networks.

@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("name", ["digits_cnn", "digits_mlp"])
def test_digits(name: str, array: int) -> None:
    for keep_all in (False, True):
        compiled = compile(load(DIGITS / f"{name}.onnx"), device(array, accumulators=64), keep_all=keep_all, check=True)
        assert [check.step for check in compiled.checks] == ["normalise", "prove", "plan", "tile", "emit"]
        assert all(check.elements > 0 for check in compiled.checks)
        assert intact(compiled) == set(compiled.places) or not keep_all


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("array", ARRAYS)
def test_random_networks(seed: int, array: int) -> None:
    for model in (random_cnn(seed), random_mlp(seed)):
        for keep_all in (False, True):
            compiled = compile(convert(model), device(array), keep_all=keep_all, check=True)
            assert compiled.checks[-1].elements > 0


def test_accumulators_split_rows_and_columns() -> None:
    made = convert(random_cnn(3))
    few, many = (compile(made, device(accumulators=n), check=True, keep_all=True) for n in (16, 1024))
    assert len(few.instructions) > len(many.instructions)
    assert all(layer.first_pc == layer.last_pc for layer in many.layers)


def test_gemm_is_one_instruction() -> None:
    compiled = compile(convert(gemm()), device(accumulators=256))
    assert [one.op for one in compiled.instructions] == [Op.MATMUL, Op.HALT]
    assert compiled.layers[0].macs == 256 ** 3 and len(compiled.weights) == 256 ** 2
    assert compiled.batch == 1


def test_large_matrix_is_exact() -> None:
    compiled = compile(convert(gemm(70, 33, 29)), device(accumulators=32), check=True)
    assert compiled.layers[0].last_pc == 2


def test_layers_and_images_of_the_cnn() -> None:
    compiled = compile(load(DIGITS / "digits_cnn.onnx"), device(accumulators=64))
    assert [layer.op for layer in compiled.layers] == ["Conv", "Conv", "Conv", "Add", "MaxPool", "Conv", "AveragePool", "MatMul"]
    assert [layer.macs for layer in compiled.layers] == [9216, 147456, 147456, 0, 0, 73728, 0, 320]
    assert [layer.first_pc for layer in compiled.layers] == [layer.last_pc for layer in compiled.layers] == list(range(8))
    assert decode(compiled.program) == list(compiled.instructions) and len(compiled.program) == 9 * BYTES
    assert len(compiled.params) % PARAM_STRIDE == 0


def test_batch_of_an_mlp() -> None:
    made = load(DIGITS / "digits_mlp.onnx")
    assert compile(made, CAPABILITY).batch == 16
    assert compile(made, device(activation_words=128)).batch == 8     # 8 + 8 words a sample
    for batch in (1, 3, 40):
        compiled = compile(made, CAPABILITY, batch=batch, check=True)
        assert compiled.batch == batch and compiled.layers[0].macs == batch * 64 * 64
    rng = np.random.default_rng(0)
    codes = rng.integers(-128, 128, (2, 1, 64), np.int8)                # fewer than the batch
    compiled = compile(made, CAPABILITY)
    ended, place = interpret(compiled, codes), compiled.output
    found = place.unpack(ended.activations[place.base_word:place.base_word + place.words].tobytes())
    assert ended.code is Code.NONE and found.shape == (16, 1, 10)
    assert np.array_equal(found[:2], evaluate(made, codes)[made.output])


# Steps.

def test_lone_relu_is_folded_only_when_it_only_clamps() -> None:
    def tasks(scale: float, reader: bool) -> int:
        nodes = [dense(4, 4), Rescale(name="relu", inputs=("y",), output="z", relu=True)]
        nodes += [Add(name="add", inputs=("y", "z"), output="w")] if reader else []
        tensors = [tensor("x", 1, 4), tensor("y", 1, 4), tensor("z", 1, 4, scale=scale), tensor("w", 1, 4)]
        return len(normalise(graph(tensors, *nodes)).tasks)
    assert (tasks(0.1, False), tasks(0.2, False), tasks(0.1, True)) == (1, 2, 3)


@pytest.mark.parametrize("bias", [(1 << 31) - 1 - 4 * 128, -(1 << 31) + 4 * 128])
def test_accumulator_bound_is_tight(bias: int) -> None:
    tensors = [tensor("x", 1, 4), tensor("y", 1, 2, scale=1e6)]
    sign = 1 if bias < 0 else -1
    prove(normalise(graph(tensors, dense(4, 2, weight=sign, bias=bias))))
    over = bias + (1 if bias > 0 else -1)
    reach = 1 << 31 if bias > 0 else -(1 << 31) - 1
    with pytest.raises(MantissaError, match=f"^Layer dense: accumulator must fit signed 32 bits for every input, but can reach {reach}$"):
        compile(graph(tensors, dense(4, 2, weight=sign, bias=over)), CAPABILITY)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 12), st.integers(0, 6)), min_size=1, max_size=14))
def test_allocation_never_overlaps(lives: list[tuple[int, int, int]]) -> None:
    blocks_ = [Life(name=str(n), words=words, first=first, last=first + length) for n, (words, first, length) in enumerate(lives)]
    bases = allocate(blocks_)
    for n, one in enumerate(blocks_):
        for other in blocks_[:n]:
            together = one.first <= other.last and other.first <= one.last
            apart = bases[one.name] + one.words <= bases[other.name] or bases[other.name] + other.words <= bases[one.name]
            assert apart or not together
    for one in blocks_:                                      # first fit: at 0 or right behind a block in use at the same time
        ends = [0] + [bases[other.name] + other.words for other in blocks_ if other.first <= one.last and one.first <= other.last]
        assert bases[one.name] in ends


@settings(max_examples=200)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 64))
def test_blocks_cover_every_position_once(rows: int, columns: int, most: int) -> None:
    seen = np.zeros((rows, columns), int)
    for block in blocks(rows, columns, most):
        assert block.rows * block.columns <= most and (block.columns == columns or block.rows == 1)
        seen[block.row:block.row + block.rows, block.column:block.column + block.columns] += 1
    assert (seen == 1).all()


@settings(max_examples=100)
@given(st.lists(st.integers(1, 7), min_size=2, max_size=3), st.sampled_from(ARRAYS), st.integers(1, 3), st.booleans())
def test_place_packs_and_unpacks(shape: list[int], array: int, samples: int, flat: bool) -> None:
    samples = samples if len(shape) == 2 and not flat else 1
    full = (1, int(np.prod(shape))) if flat else tuple(shape)
    place = Place(base_word=0, shape=full, array=array, samples=samples, source=tuple(shape) if flat else None)
    codes = np.random.default_rng(0).integers(-128, 128, (samples, *full), np.int8)
    image = place.pack(codes)
    assert len(image) == place.words * array and np.array_equal(place.unpack(image), codes)


def test_place_is_row_column_tile_lane() -> None:
    place = Place(base_word=0, shape=(2, 3, 5), array=4)
    codes = np.arange(30, dtype=np.int8).reshape(1, 2, 3, 5)
    words = np.frombuffer(place.pack(codes), np.int8).reshape(2, 3, 2, 4)
    assert words[1, 2, 0].tolist() == codes[0, 1, 2, :4].tolist() and words[1, 2, 1].tolist() == [codes[0, 1, 2, 4], 0, 0, 0]
    flat = Place(base_word=0, shape=(1, 30), array=4, source=(2, 3, 5))
    assert flat.pack(codes.transpose(0, 3, 1, 2).reshape(1, 1, 30)) == place.pack(codes)


@pytest.mark.parametrize("change", ["weights", "params", "program", "places", "ranges"])
def test_checks_catch_a_wrong_step(change: str) -> None:
    compiled = compile(load(DIGITS / "digits_cnn.onnx"), device(accumulators=64))
    if change in ("weights", "params"):
        image = bytearray(getattr(compiled, change))
        image[{"weights": 1000, "params": 17 * PARAM_STRIDE + 6}[change]] ^= 1 << 6
        broken, message = replace(compiled, **{change: bytes(image)}), "Step emit differs from the golden model in "
    elif change == "program":
        first = replace(compiled.instructions[0], output_step=1)
        broken, message = replace(compiled, instructions=(first, *compiled.instructions[1:])), "Step tile does not write each word "
    elif change == "places":
        name = compiled.layers[1].tensor
        moved = replace(compiled.places[name], base_word=compiled.layers[0].place.base_word)
        broken, message = replace(compiled, places=dict(compiled.places) | {name: moved}), "Step plan gives tensor "
    else:
        ranges = dict(compiled.ranges) | {compiled.layers[0].name: (-10, 10)}
        broken, message = replace(compiled, ranges=ranges), "Step prove bounds the accumulator of layer /first/Conv by -10 and 10, "
    with pytest.raises(MantissaError, match=f"^{re.escape(message)}"):
        verify(broken)


def test_dump_writes_every_step(tmp_path: Path) -> None:
    compiled = compile(load(DIGITS / "digits_cnn.onnx"), device(accumulators=64), check=True)
    paths = compiled.dump(tmp_path / "dump")
    assert [path.name for path in paths] == ["1-import.json", "2-normalise.json", "3-prove.json", "4-plan.json", "5-tile.txt",
                                             "6-emit.json", "program.bin", "weights.bin", "params.bin"]
    records = {path.stem: json.loads(path.read_text()) for path in paths if path.suffix == ".json"}
    assert len(records["1-import"]["nodes"]) == 9 and len(records["2-normalise"]["tasks"]) == 8
    assert records["4-plan"][compiled.graph.output]["base_word"] == compiled.output.base_word
    assert records["6-emit"]["layers"][1]["macs"] == 147456
    assert (tmp_path / "dump" / "program.bin").read_bytes() == compiled.program
    assert "MATMUL" in (tmp_path / "dump" / "5-tile.txt").read_text()


# What does not fit.

@pytest.mark.parametrize(("changes", "message"), [
    ({"activation_words": 256}, "Activation memory must have 448 words of 8 bytes for this model, 192 more than the 256 there are"),
    ({"weight_words": 1024}, "Weight memory must have 1360 words of 8 bytes for this model, 336 more than the 1024 there are"),
    ({"param_channels": 64}, "Parameter memory must have 128 channels for this model, 64 more than the 64 there are"),
    ({"accumulators": 16, "instructions": 16}, "Program memory must have 18 instructions for this model, 2 more than the 16 there are")])
def test_model_too_large(changes: dict[str, int], message: str) -> None:
    with pytest.raises(MantissaError, match=f"^{message}$"):
        compile(load(DIGITS / "digits_cnn.onnx"), device(**{"accumulators": 64} | changes))


@pytest.mark.parametrize(("name", "batch", "message"), [
    ("digits_cnn", 2, "Batch must be 1 for a network that is not of vectors alone, not 2"),
    ("digits_mlp", 0, "Batch must be at least 1, not 0")])
def test_wrong_batch(name: str, batch: int, message: str) -> None:
    with pytest.raises(MantissaError, match=f"^{message}$"):
        compile(load(DIGITS / f"{name}.onnx"), device(accumulators=64), batch=batch)


def test_layer_that_no_instruction_can_hold() -> None:
    weight = np.ones((1, 1, 2, 2), np.int8)
    conv = Conv(name="tall", inputs=("x",), output="y", weight=weight, weight_scale=np.ones(2, np.float32), bias=np.zeros(2, int),
                pad=(1, 1, 1, 1))
    tall = graph([tensor("x", 1100, 1, 2), tensor("y", 1102, 3, 2, scale=9)], conv)
    with pytest.raises(MantissaError, match="^Layer tall is too large for an instruction: Field height of instruction 0 must be between "
                                            "1 and 1024, not 1100$"):
        compile(tall, CAPABILITY)


def test_add_of_flat_and_plain() -> None:
    nodes = [Reshape(name="flat", inputs=("x",), output="f"), replace(dense(8, 8), inputs=("f",)),
             Add(name="sum", inputs=("f", "y"), output="z")]
    mixed = graph([tensor("x", 2, 2, 2), tensor("f", 1, 8), tensor("y", 1, 8), tensor("z", 1, 8)], *nodes)
    with pytest.raises(MantissaError, match=r"^Layer sum: inputs of Add must lie alike in memory, but only one of them is flattened "
                                            r"from \(2, 2, 2\)$"):
        compile(mixed, CAPABILITY)


def test_words_of_a_flat_tensor_keep_their_order() -> None:
    nodes = [MaxPool(name="pool", inputs=("x",), output="p", kernel=(2, 2)), Reshape(name="flat", inputs=("p",), output="f"),
             Rescale(name="relu", inputs=("f",), output="r", relu=True), Add(name="sum", inputs=("f", "r"), output="z")]
    vectors = [tensor("f", 1, 30), tensor("r", 1, 30, scale=0.3), tensor("z", 1, 30, zero_point=7)]
    flat = graph([tensor("x", 4, 3, 5), tensor("p", 3, 2, 5), *vectors], *nodes)
    for array in ARRAYS:
        assert compile(flat, device(array), keep_all=True, check=True).output.source == (3, 2, 5)


@pytest.mark.parametrize(("values", "message"), [
    (np.zeros((1, 1, 8, 8)), "Input must be float32, not float64"),
    (np.zeros((1, 8, 8), np.float32), "Input must have shape (N, 1, 8, 8), not (1, 8, 8)"),
    (np.full((1, 1, 8, 8), np.nan, np.float32), "Input must be finite numbers, not NaN")])
def test_wrong_values(values: np.ndarray, message: str) -> None:
    with pytest.raises(MantissaError, match=f"^{re.escape(message)}$"):
        load(DIGITS / "digits_cnn.onnx").quantize(values)


def test_wrong_codes() -> None:
    made = load(DIGITS / "digits_cnn.onnx")
    with pytest.raises(MantissaError, match=r"^Input codes must be int8 of shape \(n, 8, 8, 1\), not int8 of shape \(1, 1, 8, 8\)$"):
        evaluate(made, np.zeros((1, 1, 8, 8), np.int8))
    place = compile(made, device(accumulators=64)).input
    with pytest.raises(MantissaError, match=r"^Codes must be int8 of shape \(1 to 1, 8, 8, 1\), not int8 of shape \(2, 8, 8, 1\)$"):
        place.pack(np.zeros((2, 8, 8, 1), np.int8))
    with pytest.raises(MantissaError, match=r"^Image must be 512 bytes, not 8$"):
        place.unpack(bytes(8))
