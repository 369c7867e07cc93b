"""Training: how much of the processor's peak our T5 reaches, and where the rest of a step goes.

    python -m benchmarks.training_profile [--threads 2] [--batch 256] [--data amazon-beauty.inter]

The steps are those of `benchmarks.training`. The peak is what a product of two square matrices
reaches in the same run; FLOPs are those of the matrix products of a step, backward included.
"""

from __future__ import annotations

from math import prod

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training import Training, candidates
from benchmarks.workload import arguments, interactions, seconds, table
from recbole_genrec.model.kernels.linear import linear

SIDE = 2048  # of the matrices whose product shows the peak
GROUPS = {  # group -> parts of the names of its operators, first match first
    "matrix products": ("mm", "linear"),
    "softmax": ("softmax",),
    "dropout": ("random_", "bernoulli_", "::lt", "::ge", "masked_scale"),
    "norm": ("norm", "rsqrt", "pow"),
    "rows and tokens": ("index", "gather", "scatter", "embedding", "repeat_interleave"),
    "copies and fills": ("copy_", "fill_", "zero", "clone", "cat", "empty"),
    "elementwise": ("add", "mul", "div", "relu", "threshold", "masked_fill", "where", "sub"),
    "optimizer": ("adam",),
}


def peak(bf16: bool, rounds: int, clock: str) -> float:
    """FLOPs per second of a square product."""
    a = torch.randn(SIDE, SIDE, dtype=torch.bfloat16 if bf16 else torch.float32)
    return 2 * SIDE**3 / seconds({"": lambda: linear(a, a)}, rounds, clock)[""]


def flops_of_a_step(training: Training) -> int:
    """Of its matrix products, those that oneDNN multiplies included."""

    def linear_flops(x: torch.Size, weight: torch.Size, *_, **__) -> int:
        return 2 * prod(x) * weight[0]

    onednn = {torch.ops.mkldnn._linear_pointwise: linear_flops}
    with FlopCounterMode(display=False, custom_mapping=onednn) as counter:
        training.step()
    return counter.get_total_flops()


def shares(training: Training) -> dict[str, float]:
    """Share of each group of operators in the time of a step; the rest is spent outside of them."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        training.step()
    times = dict.fromkeys([*GROUPS, "other"], 0.0)
    for event in found.key_averages():
        name = event.key.lower()
        matches = (group for group, parts in GROUPS.items() if any(part in name for part in parts))
        times[next(matches, "other")] += event.self_cpu_time_total
    total = sum(times.values())
    return {group: time / total for group, time in times.items()}


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=256, help="samples of a step")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    found = candidates(interactions(args.data), args.batch, 1, "cpu")
    rows = {name: training for name, training in found.items() if "ours" in name}
    times = seconds({name: row.step for name, row in rows.items()}, args.rounds, args.clock)
    peaks = {bf16: peak(bf16, args.rounds, args.clock) for bf16 in (False, True)}
    lines = []
    for name, row in rows.items():
        flops = flops_of_a_step(row)
        rate = flops / times[name]
        groups = [f"{share:.0%}" for share in shares(row).values()]
        mflops = f"{flops / row.targets / 1e6:.0f}"
        lines.append([name, mflops, f"{rate / 1e9:.0f}", f"{rate / peaks[row.bf16]:.0%}", *groups])
    print(table(["model", "MFLOP/target", "GFLOP/s", "of peak", *GROUPS, "other"], lines))
    print(f"peak: {peaks[False] / 1e9:.0f} GFLOP/s in fp32, {peaks[True] / 1e9:.0f} in bf16")


if __name__ == "__main__":
    main()
