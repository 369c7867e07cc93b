"""Training losses: small modules picked by name."""

from recbole_genrec.loss.context import LossContext
from recbole_genrec.loss.registry import LOSSES, build_loss, loss_without_data

__all__ = ["LOSSES", "LossContext", "build_loss", "loss_without_data"]
