"""How long the statistics of a comparison take for many users.

python benchmarks/comparison_of_users.py [USERS]
"""

import sys
import time

import numpy as np

from recbole_genrec.evaluator.significance import mean_interval, permutation_test, wilcoxon_test


def main(users: int) -> None:
    """Two models, three seeds each, NDCG@10 of one target a user."""
    rng = np.random.default_rng(0)
    gains = np.append(0, 1 / np.log2(np.arange(2, 12)))  # by rank; 0: not in the list
    first, second = (gains[rng.integers(11, size=(3, users))].mean(axis=0) for _ in range(2))
    lists = np.ones(users)
    started = time.perf_counter()
    for name, test in {
        "interval of a mean": lambda: mean_interval(first, lists),
        "interval of a difference": lambda: mean_interval(first - second, lists),
        "permutation test": lambda: permutation_test(first, second),
        "Wilcoxon test": lambda: wilcoxon_test(first, second),
    }.items():
        test()
        now = time.perf_counter()
        print(f"{users:,} users: {name} {now - started:.1f} s")
        started = now


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
