"""Host side: networks on devices. Needs numpy and a serial library, never the generators."""
from .counters import LayerCounters
from .device import Device
from .network import Network

__all__ = ["Device", "LayerCounters", "Network"]
