"""scikit-learn's bundled digits, split once and for all: 8x8 images, ten classes."""
from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

__all__ = ["HELD_OUT", "SEED", "split"]

SEED = 2
HELD_OUT = 0.25


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images and labels, held-out images and labels; stratified, the same every time.

    Images are float32 (n, 1, 8, 8) from 0 to 1, labels int64 (n,).
    """
    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[:, None]
    labels = digits.target.astype(np.int64)
    train, test = train_test_split(np.arange(len(labels)), test_size=HELD_OUT, stratify=labels, random_state=SEED)
    return images[train], labels[train], images[test], labels[test]
