"""The command line: what it prints, how it ends, and one sentence for what goes wrong."""
from __future__ import annotations

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mantissa import cli
from mantissa.errors import DeviceError
from mantissa.graph import evaluate
from mantissa.onnx_import import load
from mantissa.sw_driver import Device

ROOT = Path(__file__).parent.parent
CNN = str(ROOT / "examples" / "digits" / "digits_cnn.onnx")
MXFP4 = str(ROOT / "examples" / "digits" / "formats" / "mxfp4.onnx")
MLP = str(ROOT / "examples" / "digits" / "digits_mlp.onnx")


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Code and sentence of a command that must fail."""
    code = cli.main(arguments)
    out, err = capsys.readouterr()
    assert code and err.startswith("mantissa: ") and err.count("\n") == 1 and "Traceback" not in err + out
    return code, err.removeprefix("mantissa: ").strip()


def prints(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Output of a command that must not."""
    code = cli.main(arguments)
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


@pytest.mark.parametrize("device", ["golden", "sim"])
def test_run_as_json(device: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    x = np.random.default_rng(1).uniform(0, 1, (3, 64)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    target = tmp_path / "y.npy"
    source = str(tmp_path / "x.npy")
    record = json.loads(prints(capsys, "run", MLP, "--device", device, "--input", source, "--output", str(target), "--json"))
    with Device.open("golden") as golden:
        expected = golden.load(MLP)(x)
    np.testing.assert_array_equal(np.array(record["output"], np.float32), expected)
    np.testing.assert_array_equal(np.load(target), expected)
    assert record["shape"] == [3, 10] and record["device"] == device and len(record["identity"]) == 16
    assert len(record["layers"]) == (3 if device == "sim" else 0) and (record["cycles"] is None) == (device == "golden")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "y.npy"]


def test_run_as_table(capsys: pytest.CaptureFixture[str]) -> None:
    out = prints(capsys, "run", CNN, "--device", "sim", "--samples", "2")
    assert "second/Conv" in out and "cycles in the last run" in out and out.count("[") >= 3
    assert "sim" in out.splitlines()[0] and "[2, 1, 8, 8] -> [2, 10]" in out


def test_run_of_other_formats(capsys: pytest.CaptureFixture[str]) -> None:
    """Noise is drawn over what the input's format can say."""
    record = json.loads(prints(capsys, "run", MXFP4, "--device", "golden", "--config", "formats", "--samples", "3", "--json"))
    graph = load(MXFP4)
    top = 448 * graph.tensors[graph.input].scale
    x = np.random.default_rng(0).uniform(-top, top, (3, 1, 8, 8)).astype(np.float32)
    expected = graph.dequantize(evaluate(graph, graph.quantize(x))[graph.output])
    np.testing.assert_array_equal(np.array(record["output"], np.float32), expected)


def test_compile(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = prints(capsys, "compile", CNN, "--dump", str(tmp_path / "dump"))
    assert "9 of 64 instructions" in out and "equal the golden model's" in out
    assert {"1-import.json", "5-tile.txt", "program.bin", "weights.bin"} <= {path.name for path in (tmp_path / "dump").iterdir()}


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads(prints(capsys, "info", "--device", "golden", "--json"))
    assert record["array"] == 8 and len(record["identity"]) == 16
    assert "activation_words   32768" in prints(capsys, "info", "--device", "sim")
    out = prints(capsys, "info", CNN)
    assert "Conv         /first/Conv -> [8, 8, 16] int8, weights int8" in out and "[10] int8 scale" in out
    assert "Conv         second -> [8, 8, 16] e4m3, weights mxfp4" in prints(capsys, "info", MXFP4)


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert "ULX3S" in prints(capsys, "boards") and "iCEBreaker" in prints(capsys, "boards")
    assert "0x44 ro STATUS" in prints(capsys, "registers")
    assert "skid " in prints(capsys, "designs")
    assert prints(capsys, "designs", "skid").startswith("skid  ")
    assert prints(capsys, "designs", "--markdown").startswith("| group |")


def test_choose(capsys: pytest.CaptureFixture[str]) -> None:
    out = prints(capsys, "choose", "2560", "6912")
    assert "| byte_half | 16 | 1 | 1 | 3.24 | taken |" in out and "dot from 1 rows, byte_half from 79 rows" in out
    assert "| lut_ram |" in prints(capsys, "choose", "512", "640", "--no-block-ram", "--biased")
    assert "| dot | 64 | 0 | 1 | 11.88 | taken |" in prints(capsys, "choose", "2560", "6912", "--structure", "dot")


def test_gen(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "wrote 1 designs" in prints(capsys, "gen", "skid", "-o", str(tmp_path))
    assert list(tmp_path.rglob("skid.v"))


def test_simulator(capsys: pytest.CaptureFixture[str]) -> None:
    assert Path(prints(capsys, "simulator").strip()).is_file()


NO_CONFIGURATION = ("Configuration must be a .toml file or one of formats, icebreaker, sim, ternary, ternary-sdram, ulx3s-85f, "
                    "ulx3s-ternary, not 'zx81'")


@pytest.mark.parametrize("arguments, code, sentence", [
    (["run"], 2, "Missing argument 'MODEL'."),
    (["run", CNN, "--frobnicate"], 2, "No such option '--frobnicate'."),
    (["frobnicate"], 2, "No such command 'frobnicate'."),
    (["run", "none.onnx"], 2, "Model none.onnx can not be read: No such file or directory"),
    (["run", CNN, "--samples", "0"], 2, "Invalid value for '--samples': 0 is not in the range x>=1."),
    (["run", CNN, "--device", "gpu"], 2, "Device must be golden, sim, sim+uart or a port such as /dev/ttyUSB0, not 'gpu'"),
    (["run", CNN, "--device", "/dev/ttyUSB99"], 1, "Port must exist, and /dev/ttyUSB99 does not"),
    (["run", CNN, "--config", "zx81"], 2, NO_CONFIGURATION),
    (["run", MXFP4, "--device", "golden"], 2, "Layer first must be in formats of the device (int8), not e4m3"),
    (["run", CNN, "--device", "golden", "--input", "none.npy"], 2, "Input none.npy can not be read: No such file or directory"),
    (["run", CNN, "--device", "golden", "--input", CNN], 2, f"Input {CNN} must be an array of numbers in a .npy file"),
    (["run", CNN, "--device", "golden", "--output", "/nowhere/y.npy"], 1, None),
    (["gen", "skid", "--config", "sim"], 2, "Either designs or a configuration can be generated, not both 'skid' and 'sim'"),
    (["bitstream", "zx81"], 2, NO_CONFIGURATION),
    (["designs", "skidd"], 2, None),
])
def test_refusals(arguments: list[str], code: int, sentence: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    found = fails(capsys, *arguments)
    assert found[0] == code
    assert sentence is None or found[1].replace(": --frobnicate", " '--frobnicate'.") == sentence


@pytest.mark.parametrize("array, sentence", [
    (np.full((1, 1, 8, 8), np.nan, np.float32), "Input must be finite numbers, not NaN"),
    (np.zeros((1, 1, 8, 8)), "Input must be float32, not float64"),
    (np.zeros((8, 8), np.float32), "Input must have shape (N, 1, 8, 8), not (8, 8)"),
])
def test_bad_arrays(array: np.ndarray, sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    target = tmp_path / "y.npy"
    assert fails(capsys, "run", CNN, "--device", "golden", "--input", str(tmp_path / "x.npy"), "--output", str(target)) == (2, sentence)
    assert not target.exists()


def test_pickles_and_archives_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "z.npz", a=np.zeros(1))
    for name, rule in (("x.npy", "must be an array of numbers in a .npy file"),
                       ("z.npz", "must be one array in a .npy file, not an archive")):
        assert fails(capsys, "run", CNN, "--device", "golden", "-i", str(tmp_path / name)) == (2, f"Input {tmp_path / name} {rule}")


@pytest.mark.parametrize("content", [b"", b"not a model", Path(CNN).read_bytes()[:5000]], ids=["empty", "text", "truncated"])
def test_broken_models(content: bytes, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    assert fails(capsys, "run", str(path)) == (2, "Model broken.onnx must be an ONNX file: it is truncated or of another kind")


def test_model_too_large_for_the_device(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    small = tmp_path / "small.toml"
    text = (ROOT / "mantissa" / "configs" / "sim.toml").read_text()
    small.write_text(text.replace("weight_words = 16384", "weight_words = 1024"))
    code, sentence = fails(capsys, "compile", CNN, "--config", str(small))
    assert code == 2 and sentence == "Weight memory must have 1360 words of 8 bytes for this model, 336 more than the 1024 there are"


@pytest.mark.parametrize("module, command, sentence", [
    ("amaranth", ["gen", "skid"], "This command needs amaranth, which is not installed: pip install 'mantissa[hw]'"),
    ("onnx", ["run", CNN], "This command needs onnx, which is not installed: pip install 'mantissa[onnx]'"),
    ("cocotb_tools", ["verify", "skid"], "This command needs cocotb_tools, which is not installed: pip install 'mantissa[bench]'"),
])
def test_missing_extra(module: str, command: list[str], sentence: str) -> None:
    code = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {module!r}:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Missing())
from mantissa.cli import main
sys.exit(main({command!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (1, f"mantissa: {sentence}\n")


def test_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt
    monkeypatch.setattr(Device, "open", interrupted)
    assert cli.main(["info"]) == 130
    assert "Traceback" not in "".join(capsys.readouterr())


def test_device_trouble_is_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def gone(*_: object, **__: object) -> None:
        raise DeviceError("Device on x must stay connected, and was lost: unplugged")
    monkeypatch.setattr(Device, "open", gone)
    assert fails(capsys, "info") == (1, "Device on x must stay connected, and was lost: unplugged")


def test_interrupted_process(tmp_path: Path) -> None:
    """A real Ctrl-C in the middle of a real run: quiet, nothing half-written, and the simulator behind the terminal is gone."""
    target = tmp_path / "y.npy"
    command = [sys.executable, "-m", "mantissa.cli", "run", CNN, "--device", "sim+uart", "--samples", "3000", "--output", str(target)]
    subprocess.run([sys.executable, "-m", "mantissa.cli", "simulator", "--uart"], check=True, capture_output=True)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))      # a shell's background job ignores it
    while not children(process.pid):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    served = children(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in out + err
    assert not target.exists() and not list(tmp_path.iterdir())
    deadline = time.monotonic() + 60                       # it goes by itself, when it sees that nobody is there
    while any(simulates(pid) for pid in served):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def simulates(pid: int) -> bool:
    """Whether a process is a simulator; one that has ended and is not yet waited for has no command."""
    try:
        return b"--serve" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def children(pid: int) -> list[int]:
    """Processes started by one, that simulate."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and simulates(int(entry.name)):
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def test_pipe_closed_early() -> None:
    done = subprocess.run(f"{sys.executable} -m mantissa.cli registers | head -1", shell=True, capture_output=True, text=True,
                          env={**os.environ, "PYTHONUNBUFFERED": "1"}, cwd=ROOT)
    assert done.stdout.startswith("0x00") and "Traceback" not in done.stderr


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ["", *cli.cli.commands]:
        out = prints(capsys, *[name] * bool(name), "--help")
        assert "Usage: mantissa" in out and len(out.splitlines()) > 5
