"""Every patch of RecBole 1.2.1 and of the libraries under it, each with its reason.

Whatever can be repaired in a subclass is repaired there. Here stands what RecBole reaches for at
module level, where no subclass can step in.
"""

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace

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


def let_quick_start_be_imported() -> None:
    """Let `recbole.quick_start` be imported where ray is not, or does not work.

    It imports `ray.tune` at module level, for its search over hyper-parameters alone, and the
    releases of ray that RecBole allows fail on current libraries. Called when this package is
    imported.
    """
    if not any(isinstance(finder, _QuickStartFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuickStartFinder())


class _QuickStartFinder(MetaPathFinder):
    """Finds RecBole's module as ever, to be run with a stand-in for ray where that fails."""

    def find_spec(self, name, path=None, target=None):
        if name != "recbole.quick_start.quick_start":
            return None
        spec = PathFinder.find_spec(name, path, target)
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            try:
                import_module("ray.tune")
                stand_ins = {}
            except Exception:  # whatever an old ray meets in new libraries
                stand_ins = {"ray": ModuleType("ray"), "ray.tune": ModuleType("ray.tune")}
                vars(stand_ins["ray"])["tune"] = stand_ins["ray.tune"]
            sys.modules.update(stand_ins)
            try:
                run(module)
            finally:
                for stand_in in stand_ins:
                    del sys.modules[stand_in]

        spec.loader.exec_module = exec_module
        return spec


def silence_tensorboard() -> None:
    """Have this process write nothing to TensorBoard: it is not rank 0, which speaks for all.

    RecBole's Trainer calls `get_tensorboard` in its constructor, and makes a folder for it.
    """
    import recbole.trainer.trainer

    names = ("add_scalar", "add_hparams", "close")
    silent = SimpleNamespace(**dict.fromkeys(names, lambda *_: None))
    recbole.trainer.trainer.get_tensorboard = lambda logger: silent
