"""Networks of BitLinear layers as programs: where matrices, gains and vectors lie, and the instructions between them."""
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .bitlinear import BitLinear
from .errors import MantissaError
from .ternary import Bytes
from .ternary_program import Instruction, Op
from .ternary_tiles import tile

__all__ = ["Image", "Layer", "Network"]


@dataclass(frozen=True)
class Layer:
    """A layer as it lies on a device: word of its matrix, word of its gains, rows, columns and tiles of the matrix."""
    layer: BitLinear
    memory: int
    gain: int
    rows: int
    columns: int
    tiles: int


@dataclass(frozen=True)
class Image:
    """A vector of (height, width, channels), channels innermost, from a word on."""
    at: int
    height: int
    width: int
    channels: int

    @property
    def size(self) -> int:
        return self.height * self.width * self.channels


@dataclass(kw_only=True)
class Network:
    """A program for a device of these sizes, written step by step.

    Parameters
    ----------
    tables
        Bytes of a word of the external memory.
    vector_words, memory_words
        Sizes.
    scale_bits
        Of the output scales' multipliers; layers must have as many.

    Attributes
    ----------
    matrices
        Bytes for the external memory, by their first word.
    constants
        Values for the vector memory, by their first word, that stay: gains, and borders of zeros.
    program
        Instructions so far.
    outputs
        Vectors to look at, by name: first word and length.
    """
    tables: int
    vector_words: int
    memory_words: int
    scale_bits: int = 16
    matrices: dict[int, Bytes] = field(default_factory=dict)
    constants: dict[int, npt.NDArray[np.int32]] = field(default_factory=dict)
    program: list[Instruction] = field(default_factory=list)
    outputs: dict[str, tuple[int, int]] = field(default_factory=dict)
    _vectors: int = 0
    _memory: int = 0

    def vector(self, words: int, name: str = "") -> int:
        """Room in the vector memory; its first word. With a name, it is among the outputs.

        Raises
        ------
        MantissaError
            If there is not so much.
        """
        at, self._vectors = self._vectors, self._vectors + words
        if self._vectors > self.vector_words:
            raise MantissaError(f"Vectors must fit {self.vector_words:,} words, and {name or 'the next'} would end at {self._vectors:,}")
        if name:
            self.outputs[name] = at, words
        return at

    def place(self, name: str, layer: BitLinear) -> Layer:
        """A layer's matrix and gains.

        Raises
        ------
        MantissaError
            If they do not fit, or gains or the scale have other bits than the device's.
        """
        if layer.bits != self.scale_bits:
            raise MantissaError(f"Scale of {name} must have the device's {self.scale_bits} bits, not {layer.bits}")
        wrong = layer.gain[(layer.gain < -1 << 15) | (layer.gain >= 1 << 15)]
        if wrong.size:
            raise MantissaError(f"Gains of {name} must be within -32768 and 32767, not {wrong[0]}")
        packed = tile(layer.trits, self.tables)
        tiles, rows, _ = packed.shape
        at, self._memory = self._memory, self._memory + tiles * rows
        if self._memory > self.memory_words:
            raise MantissaError(f"Matrices must fit {self.memory_words:,} words of {self.tables} bytes, and that of {name} would end at "
                                f"{self._memory:,}")
        self.matrices[at] = packed.reshape(-1)
        gain = self.vector(len(layer.gain))
        self.constants[gain] = np.asarray(layer.gain, np.int32)
        return Layer(layer, at, gain, rows, layer.trits.shape[1], tiles)

    def linear(self, name: str, layer: Layer, x: int, *, residual: int | None = None, relu: bool = False) -> int:
        """A BitLinear of the vector at ``x``; where its outputs are."""
        y = self.vector(layer.rows, name)
        self.program.append(Instruction(
            op=Op.LINEAR, x=x, other=layer.gain, y=y, **self._product(layer, residual, relu), **self._norm(layer)))
        return y

    def gate(self, name: str, gate: int, up: int, words: int) -> int:
        """Squared ReLU of one vector times another; where it is."""
        y = self.vector(words, name)
        self.program.append(Instruction(op=Op.GATE, x=gate, other=up, y=y, columns=words))
        return y

    def convolve(self, name: str, layer: Layer, x: Image, *, residual: Image | None = None, relu: bool = False) -> Image:
        """A 3x3 convolution, stride 1, zeros around; the image is one token, and the matrix (N, 9 channels) channels last.

        Codes are written with their border once; every position reads its window from there.
        """
        c, wide = x.channels, x.width + 2
        codes = self.vector((x.height + 2) * wide * c)
        self.constants[codes] = np.zeros((x.height + 2) * wide * c, np.int32)
        out = Image(self.vector(x.height * x.width * layer.rows, name), x.height, x.width, layer.rows)
        self.program.append(Instruction(
            op=Op.QUANTISE, x=x.at, other=layer.gain, y=codes + (wide + 1) * c, columns=x.size, out_run=x.width * c, out_skip=2 * c,
            **self._norm(layer)))
        for row in range(x.height):
            for column in range(x.width):
                n = (row * x.width + column) * layer.rows
                self.program.append(Instruction(
                    op=Op.PRODUCT, x=codes + (row * wide + column) * c, y=out.at + n, run=3 * c, skip=(wide - 3) * c, scales=1,
                    **self._product(layer, None if residual is None else residual.at + n, relu)))
        return out

    def max_pool(self, name: str, x: Image) -> Image:
        """Largest of 2x2: of every other row and the one below, then of every other column and the one beside."""
        if x.height % 2 or x.width % 2:
            raise MantissaError(f"Image of {name} must have an even height and width, not {x.height} and {x.width}")
        row, height, width, c = x.width * x.channels, x.height // 2, x.width // 2, x.channels
        half = self.vector(height * row)
        out = Image(self.vector(height * width * c, name), height, width, c)
        self.program += [
            Instruction(op=Op.MAX, x=x.at, other=x.at + row, y=half, columns=height * row, run=row, skip=row),
            Instruction(op=Op.MAX, x=half, other=half + c, y=out.at, columns=out.size, run=c, skip=c)]
        return out

    def _product(self, layer: Layer, residual: int | None, relu: bool) -> dict[str, int]:
        return {"memory": layer.memory, "rows": layer.rows, "columns": layer.columns, "tiles": layer.tiles, "relu": int(relu),
                "adds": int(residual is not None), "residual": residual or 0}

    def _norm(self, layer: Layer) -> dict[str, int]:
        constant = layer.layer.constant
        return {"multiplier": int(constant.multiplier), "shift": int(constant.shift), "eps": layer.layer.eps}
