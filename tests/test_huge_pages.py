"""Large tensors lie in huge pages, where the system has them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SETTING = "THP_MEM_ALLOC_ENABLE"
OFFERED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
SHARE = """
import re, recbole_genrec, torch
ones = torch.ones(2**26)
sizes = re.findall(r"AnonHugePages: +(\\d+) kB", open("/proc/self/smaps").read())
print(sum(map(int, sizes)) / (ones.nbytes / 1024))
"""


def share_in_huge_pages(**environment: str) -> float:
    inherited = {name: value for name, value in os.environ.items() if name != SETTING}
    command = [sys.executable, "-c", SHARE]
    return float(subprocess.check_output(command, env=inherited | environment, text=True))


@pytest.mark.skipif(
    not OFFERED.exists() or "[madvise]" not in OFFERED.read_text(),
    reason="the system gives huge pages to all or to none",
)
def test_large_tensors_lie_in_huge_pages_unless_the_user_says_otherwise():
    assert share_in_huge_pages() > 0.5
    assert share_in_huge_pages(**{SETTING: "0"}) < 0.1
