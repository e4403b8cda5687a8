"""Who decides what the next coins buy: allocators by their names."""

from .adaptive import Adaptive
from .fixed import Coupled, Fixed, Optimum
from .plan import Allocator, AllocatorConfig


def make_allocator(config: AllocatorConfig) -> Allocator:
    """The allocator of `config.name`."""
    return {"fixed": Fixed, "coupled": Coupled, "optimum": Optimum, "adaptive": Adaptive}[config.name](config)
