"""Damaged ternary files: each must convert, or be refused in one sentence, within memory of four times its size.

``python tests/llm_fuzz.py --cases 100000`` prints what it found, and writes it with ``--report FILE``. Python's and numpy's allocations
are counted, above those of the first conversion of each undamaged file; the process itself is refused more than 256 MB, which what
libraries allocate elsewhere falls under.
"""
from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
import gc
from pathlib import Path
from random import Random
import re
import resource
import shutil
import sys
import tempfile
import time
import tracemalloc

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import gguf  # noqa: E402
import numpy as np  # noqa: E402
from llm_files import LEGACY, OFFLINE, random_trits, tq_bytes, write_gguf, write_hf, write_i2_s, write_tq  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

from mantissa.errors import MantissaError  # noqa: E402
from mantissa.llm import Converted, convert  # noqa: E402
from mantissa.sim_tb.report import markdown, write_report  # noqa: E402

ALLOWED = 256 << 10                                         # bytes of Python's own objects, whatever the file's size
_LISTED = 50                                                # kinds of sentences in a report
_EDGES = (0, 1, 2, 3, 4, 7, 8, 0x55, 0x7F, 0x80, 0xAA, 0xF3, 0xFE, 0xFF)
_NUMBERS = (0, 1, 2, 3, 31, 32, 36, 255, 256, 2 ** 16, 2 ** 20, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40, 2 ** 60, 2 ** 63, 2 ** 64 - 1)


@dataclass(frozen=True)
class Sample:
    """Files that together convert; ``header`` bytes at the start of the first say what the others mean."""
    name: str
    files: dict[str, bytes]
    layout: str
    header: int = 0


@dataclass
class Outcome:
    cases: int = 0
    converted: int = 0
    sentences: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    most: dict[str, int] = field(default_factory=dict)      # bytes beyond four times the files' size, by sample


def samples(folder: Path) -> list[Sample]:
    """One small file of every kind, 6 to 20 kB."""
    matrices = {"blk.0.attn_q.weight": (random_trits(64, 256, 1), 0.5), "blk.0.ffn_down.weight": (random_trits(32, 512, 2), 0.25)}
    floats = {name: (trits * np.float32(scale)).astype(np.float16)[:16] for name, (trits, scale) in matrices.items()}
    mixed = (random_trits(16, 512, 3) * np.repeat(np.float32(2) ** -(np.arange(32) % 16).reshape(16, 2), 256, axis=1)).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[tuple[str, Path, str]] = []
    for name, config in (("hf", OFFLINE), ("hf_legacy", LEGACY)):
        (folder / name).mkdir()
        stored = {key: (trits, scale if config is OFFLINE else 1 / scale) for key, (trits, scale) in matrices.items()}
        paths.append((name, write_hf(folder / name / "a.safetensors", stored, config=config,
                                     others={"model.embed_tokens.weight": np.zeros((4, 64), np.float32)}), "auto"))
    save_file(floats, folder / "f.safetensors")
    paths.append(("absmean", folder / "f.safetensors", "absmean"))
    paths.append(("absmean_gguf", write_gguf(folder / "f.gguf", [(name, None, part, None) for name, part in floats.items()]), "absmean"))
    for kind in ("tq1_0", "tq2_0"):
        paths.append((kind, write_tq(folder / f"{kind}.gguf", matrices, kind), "auto"))
    blocks = [("w", gguf.GGMLQuantizationType.TQ1_0, np.asarray(gguf.quants.quantize(mixed, gguf.GGMLQuantizationType.TQ1_0)), None),
              ("token_embd.weight", gguf.GGMLQuantizationType.TQ2_0, tq_bytes(random_trits(4, 256), "tq2_0", 1), None)]
    paths.append(("blocks", write_gguf(folder / "m.gguf", blocks, {"bitnet.embedding_length": 256, "tokenizer.ggml.tokens": ["a", "bc"]}),
                  "auto"))
    for layout in ("i2_s_x86", "i2_s_arm", "i2_s_rows"):
        path = write_i2_s(folder / f"{layout}.gguf", matrices, layout, {"blk.0.attn_norm.weight": np.ones(256, np.float32)})
        paths.append((layout, path, layout))
    found = []
    for name, path, layout in paths:
        files = {path.name: path.read_bytes()}
        config = path.with_name("config.json")
        if config.exists():
            files[config.name] = config.read_bytes()
        data = files[path.name]
        header = 8 + int.from_bytes(data[:8], "little") if path.suffix == ".safetensors" else 512
        found.append(Sample(name, files, layout, header))
    for name, path in (("converted", folder / "m.gguf"), ("converted_hf", folder / "hf" / "a.safetensors")):
        done = convert(path, folder / name)
        parts = ("manifest.json", "weights.bin", "scales.bin")
        found.append(Sample(name, {part: (done.folder / part).read_bytes() for part in parts}, "converted"))
    return found


def _place(rng: Random, data: bytearray, header: int) -> int:
    """An offset, in the header two times out of three."""
    return rng.randrange(min(header, len(data)) if header and rng.random() < 0.67 else len(data)) if data else 0


def damage(rng: Random, data: bytearray, header: int) -> None:
    """One change of one of the kinds that happen or that someone would try."""
    kind, at = rng.randrange(9), _place(rng, data, header)
    if not data:
        data += rng.randbytes(9)
    elif kind == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at] = rng.choice(_EDGES)
    elif kind == 2:
        del data[at:]
    elif kind == 3:
        del data[at:at + rng.choice((1, 2, 4, 8, rng.randrange(1, 200)))]
    elif kind == 4:
        data[at:at] = rng.choice((rng.randbytes(rng.randrange(1, 40)), data[at:at + rng.randrange(1, 200)]))
    elif kind == 5:
        size = rng.choice((2, 4, 8))
        data[at:at + size] = (rng.choice(_NUMBERS) & (1 << 8 * size) - 1).to_bytes(size, "little")
    elif kind == 6:                                         # a number in text
        numbers = list(re.finditer(rb"\d+", bytes(data[:max(header, 4096)])))
        if numbers:
            match = rng.choice(numbers)
            data[match.start():match.end()] = str(rng.choice((*_NUMBERS, -1, 0.5, "null", "1e999", "[" * 3000))).encode()
    elif kind == 7:
        other = _place(rng, data, header)
        size = rng.randrange(1, 64)
        data[at:at + size] = data[other:other + size]
    else:
        data[at:at + 4] = np.float32(rng.choice((0, -1, np.nan, np.inf, 1e38, 1e-45))).tobytes()


def use(sample: Sample, folder: Path) -> None:
    """Convert, and bring everything back."""
    if sample.layout == "converted":
        done = Converted(folder)
    else:
        done = convert(folder / next(iter(sample.files)), folder / "out", sample.layout)
    for name in done.shapes:
        done.scales(name)
        if sample.layout.startswith("absmean"):
            done.trits(name)
        else:
            done.payload(name)


def _beginning(sentence: str, folder: Path, sample: Sample) -> str:
    """The first words of a sentence, without what differs from file to file."""
    for name in sample.files:
        sentence = sentence.replace(f"{folder}/{name}", name)
    sentence = sentence.replace(next(iter(sample.files)), "FILE").replace(str(folder), "DIR")
    words = re.sub(r"\[.*\]|'.*?'|(?<!\w)-?[\d.]*\d\b", "#", sentence).split()
    return " ".join(words[:16]) + " ..." * (len(words) > 16)


def _write(options: argparse.Namespace, outcome: Outcome, seconds: float) -> None:
    most = [(name, f"{n:,}") for name, n in sorted(outcome.most.items())]
    found = outcome.sentences.most_common()
    sentences = [(sentence, f"{count:,}") for sentence, count in found[:_LISTED]]
    if len(found) > _LISTED:
        sentences.append((f"{len(found) - _LISTED} others", f"{sum(count for _, count in found[_LISTED:]):,}"))
    lines = [f"{outcome.cases:,} damaged files: {outcome.converted:,} converted, {sum(outcome.sentences.values()):,} refused, "
             f"{len(outcome.violations)} violations. Beyond four times the files' size, {ALLOWED:,} bytes are allowed.", "",
             *markdown(("files", "most bytes beyond four times their size"), most), "", *markdown(("refused with", "count"), sentences)]
    command = f"python tests/llm_fuzz.py --cases {options.cases} --seed {options.seed}"
    write_report(options.report, "Damaged ternary files", command, seconds, lines, outcome.violations)


def campaign(cases: int, seed: int, folder: Path, using: Callable[[Sample, Path], None] = use) -> Outcome:
    """Damage files ``cases`` times and use them."""
    rng, outcome = Random(seed), Outcome()
    chosen = samples(folder / "samples")
    work = folder / "work"

    def tried(sample: Sample, files: dict[str, bytes]) -> int:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        for name, data in files.items():
            (work / name).write_bytes(data)
        size = sum(map(len, files.values()))
        gc.collect(0)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            using(sample, work)
        finally:
            used = tracemalloc.get_traced_memory()[1] - before - 4 * size
            outcome.most[sample.name] = max(outcome.most.get(sample.name, used), used)
        return used

    tracemalloc.start()
    try:
        for sample in chosen:
            tried(sample, sample.files)                     # undamaged files convert; imports are done
        outcome.most.clear()
        for case in range(cases):
            sample = rng.choice(chosen)
            files = {name: bytearray(data) for name, data in sample.files.items()}
            for _ in range(rng.choice((1, 1, 1, 2, 4))):
                name = rng.choice(list(files)) if rng.random() < 0.3 else next(iter(files))
                damage(rng, files[name], sample.header if name == next(iter(files)) else 0)
            outcome.cases += 1
            try:
                tried(sample, {name: bytes(data) for name, data in files.items()})
                outcome.converted += 1
            except MantissaError as error:
                sentence = str(error)
                outcome.sentences[_beginning(sentence, work, sample)] += 1
                if not sentence.isprintable() or sentence.endswith(".") or not sentence:
                    outcome.violations.append(f"seed {seed} case {case}: {sample.name}: not one sentence: {sentence!r}")
            except KeyboardInterrupt:
                raise
            except BaseException as error:                  # a panic of a library is no Exception
                outcome.violations.append(f"seed {seed} case {case}: {sample.name}: {type(error).__name__}: {error}")
            if outcome.most.get(sample.name, 0) > ALLOWED:
                outcome.violations.append(f"seed {seed} case {case}: {sample.name}: {outcome.most.pop(sample.name)} bytes "
                                          "beyond four times its size")
    finally:
        tracemalloc.stop()
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(folder / "samples", ignore_errors=True)
    return outcome


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, metavar="FILE", help="Write a dated report.")
    options = parser.parse_args(arguments)
    if options.cases < 1:
        print("Campaign must have at least one case")
        return 1
    resource.setrlimit(resource.RLIMIT_DATA, (256 << 20, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcome = campaign(options.cases, options.seed, Path(folder))
    print(f"{outcome.cases} damaged files, seed {options.seed}, {time.monotonic() - start:.0f} s: {outcome.converted} converted, "
          f"{sum(outcome.sentences.values())} refused, {len(outcome.violations)} violations")
    print("most memory beyond four times the size: " + ", ".join(f"{name} {most}" for name, most in sorted(outcome.most.items())))
    for sentence, count in outcome.sentences.most_common(40):
        print(f"{count:8} {sentence}")
    for violation in outcome.violations[:50]:
        print(violation)
    if options.report is not None:
        _write(options, outcome, time.monotonic() - start)
    return int(bool(outcome.violations))


if __name__ == "__main__":
    sys.exit(main())
