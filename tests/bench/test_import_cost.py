"""What ``import patter`` costs over the bare interpreter: the best of ten (CF-11)."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.bench


def best_of_ten(statement):
    """Seconds from start to end of an interpreter that runs a statement."""
    times = []
    for _ in range(10):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        times.append(time.perf_counter() - began)
    return min(times)


@pytest.mark.behaviour("CF-11")
def test_importing_patter_costs_at_most_60_ms():
    bare = best_of_ten("pass")
    extra = best_of_ten("import patter; patter.hookimpl, patter.BargeInRecord, patter.BargeInStrategy") - bare
    print(f"import patter: {extra * 1000:.1f} ms over {bare * 1000:.1f} ms")
    assert extra <= 0.060
