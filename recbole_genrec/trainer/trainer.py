"""RecBole's Trainer on current libraries: one training and evaluation loop for all models."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.data.interaction import Interaction
from recbole.utils import get_gpu_usage, set_color
from torch import Tensor
from torch.nn.utils.clip_grad import clip_grad_norm_
from torch.optim import AdamW
from tqdm import tqdm

from recbole_genrec.errors import InputError
from recbole_genrec.evaluator.collector import GenRecCollector, RankedItems
from recbole_genrec.evaluator.metrics import GenRecEvaluator
from recbole_genrec.parallel.distributed import (
    NO_SHARE,
    agree_on_statistics,
    any_rank,
    average_gradients,
    share_of_users,
)
from recbole_genrec.runs.checkpoint import check_same_run, load_checkpoint, load_weights
from recbole_genrec.trainer.faults import explained_memory, finishing_batches
from recbole_genrec.trainer.random_states import random_states, set_random_states
from recbole_genrec.trainer.resumable import ResumableTrainer
from recbole_genrec.trainer.speed import Speed


class GenRecTrainer(ResumableTrainer):
    """Trains and evaluates any model.

    With RecBole's settings the losses and metrics are RecBole's, seed for seed. Beyond that:
    `lr_scheduler` and `warmup_ratio` (a schedule per optimiser step), `gradient_accumulation_steps`
    with the gradients of one batch as large as all of a step (of losses that are means over
    targets), fused AdamW, `enable_amp` in
    bfloat16, gradient clipping also with `enable_scaler`, no wait for the GPU at every step, and
    checkpoints of tensors and plain values from which training goes on exactly
    (`ResumableTrainer`).
    Of several processes each computes its share of every batch, and of the users in evaluation; the
    gradients and the metrics are those of the whole.

    A model may offer, beside what RecBole asks of it:
        `parameter_groups()`: groups for the optimiser, in place of `parameters()`;
        `extra_checkpoint()`, `load_extra(dict)`: plain values and tensors for the checkpoint;
        `on_epoch_start(epoch)`, `on_epoch_end(epoch)`: called around each training epoch, the first
        also when training goes on within an epoch;
        `num_targets(interaction)`: of how many targets the loss is the mean, if not one per sample;
        `takes_host_batches`: whether it gets training batches on the host, whatever its device;
        `compile_layers()`: called at the start if `compile` is set;
        `on_step_end()`: called after each optimiser step;
        `num_tokens(interaction)`: how many semantic-ID codes are processed, for the progress bar;
        `recommend(interaction, k)`: item ids and scores `[batch, k]`, best first, by which it is
        then evaluated without scoring all items.
    """

    shares_batches = True  # whether several processes may train together

    def __init__(self, config, model):
        super().__init__(config, model)
        if config["gradient_accumulation_steps"] > 1 and not self._has_one_pass:
            raise InputError(
                f"gradient_accumulation_steps should be 1 for {config['model']}, which has its own "
                f"way of training, found [{config['gradient_accumulation_steps']}]"
            )
        if config["compile"] and hasattr(model, "compile_layers"):
            model.compile_layers()
        torch.autograd.set_detect_anomaly(False)  # on since somebody imported RecBole's models
        self.eval_collector = GenRecCollector(config)
        self.evaluator = GenRecEvaluator(config)
        self.recommended_items: torch.Tensor | None = None  # of the last full-ranking evaluation

    def _build_optimizer(self, **kwargs):
        if "params" not in kwargs and hasattr(self.model, "parameter_groups"):
            kwargs["params"] = self.model.parameter_groups()
        optimizer = super()._build_optimizer(**kwargs)
        if isinstance(optimizer, AdamW):
            for group in optimizer.param_groups:
                group["fused"] = True
        return optimizer

    # ---- training

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        """Train for one epoch; returns the sum of the losses of its batches as RecBole does.

        Raises:
            InputError: when a loss is NaN; the epoch and the batch are named.
            KeyboardInterrupt: after Ctrl-C, once a batch is finished and saved.
        """
        self.model.train()
        self._set_up_lr_scheduler(self._steps_per_epoch(train_data))
        losses = self._begin_epoch(train_data, epoch_idx)
        before = random_states(self.device)
        self._call_model("on_epoch_start", epoch_idx)
        if losses.steps:  # the epoch goes on, and drew its numbers for the hook long ago
            set_random_states(before, self.device)
        if not losses.complete:
            with finishing_batches() as stopping:
                loss_func = loss_func or self.model.calculate_loss
                self._train_batches(train_data, losses, loss_func, show_progress, stopping)
                agree_on_statistics(self.model)
                self._call_model("on_epoch_end", epoch_idx)
                losses.complete = True
                if any_rank(stopping()):
                    self._after_batch(stopping=True)
        return losses.total()

    def _train_batches(self, train_data, losses, loss_func, show_progress, stopping) -> None:
        steps = self._remaining_steps(train_data, losses.steps)
        if show_progress:
            steps = tqdm(
                steps,
                total=self._steps_per_epoch(train_data),
                initial=losses.steps,
                ncols=100,
                desc=set_color(f"Train {self._epoch_idx:>5}", "pink"),
            )
        speed = Speed(self.model)
        for batches in steps:
            speed.add(batches)
            losses.add(self._train_step(batches, loss_func))
            if show_progress and not losses.pending:
                self._show_speed(steps, speed)
            self._after_batch(any_rank(stopping()))

    @property
    def _has_one_pass(self) -> bool:
        return type(self)._train_epoch is GenRecTrainer._train_epoch

    def _train_step(self, batches: list[Interaction], loss_func):
        """One optimiser step on all targets of the batches, which are still on the host.

        Returns:
            the loss, or the tuple of its parts: means over the targets as of one large batch.
        """
        self.optimizer.zero_grad()
        weights = [self._weight(batch) for batch in batches]
        total = sum(weights)
        if len(batches) == 1:
            losses = self._backward(batches[0], loss_func)
        else:  # only ranks without any share of the batches have a total of 0
            shares = [weight / max(total, 1) for weight in weights]
            each = [
                self._backward(batch, loss_func, share)
                for batch, share in zip(batches, shares, strict=True)
            ]
            losses = _weighted_sum(each, shares)
        losses = average_gradients(self.model, losses, total)
        if self.clip_grad_norm:
            self.scaler.unscale_(self.optimizer)
            clip_grad_norm_(self.model.parameters(), **self.clip_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.lr_scheduler is not None:
            self.lr_scheduler.step()
        self.step += 1
        if hasattr(self.model, "on_step_end"):
            self.model.on_step_end()
        return losses

    def _backward(self, batch: Interaction, loss_func, share: float | Tensor | None = None):
        """Add up the gradients of a batch, or of its share in a step; returns its losses."""
        if not getattr(self.model, "takes_host_batches", False):
            batch = batch.to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.enable_amp):
            losses = loss_func(batch)
        loss = sum(losses) if isinstance(losses, tuple) else losses
        self.scaler.scale(loss if share is None else loss * share).backward()
        if isinstance(losses, tuple):
            return tuple(part.detach() for part in losses)
        return losses.detach()

    def _weight(self, interaction: Interaction) -> int | Tensor:
        """By how much the loss, a mean over targets, weighs among those of all ranks."""
        if NO_SHARE in interaction:
            return 0
        if hasattr(self.model, "num_targets"):
            return self.model.num_targets(interaction)
        return len(interaction)

    def _set_up_lr_scheduler(self, steps_per_epoch: int) -> None:
        name = self.config["lr_scheduler"]
        if name is None or self.lr_scheduler is not None:
            return
        from transformers import get_scheduler

        total = steps_per_epoch * self.epochs
        warmup = round((self.config["warmup_ratio"] or 0.0) * total)
        self.lr_scheduler = get_scheduler(name, self.optimizer, warmup, total)
        if self._lr_scheduler_state is not None:
            self.lr_scheduler.load_state_dict(self._lr_scheduler_state)
            learning_rates = self.lr_scheduler.get_last_lr()
            for group, rate in zip(self.optimizer.param_groups, learning_rates, strict=True):
                group["lr"] = rate

    def _show_speed(self, progress: tqdm, speed: Speed) -> None:
        text = speed.text()
        if self.gpu_available:
            text += f", GPU RAM: {get_gpu_usage(self.device)}"
        progress.set_postfix_str(set_color(text, "yellow"), refresh=False)

    def _add_train_loss_to_tensorboard(self, epoch_idx, losses, tag="Loss/Train"):
        super()._add_train_loss_to_tensorboard(epoch_idx, losses, tag)
        shares = getattr(self.model, "objective_weights", {}).get(epoch_idx, {})
        for name, share in shares.items():
            self.tensorboard.add_scalar(f"Objective/{name}", share, self.step)

    def _call_model(self, hook: str, epoch_idx: int) -> None:
        if hasattr(self.model, hook):
            getattr(self.model, hook)(epoch_idx)

    # ---- evaluation

    @torch.no_grad()
    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        """Evaluate on `eval_data`, as a rule with the best model that training has saved.

        Returns:
            metric name -> value, plain floats; None when there are no samples.

        Raises:
            InputError: when `model_file` is no checkpoint of this model and data set.
            RunError: when there is not enough memory.
        """
        if not eval_data:
            return None
        if load_best_model:
            file = model_file or self.saved_model_file
            checkpoint = load_checkpoint(file, self.device)
            check_same_run(checkpoint, self.config, file)
            load_weights(self.model, checkpoint, file)
            self.logger.info(f"Loading model structure and parameters from {file}")
        self.eval_collector.begin()
        with explained_memory(self.config), _repeatable_negatives(self.config["seed"]):
            result = super().evaluate(
                share_of_users(eval_data), load_best_model=False, show_progress=show_progress
            )
        lists = self.eval_collector.take_lists()
        full = isinstance(eval_data, FullSortEvalDataLoader)
        self.recommended_items = lists if full else None
        digits = self.config["metric_decimal_place"]
        return {metric: round(float(value), digits) for metric, value in result.items()}

    def _full_sort_batch_eval(self, batched_data):
        interaction, history_index, positive_u, positive_i = batched_data
        if not hasattr(self.model, "recommend") or history_index is not None:
            return super()._full_sort_batch_eval(batched_data)
        ranked = self.model.recommend(interaction.to(self.device), max(self.config["topk"]))
        return interaction, RankedItems(*ranked), positive_u, positive_i


def _weighted_sum(each: list, weights: list):
    """Of losses, or of tuples of their parts."""
    if isinstance(each[0], tuple):
        return tuple(_weighted_sum(list(parts), weights) for parts in zip(*each, strict=True))
    return sum(loss * weight for loss, weight in zip(each, weights, strict=True))


@contextmanager
def _repeatable_negatives(seed: int) -> Iterator[None]:
    """Let every evaluation draw the same negatives (`mode: uni100`), and leave training its own."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
