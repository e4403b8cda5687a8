"""What a run will take of memory and of the disk, told from shapes and prices before anything is bought.

Rows, models and moments are arithmetic. What an update needs beside them is a count of the numbers that it keeps for its
gradients, with factors that were fitted to measured peaks: docs/memory.md says how far off they are.
"""

import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from ...budget.money import MICRO
from ...envs.records import ObsSpec, Spaces
from ...errors import UserError
from ...worldmodel.observations.images import MOST_IMAGES
from ..config import Config
from ..learner import Learner
from ..measurements.block import BURN_IN, SCORED
from ..parallel.place import Place
from ..parts.money import prices_of
from ..parts.stores import label_form
from .machine import free_memory

MARGIN = 0.9  # of what is free that a run may take: forecasts err, and others use the machine
GB = 1e9
PROCESS, ENV_PROCESS = 400e6, 200e6  # bytes of Python with torch, and of an environment in a process of its own
LEARNING = 90e6  # bytes that the first update of the smallest model takes
RING_FLAGS = (
    4 + 2 * 8
)  # bytes of a row in memory beside obs, action and latent; in the journal one more flag, and no episode
JOURNAL_FLAGS, VAULT_ROW = 4 + 8, 24
LABEL, QUESTION = 90, 400  # bytes of a label beside rows and latent in memory; in the journal and the ledger
FILMS = 2e6  # bytes of pictures and logs a phase
ADVICE = "replay.capacity, envs.size, replay.latents=bfloat16, labels.capacity, replay.storage=mmap, replay.folder or budget.total"


@dataclass(frozen=True)
class Room:
    """Bytes by what they are for, and how many are free."""

    parts: dict[str, float]
    free: float

    @property
    def total(self) -> float:
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        return self.total <= MARGIN * self.free

    def __str__(self) -> str:
        """Such as "1.2 GB of 23 for replay 0.8, labels 0.3"; what hardly counts is left out."""
        large = sorted((one for one in self.parts.items() if one[1] >= 0.02 * self.total), key=lambda one: -one[1])
        parts = ", ".join(f"{name} {size / GB:.2g}" for name, size in large)
        return f"{self.total / GB:.3g} GB of {self.free / GB:.3g} for {parts}"


@dataclass(frozen=True)
class Forecast:
    rooms: dict[str, Room]  # "memory", "disk" and, where there is one, "GPU"

    def __str__(self) -> str:
        return "; ".join(f"{name}: {room}" for name, room in self.rooms.items())

    def check(self, is_refused: bool) -> str:
        """The line to show. UserError where something will not fit and that is to be refused."""
        short = {name: room for name, room in self.rooms.items() if not room.fits}
        if not short:
            return str(self)
        told = "; ".join(f"{name}: {room}" for name, room in short.items())
        if is_refused:
            raise UserError(
                f"{told}: more than {MARGIN:.0%} of what is free; change {ADVICE}, or say run.forecast=warn"
            )
        return f"warning: {self}: this will not fit"


def foresee(config: Config, spaces: Spaces, learner: Learner, device: torch.device, stock: int = 0) -> Forecast:
    """What the run will take here. stock: transitions that are there; device: that the models are on, or will be."""
    parameters = [parameter for model in learner.models() for parameter in model.parameters()]
    number = sum(one.numel() for one in parameters)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
    made = 4.0 * sum(one.numel() for one in parameters if not one.is_meta)
    return forecast(config, spaces, number, free, Place.of(os.environ).local_size, stock, made)


def forecast(
    config: Config,
    spaces: Spaces,
    parameters: int,
    gpu_bytes: float = 0.0,
    processes: int = 1,
    stock: int = 0,
    made: float = 0.0,
) -> Forecast:
    """What the run takes at its end. parameters: numbers of all models; gpu_bytes: free on the GPU, 0: trains on the CPU;
    processes: of this machine that share the updates, each with models of its own and a part of the batch; stock: transitions
    that are there before, and are copied; made: bytes of models that are there already, which are counted and not free."""
    own, labels = bought(config)
    transitions = own + stock
    rows = replay_bytes(config, spaces, transitions)
    copies = label_bytes(config, spaces, transitions, labels)
    models = 16.0 * parameters  # parameters, gradients and two moments
    learning = {"models": models, "updates": max(update_bytes(config, spaces), measuring_bytes(config, spaces, labels))}
    latents = latent_bytes(config) * min(transitions, _held(config))
    disk = {
        "journals": journal_bytes(config, spaces, own, labels, stock) + stock_bytes(spaces, stock),
        "checkpoints": (config.checkpoint.keep + 2)
        * (12.0 * parameters + latents),  # a milestone, and one being written
        "snapshots": (config.measure.snapshots + 1) * 4.0 * parameters,
        "films": FILMS * (config.allocator.phases + 1),
    }
    memory = {"processes": PROCESS * processes + ENV_PROCESS * config.envs.num * config.envs.processes}
    memory["saving"] = 12.0 * parameters + 2 * latents
    mapped = {"replay": rows, "labels": copies}
    is_mapped = config.replay.storage == "mmap"
    memory |= ({} if is_mapped else mapped) | ({} if gpu_bytes else learning | {"models": models * processes})
    here = Path(config.run.dir)
    there = Path(config.replay.folder or config.run.dir)
    rooms = {"memory": Room(memory, free_memory() + (0.0 if gpu_bytes else made))}
    rooms["disk"] = Room(disk | (mapped if is_mapped and there == here else {}), free_disk(here))
    if is_mapped and there != here:
        rooms["replay.folder"] = Room(mapped, free_disk(there))
    return Forecast(rooms | ({"GPU": Room(learning, gpu_bytes + made)} if gpu_bytes else {}))


def bought(config: Config) -> tuple[int, int]:
    """The transitions and labels to reckon with: an adaptive run may put all into either, of which labels get half here."""
    total, price = config.budget.total, config.price
    if config.mode == "coupled":
        number = int(total / (price.transition + price.label))
        return number, number
    share = config.allocator.label_share if config.allocator.name == "fixed" else None
    share = share if config.data.collect else 1.0
    transitions = total * (1 - share if share is not None else 1.0) / price.transition
    cheapest = min((tier.price for tier in config.labeler.tiers.values()), default=prices_of(config)["label"] / MICRO)
    labels = total * (share if share is not None else 0.5) / cheapest
    return int(transitions), min(int(labels), int(transitions)) if config.data.collect else int(labels)


def latent_bytes(config: Config) -> int:
    return config.dynamics.deter * (2 if config.replay.latents == "bfloat16" else 4) + config.dynamics.stoch


def obs_bytes(spaces: Spaces) -> int:
    sizes = {"float32": 4, "int32": 4, "uint8": 1}
    return sum(math.prod(spec.shape) * sizes[spec.dtype] for spec in spaces.obs.values())


def row_bytes(config: Config, spaces: Spaces) -> int:
    """Of a transition in the replay."""
    return obs_bytes(spaces) + RING_FLAGS + 4 * spaces.action_size + latent_bytes(config)


def replay_bytes(config: Config, spaces: Spaces, transitions: int) -> float:
    """Of all rows held once so many were bought."""
    return float(row_bytes(config, spaces) * min(transitions, _held(config)))


def label_rows(config: Config) -> int:
    """Of the clips that a label is about, those before them included."""
    form = label_form(config)
    return (config.labels.burn_in + form.length) * len(form.sides)


def shared_rows(transitions: int, labels: int, length: int) -> float:
    """Rows that the copies of labels need, each `length` rows of an episode, at places drawn uniformly: each row once."""
    if not labels:
        return 0.0
    share = min(1.0, labels / max(transitions, 1))
    return labels * (1 - (1 - share) ** length) / share


def label_bytes(config: Config, spaces: Spaces, transitions: int, labels: int) -> float:
    """Of the label store; coupled mode keeps a number for each row."""
    if config.mode == "coupled":
        return 4.0 * transitions
    length = label_rows(config)
    held = min(labels, label_form(config).capacity(config.labels.capacity))
    row = obs_bytes(spaces) + 4 * spaces.action_size + 5
    rows = shared_rows(transitions, held, length)
    return rows * row + held * (LABEL + 4 * length + latent_bytes(config))


def stock_bytes(spaces: Spaces, stock: int) -> float:
    """Of episodes and rewards that were copied: nobody acted on them, so there are no recurrent states."""
    return float(stock * (obs_bytes(spaces) + 4 * spaces.action_size + VAULT_ROW))


def journal_bytes(config: Config, spaces: Spaces, transitions: int, labels: int, stock: int = 0) -> float:
    """Of transitions, true rewards, labels and the ledger; recurrent states are in float32 there."""
    latent = 4 * config.dynamics.deter + config.dynamics.stoch
    row = obs_bytes(spaces) + 4 * spaces.action_size
    size = float(transitions * (row + JOURNAL_FLAGS + latent + VAULT_ROW))
    if config.mode == "coupled":
        return size + labels * QUESTION
    length = label_rows(config)
    return (
        size + shared_rows(transitions + stock, labels, length) * (row + 1) + labels * (QUESTION + 8 * length + latent)
    )


def update_bytes(config: Config, spaces: Spaces) -> float:
    """Beside models, gradients and moments: what an update keeps for its gradients, in float32."""
    train, dynamics, critic = config.train, config.dynamics, config.actor_critic
    rows, stoch = train.batch * train.length, dynamics.stoch * dynamics.classes
    layers = dynamics.encoder_layers + dynamics.decoder_layers + dynamics.cont_layers
    observed = 16 * dynamics.deter + 12 * stoch + 8 * dynamics.hidden + 4 * dynamics.units * layers
    observed += sum(image_numbers(spec, config) for spec in spaces.obs.values() if spec.kind == "image")
    members = 1 if config.mode == "coupled" else config.reward.members
    imagined = 3 * dynamics.feat_size + 3.5 * critic.units * (critic.actor_layers + critic.critic_layers)
    imagined += 8 * critic.bins + 3 * members * config.reward.bins
    return LEARNING + 4.0 * (rows * observed + rows * (train.horizon + 1) * imagined)


def measuring_bytes(config: Config, spaces: Spaces, labels: int) -> float:
    """Of a phase's end, when nothing of an update is held: images on their way in, a portion at a time, and those that labels
    are refitted on, all at once. labels: bought."""
    images = [spec.shape for spec in spaces.obs.values() if spec.kind == "image"]
    if not images:
        return 0.0
    topology, (first, *_) = config.dynamics.images.topology, config.dynamics.images.channels
    first_map = (2.3 if topology == "strided" else 1.9) * first  # held beside the image itself
    portion = min(MOST_IMAGES, config.measure.windows * (BURN_IN + SCORED))
    read = min(labels, config.measure.labels) * label_rows(config) * sum(math.prod(image) for image in images)
    encoded = 4.0 * portion * sum(height * width * (depth + first_map) for height, width, depth in images)
    return LEARNING + encoded + (read if config.mode == "decoupled" else 0.0)


def image_numbers(spec: ObsSpec, config: Config) -> float:
    """Kept for the gradients of one image: of every map on the way in and out, of every convolution before it is pooled."""
    height, width, channels = spec.shape
    images = config.dynamics.images
    maps = sum((height >> n) * (width >> n) * wide for n, wide in enumerate(images.channels))
    return (4.5 if images.topology == "strided" else 3.0) * maps + 6 * height * width * channels


def free_disk(folder: Path) -> float:
    """Bytes that are free where the folder is, or is going to be; infinite where there is no disk to ask: whoever makes the
    folder is told."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    usage = shutil.disk_usage(there)
    return float(usage.free) if usage.total else math.inf


def _held(config: Config) -> int:
    return config.replay.capacity + config.replay.heldout_capacity
