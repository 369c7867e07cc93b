"""How long the TF-IDF encoder takes for the texts of a large catalogue.

    python benchmarks/catalogue_of_texts.py [TEXTS]

Texts are made up of some words that all share and of numbers that few have, as titles of products.
"""

import sys
import time

import numpy as np

from recbole_genrec.items.text_encoder import TfidfEncoder


def main(number: int) -> None:
    """Fit and encode, timing both."""
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, rng.integers(3, 11))) for _ in range(30_000)]
    frequent = rng.zipf(1.3, size=(number, 12)) % len(words)
    texts = [
        " ".join([*(words[w] for w in row), f"{n % 977}x{n}"]) for n, row in enumerate(frequent)
    ]
    encoder = TfidfEncoder()
    started = time.perf_counter()
    encoder.fit(texts)
    fitted = time.perf_counter()
    for begin in range(0, number, encoder.chunk):
        encoder.encode(texts[begin : begin + encoder.chunk])
    done = time.perf_counter()
    print(f"{number:,} texts: fit {fitted - started:.1f} s, encode {done - fitted:.1f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500_000)
