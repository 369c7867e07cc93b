"""Pop against a count by hand."""

import numpy as np
import pytest
import torch

from tests.small import new_trainer, prepare, toy_config, write_toy


@pytest.mark.parametrize("batch_size", [2, 7, 1000])
def test_every_interaction_counts_whatever_the_batches(tmp_path, batch_size):
    run = prepare(toy_config("Pop", write_toy(tmp_path), train_batch_size=batch_size))
    trainer = new_trainer(run)
    trainer.fit(run.train, show_progress=False)
    items = run.train.dataset.inter_feat[run.train.dataset.iid_field].numpy()
    counts = np.bincount(items, minlength=trainer.model.n_items)
    assert counts.max() > 1
    user = next(iter(run.test))[0]
    scores = trainer.model.full_sort_predict(user).view(len(user), -1).cpu()
    assert torch.equal(scores[0], torch.from_numpy(counts / counts.max()))
