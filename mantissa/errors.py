"""What goes wrong for a reason the user can act on: always one sentence."""

__all__ = ["MantissaError", "DeviceError"]


class MantissaError(ValueError):
    """Bad input: the sentence names the thing, the rule and the value."""


class DeviceError(MantissaError):
    """A device that is missing, busy, of another design, or that stopped answering."""
