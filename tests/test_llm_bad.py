"""Ternary files that can not be converted: one sentence each, and nothing left behind."""
from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import resource
import sys

import gguf
import numpy as np
import pytest
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).parent))
import llm_fuzz  # noqa: E402
from llm_files import LEGACY, OFFLINE, i2_s_tensor, random_trits, tq_bytes, write_gguf, write_hf, write_tq  # noqa: E402

from mantissa import cli  # noqa: E402
from mantissa.errors import MantissaError  # noqa: E402
from mantissa.llm import Converted, convert  # noqa: E402

TRITS = random_trits(8, 256)
TQ1, TQ2 = gguf.GGMLQuantizationType.TQ1_0, gguf.GGMLQuantizationType.TQ2_0


def hf(path: Path, scale: float = 0.5, dtype: str = "F32", config: object = OFFLINE, **others: np.ndarray) -> Path:
    return write_hf(path.with_suffix(".safetensors"), {"w.weight": (TRITS, scale)}, dtype, config, others)


def tq(path: Path, kind: str = "tq2_0", change: Callable[[np.ndarray], None] = lambda data: None, **fields: object) -> Path:
    data = tq_bytes(TRITS, kind, 0.5).copy()
    change(data)
    return write_gguf(path.with_suffix(".gguf"), [("w", gguf.GGMLQuantizationType[kind.upper()], data, None)], fields)


def i2_s(path: Path, scale: float = 0.5, trits: np.ndarray = TRITS, layout: str = "i2_s_arm", code: int | None = None) -> Path:
    data = i2_s_tensor(trits, layout, scale)
    if code is not None:
        data[5] = code
    return write_gguf(path.with_suffix(".gguf"), [("w", 36, data, trits.shape)])


def cut(path: Path, to: int) -> Path:
    path.write_bytes(path.read_bytes()[:to])
    return path


def raw(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def patched(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert data.count(old) == 1
    return raw(path, data.replace(old, new))


def unpacked(path: Path, **tensors: np.ndarray) -> Path:
    save_file(tensors, path)
    return path


def put(at: int, value: bytes) -> Callable[[np.ndarray], None]:
    def change(data: np.ndarray) -> None:
        data.reshape(-1)[at:at + len(value)] = np.frombuffer(value, np.uint8)
    return change


def half(value: float) -> bytes:
    return np.float16(value).tobytes()


@pytest.mark.parametrize("make, options, sentence", [
    # containers
    (lambda p: p / "none.gguf", {}, "File {p}/none.gguf can not be read: No such file or directory"),
    (lambda p: raw(p / "a", b""), {}, "File a must start as GGUF or safetensors do, not with nothing"),
    (lambda p: raw(p / "a", b"GGML" + bytes(40)), {}, "File a must start as GGUF or safetensors do, not with 47474d4c0000000000"),
    (lambda p: raw(p / "a", b"GGUF"), {}, "File a can not be read as GGUF: it ends at byte 4, inside its header"),
    (lambda p: raw(p / "a", b"GGUF" + (9).to_bytes(4, "little") + bytes(16)), {},
     "File a can not be read as GGUF: Sorry, file appears to be version 9 which we cannot handle"),
    (lambda p: raw(p / "a", b"GGUF" + (3).to_bytes(4, "big") + bytes(16)), {}, "File a can not be read as GGUF: it is big-endian"),
    (lambda p: raw(p / "a", b"GGUF\3\0\0\0" + bytes(8) + bytes([255] * 8)), {},
     "File a can not be read as GGUF: it says it has 18446744073709551615 fields, more than 1024"),
    (lambda p: raw(p / "a", b"GGUF\3\0\0\0" + bytes([255] * 8) + bytes(8)), {},
     "File a can not be read as GGUF: it says it has 18446744073709551615 tensors, more than 16384"),
    (lambda p: cut(tq(p / "a"), 640), {}, "File a.gguf can not be read as GGUF: it ends at byte 640, before tensor 'w' does at 656"),
    (lambda p: cut(tq(p / "a"), 100), {}, "File a.gguf can not be read as GGUF: it ends at byte 100, inside its header"),
    (lambda p: cut(tq(p / "a", words=["one", "two"]), 100), {},
     "File a.gguf can not be read as GGUF: it ends at byte 100, inside an array"),
    (lambda p: cut(tq(p / "a", words=[1, 2, 3]), 100), {}, "File a.gguf can not be read as GGUF: it ends at byte 100, inside an array"),
    (lambda p: tq(p / "a", words=[[1], [2]]), {}, "File a.gguf can not be read as GGUF: it has an array of arrays"),
    (lambda p: write_gguf(p / "a.gguf", [("w", 77, np.zeros(64, np.int8), (8, 8))]), {},
     "File a.gguf can not be read as GGUF: tensor 'w' is of type 77, which is not known"),
    (lambda p: write_gguf(p / "a.gguf", [("w", TQ2, np.zeros(66, np.int8), (2, 128))]), {},
     "File a.gguf can not be read as GGUF: tensor 'w' of tq2_0 must have rows of a multiple of 256, not (2, 128)"),
    (lambda p: patched(write_tq(p / "a.gguf", {"one": (TRITS, 1), "two": (TRITS, 1)}, "tq2_0"), b"two", b"one"), {},
     "File a.gguf can not be read as GGUF: it has two tensors named 'one'"),
    (lambda p: write_gguf(p / "a.gguf", [("w\n", 77, np.zeros(64, np.int8), (8, 8))]), {},
     "File a.gguf can not be read as GGUF: tensor 'w\\n' is of type 77, which is not known"),
    (lambda p: raw(p / "a", (99).to_bytes(8, "little") + b"{}"), {},
     "File a can not be read as safetensors: Error while deserializing header: invalid header length"),
    (lambda p: cut(hf(p / "a"), 400), {},
     "File a.safetensors can not be read as safetensors: Error while deserializing header: incomplete metadata, file not fully covered"),
    # what is in them
    (lambda p: hf(p / "a", u_weight=np.zeros((2, 2), np.uint8)), {},
     "Tensor 'u_weight' must have its scale in 'u_weight_scale', which is not in a.safetensors"),
    (lambda p: hf(p / "a", u_weight=np.zeros((2, 2), np.uint8), u_weight_scale=np.ones(2, np.float32)), {},
     "Scale 'u_weight_scale' must be one number of F32, F16, BF16, not F32 of shape (2,)"),
    (lambda p: hf(p / "a", u_weight=np.zeros((2, 2), np.uint8), u_weight_scale=np.ones(1, np.int8)), {},
     "Scale 'u_weight_scale' must be one number of F32, F16, BF16, not I8 of shape (1,)"),
    (lambda p: unpacked(p / "a", w_weight=np.zeros(4, np.uint8), w_weight_scale=np.ones(1, np.float32)), {},
     "Tensor 'w_weight' must be a matrix, not (4,)"),
    (lambda p: unpacked(p / "a", **{"w\n.weight": np.zeros(4, np.uint8), "w\n.weight_scale": np.ones(1, np.float32)}), {},
     "Tensor 'w\\n.weight' must be a matrix, not (4,)"),
    (lambda p: unpacked(p / "a", w_weight=np.zeros((0, 4), np.uint8), w_weight_scale=np.ones(1, np.float32)), {},
     "Tensor 'w_weight' must be a matrix, not (0, 4)"),
    (lambda p: unpacked(p / "a", w=np.zeros((1, (1 << 20) + 1), np.float16)), {"layout": "absmean"},
     "Tensor 'w' must have at most 1048576 columns, not 1048577"),
    (lambda p: unpacked(p / "a", w=np.zeros((4, 4), np.float32)), {},
     "File a must hold packed ternary weights; layout absmean would quantise its floats"),
    (lambda p: hf(p / "a"), {"layout": "absmean"}, "File a.safetensors must hold float matrices"),
    (lambda p: write_gguf(p / "a.gguf", [("w", None, np.zeros((4, 4), np.float32), None)]), {},
     "File a.gguf must hold weights of tq1_0 or tq2_0, not only f32"),
    (lambda p: unpacked(p / "a", w_weight=np.full((2, 4), 0x7F, np.uint8), w_weight_scale=np.ones(1, np.float32)), {"scale": "multiply"},
     "Packed rows must have codes 0, 1 and 2, not 3"),
    (lambda p: i2_s(p / "a", code=0x1B), {"layout": "i2_s_arm"}, "I2_S weights must have codes 0, 1 and 2, not 3"),
    (lambda p: tq(p / "a", change=put(7, b"\x57")), {}, "TQ2_0 weights must have codes 0, 1 and 2, not 3"),
    (lambda p: tq(p / "a", "tq1_0", put(7, bytes([20]))), {}, "TQ1_0 weights must be bytes of trits, which 20 is not"),
    (lambda p: tq(p / "a", "tq1_0", put(50, b"\x01")), {}, "TQ1_0 weights must be bytes of trits, which 1 is not"),
    (lambda p: unpacked(p / "a", w=np.array([[1, np.nan]], np.float32)), {"layout": "absmean"}, "Weights of 'w' must be finite"),
    # scales
    *[(lambda p, scale=scale: hf(p / "a", scale), {}, f"Scale of 'w.weight' must be positive and finite, not {scale:g}")
      for scale in (0.0, -1.0, float("nan"), float("inf"))],
    (lambda p: hf(p / "a", 1e-45, config=LEGACY), {}, "Scale of 'w.weight' must be positive and finite, not inf"),
    *[(lambda p, scale=scale: i2_s(p / "a", scale), {"layout": "i2_s_arm"}, f"Scale of 'w' must be positive and finite, not {scale:g}")
      for scale in (0.0, -1.0, float("nan"), float("inf"))],
    *[(lambda p, scale=scale: tq(p / "a", change=put(64, half(scale))), {}, f"Scale of 'w' must be positive and finite, not {scale:g}")
      for scale in (-1.0, float("nan"), float("inf"), -0.0)],
    (lambda p: tq(p / "a", change=put(64, half(0))), {}, "Scale of 'w' must be positive and finite, not 0, where weights are not 0"),
    # what was declared
    (lambda p: hf(p / "a"), {"layout": "q4"},
     "Layout must be one of auto, hf, tq1_0, tq2_0, i2_s_x86, i2_s_arm, i2_s_rows, absmean, not 'q4'"),
    (lambda p: hf(p / "a"), {"layout": "tq1_0"}, "Layout of a.safetensors must be hf or absmean, as it is safetensors, not tq1_0"),
    (lambda p: tq(p / "a"), {"layout": "hf"},
     "Layout of a.gguf must be one of auto, tq1_0, tq2_0, absmean, i2_s_x86, i2_s_arm, i2_s_rows, as it is GGUF, not hf"),
    (lambda p: tq(p / "a"), {"layout": "tq1_0"}, "File a.gguf must hold weights of tq1_0, not only tq2_0"),
    (lambda p: i2_s(p / "a"), {},
     "Layout of a.gguf must be declared, as I2_S does not say which it is: one of i2_s_x86, i2_s_arm, i2_s_rows"),
    (lambda p: i2_s(p / "a", trits=random_trits(8, 192)), {"layout": "i2_s_x86"},
     "Tensor 'w' in layout i2_s_x86 must have a multiple of 128 columns and of 1 rows, not 192 and 8"),
    (lambda p: i2_s(p / "a", trits=random_trits(6, 64)), {"layout": "i2_s_rows"},
     "Tensor 'w' in layout i2_s_rows must have a multiple of 1 columns and of 4 rows, not 64 and 6"),
    (lambda p: tq(p / "a"), {"scale": "divide"}, "Scale of a.gguf must not be declared, as GGUF has but one kind, not divide"),
    (lambda p: hf(p / "a"), {"scale": "halve"}, "Scale must be one of auto, multiply, divide, not 'halve'"),
    (lambda p: hf(p / "a"), {"tables": 0}, "Tables must be an integer from 1 to 1024, not 0"),
    (lambda p: hf(p / "a"), {"memory": 451}, "Weights of a.safetensors must fit the device's memory of 451 bytes, not take 452"),
    (lambda p: tq(p / "a", change=put(64, half(3))), {"memory": 475},
     "Weights of a.gguf must fit the device's memory of 475 bytes, not take 480"),
    # what config.json says
    (lambda p: hf(p / "a", config=None), {}, "File a.safetensors must have a config.json beside it whose quantization_config is of "
                                             "quant_method bitnet, or scale multiply or divide be declared"),
    (lambda p: hf(p / "a", config={"quantization_config": {"quant_method": "gptq"}}), {},
     "File a.safetensors must have a config.json beside it whose quantization_config is of quant_method bitnet, "
     "or scale multiply or divide be declared"),
    (lambda p: hf(p / "a", config={"quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear",
                                                           "quantization_mode": "online"}}), {},
     "Packed weights must be of linear_class autobitlinear or bitlinear and quantization_mode offline, not 'autobitlinear' and 'online'"),
    (lambda p: hf(p / "a", config=[1]), {}, "Configuration {p}/config.json must be a JSON object, not list"),
    (lambda p: (raw(p / "config.json", b"{"), hf(p / "a", config=None))[1], {}, "Configuration {p}/config.json must be JSON"),
    (lambda p: ((p / "config.json").mkdir(), hf(p / "a", config=None))[1], {},
     "Configuration {p}/config.json can not be read: Is a directory"),
    (lambda p: hf(p / "a", config={"hidden_size": "6\n4"}, **{"embed_tokens.weight": np.zeros((5, 63), np.float32)}), {},
     "Tokens of 'embed_tokens.weight' must have '6\\n4' values, as config.json says, not shape (5, 63)"),
    (lambda p: (raw(p / "config.json", b" " * (1 << 20) + b"{}"), hf(p / "a", config=None))[1], {},
     "Configuration {p}/config.json must have at most 1048576 bytes, not 1048578"),
    (lambda p: write_hf(p / "a", {"w.weight": (TRITS, 1)}, config=OFFLINE,
                        others={"model.embed_tokens.weight": np.zeros((5, 63), np.float32)}), {},
     "Tokens of 'model.embed_tokens.weight' must have 64 values, as config.json says, not shape (5, 63)"),
    (lambda p: write_gguf(p / "a.gguf", [("token_embd.weight", None, np.zeros((5, 63), np.float32), None)],
                          {"bitnet.embedding_length": 64}), {},
     "Tokens of 'token_embd.weight' must have 64 values, as 'bitnet.embedding_length' says, not 63"),
])
def test_refused(tmp_path: Path, make: Callable[[Path], Path], options: dict[str, object], sentence: str) -> None:
    path = make(tmp_path)
    with pytest.raises(MantissaError) as caught:
        convert(path, tmp_path / "out", **options)
    assert str(caught.value) == sentence.replace("{p}", str(tmp_path))
    assert not (tmp_path / "out").exists()


def test_tensors_must_not_overlap(tmp_path: Path) -> None:
    """Nor make a small file a large one."""
    tensors = {f"w{n}": (TRITS, 1.0) for n in range(9)}
    path = write_tq(tmp_path / "a.gguf", tensors, "tq2_0")
    data = bytearray(path.read_bytes())
    for n in range(9):
        at = data.index(f"w{n}".encode()) + 2 + 4 + 16 + 4
        data[at:at + 8] = bytes(8)
    with pytest.raises(MantissaError, match="^File a.gguf can not be read as GGUF: its tensors overlap$"):
        convert(raw(path, bytes(data[:-4 * 528])), tmp_path / "out")


def test_folder_must_be_empty_and_stays_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("x")
    with pytest.raises(MantissaError, match=f"^Folder {out} must be new or empty$"):
        convert(tq(tmp_path / "a"), out)
    (out / "mine").unlink()
    with pytest.raises(MantissaError, match="codes"):
        convert(tq(tmp_path / "a", change=put(7, b"\x57")), out)
    assert list(out.iterdir()) == []
    assert list(convert(tq(tmp_path / "a"), out).shapes) == ["w"]


def test_folder_that_can_not_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tq(tmp_path / "a")
    for out, reason in ((path / "out", "Not a directory"), (tmp_path / ("o" * 300), "File name too long")):
        assert cli.main(["convert", str(path), "--out", str(out)]) == 2
        assert capsys.readouterr().err == f"mantissa: Folder {out} can not be made: {reason}\n"


def test_folder_that_can_not_be_written_to(tmp_path: Path) -> None:
    """As on a disk that is full: files must not become larger than 40 bytes."""
    path, out = tq(tmp_path / "a"), tmp_path / "out"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, limits[1]))
    try:
        with pytest.raises(MantissaError) as caught:
            convert(path, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == f"Folder {out} can not be written to: File too large"
    assert not out.exists()


@pytest.mark.parametrize("layout, sentence", [
    ("q4", "Layout to write must be one of hf, i2_s_x86, i2_s_arm, i2_s_rows, tq1_0, tq2_0, not 'q4'"),
    ("hf", "Tensor 'w' in layout hf must have a multiple of 4 rows, not 3"),
    ("tq1_0", "Tensor 'w' in layout tq1_0 must have a multiple of 256 columns, not 64"),
    ("i2_s_x86", "Tensor 'w' in layout i2_s_x86 must have a multiple of 128 columns and of 1 rows, not 64 and 3"),
])
def test_no_way_back(tmp_path: Path, layout: str, sentence: str) -> None:
    done = convert(i2_s(tmp_path / "a", trits=random_trits(3, 64)), tmp_path / "out", "i2_s_arm")
    with pytest.raises(MantissaError) as caught:
        done.payload("w", layout)
    assert str(caught.value) == sentence


def test_scales_that_do_not_fit_a_layout(tmp_path: Path) -> None:
    done = convert(i2_s(tmp_path / "a", 0.1), tmp_path / "out", "i2_s_arm")
    with pytest.raises(MantissaError, match=r"^Scale of 'w' in layout tq1_0 must be a float16, not np.float32\(0.1\)$"):
        done.payload("w", "tq1_0")
    mixed = convert(tq(tmp_path / "b", change=put(64, half(3))), tmp_path / "mixed")
    with pytest.raises(MantissaError, match="^Tensor 'w' must have one scale for layout hf, not one of every 256 weights$"):
        mixed.payload("w", "hf")
    with pytest.raises(MantissaError, match="^Tensor 'w' must have one scale for the device, not one of every 256 weights$"):
        mixed.scale("w")


@pytest.mark.parametrize("change, sentence", [
    ({"format": "other"}, "Manifest of {out} must be of format 'mantissa ternary 1'"),
    ({"tensors": [3]}, "Manifest of {out} must be as convert writes it"),
    ({"tensors": 3}, "Manifest of {out} must be as convert writes it"),
    ({"tables": 9000}, "Tables must be an integer from 1 to 1024, not 9000"),
    ({"rows": -1}, "Manifest of {out} must have whole numbers for 'w.weight', not [-1, 256, 0, 0, 1]"),
    ({"rows": 9}, "Folder {out} must have all weights and scales of 'w.weight': files are truncated"),
    ({"scale": 1}, "Folder {out} must have all weights and scales of 'w.weight': files are truncated"),
    ({"scales": 2}, "Manifest of {out} must have one scale for 'w.weight', or one of every 256, not 2"),
    ({"stored": {"dtype": "F32", "scale": "xyz"}}, "Manifest of {out} must have the stored scale of 'w.weight' in hexadecimal, not 'xyz'"),
    ({"stored": [1]}, "Manifest of {out} must be as convert writes it"),
    (b"{", "Manifest of {out} must be JSON"),
    (b"[]", "Manifest of {out} must be of format 'mantissa ternary 1'"),
    (None, "Manifest of {out} can not be read: No such file or directory"),
])
def test_damaged_folder(tmp_path: Path, change: object, sentence: str) -> None:
    out = convert(hf(tmp_path / "a"), tmp_path / "out").folder
    path = out / "manifest.json"
    if isinstance(change, dict):
        manifest = json.loads(path.read_text())
        (manifest if set(change) <= set(manifest) else manifest["tensors"][0]).update(change)
        path.write_text(json.dumps(manifest))
    elif isinstance(change, bytes):
        path.write_bytes(change)
    else:
        path.unlink()
    with pytest.raises(MantissaError) as caught:
        Converted(out)
    assert str(caught.value) == sentence.replace("{out}", str(out))


def test_damaged_data(tmp_path: Path) -> None:
    out = convert(hf(tmp_path / "a"), tmp_path / "out").folder
    done = Converted(out)
    with pytest.raises(MantissaError, match="^Tensor must be one of those of .*out, such as 'w.weight', not 'u'$"):
        done.trits("u")
    (out / "scales.bin").write_bytes(np.float32(np.nan).tobytes())
    with pytest.raises(MantissaError, match="^Scale of 'w.weight' must be positive and finite, not nan$"):
        Converted(out).scales("w.weight")
    data = bytearray((out / "weights.bin").read_bytes())
    data[3] = 250
    (out / "weights.bin").write_bytes(data)
    with pytest.raises(MantissaError, match="^Radix-3 weights must be bytes of trits, which 250 is not$"):
        Converted(out).trits("w.weight")
    (out / "scales.bin").unlink()
    with pytest.raises(MantissaError, match="^File .*scales.bin can not be read: No such file or directory$"):
        Converted(out)


@pytest.mark.parametrize("module, start", [("gguf", b"GGUF"), ("safetensors", bytes(8) + b"{"), ("ml_dtypes", bytes(8) + b"{")])
def test_missing_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str,
                       start: bytes) -> None:
    class Missing:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name.partition(".")[0] == module:
                raise ModuleNotFoundError(name=name)
    readers = ("mantissa.llm_gguf", "mantissa.llm_safetensors")
    for name in [name for name in sys.modules if name.partition(".")[0] == module or name in readers]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    path = raw(tmp_path / "a", start)
    assert cli.main(["convert", str(path), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == f"mantissa: This command needs {module}, which is not installed: pip install 'mantissa[llm]'\n"


def test_zeros_have_no_scale(tmp_path: Path) -> None:
    """A matrix of zeros in TQ2_0, of one block or several, comes back."""
    for rows in (1, 2):
        data = tq_bytes(np.zeros((rows, 256), np.int8), "tq2_0", 1)
        done = convert(write_gguf(tmp_path / "a.gguf", [("w", TQ2, data, None)]), tmp_path / f"out{rows}")
        assert not done.scales("w").any() and (done.payload("w").weights == data).all()


def test_short_campaign_of_damage(tmp_path: Path) -> None:
    outcome = llm_fuzz.campaign(600, 5, tmp_path)
    assert outcome.violations == [] and outcome.cases == 600
    assert outcome.converted > 60 and sum(outcome.sentences.values()) > 300 and len(outcome.most) == 12


def test_campaign_notices(tmp_path: Path) -> None:
    """Another exception, more than a sentence, and too much memory."""
    def bad(sample: llm_fuzz.Sample, folder: Path) -> None:
        if sample.name == "tq1_0":
            raise IndexError(4)
        if sample.name == "tq2_0":
            raise MantissaError("Two.\nLines")
        if sample.name == "hf":
            np.ones(4 * sum(map(len, sample.files.values())) + (1 << 20), np.uint8)

    first: set[str] = set()

    def using(sample: llm_fuzz.Sample, folder: Path) -> None:
        if sample.name in first:
            bad(sample, folder)
        first.add(sample.name)
    violations = llm_fuzz.campaign(60, 6, tmp_path, using).violations
    for part in ("tq1_0: IndexError: 4", "tq2_0: not one sentence", "bytes beyond four times its size"):
        assert any(part in violation for violation in violations), part
    assert llm_fuzz.main(["--cases", "0"]) == 1


def test_campaign_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "setrlimit", lambda *limits: None)                          # would hold for the tests after this
    assert llm_fuzz.main(["--cases", "30", "--seed", "7", "--report", str(tmp_path / "fuzz.md")]) == 0
    report = (tmp_path / "fuzz.md").read_text()
    assert "`python tests/llm_fuzz.py --cases 30 --seed 7`" in report and "\n30 damaged files: " in report
    assert report.endswith("Nothing failed.\n")
