"""From a data set to the three data loaders."""

from collections.abc import Iterator, Sequence
from copy import copy
from hashlib import blake2b
from logging import getLogger
from pathlib import Path

import torch
from recbole.config import Config
from recbole.data.dataloader import FullSortEvalDataLoader, KnowledgeBasedDataLoader
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.data.utils import create_samplers, get_dataloader
from recbole.sampler import KGSampler
from recbole.utils import KGDataLoaderState, ModelType, set_color

from recbole_genrec.config.data_settings import named_refusals
from recbole_genrec.data.histories import histories_by_user
from recbole_genrec.data.repair.columns import rows
from recbole_genrec.data.saved import read_split, save_split
from recbole_genrec.errors import InputError


class KnowledgeLoader(KnowledgeBasedDataLoader):
    """RecBole's loader of interactions and triples, which can be asked what other loaders can.

    An epoch has as many batches as there are of interactions; triples start anew when they end.
    """

    @property
    def dataset(self) -> Dataset:
        """The data set of the interactions and of the triples."""
        return self._dataset

    @property
    def generator(self):
        """The random numbers that shuffle the interactions."""
        return self.general_dataloader.generator

    @property
    def sampler(self):
        """The order of the interactions."""
        return self.general_dataloader.sampler

    def __iter__(self) -> Iterator[Interaction]:
        if self.state == KGDataLoaderState.RSKG:
            return self._both()
        return super().__iter__()

    def _both(self) -> Iterator[Interaction]:
        triples = iter(self.kg_dataloader)
        for interactions in self.general_dataloader:
            batch = next(triples, None)
            if batch is None:
                triples = iter(self.kg_dataloader)
                batch = next(triples)
            interactions.update(batch)
            yield interactions


class HistoryLoader(FullSortEvalDataLoader):
    """RecBole's loader for the ranking of all items, which knows all that users had before.

    A batch holds the same as RecBole's, only that the pairs (row, item) of histories are there for
    every model and complete: for sequential models all items before the target, for others those
    of the earlier parts of the split. An item that is also a target is among them.

    Args:
        earlier: the parts of the split before this one.

    Attributes:
        histories: of the rows of the loader.
    """

    def __init__(self, config, dataset, sampler, earlier: Sequence[Dataset]) -> None:
        super().__init__(config, dataset, sampler)
        sequential = self.is_sequential
        self.histories = (
            dataset.histories() if sequential else histories_by_user(self.uid_list, earlier)
        )

    def collate_fn(self, index):
        """RecBole's batch, with the whole history of each row in the place of the items to mask."""
        interaction, _, positive_u, positive_i = super().collate_fn(index)
        seen = self.histories.pairs(torch.as_tensor(index))
        return interaction, seen, positive_u, positive_i


def data_preparation(config: Config, dataset: Dataset) -> tuple:
    """Split a data set and make RecBole's data loaders for training, validation and test.

    `save_dataloaders: True` keeps the split in `checkpoint_dir`; `dataloaders_save_path` reads it.

    Raises:
        InputError: for a setting or a file that cannot work.
    """
    with named_refusals():
        parts = _saved_parts(config, dataset)
        if parts is None:
            parts = dataset.build()
            if config["save_dataloaders"]:
                _save(parts, config)
        _check_known_items(config, parts)
        loaders = _loaders(config, dataset, parts)
    for kind, keys in (
        ("Training", ("train_batch_size", "train_neg_sample_args")),
        ("Evaluation", ("eval_batch_size", "eval_args")),
    ):
        settings = ", ".join(f"{set_color(key, 'cyan')} = [{config[key]}]" for key in keys)
        getLogger().info(f"{set_color(f'[{kind}]:', 'pink')} {settings}")
    return loaders


def check_split(config: Config, dataset: Dataset) -> None:
    """Refuse a split that tests nothing of what was learned, before any work on its items.

    Nothing of the data set and of the random numbers is changed.
    """
    apart = copy(dataset)
    for name, value in vars(apart).items():
        if isinstance(value, dict):  # what is known of the fields, to which a split adds its own
            setattr(apart, name, dict(value))
    with torch.random.fork_rng(), named_refusals():
        parts = _saved_parts(config, apart)
        _check_known_items(config, apart.build() if parts is None else parts)


def _saved_parts(config: Config, dataset: Dataset) -> list[Dataset] | None:
    """The split that an earlier run has kept, if `dataloaders_save_path` is set."""
    file = config["dataloaders_save_path"]
    return read_split(Path(file), dataset) if file else None


def _loaders(config: Config, dataset: Dataset, parts: list[Dataset]) -> tuple:
    samplers = create_samplers(_sampling(config), dataset, parts)
    if config["MODEL_TYPE"] == ModelType.KNOWLEDGE:
        negatives = config["train_neg_sample_args"]
        triples = KGSampler(dataset, negatives["distribution"], negatives["alpha"])
        train = KnowledgeLoader(config, parts[0], samplers[0], triples, shuffle=True)
    else:
        loader = get_dataloader(config, "train")
        train = loader(config, parts[0], samplers[0], shuffle=config["shuffle"])
    valid = _chosen_users(parts[1], config["valid_users"], config["seed"])
    return (
        train,
        _evaluation_loader(config, "valid", valid, samplers[1], parts[:1]),
        _evaluation_loader(config, "test", parts[2], samplers[2], parts[:2]),
    )


def _sampling(config: Config) -> dict:
    """What `create_samplers` reads; in training, negatives of sequential models may be repeats."""
    phases = ("train", "valid", "test")
    repeatable = config["repeatable"] or config["MODEL_TYPE"] == ModelType.SEQUENTIAL
    negatives = {f"{phase}_neg_sample_args": config[f"{phase}_neg_sample_args"] for phase in phases}
    return {"repeatable": repeatable, **negatives}


def _evaluation_loader(config: Config, phase: str, part: Dataset, sampler, earlier: list[Dataset]):
    loader = get_dataloader(config, phase)
    if loader is FullSortEvalDataLoader:
        return HistoryLoader(config, part, sampler, earlier)
    return loader(config, part, sampler, shuffle=False)


def _chosen_users(part: Dataset, number: int | None, seed: int) -> Dataset:
    """The part of a split with `number` of its users, the same ones for every model and epoch.

    The users are those whose raw tokens have the smallest hashes, which depend on the seed alone.
    """
    if number is None or len(part) == 0:
        return part
    owners = part.inter_feat[part.uid_field]
    users = owners.unique().numpy()
    if number >= len(users):
        getLogger().info(
            f"valid_users [{number}]: validation has {len(users)} users, all are taken"
        )
        return part
    key = str(seed).encode()
    tokens = part.id2token(part.uid_field, users)
    hashes = [blake2b(str(token).encode(), key=key, digest_size=8).digest() for token in tokens]
    order = sorted(range(len(users)), key=hashes.__getitem__)
    chosen = torch.isin(owners, torch.as_tensor(users[order[:number]]))
    getLogger().info(f"Validation on {number} of {len(users)} users (valid_users)")
    return part.copy(rows(part.inter_feat, chosen))


def _check_known_items(config: Config, parts: list[Dataset]) -> None:
    """Refuse a split that tests nothing of what was learned."""
    known = torch.tensor(list(parts[0].item_counter), dtype=torch.long)
    for name, part in zip(("validation", "test"), parts[1:], strict=True):
        items = torch.as_tensor(part.inter_feat[part.iid_field]).unique()
        if len(items) and not torch.isin(items, known).any():
            raise InputError(
                f"[{config['dataset']}]: all {len(items)} items of the {name} are new, expected "
                f"some of the {len(known)} that training knows: see eval_args "
                f"[{config['eval_args']['split']}], or the files of benchmark_filename"
            )


def _save(parts: list[Dataset], config: Config) -> None:
    file = Path(config["checkpoint_dir"]) / f"{config['dataset']}-for-{config['model']}-split.pth"
    save_split(parts, file)
    getLogger().info(f"Saved the split; to use it again, add --dataloaders_save_path={file}")
