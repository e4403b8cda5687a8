"""A process that keeps its memory takes no new pages for arrays as large as those it has given back."""

import resource
import sys

import numpy as np
import pytest

from tandem.heap import keep_memory

PAGES = 16 * 2**20 // resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told")
def test_a_large_array_given_back_is_not_mapped_anew():
    if not keep_memory():
        pytest.skip("this C library cannot be told")
    faults_of_an_array()  # the first one may be new
    assert faults_of_an_array() < PAGES // 10


def faults_of_an_array() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(16 * 2**20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
