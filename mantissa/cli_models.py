"""Commands for models that need no device."""
from __future__ import annotations

from pathlib import Path
import time

import click

__all__ = ["COMMANDS"]


@click.command()
@click.argument("model", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), metavar="DIR", help="New or empty folder to write to.")
@click.option("--layout", default="auto", show_default=True, metavar="LAYOUT",
              help="hf, tq1_0, tq2_0; i2_s_x86, i2_s_arm or i2_s_rows, which a file does not say; absmean to quantise floats.")
@click.option("--scale", default="auto", show_default=True, metavar="SCALE",
              help="What weight_scale of packed safetensors does: multiply or divide; auto as config.json says.")
@click.option("--tables", default=8, show_default=True, type=int, help="Bytes of the engine's word.")
@click.option("--memory", type=click.IntRange(1), metavar="BYTES", help="The device's memory, to refuse what does not fit.")
def convert(model: Path, out: Path, layout: str, scale: str, tables: int, memory: int | None) -> None:
    """Bring the ternary weights of a GGUF or safetensors FILE into the device's layout.

    \b
    mantissa convert model.safetensors --out build/model
    mantissa convert ggml-model-i2_s.gguf --layout i2_s_x86 --out build/model
    """
    from .llm import convert as convert_file
    from .sw_driver.progress import track
    start = time.monotonic()
    done = convert_file(model, out, layout, scale, tables, memory, track=lambda items, total: track(items, total, "converting"))
    weights = sum(shape.rows * shape.columns for shape in done.shapes.values())
    click.echo(f"wrote {len(done.shapes)} matrices, {weights:,} weights in {done.size:,} bytes ({8 * done.size / weights:.3f} bits each), "
               f"to {out} in {time.monotonic() - start:.1f} s; left {len(done.left)} other tensors")


COMMANDS = (convert,)
