"""The learner `muon`: Muon for weight matrices, AdamW for all else, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from recbole_genrec.errors import refuse

MUON = "muon"
IS_MATRICES = "matrices"  # key of the parameter groups


class MuonAdamW(Optimizer):
    """`torch.optim.Muon` and `torch.optim.AdamW` over one set of parameter groups and states.

    Muon's steps are scaled to the size of AdamW's, so that one learning rate and one weight decay
    serve both. Every group is split in two, the matrices first; what is set in a group, such as its
    learning rate, is what either works with.

    Reference:
        Jingyuan Liu et al. "Muon is Scalable for LLM Training." arXiv 2502.16982.

    Args:
        params: parameters, or groups of them.
        network: whose linear layers hold the matrices: embeddings, norms, biases and single
            parameters are AdamW's. Stacked projections count as one matrix.
        lr, weight_decay: of groups that have none of their own.

    Raises:
        InputError: when the network has no matrices.
    """

    def __init__(
        self,
        params: Iterable[Any],
        network: nn.Module,
        lr: float,
        weight_decay: float,
    ) -> None:
        given = list(params)
        groups = given if isinstance(given[0], dict) else [{"params": given}]
        matrices = _matrices(network)
        if not matrices:
            refuse("learner", f"adamw for {type(network).__name__}, without linear layers", MUON)
        split = []
        for group in groups:
            for is_matrices in (True, False):
                own = [each for each in group["params"] if (id(each) in matrices) == is_matrices]
                if own:
                    split.append({**group, "params": own, IS_MATRICES: is_matrices})
        super().__init__(split, {"lr": lr, "weight_decay": weight_decay})
        # the groups are shared, and get the settings of either
        self._both: dict[bool, Optimizer] = {}
        if groups := self._groups(True):
            self._both[True] = torch.optim.Muon(groups, adjust_lr_fn="match_rms_adamw")
        if groups := self._groups(False):
            self._both[False] = AdamW(groups, fused=True)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step with each that has something to do."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self._both.values():
            optimizer.step()
        return loss

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Called where a state is loaded, with groups and states that are new."""
        super().__setstate__(state)
        self._share()

    def _share(self) -> None:
        for is_matrices, optimizer in self._both.items():
            optimizer.param_groups = self._groups(is_matrices)
            optimizer.state = self.state

    def _groups(self, is_matrices: bool) -> list[dict[str, Any]]:
        return [group for group in self.param_groups if group[IS_MATRICES] == is_matrices]


def _matrices(network: nn.Module) -> set[int]:
    """Ids of the weights of linear layers that are no embeddings as well."""
    embeddings = {id(each.weight) for each in network.modules() if isinstance(each, nn.Embedding)}
    linear = {id(each.weight) for each in network.modules() if isinstance(each, nn.Linear)}
    return linear - embeddings
