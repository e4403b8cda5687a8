"""What a CPU does in fewer passes, held against the plain steps: the scan whose way back is its own, and dreamed steps."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from tandem.worldmodel.fused import elementwise
from tandem.worldmodel.imagine import Features
from tandem.worldmodel.rssm import RSSM, Latent

BATCH, STEPS, ACTION, EMBED = 5, 9, 3, 7
SIZES = [(16, 4, 0.01), (6, 18, 0.01), (4, 8, 0.0)]  # groups, classes (few are another softmax), uniform share


def model(groups: int, classes: int, unimix: float) -> tuple[RSSM, dict[str, Tensor]]:
    """With a bias and a scale everywhere, a start that needs a gradient, and episodes that begin within the windows."""
    torch.manual_seed(groups)
    config = SimpleNamespace(
        deter=24, hidden=10, blocks=4, stoch=groups, classes=classes, unimix=unimix, prior_layers=1
    )
    rssm = RSSM(ACTION, EMBED, config)
    for parameter in rssm.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    classes_drawn = torch.randint(classes, (BATCH, groups))
    given = {
        "deter": torch.randn(BATCH, 24).requires_grad_(),
        "stoch": torch.nn.functional.one_hot(classes_drawn, classes).float().requires_grad_(),
        "action": torch.randn(BATCH, STEPS, ACTION).requires_grad_(),
        "embed": torch.randn(BATCH, STEPS, EMBED).requires_grad_(),
    }
    return rssm, given


def observed(rssm: RSSM, given: dict[str, Tensor], is_first: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
    """-> what comes out, and the gradient of a loss of all of it to everything that goes in."""
    noise = torch.rand(BATCH, STEPS, rssm.stoch, generator=torch.Generator().manual_seed(1))
    start = Latent(given["deter"], given["stoch"])
    latent, log_probs = rssm.observe(start, given["action"], given["embed"], is_first, noise)
    out = [latent.deter, latent.stoch, log_probs]
    toward = [torch.randn(one.shape, generator=torch.Generator().manual_seed(2)) for one in out]
    loss = sum((one * to).sum() for one, to in zip(out, toward, strict=True))
    into = given | {name: p for name, p in rssm.named_parameters() if not name.startswith("prior_")}
    return out, dict(zip(into, torch.autograd.grad(loss, list(into.values())), strict=True))


@pytest.mark.parametrize("groups, classes, unimix", SIZES)
@pytest.mark.parametrize("share_first", [0.0, 0.3, 1.0])
def test_states_and_every_gradient_are_those_of_the_steps(groups, classes, unimix, share_first):
    rssm, given = model(groups, classes, unimix)
    is_first = torch.rand(BATCH, STEPS, generator=torch.Generator().manual_seed(3)) < share_first
    out, grads = observed(rssm, given, is_first)
    assert type(out[0].grad_fn).__name__ == "_ScanBackward", "the scan was to be held against the steps"
    rssm.scan = rssm.scan_by_steps
    expected, wanted = observed(rssm, given, is_first)
    for ours, theirs in zip(out, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert torch.equal(out[1].argmax(-1), expected[1].argmax(-1))
    for name, grad in grads.items():
        assert (grad - wanted[name]).norm() <= 1e-5 * wanted[name].norm(), name
        if share_first < 1:
            assert wanted[name].norm() > 0, name


def test_what_is_no_number_stays_none_from_there_on():
    """An embedding that is none must not be hidden by whatever class is drawn from it."""
    rssm, given = model(*SIZES[0])
    given["embed"].data[1, 4] = torch.nan
    out, _ = observed(rssm, given, torch.zeros(BATCH, STEPS, dtype=torch.bool))
    for one in out:
        rows = one.isnan().flatten(2).any(-1)
        assert not rows[0].any() and not rows[1, :4].any() and rows[1, 5:].all()
    assert out[1][1, 4].isnan().all()


@pytest.mark.parametrize("batch, steps", [(1, STEPS), (BATCH, 1), (1, 1)])
def test_gradients_that_come_in_are_not_overwritten(batch, steps):
    """Of a single row or step, turning is no copy by itself."""
    rssm, given = model(*SIZES[0])
    start = Latent(given["deter"][:batch], given["stoch"][:batch])
    rows = [given[key][:batch, :steps] for key in ("action", "embed")]
    no = torch.zeros(batch, steps, dtype=torch.bool)
    latent, log_probs = rssm.observe(start, *rows, no, torch.rand(batch, steps, rssm.stoch))
    out = [latent.deter, latent.stoch, log_probs]
    into = [given["embed"], *(p for name, p in rssm.named_parameters() if not name.startswith("prior_"))]
    toward = [torch.randn_like(one) for one in out]
    before = [one.clone() for one in toward]
    first = torch.autograd.grad(out, into, toward, retain_graph=True)
    assert all(map(torch.equal, toward, before))
    assert all(map(torch.equal, first, torch.autograd.grad(out, into, toward)))


def test_a_scan_in_halves_is_the_whole(groups=6, classes=18):
    rssm, given = model(groups, classes, 0.01)
    noise = torch.rand(BATCH, STEPS, groups)
    is_first = torch.zeros(BATCH, STEPS, dtype=torch.bool)
    start = Latent(given["deter"], given["stoch"])
    whole, _ = rssm.observe(start, given["action"], given["embed"], is_first, noise)
    half, at = start, STEPS // 2
    for part in (slice(at), slice(at, None)):
        half, _ = rssm.observe(
            half, given["action"][:, part], given["embed"][:, part], is_first[:, part], noise[:, part]
        )
        torch.testing.assert_close(half.deter, whole.deter[:, part])
        half = Latent(half.deter[:, -1], half.stoch[:, -1])


def test_without_gradients_or_in_another_type_it_goes_step_by_step():
    rssm, given = model(*SIZES[0])
    calls = []
    rssm.observe_step = lambda *args: calls.append(1) or RSSM.observe_step(rssm, *args)
    is_first = torch.zeros(BATCH, STEPS, dtype=torch.bool)
    noise = torch.rand(BATCH, STEPS, rssm.stoch)

    def observe():
        calls.clear()
        rssm.observe(Latent(given["deter"], given["stoch"]), given["action"], given["embed"], is_first, noise)
        return len(calls)

    assert observe() == 0
    with torch.no_grad():
        assert observe() == STEPS
    with torch.autocast("cpu", torch.bfloat16):
        assert observe() == STEPS


@pytest.mark.parametrize("groups, classes, unimix", SIZES)
@pytest.mark.parametrize("rows", [BATCH, 1])
def test_a_dreamed_step_is_the_one_that_could_be_learned_from(monkeypatch, groups, classes, unimix, rows):
    rssm, given = model(groups, classes, unimix)
    by_itself = []
    inner = rssm._dreamed_step
    monkeypatch.setattr(rssm, "_dreamed_step", lambda *args: by_itself.append(1) or inner(*args))
    start, noise = Latent(given["deter"], given["stoch"]), torch.rand(BATCH, groups)
    action = 2 * given["action"][:rows, 0]  # beyond 1, where it is made smaller; a single one is everybody's
    before = [one.detach().clone() for one in (start.deter, start.stoch, action)]
    expected = rssm.imagine_step(start, action, noise, rssm.scan_weights())
    assert expected.deter.requires_grad and not by_itself
    with torch.no_grad():
        dreamed = rssm.imagine_step(start, action, noise, rssm.scan_weights())
    torch.testing.assert_close(dreamed.deter, expected.deter, rtol=1e-5, atol=1e-6)
    assert torch.equal(dreamed.stoch, expected.stoch) and by_itself
    assert all(map(torch.equal, (start.deter, start.stoch, action), before)), "a dream overwrites where it begins"


def test_features_are_stacked_and_may_be_learned_from_while_more_are_added():
    """What autograd keeps of an earlier row must not count as changed."""
    latents = [Latent(torch.randn(BATCH, 6), torch.randn(BATCH, 2, 4)) for _ in range(4)]
    weight = torch.randn(3, 14, requires_grad=True)
    features, made = Features(latents[0], 3), []
    for latent in latents[1:]:
        made.append(torch.nn.functional.linear(features.last, weight))
        features.add(latent)
    assert features.last.data_ptr() == features.stack()[-1].data_ptr(), "they are stacked in the end"
    assert torch.equal(features.stack(), torch.stack([one.feat for one in latents]))
    (grad,) = torch.autograd.grad(torch.stack(made).sum(), weight)
    expected = sum(one.feat.sum(0) for one in latents[:3])
    torch.testing.assert_close(grad, expected.expand(3, -1))


def plain_norm_silu(x: Tensor, scale: Tensor) -> Tensor:
    return torch.nn.functional.silu(elementwise.rms_norm(x, scale))


def made(function, x: Tensor, scale: Tensor, toward: Tensor) -> list[Tensor]:
    """Values, and gradients to x and scale."""
    inputs = x.detach().requires_grad_(), scale.clone().requires_grad_()
    out = function(*inputs)
    return [out.detach(), *torch.autograd.grad(out, inputs, toward)]


@pytest.mark.parametrize("rows", [(7, 3, 5), (7, 4, 5)], ids=["an odd number", "rows lie side by side"])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (1, 0, 2, 3)], ids=["as it lies", "image", "members"])
@pytest.mark.parametrize("gradient", ["as it lies", "expanded", "transposed"])
def test_a_norm_in_pieces_is_the_norm_of_the_whole(rows, order, gradient, monkeypatch):
    """The last piece may be a short one, and a piece may be as small as one row."""
    torch.manual_seed(0)
    sizes = dict(zip(order, (*rows, 8), strict=True))
    x, scale = torch.randn([sizes[axis] for axis in range(4)]).permute(order), torch.randn(8)
    toward = torch.randn(()).expand(x.shape) if gradient == "expanded" else torch.randn(x.shape)
    if gradient == "transposed":
        toward = torch.randn(x.shape[::-1]).permute(3, 2, 1, 0)
    wanted = made(plain_norm_silu, x, scale, toward)
    for large, piece in ((1 << 22, 1 << 18), (1, 2 * x[0].numel()), (1, 1)):
        monkeypatch.setattr(elementwise, "_LARGE", large)
        monkeypatch.setattr(elementwise, "_PIECE", piece)
        for ours, theirs in zip(made(elementwise.norm_silu, x, scale, toward), wanted, strict=True):
            assert (ours - theirs).norm() <= 1e-6 * theirs.norm()


@pytest.mark.parametrize("large", [1, 1 << 22])
def test_a_norm_with_a_scale_for_each_member_is_the_plain_one(large, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(elementwise, "_LARGE", large)
    x, scale, toward = torch.randn(7, 5, 8), torch.randn(5, 8), torch.randn(7, 5, 8)
    for ours, theirs in zip(
        *(made(one, x, scale, toward) for one in (elementwise.norm_silu, plain_norm_silu)), strict=True
    ):
        assert (ours - theirs).norm() <= 1e-6 * theirs.norm()


def test_a_norm_in_pieces_is_in_float32_under_autocast(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(elementwise, "_LARGE", 1)
    x, scale, toward = torch.randn(6, 4, 8), torch.randn(8), torch.randn(6, 4, 8)
    wanted = made(plain_norm_silu, x, scale, toward)
    with torch.autocast("cpu", torch.bfloat16):
        ours = made(elementwise.norm_silu, x, scale, toward)
    for one, other in zip(ours, wanted, strict=True):
        assert (one - other).norm() <= 1e-6 * other.norm()


@pytest.mark.parametrize("is_learned", [(True, False), (False, True)], ids=["x", "scale"])
def test_a_norm_in_pieces_learns_what_asks_for_it(is_learned, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(elementwise, "_LARGE", 1)
    inputs = [torch.randn(6, 4, 8).requires_grad_(is_learned[0]), torch.randn(8).requires_grad_(is_learned[1])]
    learned = [one for one in inputs if one.requires_grad]
    (ours,), (theirs,) = (
        torch.autograd.grad(one(*inputs).square().sum(), learned) for one in (elementwise.norm_silu, plain_norm_silu)
    )
    torch.testing.assert_close(ours, theirs)
