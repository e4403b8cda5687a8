"""The dynamics model: encoder, RSSM, decoder and continue head. It never sees a reward."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..envs.records import Spaces
from .caps import SpectralCap, check_limits
from .distributions import binary_loss, categorical_entropy
from .networks import Head
from .observations.decoder import Decoder
from .observations.encoder import Encoder
from .observations.images import ImageConfig
from .optimizer import OptimizerConfig
from .records import Batch, Window
from .rssm import RSSM, Latent, kl_losses


@dataclass(frozen=True)
class DynamicsConfig:
    deter: int = 256  # recurrent state
    hidden: int = 128  # width inside the RSSM
    stoch: int = 16  # categorical groups
    classes: int = 16  # categories a group
    blocks: int = 8  # blocks of the recurrent core; must divide deter
    units: int = 128  # width of encoder, decoder and continue head
    encoder_layers: int = 3
    decoder_layers: int = 3
    prior_layers: int = 2
    cont_layers: int = 1
    unimix: float = 0.01  # uniform share mixed into every categorical
    free_nats: float = 1.0  # floor of each KL, per step
    dyn_scale: float = 1.0
    rep_scale: float = 0.1
    rec_scale: float = 1.0
    cont_scale: float = 1.0
    straighten_scale: float = 0.0  # weight of the curvature of latent paths; 0: not computed
    images: ImageConfig = field(default_factory=ImageConfig)  # convolutions, where there are images
    spectral_gates: float | None = None  # largest singular value of the recurrent core's gates; null: no cap
    spectral_prior: float | None = None  # and of the prior's last map
    discount_horizon: float = 333.0  # steps; the continue head's target is (1 - terminal)(1 - 1/horizon)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    def __post_init__(self):
        widths = ("deter", "hidden", "stoch", "classes", "blocks", "units")
        for name in (*widths, "encoder_layers", "decoder_layers", "prior_layers", "cont_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        for name in ("free_nats", "dyn_scale", "rep_scale", "rec_scale", "cont_scale", "straighten_scale"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must be 0 or more, got {getattr(self, name)}")
        check_limits(self, "spectral_gates", "spectral_prior")
        if self.deter % self.blocks:
            raise ValueError(f"deter: must be a multiple of blocks ({self.blocks}), got {self.deter}")
        if not 2 <= self.classes <= 256:
            raise ValueError(f"classes: must be 2 .. 256 (replay stores one byte a group), got {self.classes}")
        if not 0 <= self.unimix < 1:
            raise ValueError(f"unimix: must be in [0, 1), got {self.unimix}")
        if not self.discount_horizon > 1:
            raise ValueError(f"discount_horizon: must be above 1 step, got {self.discount_horizon}")

    @property
    def feat_size(self) -> int:
        return self.deter + self.stoch * self.classes

    @property
    def discount(self) -> float:
        return 1.0 - 1.0 / self.discount_horizon


@dataclass(frozen=True)
class Observed:
    """What filtering a batch gave, all of it with gradient; B batch, T time."""

    latent: Latent  # (B, T, ...)
    feat: Tensor  # (B, T, F)
    posterior: Tensor  # (B, T, S, K) log-probabilities
    prior: Tensor  # (B, T, S, K) log-probabilities


class DynamicsModel(nn.Module):
    def __init__(self, config: DynamicsConfig, spaces: Spaces):
        super().__init__()
        self.config = config
        self.encoder = Encoder(spaces.obs, config.units, config.encoder_layers, config.images)
        self.rssm = RSSM(spaces.action_size, self.encoder.size, config)
        widths = (config.deter, config.stoch * config.classes, config.units, config.decoder_layers)
        self.decoder = Decoder(spaces.obs, *widths, config.blocks, config.images)
        self.cont_head = Head(config.feat_size, config.units, config.cont_layers, 1)
        self.caps = nn.ModuleDict()
        if config.spectral_gates:
            lead, inputs = (config.blocks,), config.deter // config.blocks
            self.caps["gates"] = SpectralCap(lead, inputs, config.spectral_gates)
        if config.spectral_prior:
            self.caps["prior"] = SpectralCap((), config.hidden, config.spectral_prior)
        self.scales = loss_scales(config, spaces)
        self._check_scales()

    def forward(self, batch: Batch, noise: Tensor) -> tuple[Tensor, dict[str, Tensor], Observed]:
        """Score a batch (B, T). noise (B, T, S), uniform in [0, 1). -> scalar loss, metrics, what was observed."""
        latent, posterior = self.observe(batch, noise)
        prior = self.rssm.prior(latent.deter)
        observed = Observed(latent, latent.feat, posterior, prior)
        losses = self.losses(observed, batch.obs, batch.is_first, batch.is_terminal)
        loss = sum(self.scales[key] * value.mean() for key, value in losses.items())
        assert isinstance(loss, Tensor), "there is at least one loss"
        metrics = {f"dynamics/loss/{key}": value.mean().detach() for key, value in losses.items()}
        metrics["dynamics/prior_entropy"] = categorical_entropy(prior.detach()).sum(-1).mean()
        metrics["dynamics/posterior_entropy"] = categorical_entropy(posterior.detach()).sum(-1).mean()
        return loss, metrics, observed

    def losses(
        self, observed: Observed, obs: dict[str, Tensor], is_first: Tensor, is_terminal: Tensor
    ) -> dict[str, Tensor]:
        """Unreduced losses (B, T) by name. obs: key -> (B, T, *shape); is_first, is_terminal (B, T) bool."""
        dyn, rep = kl_losses(observed.posterior, observed.prior, self.config.free_nats)
        losses = {f"rec_{key}": loss for key, loss in self.decoder.losses(observed.feat, obs).items()}
        losses |= {"cont": self.cont_loss(observed.feat, is_terminal), "dyn": dyn, "rep": rep}
        if self.config.straighten_scale:
            losses["straighten"] = curvature(observed.latent.deter, is_first)
        return losses

    @torch.no_grad()
    def _check_scales(self) -> None:
        """ValueError unless the scales have the names of the losses, which two rows of zeros tell as well as any."""
        zero = self.rssm.initial(2)
        latent = Latent(zero.deter[None], zero.stoch[None])  # (1, 2, ...)
        observed = Observed(latent, latent.feat, posterior=latent.stoch, prior=latent.stoch)
        specs = self.decoder.specs.items()
        obs = {key: torch.zeros((1, 2, *spec.shape), dtype=getattr(torch, spec.dtype)) for key, spec in specs}
        no = torch.zeros(1, 2, dtype=torch.bool)
        names = self.losses(observed, obs, is_first=no, is_terminal=no).keys()
        if names != self.scales.keys():
            raise ValueError(f"scales: must be those of the losses {sorted(names)}, got {sorted(self.scales)}")

    def cap_slopes(self, is_live: Tensor | None = None) -> None:
        """Once an update, after the optimiser; nothing moves where `is_live`, a scalar bool, is false."""
        rssm = self.rssm
        if "gates" in self.caps:
            self.caps["gates"](rssm.gates.weight.mT, rssm.core_norm.scale.view(rssm.blocks, 1, -1), is_live)
        if "prior" in self.caps:
            self.caps["prior"](rssm.prior_logit.weight, rssm.prior_mlp.norms[-1].scale, is_live)

    def observe(self, window: Window, noise: Tensor) -> tuple[Latent, Tensor]:
        """Filter windows (B, T) with noise (B, T, S), uniform in [0, 1). -> Latent, log-probabilities of the posterior."""
        start = self.latent(window.start_deter, window.start_stoch)
        return self.rssm.observe(start, window.prev_action, self.encoder(window.obs), window.is_first, noise)

    def latent(self, deter: Tensor, stoch: Tensor) -> Latent:
        """From replay's form: deter (B, D), stoch (B, S) class indices."""
        return Latent(deter, F.one_hot(stoch.long(), self.config.classes).to(deter.dtype))

    @torch.no_grad()
    def encode(self, window: Window, noise: Tensor) -> Tensor:
        """Features of the last row of each window, (B, F), without gradient: nothing that reads them shapes the latent."""
        return self.encode_rows(window, noise, 1)[:, -1]

    @torch.no_grad()
    def encode_rows(self, window: Window, noise: Tensor, rows: int) -> Tensor:
        """The same of the last `rows` rows of each window, (B, rows, F)."""
        latent, _ = self.observe(window, noise)
        return latent.feat[:, -rows:]

    def cont_loss(self, feat: Tensor, is_terminal: Tensor) -> Tensor:
        target = (1.0 - is_terminal.float()) * self.config.discount
        return binary_loss(self.cont_head(feat).squeeze(-1).float(), target)

    def cont(self, feat: Tensor) -> Tensor:
        """Probability of going on times the discount, (..., F) -> (...)"""
        return torch.sigmoid(self.cont_head(feat).squeeze(-1).float())


def loss_scales(config: DynamicsConfig, spaces: Spaces) -> dict[str, float]:
    """The weight of each loss by its name."""
    scales = {f"rec_{key}": config.rec_scale for key in spaces.obs}
    scales |= {"cont": config.cont_scale, "dyn": config.dyn_scale, "rep": config.rep_scale}
    if config.straighten_scale:
        scales["straighten"] = config.straighten_scale
    return scales


def curvature(path: Tensor, is_first: Tensor) -> Tensor:
    """Temporal straightening (arXiv 2605.06732, section on smoothness): 1 - cos of the angle between one step of a path
    and the next. path (B, T, D), is_first (B, T) -> (B, T): 0 on a straight line, 1 at a right angle, 2 at a turn back.

    Row t holds the turn of rows t-2, t-1, t, and 0 where these are not three rows of one episode. Meant for the recurrent
    state: a sampled one-hot state jumps at every step, and independent jumps turn by 1.5 whatever the model has learned.
    """
    step = path.float().diff(dim=1)  # (B, T-1, D)
    before, after = step[:, :-1], step[:, 1:]
    size = before.norm(dim=-1) * after.norm(dim=-1)
    turn = (size - (before * after).sum(-1)) / (size + 1e-4)  # (B, T-2); one that stands still does not turn
    is_broken = is_first[:, 1:-1] | is_first[:, 2:]
    return F.pad(turn.masked_fill(is_broken, 0.0), (2, 0))
