"""RecBole's evaluation, of models that list items as well, on several processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.trainer import Trainer
from torch import Tensor

from recbole_genrec.evaluator.collector import GenRecCollector, RankedItems
from recbole_genrec.evaluator.metrics import GenRecEvaluator
from recbole_genrec.evaluator.protocols import (
    MASKED,
    UNMASKED,
    Pairs,
    chosen_protocol,
    masked_lists,
    other_protocol,
)
from recbole_genrec.model.hooks import hooks_of
from recbole_genrec.parallel.distributed import gather, share_of_users
from recbole_genrec.runs.checkpoint import check_same_run, load_checkpoint, load_weights
from recbole_genrec.trainer.checkpointer import check_own
from recbole_genrec.trainer.faults import explained_faults


class EvaluatingTrainer(Trainer):
    """RecBole's Trainer with another evaluation; metrics are RecBole's.

    Items of the history stay in the ranking or are masked, as `repeatable` says; an evaluation
    among all items gives the metrics and lists of the other protocol beside, unless it validates in
    training. A masked target that stands in the history is a miss.

    A model that lists items is evaluated by its lists, without a score for every item. Of several
    processes each evaluates its share of the users; the metrics are those of all.

    Attributes:
        results: protocol -> metrics of the last evaluation.
        lists: protocol -> lists `[rows, K]` of the last evaluation, if it ranked all items.
        best_epoch: the epoch that validation has chosen; None before, and where there is none.
    """

    best_epoch: int | None = None

    def __init__(self, config, model) -> None:
        super().__init__(config, model)
        self.protocol = chosen_protocol(config["repeatable"])
        self.eval_collector = GenRecCollector(config)
        self.evaluator = GenRecEvaluator(config)
        self.results: dict[str, dict[str, float]] = {}
        self.lists: dict[str, Tensor] = {}
        self._other: GenRecCollector | None = None  # of the other protocol
        self._validates = False

    @property
    def recommended_items(self) -> Tensor | None:
        """The lists `[rows, K]` of the last evaluation in the chosen protocol."""
        return self.lists.get(self.protocol)

    @torch.no_grad()
    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        """Evaluate on `eval_data`, as a rule with the best model that training has saved.

        Returns:
            metric name -> value in the chosen protocol, plain floats; None when there are no
            samples.

        Raises:
            InputError: when `model_file` is no checkpoint of this model and data set.
            RunError: when there is not enough memory.
        """
        if not eval_data:
            return None
        if load_best_model:
            file = model_file or self.saved_model_file
            checkpoint = load_checkpoint(file)
            check_same_run(checkpoint, self.config, file)
            if model_file is None:
                check_own(checkpoint, self.best_epoch, file)
            load_weights(self.model, checkpoint, file)
            self.logger.info(f"Loading model structure and parameters from {file}")
        full = isinstance(eval_data, FullSortEvalDataLoader)
        self.eval_collector.begin()
        self._other = self.eval_collector.beside() if full and not self._validates else None
        with explained_faults(self.config), _repeatable_negatives(self.config["seed"]):
            result = super().evaluate(
                share_of_users(eval_data), load_best_model=False, show_progress=show_progress
            )
        collectors = {self.protocol: self.eval_collector}
        results = {self.protocol: result}
        if self._other is not None:
            other = other_protocol(self.protocol)
            collectors[other] = self._other
            results[other] = self.evaluator.evaluate(self._other.get_data_struct())
        self.results = {protocol: self._rounded(each) for protocol, each in results.items()}
        lists = {protocol: collector.take_lists() for protocol, collector in collectors.items()}
        self.lists = lists if full else {}
        return self.results[self.protocol]

    def _rounded(self, result) -> dict[str, float]:
        digits = self.config["metric_decimal_place"]
        return {metric: round(float(value), digits) for metric, value in result.items()}

    def _valid_epoch(self, valid_data, show_progress=False):
        """As in RecBole, with the beams of validation and in the chosen protocol alone.

        With `valid_loss` the metrics have the mean loss of the same users beside them.
        """
        self._validates = True
        try:
            with hooks_of(self.model).validating():
                score, result = super()._valid_epoch(valid_data, show_progress)
        finally:
            self._validates = False
        if self.config["valid_loss"]:
            result = {**result, **self._valid_loss(valid_data)}
        return score, result

    @torch.no_grad()
    def _valid_loss(self, valid_data) -> dict[str, float]:
        hooks, loss, users = hooks_of(self.model), torch.zeros((), device=self.device), 0
        full = isinstance(valid_data, FullSortEvalDataLoader)
        for interaction, *_ in share_of_users(valid_data) if full else ():
            mean = hooks.validation_loss(interaction.to(self.device))
            if mean is None:
                break
            loss = loss + mean.double() * len(interaction)
            users += len(interaction)
        losses, numbers = zip(*gather((loss.item(), users)), strict=True)
        if sum(numbers) == 0:
            self.logger.warning(f"valid_loss: {self.config['model']} has none in this evaluation")
            return {}
        return self._rounded({"loss": sum(losses) / sum(numbers)})

    def _full_sort_batch_eval(self, batched_data):
        interaction, seen, positive_u, positive_i = batched_data
        if hooks_of(self.model).scores_all_items:
            batch = (interaction, None, positive_u, positive_i)
            found = self._by_scores(super()._full_sort_batch_eval(batch)[1], seen)
        else:
            found = self._by_lists(interaction.to(self.device), seen)
        if self._other is not None:
            other = found[other_protocol(self.protocol)]
            self._other.eval_batch_collect(other, interaction, positive_u, positive_i)
        return interaction, found[self.protocol], positive_u, positive_i

    def _wants(self, protocol: str) -> bool:
        return self._other is not None or self.protocol == protocol

    def _by_scores(self, scores: Tensor, seen: Pairs) -> dict[str, Tensor]:
        """Scores `[batch, n_items]` in each protocol that is asked for."""
        found = {UNMASKED: scores} if self._wants(UNMASKED) else {}
        if self._wants(MASKED):
            found[MASKED] = _masked(scores.clone() if found else scores, seen)
        return found

    def _by_lists(self, interaction, seen: Pairs) -> dict[str, RankedItems]:
        """Lists in each protocol that is asked for."""
        ranked = RankedItems(*self.model.recommend(interaction, max(self.config["topk"])))
        found = {UNMASKED: ranked}
        if self._wants(MASKED):
            found[MASKED] = masked_lists(self.model, interaction, ranked, seen)
        return found


def _masked(scores: Tensor, seen: Pairs) -> Tensor:
    row, item = (part.to(scores.device) for part in seen)
    return scores.index_put_((row, item), scores.new_tensor(-torch.inf))


@contextmanager
def _repeatable_negatives(seed: int) -> Iterator[None]:
    """Let every evaluation draw the same negatives (`mode: uni100`), and leave training its own."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
