"""Sequences of files that are split already (`benchmark_filename`)."""

import numpy as np
from recbole.data.dataset import SequentialDataset
from recbole.utils import FeatureSource, FeatureType

from recbole_genrec.data.histories import HISTORY_END
from recbole_genrec.data.repair.columns import rows
from recbole_genrec.data.repair.tensors import RepairedDataset
from recbole_genrec.errors import InputError, first_few, refuse


class SplitSequences(SequentialDataset, RepairedDataset):
    """Histories come with the files, as in RecBole, or are made of their plain interactions."""

    _parts: np.ndarray | None = None  # of each plain interaction, in the order of time

    def _benchmark_presets(self) -> None:
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
        self.inter_feat = self.inter_feat.iloc[order].reset_index(drop=True)
        self._parts = part[order]

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
        target = self.inter_feat[HISTORY_END].numpy()
        self._say_what_has_no_history(np.delete(np.arange(len(part)), target), part)
        part = part[target]
        self.inter_feat = rows(self.inter_feat, np.argsort(part, kind="stable"))
        self.file_size_list = np.bincount(part, minlength=len(self.file_size_list)).tolist()

    def _say_what_has_no_history(self, first: np.ndarray, part: np.ndarray) -> None:
        """Warn of users whom no earlier part knows: what they do first cannot be predicted.

        Args:
            first: the row of each user's first interaction.
            part: of every interaction.
        """
        users = self._events[self.uid_field].numpy()
        for number in range(1, len(self.file_size_list)):
            new = self.id2token(self.uid_field, users[first[part[first] == number]])
            if len(new):
                name = f"{self.dataset_name}.{self.benchmark_filename_list[number]}.inter"
                self.logger.warning(
                    f"{name}: the first interactions of {len(new)} of its users are left out, as "
                    f"they have no history there or in the parts before: {first_few(new)}"
                )
