"""From a data set to the three data loaders."""

from logging import getLogger

import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.utils import data_preparation as recbole_data_preparation

from recbole_genrec.errors import InputError


def data_preparation(config: Config, dataset: Dataset) -> tuple:
    """Split a data set and make RecBole's data loaders for training, validation and test.

    Raises:
        InputError: when there is nothing to train on.
    """
    stage = getattr(dataset, "tokenizer_stage", None)
    dataset.tokenizer_stage = None  # not to be pickled with `save_dataloaders`
    loaders = recbole_data_preparation(config, dataset)
    for part, loader in zip(("training", "validation", "test"), loaders, strict=True):
        loader._dataset.tokenizer_stage = stage
        if loader.generator is None:  # saving took it away: this run would shuffle unlike a reload
            loader.generator = torch.Generator().manual_seed(config["seed"])
            loader.sampler.generator = loader.generator
        if len(loader._dataset) == 0:
            if part == "training":
                raise InputError(
                    f"data set [{config['dataset']}]: no training sample is left after filtering "
                    f"and splitting (eval_args {config['eval_args']})"
                )
            getLogger().warning(f"There are no {part} samples.")
    return loaders
