"""What the trainer and the runner ask of a model beside RecBole's interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from logging import getLogger
from pathlib import Path
from typing import Any

from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_genrec.errors import InputError
from recbole_genrec.items.needs import Need
from recbole_genrec.model.phases import LearningRate, Phase

RECOMMENDER = "recommender"  # the part that every model has


class ModelHooks:
    """The questions, with the answers of a model that has nothing special to say.

    Models with semantic IDs inherit them from `SemanticIDRecommender`; any other model may mix them
    in. `hooks_of` and `class_hooks` give those of models that know nothing of them, such as
    RecBole's.
    """

    needs_semantic_ids = False
    """Whether items have semantic IDs, so that the settings of tokenizers and losses apply."""

    takes_host_batches = False
    """Whether training batches stay on the host, where lengths are read without waiting."""

    scores_all_items = True
    """Whether lists are made of `full_sort_predict`; otherwise `recommend` gives them."""

    # ---- of the class, before there is a model

    @classmethod
    def check_config(cls, config) -> None:
        """Raise an InputError for settings that cannot work, before any data are read."""

    @classmethod
    def needs(cls, config) -> Sequence[Need]:
        """What the items must have before there can be a model, in the order of making it."""
        return ()

    @classmethod
    def one_pass(cls, config) -> bool:
        """Whether one pass over a user's sequence trains all its targets.

        Otherwise each prefix of the sequence is a sample of its own.
        """
        return False

    # ---- training

    @property
    def network(self) -> nn.Module:
        """The module whose weights are trained and kept."""
        if not isinstance(self, nn.Module):
            raise TypeError(f"{type(self).__name__} is no torch module and names no network")
        return self

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """The parameters by the name of the part that phases speak of."""
        return {RECOMMENDER: list(self.network.parameters())}

    def phases(self, config) -> list[Phase]:
        """The phases of training, one after the other; `epochs` of the first may end early."""
        rate = LearningRate(
            config["learning_rate"], config["lr_scheduler"], config["warmup_ratio"] or 0.0
        )
        return [Phase("training", config["epochs"], config["stopping_step"], [{RECOMMENDER: rate}])]

    def num_targets(self, interaction: Interaction) -> int | Tensor:
        """Number of targets of a training batch, over which its loss is the mean."""
        return len(interaction)

    def num_tokens(self, interaction: Interaction) -> int | Tensor | None:
        """Number of semantic-ID codes read and written for a training batch; None without any."""
        return None

    def compile_layers(self) -> None:
        """Compile what is worth it, when the setting `compile` asks for it."""
        getLogger().warning(f"compile: {type(self.network).__name__} has no layers to compile")

    def on_epoch_start(self, epoch: int) -> None:
        """Called before each training epoch, also when training goes on within one."""

    def on_step_end(self) -> None:
        """Called after each optimizer step."""

    def on_epoch_end(self, epoch: int) -> None:
        """Called after each training epoch."""

    def objective_weights(self) -> Mapping[int, Mapping[str, float]]:
        """Optimizer steps -> share of each objective then, of losses that mix several."""
        return {}

    # ---- evaluation

    def validating(self) -> AbstractContextManager[None]:
        """What is done inside is a validation, not a test."""
        return nullcontext()

    def validation_loss(self, interaction: Interaction) -> Tensor | None:
        """Mean loss of the next items of an evaluation batch; None of a model without likelihoods.

        Of sequential models with `loss_type: CE` it is the cross-entropy over all items, for which
        `full_sort_predict` has to give logits; RecBole's with CPR give probabilities.
        """
        model = self.network
        if not isinstance(model, SequentialRecommender) or getattr(model, "loss_type", "") != "CE":
            return None
        if hasattr(model, "calculate_loss_prob"):
            return None
        scores = model.full_sort_predict(interaction).view(len(interaction), -1)
        return F.cross_entropy(scores, interaction[model.ITEM_ID])

    # ---- checkpoints and results

    def extra_checkpoint(self) -> dict[str, Any] | None:
        """Plain values and tensors that a checkpoint needs beside the weights; None for nothing."""
        return None

    def load_extra(self, extra: Mapping[str, Any]) -> None:
        """Take over what `extra_checkpoint` has noted."""

    def semantic_codes(self) -> dict[str, Tensor]:
        """Codes `[n_items, L]` of each set of semantic IDs by its name, row 0 zeros."""
        return {}

    def export(self, folder: Path) -> None:
        """Write what other programs need of the model, beside its semantic IDs, into a folder.

        Rows of items stand in the order of their ids, without the padding item.

        Raises:
            InputError: when only this package can answer as the model does.
        """
        raise InputError(
            f"{type(self.network).__name__} cannot be exported: no other program runs it"
        )


class PlainModel(ModelHooks):
    """The hooks of a model that has none, such as RecBole's."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    @property
    def network(self) -> nn.Module:
        return self._model


def hooks_of(model: nn.Module) -> ModelHooks:
    """The hooks of a model, its own or those of a plain one."""
    return model if isinstance(model, ModelHooks) else PlainModel(model)


def class_hooks(model_class: type) -> type[ModelHooks]:
    """The hooks of a model class, its own or those of a plain one."""
    return model_class if issubclass(model_class, ModelHooks) else ModelHooks
