"""From a data set to the three data loaders."""

from collections.abc import Iterator
from logging import getLogger
from pathlib import Path

from recbole.config import Config
from recbole.data.dataloader import KnowledgeBasedDataLoader
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.data.utils import create_samplers, get_dataloader
from recbole.sampler import KGSampler
from recbole.utils import KGDataLoaderState, ModelType, set_color

from recbole_genrec.config.data_settings import named_refusals
from recbole_genrec.data.saved import read_split, save_split


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


def data_preparation(config: Config, dataset: Dataset) -> tuple:
    """Split a data set and make RecBole's data loaders for training, validation and test.

    `save_dataloaders: True` keeps the split in `checkpoint_dir`; `dataloaders_save_path` reads it.

    Raises:
        InputError: for a setting or a file that cannot work.
    """
    file, parts = config["dataloaders_save_path"], None
    with named_refusals():
        if file:
            parts = read_split(Path(file), dataset)
        if parts is None:
            parts = dataset.build()
            if config["save_dataloaders"]:
                _save(parts, config)
        loaders = _loaders(config, dataset, parts)
    for kind, keys in (
        ("Training", ("train_batch_size", "train_neg_sample_args")),
        ("Evaluation", ("eval_batch_size", "eval_args")),
    ):
        settings = ", ".join(f"{set_color(key, 'cyan')} = [{config[key]}]" for key in keys)
        getLogger().info(f"{set_color(f'[{kind}]:', 'pink')} {settings}")
    return loaders


def _loaders(config: Config, dataset: Dataset, parts: list[Dataset]) -> tuple:
    samplers = create_samplers(config, dataset, parts)
    if config["MODEL_TYPE"] == ModelType.KNOWLEDGE:
        negatives = config["train_neg_sample_args"]
        triples = KGSampler(dataset, negatives["distribution"], negatives["alpha"])
        train = KnowledgeLoader(config, parts[0], samplers[0], triples, shuffle=True)
    else:
        loader = get_dataloader(config, "train")
        train = loader(config, parts[0], samplers[0], shuffle=config["shuffle"])
    return train, *(
        get_dataloader(config, phase)(config, part, sampler, shuffle=False)
        for phase, part, sampler in zip(("valid", "test"), parts[1:], samplers[1:], strict=True)
    )


def _save(parts: list[Dataset], config: Config) -> None:
    file = Path(config["checkpoint_dir"]) / f"{config['dataset']}-for-{config['model']}-split.pth"
    save_split(parts, file)
    getLogger().info(f"Saved the split; to use it again, add --dataloaders_save_path={file}")
