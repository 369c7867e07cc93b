"""The data sets of all models; histories are index ranges into the interactions, never copies."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch
from recbole.config import Config
from recbole.data.dataset import DIENDataset, KGSeqDataset
from recbole.data.interaction import Interaction
from recbole.utils import ModelType
from torch import Tensor

from recbole_genrec.config.data_settings import check_data_settings, named_refusals
from recbole_genrec.data.histories import HISTORY_END, Histories
from recbole_genrec.data.knowledge import LinkedItems
from recbole_genrec.data.repair.columns import rows
from recbole_genrec.data.repair.tensors import RepairedDataset
from recbole_genrec.data.saved import read_dataset
from recbole_genrec.data.split_files import SplitSequences
from recbole_genrec.errors import InputError
from recbole_genrec.model.hooks import class_hooks


class GenRecDataset(SplitSequences):
    """The data set of sequential models: one sample per prefix of each user's sequence.

    RecBole copies every prefix into a padded row. Here the interactions are kept once, sorted by
    user and time; a sample holds the row of its target and the length of its history, which is
    gathered for a batch when the batch is asked for. The batches hold RecBole's fields: `item_id`
    (the target), `item_length` and for every field of the interactions `<field>_list`
    `[batch, MAX_LEN]`, oldest first, padded with 0 on the right.

    Attributes:
        items: what `recbole_genrec.stages` has made of the items, set by the runner, or None.
    """

    items = None
    _all_samples: Interaction | None = None

    @property
    def item_tokens(self) -> list[str]:
        """Raw item tokens; index = internal id, `[0]` is `[PAD]`."""
        return [str(token) for token in self.field2id_token[self.iid_field]]

    @property
    def target_counts(self) -> Tensor:
        """How often each item is a target, `[n_items]`."""
        return torch.bincount(self._split[self.iid_field], minlength=self.item_num)

    def before_targets(self, steps: int) -> tuple[Tensor, Tensor]:
        """What stood before every target of this split, in the order of time.

        Args:
            steps: how many items back.

        Returns:
            the items 0, 1, ... steps back from the target `[n, steps]`, 0 for none; the targets
            `[n]`.

        Raises:
            InputError: if there are no times, so that nobody knows what follows what.
        """
        samples = self._split
        self._need_times(samples)
        length = samples[self.item_list_length_field].unsqueeze(1)
        back = torch.arange(steps)
        if HISTORY_END in samples:
            row = samples[HISTORY_END].unsqueeze(1) - 1 - back
            before = self._events[self.iid_field][row.clamp(min=0)]
        else:  # files that bring their own histories
            histories = samples[self._histories_field]
            before = histories.gather(1, (length - 1 - back).clamp(min=0))
        return before.masked_fill(back >= length, 0), samples[self.iid_field]

    def _need_times(self, columns: Iterable[str], why: str = "transitions need") -> None:
        if self.time_field not in columns:
            raise InputError(
                f"{why} times: the interactions of [{self.dataset_name}] have no column "
                f"[{self.time_field}] (TIME_FIELD), found {list(columns)}"
            )

    @property
    def item_counter(self):
        """Interactions per item, the first ones of each user, which are never targets, included."""
        counter = Counter(self._split[self.iid_field].tolist())
        if HISTORY_END in self._split:
            counter.update(self._first_events()[self.iid_field].numpy())
        return counter

    def data_augmentation(self) -> None:
        """Make the samples: `<i1, i2, i3>` gives i2 after `<i1>` and i3 after `<i1, i2>`."""
        self._aug_presets()
        self._check_field("uid_field", "time_field")
        self.sort(by=[self.uid_field, self.time_field])
        user = self.inter_feat[self.uid_field]
        row = torch.arange(len(user))
        position = row - torch.searchsorted(user, user)  # in the sequence of the user
        target = row[position > 0]

        self._events = self.inter_feat
        self.inter_feat = rows(self._events, target)
        self.inter_feat[self.item_list_length_field] = position[target].clamp(
            max=self.max_item_list_len
        )
        self.inter_feat[HISTORY_END] = target

    def build(self) -> list:
        """Split the samples; training in one pass needs one sample per stretch of history."""
        parts = super().build()
        one_pass = class_hooks(self.config.model_class).one_pass(self.config)
        if one_pass:
            parts[0] = parts[0]._stretches()
        return parts

    def _stretches(self) -> "GenRecDataset":
        """The samples whose histories, laid end to end, hold every target exactly once.

        Counted back from the last target of each user, that is every MAX_LEN-th sample: it serves
        its own target and all items of its history but the first.

        Raises:
            InputError: if samples bring their own histories and lack some of the targets in these.
        """
        longest = self.max_item_list_len
        if HISTORY_END in self.inter_feat:
            user, end = self.inter_feat[self.uid_field], self.inter_feat[HISTORY_END]
            last = torch.zeros(self.user_num, dtype=torch.long)
            later = last.scatter_reduce_(0, user, end, "amax")[user] - end
        else:
            later = self._later_samples()
            longest = min(longest, self.inter_feat[self._histories_field].shape[1])
        chosen = later % longest == 0
        stretches = self.copy(rows(self.inter_feat, chosen))
        stretches._all_samples = self.inter_feat
        return stretches

    @property
    def _split(self) -> Interaction:
        """All samples of this split, also where `inter_feat` holds those of a causal model only."""
        return self.inter_feat if self._all_samples is None else self._all_samples

    def __getitem__(self, index, join: bool = True) -> Interaction:
        samples = self._with_histories(rows(self.inter_feat, index))
        return self.join(samples) if join else samples

    def _with_histories(self, samples: Interaction) -> Interaction:
        if HISTORY_END not in samples:  # pre-split files and DIEN bring their own histories
            return self._shortened(samples)
        end, length = samples[HISTORY_END], samples[self.item_list_length_field]
        step = torch.arange(self.max_item_list_len)
        inside = step < length.unsqueeze(-1)  # [batch, MAX_LEN]
        events = ((end - length).unsqueeze(-1) + step).masked_fill(~inside, 0)
        samples.drop(HISTORY_END)
        for field in self._events:
            list_field = field + self.config["LIST_SUFFIX"]
            if list_field in self.field2type:  # not that of the user, nor dropped by unused_col
                history = self._events[field][events]  # [batch, MAX_LEN, ...]
                padding = ~inside.view(inside.shape + (1,) * (history.dim() - inside.dim()))
                samples[list_field] = history.masked_fill(padding, 0)
        return samples

    def histories(self) -> Histories:
        """All items before the target of each sample, also those that MAX_ITEM_LIST_LENGTH hides.

        Where samples bring their own histories (split files that have them, DIEN), only these.
        """
        if HISTORY_END in self.inter_feat:
            owners, end = self._events[self.uid_field], self.inter_feat[HISTORY_END]
            start = torch.searchsorted(owners, owners[end])
            return Histories(self._events[self.iid_field], start, end)
        items = self.inter_feat[self._histories_field]  # [n, longest]
        length = self.inter_feat[self.item_list_length_field]
        inside = torch.arange(items.shape[1]) < length.unsqueeze(1)
        end = length.cumsum(0)
        return Histories(items[inside], end - length, end)

    def transitions(self) -> Tensor:
        """The item right before each target of this split, and the target `[2, n]`."""
        whole = self.copy(self._split)
        return torch.stack([whole.histories().last, whole.inter_feat[self.iid_field]])

    def _first_events(self) -> Interaction:
        """The interactions that start the sequences of this split: they are no targets."""
        before = self._split[HISTORY_END] - 1
        user = self._events[self.uid_field]
        first = (before == 0) | (user[before] != user[before - 1])
        return rows(self._events, before[first])

    def _drop_unused_col(self) -> None:
        """Drop what `unused_col` names; histories (`timestamp_list`) are then never gathered."""
        for feat_name, fields in (self.config["unused_col"] or {}).items():
            feat = getattr(self, f"{feat_name}_feat")
            for field in fields:
                if field in feat:
                    self._del_col(feat, field)
                elif field in self.field2type:
                    self._forget(field)
                else:
                    self.logger.warning(f"unused_col: there is no field [{field}] in {feat_name}.")

    def inter_matrix(self, form="coo", value_field=None):
        """Sparse matrix `[n_users, n_items]` of the interactions, each user's first included."""
        if HISTORY_END not in self._split:
            return super().inter_matrix(form, value_field)
        first = self._first_events()
        fields = [self.uid_field, self.iid_field, *([value_field] if value_field else [])]
        both = {f: torch.cat([self._split[f], first[f]]) for f in fields}
        return self._create_sparse_matrix(
            Interaction(both), self.uid_field, self.iid_field, form, value_field
        )

    def _benchmark_presets(self) -> None:
        super()._benchmark_presets()
        if self.config["memory_steps"]:
            why = f"memory_steps [{self.config['memory_steps']}], unless 0, needs"
            self._need_times(self.inter_feat, why)


class FEARecDataset(GenRecDataset):
    """FEARec picks single histories out of `inter_feat` while it trains: they are kept there."""

    def data_augmentation(self) -> None:
        super().data_augmentation()
        end = self.inter_feat[HISTORY_END]
        self.inter_feat = self._with_histories(self.inter_feat)
        self.inter_feat[HISTORY_END] = end


class NegativeHistoryDataset(DIENDataset, GenRecDataset):
    """DIEN copies its histories, with negative ones beside them."""


class KnowledgeDataset(LinkedItems, RepairedDataset):
    """The data set of knowledge-aware models."""


class KnowledgeSequenceDataset(LinkedItems, KGSeqDataset, GenRecDataset):
    """The data set of knowledge-aware sequential models."""


DATASETS = {
    "FEARec": FEARecDataset,
    "DIEN": NegativeHistoryDataset,
    "GRU4RecKG": KnowledgeSequenceDataset,
    "KSR": KnowledgeSequenceDataset,
}
DATASETS_BY_TYPE = {
    ModelType.SEQUENTIAL: GenRecDataset,
    ModelType.KNOWLEDGE: KnowledgeDataset,
}


def create_dataset(config: Config) -> RepairedDataset:
    """Load, filter and number the data set of `config`, or read the result back if it was saved.

    As in RecBole, `save_dataset: True` saves it in `checkpoint_dir`; it is read from
    `dataset_save_path` alone, if the settings and files that it was made of are still the same.

    Raises:
        InputError: for a setting or a file that cannot work.
    """
    check_data_settings(config)
    by_type = DATASETS_BY_TYPE.get(config["MODEL_TYPE"], RepairedDataset)
    names = (base.__name__ for base in config.model_class.__mro__)  # of what it inherits from too
    dataset_class = next((DATASETS[name] for name in names if name in DATASETS), by_type)
    if config["dataset_save_path"]:
        dataset = read_dataset(Path(config["dataset_save_path"]), dataset_class, config)
        if dataset is not None:
            return dataset
    with named_refusals():
        dataset = dataset_class(config)
    if config["save_dataset"]:
        dataset.save()
    return dataset
