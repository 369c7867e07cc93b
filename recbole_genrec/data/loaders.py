"""From a data set to the three data loaders."""

import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.utils import data_preparation as recbole_data_preparation

from recbole_genrec.compat import tell_saved_loaders_apart
from recbole_genrec.config.data_settings import named_refusals

# What the runner has added to the data set: not part of the file that `save_dataloaders` writes.
STAGES = ("items", "tokenizer_stage", "teacher_embeddings")


def data_preparation(config: Config, dataset: Dataset) -> tuple:
    """Split a data set and make RecBole's data loaders for training, validation and test."""
    tell_saved_loaders_apart()
    stages = {name: vars(dataset).pop(name) for name in STAGES if name in vars(dataset)}
    with named_refusals():
        loaders = recbole_data_preparation(config, dataset)
    vars(dataset).update(stages)
    for loader in loaders:
        vars(loader._dataset).update(stages)
        if config["save_dataloaders"] and loader.generator is None:
            # Saving took it away: this run would not shuffle as one that reads the file.
            loader.generator = torch.Generator().manual_seed(config["seed"])
            loader.sampler.generator = loader.generator
    return loaders
