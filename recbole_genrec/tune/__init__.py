"""Search for the best hyper-parameters, by Optuna over the runs of this package.

space   what is searched: RecBole's hyper-parameter files
sweep   the arguments of one search, checked, and the folder in which it lives
study   the search itself, in a file that any number of workers share
trial   one trial: train with its settings, report every validation
command from the arguments to the best configuration
report  the table of trials and the best configuration
"""

from recbole_genrec.errors import InputError

try:
    import optuna  # noqa: F401
except ImportError as error:
    raise InputError('tune needs Optuna: pip install "recbole-genrec[tune]"') from error

from recbole_genrec.tune.command import tune  # noqa: E402

__all__ = ["tune"]
