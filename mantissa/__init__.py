"""Low-precision neural-network hardware, from number format to bitstream."""

__version__ = "0.1.0"
