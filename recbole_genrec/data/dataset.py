"""The data sets of all models; histories are index ranges into the interactions, never copies."""

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from recbole.config import Config
from recbole.data.dataset import (
    DIENDataset,
    KGSeqDataset,
    KnowledgeBasedDataset,
    SequentialDataset,
)
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType, ModelType
from torch import Tensor

from recbole_genrec.config.data_settings import check_data_settings, named_refusals
from recbole_genrec.data.histories import Histories
from recbole_genrec.data.repair.columns import rows
from recbole_genrec.data.repair.tensors import RepairedDataset
from recbole_genrec.data.saved import read_dataset
from recbole_genrec.errors import InputError, refuse
from recbole_genrec.model.hooks import class_hooks

HISTORY_END = "_history_end"  # column of inter_feat: where the target stands in the event table


class GenRecDataset(SequentialDataset, RepairedDataset):
    """The data set of sequential models: one sample per prefix of each user's sequence.

    RecBole copies every prefix into a padded row. Here the interactions are kept once, sorted by
    user and time; a sample holds the row of its target and the length of its history, which is
    gathered for a batch when the batch is asked for. The batches hold RecBole's fields: `item_id`
    (the target), `item_length` and for every field of the interactions `<field>_list`
    `[batch, MAX_LEN]`, oldest first, padded with 0 on the right.

    Attributes:
        items: what `recbole_genrec.stages` has made of the items, set by the runner, or None.
    """

    file_size_list: list[int]

    items = None
    _all_samples: Interaction | None = None
    _parts: np.ndarray | None = None  # of each interaction, where plain files are split already

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
        if self.time_field not in samples:
            raise InputError(
                f"transitions need times: the interactions of [{self.dataset_name}] have no column "
                f"[{self.time_field}] (TIME_FIELD), found {list(samples)}"
            )
        length = samples[self.item_list_length_field].unsqueeze(1)
        back = torch.arange(steps)
        if HISTORY_END in samples:
            row = samples[HISTORY_END].unsqueeze(1) - 1 - back
            before = self._events[self.iid_field][row.clamp(min=0)]
        else:  # files that bring their own histories
            histories = samples[self.iid_field + self.config["LIST_SUFFIX"]]
            before = histories.gather(1, (length - 1 - back).clamp(min=0))
        return before.masked_fill(back >= length, 0), samples[self.iid_field]

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
        if one_pass and HISTORY_END in parts[0].inter_feat:
            parts[0] = parts[0]._stretches()
        return parts

    def _stretches(self) -> "GenRecDataset":
        """The samples whose histories, laid end to end, hold every target exactly once.

        Counted back from the last target of each user, that is every MAX_LEN-th sample: it serves
        its own target and all items of its history but the first.
        """
        user, end = self.inter_feat[self.uid_field], self.inter_feat[HISTORY_END]
        last = torch.zeros(self.user_num, dtype=torch.long).scatter_reduce_(0, user, end, "amax")
        chosen = (last[user] - end) % self.max_item_list_len == 0
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
            return samples
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
        items = self.inter_feat[self.iid_field + self.config["LIST_SUFFIX"]]  # [n, MAX_LEN]
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

    # ---- files that are split already (benchmark_filename)

    def _benchmark_presets(self) -> None:
        """Histories come with the files, as in RecBole, or are made of their plain interactions."""
        suffix = self.config["LIST_SUFFIX"]
        histories = self.iid_field + suffix
        if histories not in self.inter_feat:
            self._sort_parts()
            return
        self._check_histories(histories)
        for field in self.inter_feat:
            if field + suffix in self.inter_feat:
                setattr(self, f"{field}_list_field", field + suffix)
        self.set_field_property(
            self.item_list_length_field, FeatureType.TOKEN, FeatureSource.INTERACTION, 1
        )
        self.inter_feat[self.item_list_length_field] = self.inter_feat[histories].map(len)

    def _check_histories(self, field: str) -> None:
        """Refuse histories that are no sequences, or have nothing in them."""
        if self.field2type[field] != FeatureType.TOKEN_SEQ:
            found = self.field2type[field].value
            refuse(f"the column [{field}]", f"{field}:token_seq", f"{field}:{found}")
        empty = np.flatnonzero(self.inter_feat[field].map(len) == 0)
        if len(empty):
            raise InputError(f"{self._place(empty[0])}: the history [{field}] is empty")

    def _sort_parts(self) -> None:
        """Order the interactions of all parts by time: a user's history runs through them."""
        if self.time_field not in self.inter_feat:
            raise InputError(
                f"benchmark_filename: the files of [{self.dataset_name}] need histories "
                f"[{self.iid_field}{self.config['LIST_SUFFIX']}] or times [{self.time_field}] "
                f"(TIME_FIELD), found {list(self.inter_feat.columns)}"
            )
        part = np.repeat(np.arange(len(self.file_size_list)), self.file_size_list)
        order = self.inter_feat[self.time_field].argsort(kind="stable").to_numpy()
        user = self.inter_feat[self.uid_field].to_numpy()[order]
        by_user = np.argsort(user, kind="stable")
        same_user = np.diff(user[by_user]) == 0
        back = np.flatnonzero(same_user & (np.diff(part[order][by_user]) < 0))
        if len(back):
            early, late = order[by_user[back[0]]], order[by_user[back[0] + 1]]
            raise InputError(
                f"{self._place(late)}: this interaction is later than one of the same user in "
                f"{self._place(early)}; the parts of a sequential model follow each other in time"
            )
        self._check_nothing_leaks(part)
        self.inter_feat = self.inter_feat.iloc[order].reset_index(drop=True)
        self._parts = part[order]

    def _check_nothing_leaks(self, part: np.ndarray) -> None:
        """Refuse an interaction that stands in several parts, whose number each row has."""
        event = [self.uid_field, self.iid_field, self.time_field]
        events = self.inter_feat[event].reset_index(drop=True)
        of_parts = events.assign(part=part).drop_duplicates()
        twice = of_parts.index[of_parts.duplicated(event)]
        if len(twice):
            same = (events == events.iloc[twice[0]]).all(axis=1)
            raise InputError(
                f"{self._place(twice[0])}: this interaction also stands in "
                f"{self._place(same.idxmax())}; the parts of a split have none in common"
            )

    def _change_feat_format(self) -> None:
        super()._change_feat_format()
        if self._parts is None:
            return
        part = self._parts[np.argsort(self.inter_feat[self.uid_field].numpy(), kind="stable")]
        self.data_augmentation()
        if HISTORY_END not in self.inter_feat:
            raise InputError(
                f"benchmark_filename: {self.config['model']} needs files with histories "
                f"[{self.iid_field}{self.config['LIST_SUFFIX']}]"
            )
        part = part[self.inter_feat[HISTORY_END].numpy()]  # that of each target
        self.inter_feat = rows(self.inter_feat, np.argsort(part, kind="stable"))
        self.file_size_list = np.bincount(part, minlength=len(self.file_size_list)).tolist()


class FEARecDataset(GenRecDataset):
    """FEARec picks single histories out of `inter_feat` while it trains: they are kept there."""

    def data_augmentation(self) -> None:
        super().data_augmentation()
        end = self.inter_feat[HISTORY_END]
        self.inter_feat = self._with_histories(self.inter_feat)
        self.inter_feat[HISTORY_END] = end


class NegativeHistoryDataset(DIENDataset, GenRecDataset):
    """DIEN copies its histories, with negative ones beside them."""


class KnowledgeDataset(KnowledgeBasedDataset, RepairedDataset):
    """The data set of knowledge-aware models."""


class KnowledgeSequenceDataset(KGSeqDataset, GenRecDataset):
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
