"""Files that are there whole or not at all."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["write", "write_json"]


def write(path: Path, text: str) -> Path:
    """Write ``text`` to ``path``, and its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def write_json(path: Path, value: Any) -> Path:
    """Write ``value`` as JSON; what JSON does not know is written as Python shows it."""
    return write(path, json.dumps(value, indent=1, default=repr) + "\n")
