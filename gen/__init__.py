"""From designs and configurations to files: Verilog, metadata, headers, datasheets."""
from .designs import Emitted, emit, emit_all
from .device import accelerator

__all__ = ["Emitted", "accelerator", "emit", "emit_all"]
