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
    train, test, train_labels, test_labels = train_test_split(
        images, digits.target.astype(np.int64), test_size=HELD_OUT, stratify=digits.target, random_state=SEED)
    return train, train_labels, test, test_labels
