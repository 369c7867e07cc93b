"""The next items of histories from sequential models that score every item: RecBole's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from recbole.data.interaction import Interaction
from recbole.utils import ModelType

from recbole_genrec.errors import InputError
from recbole_genrec.inference.recommender import Recommender
from recbole_genrec.items.items import Items
from recbole_genrec.items.texts import read_items
from recbole_genrec.quick_start import load_data_and_model
from recbole_genrec.stages.catalogue import Catalogue


class ScoringRecommender(Recommender):
    """A baseline that can be asked what comes next, as `Recommender` asks generative models.

    Unlike those, it needs the data set that it was trained on: RecBole's checkpoints hold no items.
    """

    def __init__(self, model: torch.nn.Module, catalogue: Catalogue) -> None:
        self.model = model.eval()
        self.catalogue = catalogue

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, device: str | torch.device | None = None
    ) -> ScoringRecommender:
        """Restore a sequential model of RecBole and the items of its data set.

        Raises:
            InputError: for a checkpoint of another kind of model, or data that are not there.
        """
        config, model, dataset, *_ = load_data_and_model(path)
        if config["MODEL_TYPE"] != ModelType.SEQUENTIAL:
            raise InputError(
                f"{path} is a checkpoint of {config['model']}, which reads no histories: expected "
                "a sequential model"
            )
        if device is not None:
            model = model.to(device)
        tokens = [str(token) for token in dataset.field2id_token[dataset.iid_field]]
        try:
            titles = read_items(config, tokens).titles
        except InputError:  # without a file or a field of texts
            titles = None
        return cls(model, Catalogue(Items(tokens, titles)))

    @torch.no_grad()
    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        top_k: int = 10,
        exclude_history: bool = False,
        allowed_items: Iterable[str] | None = None,
        unknown_items: str = "error",
        batch_size: int = 1024,
    ) -> list[list[dict[str, Any]]]:
        """As `Recommender.recommend`; the answers hold `{"item", "title", "score"}`."""
        known = self._known(histories, top_k, unknown_items)
        results: list[list[dict[str, Any]]] = [[] for _ in known]
        numbers = [number for number, history in enumerate(known) if history]
        forbidden = torch.ones(len(self.catalogue.items.tokens), dtype=torch.bool)
        forbidden[1:] = allowed_items is not None
        if allowed_items is not None:
            forbidden[self._allowed(allowed_items).cpu()] = False
        for start in range(0, len(numbers), batch_size):
            batch = numbers[start : start + batch_size]
            scores = self._scores([known[number] for number in batch])  # [batch, n_items]
            scores = scores.masked_fill(forbidden, -torch.inf)
            for row, number in zip(scores, batch, strict=True):
                if exclude_history:
                    row[known[number]] = -torch.inf
                best = row.topk(min(top_k, len(row)))
                results[number] = [
                    {
                        "item": self.catalogue.items.tokens[item],
                        "title": self.catalogue.title(item),
                        "score": score,
                    }
                    for score, item in zip(*(part.tolist() for part in best), strict=True)
                    if score > -torch.inf
                ]
        return results

    def _scores(self, histories: list[list[int]]) -> torch.Tensor:
        model = self.model
        recent = [torch.tensor(history[-model.max_seq_length :]) for history in histories]
        padded = torch.zeros(len(recent), model.max_seq_length, dtype=torch.long)
        for row, history in zip(padded, recent, strict=True):
            row[: len(history)] = history
        lengths = torch.tensor([len(history) for history in recent])
        interaction = Interaction({model.ITEM_SEQ: padded, model.ITEM_SEQ_LEN: lengths})
        try:
            scores = model.full_sort_predict(interaction.to(model.device))
        except (KeyError, NotImplementedError) as error:
            raise InputError(
                f"{type(model).__name__} needs more than the items of a history to score all "
                f"items: {error}"
            ) from error
        return scores.view(len(recent), -1).cpu()

    def add_items(self, *arguments: Any, **options: Any) -> None:
        """A model with a weight for each item knows no others.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"new items: {type(self.model).__name__} knows the items that it was trained on alone"
        )
