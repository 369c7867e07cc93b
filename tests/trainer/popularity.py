"""A model of one learned weight per item, which does whatever a test asks for."""

import torch
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType, init_seed

from recbole_genrec.trainer import GenRecTrainer
from tests.small import prepare, toy_config

SMALL = {"n_layers": 1, "hidden_size": 16, "inner_size": 16}  # a SASRec


class Popularity(SequentialRecommender):
    """Scores every item by one learned weight; does whatever a test asks for."""

    input_type = InputType.POINTWISE
    needs_semantic_ids = False

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.weight = torch.nn.Parameter(torch.linspace(0.0, 1.0, self.n_items))
        self.calls = []

    def calculate_loss(self, interaction):
        return -self.weight.log_softmax(0)[interaction[self.POS_ITEM_ID]].mean()

    def predict(self, interaction):
        return self.weight[interaction[self.ITEM_ID]]

    def full_sort_predict(self, interaction):
        return self.weight.repeat(len(interaction), 1)


def popularity_trainer(run, model_class=Popularity, **changes):
    init_seed(run.config["seed"], True)
    for key, value in changes.items():
        run.config[key] = value
    return GenRecTrainer(run.config, model_class(run.config, run.train.dataset))


def popularity_run(data_path, **settings):
    return prepare(toy_config(Popularity, data_path, **{"train_neg_sample_args": None, **settings}))
