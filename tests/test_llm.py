"""Ternary files to the device's layout and back, in bytes; what tells conventions and layouts apart; memory."""
from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
import json
from pathlib import Path
import re
import subprocess
import sys

import gguf
import numpy as np
import pytest
from safetensors.numpy import save_file

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(Path(__file__).parent))
import llm_memory  # noqa: E402
from llm_files import (DTYPES, LEGACY, OFFLINE, hf_bytes, i2_s_tensor, random_trits, structured, tq_bytes, write_gguf,  # noqa: E402
                       write_hf, write_i2_s, write_tq)

from mantissa import cli  # noqa: E402
from mantissa.errors import MantissaError  # noqa: E402
from mantissa.llm import Converted, convert  # noqa: E402
from mantissa.llm_weights import absmean_scale, absmean_trits  # noqa: E402
from mantissa.ternary import I2_S  # noqa: E402
from mantissa.ternary_tiles import tile  # noqa: E402

Q, DOWN = "model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.down_proj.weight"


def two(columns: int = 256) -> dict[str, tuple[np.ndarray, float]]:
    return {"blk.0.attn_q.weight": (random_trits(16, columns, 1), 0.5), "blk.0.ffn_down.weight": (random_trits(8, 2 * columns, 2), 0.0625)}


def same(done: Converted, matrices: Mapping[str, tuple[np.ndarray, float]]) -> None:
    assert list(done.shapes) == list(matrices)
    for name, (trits, scale) in matrices.items():
        assert (done.trits(name) == trits).all() and done.scales(name).tolist() == [scale] and done.scale(name) == scale
        assert (done.tiles(name) == tile(trits, done.tables)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("config, stored", [(OFFLINE, lambda scale: scale), (LEGACY, lambda scale: 1 / scale)])
def test_packed_safetensors(tmp_path: Path, dtype: str, config: object, stored) -> None:
    matrices = {Q: (random_trits(24, 64, 3), 0.5), DOWN: (random_trits(8, 100, 4), 0.03125)}
    others = {"model.embed_tokens.weight": np.zeros((9, 64), np.float32), "model.norm.weight": np.ones(64, np.float32)}
    path = write_hf(tmp_path / "model.safetensors", {name: (trits, stored(scale)) for name, (trits, scale) in matrices.items()}, dtype,
                    config, others)
    done = convert(path, tmp_path / "out")
    same(done, dict(sorted(matrices.items())))
    assert sorted(done.left) == sorted(others)
    for name, (trits, scale) in matrices.items():
        data, raw, kind = done.payload(name)
        assert (data == hf_bytes(trits)).all() and kind == dtype
        assert raw == np.array([stored(scale)]).astype(DTYPES[dtype]).tobytes()


def test_reciprocals_that_are_not_exact_come_back(tmp_path: Path) -> None:
    path = write_hf(tmp_path / "model.safetensors", {Q: (random_trits(4, 5), 49.3)}, "F32")
    done = convert(path, tmp_path / "out", scale="divide")
    assert done.scales(Q).tolist() == [np.float32(1) / np.float32(49.3)]
    assert done.payload(Q).scale == np.float32(49.3).tobytes()


@pytest.mark.parametrize("kind", ("tq1_0", "tq2_0"))
def test_gguf_blocks(tmp_path: Path, kind: str) -> None:
    matrices = two()
    matrices["blk.0.attn_q.weight"][0][3] = 0                # a block of zeros, which has no scale
    done = convert(write_tq(tmp_path / "a.gguf", matrices, kind), tmp_path / "out")
    same(done, matrices)
    for name, (trits, scale) in matrices.items():
        assert (done.payload(name).weights == tq_bytes(trits, kind, scale)).all()


@pytest.mark.parametrize("kind", ("tq1_0", "tq2_0"))
@pytest.mark.parametrize("odd", (False, True))
def test_gguf_blocks_of_different_scales(tmp_path: Path, kind: str, odd: bool) -> None:
    """Also where one scale would do but for a block of zeros that has one."""
    values = random_trits(8, 512, 5).astype(np.float32)
    values *= 1 if odd else np.repeat(np.float32(2) ** np.arange(16).reshape(8, 2), 256, axis=1) * 2.0 ** -8
    values[2, :256] = 0
    quantised = gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind.upper()])
    if odd:
        quantised.reshape(8, 2, -1)[2, 0, -2:] = np.frombuffer(np.float16(3).tobytes(), np.uint8)
    path = write_gguf(tmp_path / "a.gguf", [("w", gguf.GGMLQuantizationType[kind.upper()], quantised, None)])
    done = convert(path, tmp_path / "out")
    assert done.scales("w").shape == (8, 2)
    assert (done.payload("w").weights == quantised).all()
    if not odd:
        assert (done.trits("w") * np.repeat(done.scales("w"), 256, axis=1) == values).all()


@pytest.mark.parametrize("layout", I2_S)
def test_i2_s(tmp_path: Path, layout: str) -> None:
    matrices = two()
    done = convert(write_i2_s(tmp_path / "a.gguf", matrices, layout), tmp_path / "out", layout, tables=3)
    same(done, matrices)
    for name, (trits, scale) in matrices.items():
        assert (done.payload(name).weights == i2_s_tensor(trits, layout, scale)).all()


def test_every_layout_to_every_other(tmp_path: Path) -> None:
    """One matrix goes all the way round, and each file holds what the definition says."""
    trits, scale = random_trits(16, 256, 6), 0.25
    made = {"hf": hf_bytes(trits), **{layout: i2_s_tensor(trits, layout, scale) for layout in I2_S},
            **{kind: tq_bytes(trits, kind, scale) for kind in ("tq1_0", "tq2_0")}}
    files = {"hf": write_hf(tmp_path / "a.safetensors", {"w.weight": (trits, scale)}),
             **{layout: write_i2_s(tmp_path / f"{layout}.gguf", {"w.weight": (trits, scale)}, layout) for layout in I2_S},
             **{kind: write_tq(tmp_path / f"{kind}.gguf", {"w.weight": (trits, scale)}, kind) for kind in ("tq1_0", "tq2_0")}}
    device = set()
    for layout, path in files.items():
        done = convert(path, tmp_path / f"out-{layout}", layout, "multiply" if layout == "hf" else "auto")
        device.add(((done.folder / "weights.bin").read_bytes(), (done.folder / "scales.bin").read_bytes()))
        for other, data in made.items():
            payload = done.payload("w.weight", other)
            assert (payload.weights == data).all(), f"{layout} to {other}"
    assert len(device) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("container", ("safetensors", "gguf"))
def test_absmean(tmp_path: Path, dtype: str, container: str) -> None:
    """Against rationals: the mean rounded to float32 once, each quotient to float32, then to the nearest, ties to even."""
    values = np.random.default_rng(7).normal(size=(6, 45)).astype(DTYPES[dtype])
    values[0, :3] = 0, 1e-3, 5
    path = tmp_path / f"a.{container}"
    names = {"blk.0.up.weight": values, "token_embd.weight": values, "norm.weight": values[0]}
    if container == "safetensors":
        save_file(names, path)
    else:
        write_gguf(path, [(name, {"F32": None, "F16": None, "BF16": gguf.GGMLQuantizationType.BF16}[dtype],
                           array.view(np.uint8) if dtype == "BF16" else array, None) for name, array in names.items()])
    done = convert(path, tmp_path / "out", "absmean")
    assert list(done.shapes) == ["blk.0.up.weight"]
    exact = [[Fraction(float(v)) for v in row] for row in values]
    mean = np.float32(float(sum(abs(v) for row in exact for v in row) / values.size))
    assert done.scales("blk.0.up.weight").tolist() == [mean]
    wanted = [[max(-1, min(1, round(Fraction(float(np.float32(float(v)) / mean))))) for v in row] for row in exact]
    assert done.trits("blk.0.up.weight").tolist() == wanted
    with pytest.raises(MantissaError, match="^Layout to write must be one of hf, i2_s_x86, .*, not 'absmean'$"):
        done.payload("blk.0.up.weight")


def test_absmean_of_ties_and_of_nothing() -> None:
    assert absmean_trits(np.array([0.25, -0.25, 0.75, 0.2500001, 9, -9], np.float32), 0.5).tolist() == [0, 0, 1, 1, 1, -1]
    assert absmean_scale("w", iter([np.zeros((2, 2), np.float32)]), 4) == np.float32(1e-5)
    assert absmean_scale("w", iter([np.float32([[1, 2]]), np.float32([[3, 6]])]), 4) == 3


def trained(layout: str, path: Path, seed: int = 0) -> Path:
    """Two layers whose channels differ, as those of trained models do: in size, in the gain of the norm before, and in what makes them."""
    rng = np.random.default_rng(seed)
    matrices, gains = {}, {}
    for layer in range(2):
        into, hidden = np.exp(0.4 * rng.normal(size=256)), np.exp(0.4 * rng.normal(size=512))
        gains[f"blk.{layer}.ffn_norm.weight"] = (into ** -0.5 * np.exp(0.2 * rng.normal(size=256))).astype(np.float32)
        noise = np.exp(0.2 * rng.normal(size=512))
        matrices[f"blk.{layer}.ffn_up.weight"] = (structured(hidden * noise, into, 2 * layer), 0.5)
        matrices[f"blk.{layer}.ffn_down.weight"] = (structured(np.exp(0.2 * rng.normal(size=256)), hidden, 2 * layer + 1), 0.5)
    return write_i2_s(path, matrices, layout, gains)


@pytest.mark.parametrize("actual", I2_S)
@pytest.mark.parametrize("declared", I2_S)
def test_wrong_layout_is_noticed(tmp_path: Path, actual: str, declared: str) -> None:
    path = trained(actual, tmp_path / "a.gguf")
    if actual == declared:
        assert len(convert(path, tmp_path / "out", declared).shapes) == 4
        return
    with pytest.raises(MantissaError, match=f"^Layout of a.gguf must fit its statistics, not {declared}: {actual} is likelier$"):
        convert(path, tmp_path / "out", declared)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("declared", I2_S)
def test_right_layout_is_never_refused(tmp_path: Path, declared: str) -> None:
    for seed in range(20):
        convert(trained(declared, tmp_path / "a.gguf", seed), tmp_path / f"out{seed}", declared)
        convert(write_i2_s(tmp_path / "b.gguf", {f"blk.{n}.w": (random_trits(256, 256, 9 * seed + n), 1.0) for n in range(3)}, declared,
                           {f"blk.{n}.norm": np.random.default_rng(seed).random(256, np.float32) for n in range(3)}),
                tmp_path / f"plain{seed}", declared)


@pytest.mark.parametrize("config, value, sentence", [
    (OFFLINE, 64.0, "Scales of model.safetensors must not multiply weights by 64 (median), as autobitlinear in config.json has it: "
                    "divide is likelier, declare scale divide, or multiply if it is right"),
    (LEGACY, 0.03125, "Scales of model.safetensors must not multiply weights by 32 (median), as bitlinear in config.json has it: "
                      "multiply is likelier, declare scale multiply, or divide if it is right"),
])
def test_magnitudes_check_the_convention(tmp_path: Path, config: object, value: float, sentence: str) -> None:
    path = write_hf(tmp_path / "model.safetensors", {Q: (random_trits(4, 5), value)}, "F32", config)
    with pytest.raises(MantissaError) as caught:
        convert(path, tmp_path / "out")
    assert str(caught.value) == sentence
    for convention, multiplier in (("multiply", value), ("divide", 1 / value)):
        assert convert(path, tmp_path / convention, scale=convention).scales(Q).tolist() == [multiplier]


def test_product_of_a_converted_matrix(tmp_path: Path) -> None:
    matrices = two()
    done = convert(write_tq(tmp_path / "a.gguf", matrices, "tq1_0"), tmp_path / "out")
    trits, _ = matrices["blk.0.attn_q.weight"]
    x = np.random.default_rng(8).integers(-128, 128, (3, 256), np.int8)
    assert (done.product("blk.0.attn_q.weight")(x) == x.astype(int) @ trits.T).all()
    with pytest.raises(MantissaError, match="^Tokens must have 256 values, not 255$"):
        done.product("blk.0.attn_q.weight")(x[:, 1:])


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_i2_s(tmp_path / "a.gguf", two(), "i2_s_arm", {"blk.0.norm": np.ones(3, np.float32)})
    assert cli.main(["convert", str(path), "--layout", "i2_s_arm", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.startswith("wrote 2 matrices, 8,192 weights in 1,736 bytes (1.695 bits each), to ")
    same(Converted(tmp_path / "out"), two())
    assert cli.main(["convert", str(path), "--out", str(tmp_path / "other")]) == 2
    assert capsys.readouterr().err == ("mantissa: Layout of a.gguf must be declared, as I2_S does not say which it is: one of i2_s_x86, "
                                       "i2_s_arm, i2_s_rows\n")


def test_vocabulary_is_not_kept(tmp_path: Path) -> None:
    """A model's vocabulary takes no memory to speak of."""
    trits = random_trits(4, 256)
    path = write_gguf(tmp_path / "a.gguf", [("w.weight", gguf.GGMLQuantizationType.TQ2_0, tq_bytes(trits, "tq2_0", 1), None)],
                      {"tokenizer.ggml.tokens": [f"token {n}" for n in range(20000)], "tokenizer.ggml.scores": [0.5] * 20000})
    code = f"""
import pathlib, tracemalloc
from mantissa.llm_gguf import GGUFFile
tracemalloc.start()
GGUFFile(pathlib.Path({str(path)!r}), "auto")
print(tracemalloc.get_traced_memory()[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout) < 50_000


@pytest.mark.parametrize("kind", ("hf", "tq1_0", "tq2_0", "i2_s_x86", "absmean"))
def test_memory_does_not_grow_with_the_file(tmp_path: Path, kind: str) -> None:
    """Nor with its matrices; mapped pages count, and ``python tests/llm_memory.py`` does the same with 500 MB."""
    rows = 2048 if kind == "absmean" else 16384
    small, _ = llm_memory.peak(llm_memory.written(tmp_path / "small", kind, 64, 1), kind)
    for name, count in (("one", 1), ("four", 4)):
        path = llm_memory.written(tmp_path / name, kind, 2 * rows // count, count)
        large, size = llm_memory.peak(path, kind)
        assert path.stat().st_size > 28e6 and size > 3.3e6
        assert large < llm_memory.MOST and large - small < 24e6, f"{large} bytes, {small} for a small file"


def test_memory_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert llm_memory.main(["hf", "--megabytes", "1", "--matrices", "2"]) == 0
    assert re.search(r"^\| hf \| 1 \| 1 \| \d+ \| \d+ \|$", capsys.readouterr().out, re.M)
    monkeypatch.setattr(llm_memory, "MOST", 1 << 20)
    assert llm_memory.main(["tq1_0", "--megabytes", "1"]) == 1
    capsys.readouterr()
    assert llm_memory.main(["q4"]) == 2
    assert capsys.readouterr().out == (
        "Kind must be one of hf, absmean, tq1_0, tq2_0, blocks, i2_s_x86, i2_s_arm, i2_s_rows, not 'q4'\n")
    assert llm_memory.main(["--megabytes", "0"]) == 2
    assert capsys.readouterr().out == "Megabytes and matrices must be positive, not 0 and 8\n"


def test_manifest_says_where_everything_is(tmp_path: Path) -> None:
    done = convert(write_tq(tmp_path / "a.gguf", two(), "tq1_0"), tmp_path / "out")
    manifest = json.loads((done.folder / "manifest.json").read_text())
    assert [(entry["rows"], entry["columns"], entry["start"], entry["scale"], entry["scales"]) for entry in manifest["tensors"]] == [
        (16, 256, 0, 0, 1), (8, 512, 7 * 16 * 8, 1, 1)]
    assert done.size == (7 * 16 + 13 * 8) * 8 + 2 * 4
