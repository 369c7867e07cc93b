"""Models side by side: run them, compare their results, test the differences.

compare_models   runs what is missing, then compares
compare          compares runs that are there
"""

from recbole_genrec.compare.comparison import compare
from recbole_genrec.compare.runner import compare_models

__all__ = ["compare", "compare_models"]
