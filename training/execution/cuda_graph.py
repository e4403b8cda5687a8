"""A CUDA graph: thousands of kernels that one call starts. It has not run on a GPU yet; docs/speed.md says what was checked."""

from collections.abc import Callable
from typing import Any

import torch

WARM_UPS = (
    3  # on the side stream: libraries choose their kernels, and the allocator and autograd settle, before the capture
)


class CudaGraph:
    """A Recording. Graphs that share a pool may not hold results for each other: they are copied out before the next plays."""

    def __init__(self, pool: Any):
        """pool: private memory, of torch.cuda.graph_pool_handle()."""
        self.graph, self.pool = torch.cuda.CUDAGraph(), pool

    def record(self, function: Callable[[], Any]) -> Any:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                function()
        torch.cuda.current_stream().wait_stream(stream)
        # Other threads may go on using the device meanwhile: one that writes a checkpoint, say.
        with torch.cuda.graph(self.graph, self.pool, stream, capture_error_mode="thread_local"):
            return function()

    def replay(self) -> None:
        self.graph.replay()
