"""Models side by side: run them, compare their results, test the differences.

compare_models     runs what is missing, then compares
compare            compares runs that are there
check_none_failed  an error at the end, where some runs of a comparison failed
"""

from recbole_genrec.compare.comparison import compare
from recbole_genrec.compare.runner import check_none_failed, compare_models

__all__ = ["check_none_failed", "compare", "compare_models"]
