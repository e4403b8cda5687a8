"""From the name of an allocator to the one who decides what the next coins buy."""

from ..outside import make_own
from .adaptive import Adaptive
from .fixed import Coupled, Fixed, Optimum
from .plan import Allocator, AllocatorConfig

_OURS = {"fixed": Fixed, "coupled": Coupled, "optimum": Optimum, "adaptive": Adaptive}


def make_allocator(config: AllocatorConfig) -> Allocator:
    """The configured allocator, made with `config`. UserError "allocator.name: ..." for one's own that cannot be made."""
    if config.name in _OURS:
        return _OURS[config.name](config)
    return make_own(config.name, "allocator.name", config, methods=("plan",))
