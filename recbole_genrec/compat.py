"""What RecBole 1.2.1 expects of the libraries around it and no longer finds there.

Everything else is repaired in subclasses; only this is global, because RecBole reaches for it at
module level.
"""

from pathlib import Path

import numpy as np
import scipy.sparse

from recbole_genrec.errors import MissingPackage

try:
    import recbole
except ModuleNotFoundError:
    # Python 3.12 and later, where pip cannot install it as a requirement: its pin of ray
    raise MissingPackage(
        "RecBole is not installed; this command installs it: pip install --no-deps recbole==1.2.1"
    ) from None

RECBOLE_PROPERTIES = Path(recbole.__file__).parent / "properties"

# numpy 1.24 removed these aliases; RecBole's interaction.py, dataset.py and metrics.py use them.
for _alias, _type in {
    "float": np.float64,
    "str": np.str_,
    "bool": np.bool_,
    "long": np.int64,
}.items():
    if _alias not in vars(np):
        setattr(np, _alias, _type)


def _update(self: scipy.sparse.dok_matrix, entries: dict[tuple[int, int], float]) -> None:
    """Set many entries at once, as `dok_matrix._update` did up to scipy 1.12."""
    self._dict.update(entries)  # entry by entry through the public interface takes seconds


# The adjacency matrices of LightGCN, NGCF, NCL, SpectralCF and GCMC are built with it.
if not hasattr(scipy.sparse.dok_matrix, "_update"):
    scipy.sparse.dok_matrix._update = _update
