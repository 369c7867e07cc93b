"""Every patch of RecBole 1.2.1 and of the libraries under it, each with its reason.

Whatever can be repaired in a subclass is repaired there. Here stands what RecBole reaches for at
module level, where no subclass can step in.
"""

from pathlib import Path
from types import SimpleNamespace

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


def takes_loss_type(model_class: type) -> bool:
    """Whether a model learns by the setting `loss_type`, from which RecBole derives its input."""
    return not hasattr(model_class, "input_type")


def give_back_removed_names() -> None:
    """Give numpy and scipy the names that RecBole uses and newer versions have removed.

    numpy 1.24 removed aliases of types, which RecBole's interaction.py, dataset.py and metrics.py
    use; scipy 1.13 removed `dok_matrix._update`, by which LightGCN, NGCF, NCL, SpectralCF and GCMC
    build their adjacency matrices. Called when this package is imported.
    """
    aliases = {"float": np.float64, "str": np.str_, "bool": np.bool_, "long": np.int64}
    for alias, numpy_type in aliases.items():
        if alias not in vars(np):
            setattr(np, alias, numpy_type)
    if not hasattr(scipy.sparse.dok_matrix, "_update"):
        scipy.sparse.dok_matrix._update = _update


def _update(self: scipy.sparse.dok_matrix, entries: dict[tuple[int, int], float]) -> None:
    """Set many entries at once, as `dok_matrix._update` did up to scipy 1.12."""
    self._dict.update(entries)  # entry by entry through the public interface takes seconds


def silence_tensorboard() -> None:
    """Have this process write nothing to TensorBoard: it is not rank 0, which speaks for all.

    RecBole's Trainer calls `get_tensorboard` in its constructor, and makes a folder for it.
    """
    import recbole.trainer.trainer

    silent = SimpleNamespace(add_scalar=lambda *_: None, add_hparams=lambda *_: None)
    recbole.trainer.trainer.get_tensorboard = lambda logger: silent
