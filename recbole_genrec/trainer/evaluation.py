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
from recbole_genrec.model.semantic_id_recommender import SemanticIDRecommender
from recbole_genrec.parallel.distributed import share_of_users
from recbole_genrec.runs.checkpoint import check_same_run, load_checkpoint, load_weights
from recbole_genrec.trainer.checkpointer import check_own
from recbole_genrec.trainer.faults import explained_memory


class EvaluatingTrainer(Trainer):
    """RecBole's Trainer with another evaluation; metrics are RecBole's.

    A model with semantic IDs is evaluated by the lists that it recommends, without a score for
    every item. Of several processes each evaluates its share of the users; the metrics are those
    of all.

    Attributes:
        recommended_items: the lists `[rows, K]` of the last full-ranking evaluation.
        best_epoch: the epoch that validation has chosen; None before, and where there is none.
    """

    best_epoch: int | None = None

    def __init__(self, config, model) -> None:
        super().__init__(config, model)
        self.eval_collector = GenRecCollector(config)
        self.evaluator = GenRecEvaluator(config)
        self.recommended_items: Tensor | None = None

    @torch.no_grad()
    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        """Evaluate on `eval_data`, as a rule with the best model that training has saved.

        Returns:
            metric name -> value, plain floats; None when there are no samples.

        Raises:
            InputError: when `model_file` is no checkpoint of this model and data set.
            RunError: when there is not enough memory.
        """
        if not eval_data:
            return None
        if load_best_model:
            file = model_file or self.saved_model_file
            checkpoint = load_checkpoint(file, self.device)
            check_same_run(checkpoint, self.config, file)
            if model_file is None:
                check_own(checkpoint, self.best_epoch, file)
            load_weights(self.model, checkpoint, file)
            self.logger.info(f"Loading model structure and parameters from {file}")
        self.eval_collector.begin()
        with explained_memory(self.config), _repeatable_negatives(self.config["seed"]):
            result = super().evaluate(
                share_of_users(eval_data), load_best_model=False, show_progress=show_progress
            )
        lists = self.eval_collector.take_lists()
        full = isinstance(eval_data, FullSortEvalDataLoader)
        self.recommended_items = lists if full else None
        digits = self.config["metric_decimal_place"]
        return {metric: round(float(value), digits) for metric, value in result.items()}

    def _full_sort_batch_eval(self, batched_data):
        interaction, history_index, positive_u, positive_i = batched_data
        if not isinstance(self.model, SemanticIDRecommender) or history_index is not None:
            return super()._full_sort_batch_eval(batched_data)
        ranked = self.model.recommend(interaction.to(self.device), max(self.config["topk"]))
        return interaction, RankedItems(*ranked), positive_u, positive_i


@contextmanager
def _repeatable_negatives(seed: int) -> Iterator[None]:
    """Let every evaluation draw the same negatives (`mode: uni100`), and leave training its own."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
