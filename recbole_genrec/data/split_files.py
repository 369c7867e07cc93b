"""Sequences of files that are split already (`benchmark_filename`)."""

import numpy as np
import torch
from recbole.data.dataset import SequentialDataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType
from torch import Tensor
from torch.nn import functional as F

from recbole_genrec.data.histories import HISTORY_END
from recbole_genrec.data.repair.columns import rows
from recbole_genrec.data.repair.tensors import RepairedDataset
from recbole_genrec.errors import InputError, first_few, refuse


class SplitSequences(SequentialDataset, RepairedDataset):
    """Histories come with the files, as in RecBole, or are made of their plain interactions."""

    _parts: np.ndarray | None = None  # of each plain interaction, in the order of time

    @property
    def _histories_field(self) -> str:
        return self.iid_field + self.config["LIST_SUFFIX"]

    def _benchmark_presets(self) -> None:
        suffix = self.config["LIST_SUFFIX"]
        histories = self._histories_field
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
                f"[{self._histories_field}] or times [{self.time_field}] "
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
                f"[{self._histories_field}]"
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

    # ---- histories that come with the files

    def _shortened(self, samples: Interaction) -> Interaction:
        """Samples whose histories hold the last MAX_ITEM_LIST_LENGTH items at most."""
        shown, longest = self.max_item_list_len, samples[self._histories_field].shape[1]
        if longest <= shown:
            return samples
        length = samples[self.item_list_length_field]
        samples[self.item_list_length_field] = length.clamp(max=shown)
        step = torch.arange(shown)
        place = (length - shown).clamp(min=0).unsqueeze(1) + step  # [batch, MAX_LEN]
        row = torch.arange(len(length)).unsqueeze(1)
        suffix = self.config["LIST_SUFFIX"]
        for field in [field for field in samples.columns if field.endswith(suffix)]:
            if samples[field].shape[1:2] == (longest,):  # [batch, longest, ...]
                samples[field] = samples[field][row, place]
        return samples

    def _later_samples(self) -> Tensor:
        """How many samples go on from each one, with its history and target as theirs `[n]`.

        Raises:
            InputError: if a history of several items goes on from no other sample.
        """
        length = self.inter_feat[self.item_list_length_field]
        user = self.inter_feat[self.uid_field]
        keys = [length.numpy(), user.numpy()]  # the last one decides first
        if self.time_field in self.inter_feat:
            keys.insert(0, self.inter_feat[self.time_field].numpy())
        order = torch.from_numpy(np.lexsort(keys))
        user, length = user[order], length[order]
        history = self.inter_feat[self._histories_field][order]  # [n, longest]
        target = self.inter_feat[self.iid_field][order].unsqueeze(1)

        whole = F.pad(history, (0, 1)).scatter(1, length.unsqueeze(1), target)[:-1]
        grown = (F.pad(history, (0, 1))[1:] == whole).all(1)
        moved = (history[1:] == whole[:, 1:]).all(1)  # where files hold the last items alone
        moved &= length[:-1] == history.shape[1]
        goes_on = (user[1:] == user[:-1]) & (grown | moved)
        first = F.pad(~goes_on, (1, 0), value=True)
        alone = order[first & (length > 1)]
        if len(alone):
            self._refuse_lone_histories(alone)
        last = F.pad(~goes_on, (0, 1), value=True).nonzero().squeeze(1)
        place = torch.arange(len(order))
        later = torch.empty_like(place)
        later[order] = last[torch.searchsorted(last, place)] - place
        return later

    def _refuse_lone_histories(self, samples: Tensor) -> None:
        example = int(samples.min())
        length = int(self.inter_feat[self.item_list_length_field][example])
        raise InputError(
            f"{self._place(example)}: {self.config['model']} trains a target after each item of a "
            f"sequence, so a history [{self._histories_field}] should go on from another line of "
            f"the user by one item, found {len(samples)} that do not, the first of {length} items: "
            "give interactions without histories, or take a model that trains on single lines"
        )
