"""What is known of the people who answer: how they judge pairs, and what their owner is told of them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from ...budget.offers import clean_per_coin
from ...envs.labelers.question_keys import DEFAULT, key_of
from ...envs.records import Clip
from ...worldmodel.objectives import preference_log_likelihood
from ...worldmodel.replay.labels import LabelReplay
from ..models import Models
from .features import answered
from .raters import Predict, TierEstimates, biased_tiers, told

NEWEST_PAIRS, NEWEST_SHOWN = 2048, 200
LEAST_PAIRS = 10  # of a rater, before its own way to judge is looked for
SENSITIVITIES = np.geomspace(0.05, 50, 61)  # per standard deviation of the predicted differences
LAPSES = np.array([0.002, 0.01, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5])
LAPSE_PRIOR = (2.0, 20.0)  # of a beta distribution: some 5 % at first
SENSITIVITY_SPREAD = 1.0  # of the logarithm, around that of all raters together


def fit_judgement(difference: np.ndarray, preference: np.ndarray, centre: float | None = None) -> tuple[float, float]:
    """Sensitivity (1 / reward) and lapse rate of whoever preferred so: the mode of the posterior on a grid.

    difference (n,): predicted, left less right; preference (n,): 1, .5 or 0. centre: the sensitivity that is expected;
    None: nothing is.
    """
    scale = max(float(np.sqrt(np.mean(np.square(difference)))), 1e-8)
    grid = torch.from_numpy(SENSITIVITIES / scale)[:, None, None]
    lapses = torch.from_numpy(LAPSES)[None, :, None]
    told = preference_log_likelihood(torch.from_numpy(difference), torch.from_numpy(preference), grid, lapses).sum(-1)
    a, b = LAPSE_PRIOR
    prior = (a - 1) * lapses[..., 0].log() + (b - 1) * torch.log1p(-lapses[..., 0])
    if centre is not None:
        prior = prior - (grid[..., 0] / centre).log() ** 2 / (2 * SENSITIVITY_SPREAD**2)
    place = int((told + prior).argmax())
    row, column = divmod(place, len(LAPSES))
    return float(SENSITIVITIES[row] / scale), float(LAPSES[column])


@torch.no_grad()
def judge_pairs(models: Models, labels: LabelReplay, generator: torch.Generator) -> dict[str, float]:
    """Fit each rater's sensitivity and lapse rate to the pairs held, as the ensemble predicts them now; for the log.

    Where no clip was ever scored the unit is not known, and a sensitivity of 1 is what defines it.
    """
    if labels.form.kind != "pair":
        return {}
    pairs, tier = labels.pairs(NEWEST_PAIRS)
    if len(tier) < LEAST_PAIRS or pairs.right is None:
        return {}
    pairs = pairs.to(models.device)
    assert pairs.right is not None
    noise = models.noise((2 * len(tier), pairs.is_first.shape[1]), generator)
    left, right = (
        models.reward.members(models.dynamics.encode_rows(side, part, pairs.length))  # (M, L, R)
        for side, part in zip((pairs, pairs.right), noise.split(len(tier)), strict=True)
    )
    each = answered(left, pairs) - answered(right, replace(pairs, rows=pairs.right.rows))  # (M, L)
    both = _unseen_mean(each, pairs.fold, pairs.right.fold)
    difference, preference = both.double().cpu().numpy(), pairs.value.double().cpu().numpy()
    found = {labels.tiers[0]: fit_judgement(difference, preference)}
    for place, name in enumerate(labels.tiers):
        its = tier == place
        if its.sum() >= LEAST_PAIRS:
            found[name] = fit_judgement(difference[its], preference[its], found[labels.tiers[0]][0])
    if not has_unit(labels):
        found = {name: (1.0, lapse) for name, (_, lapse) in found.items()}
    labels.judge(found)
    scalars = {f"raters/{name}_sensitivity": terms[0] for name, terms in found.items()}
    return scalars | {f"raters/{name}_lapse": terms[1] for name, terms in found.items()}


def _unseen_mean(each: torch.Tensor, *folds: torch.Tensor) -> torch.Tensor:
    """The mean of those members (M, L) -> (L,) that did not learn from a pair: they leave the episode of a clip of it out."""
    members = len(each)
    member = torch.arange(members, device=each.device).unsqueeze(-1)
    is_unseen = torch.stack([fold % members == member for fold in folds]).any(0).to(each.dtype)
    return (each * is_unseen).sum(0) / is_unseen.sum(0)


def has_unit(labels: LabelReplay) -> bool:
    """Whether an answer has told what a reward is; pairs alone do not."""
    return labels.form.kind != "pair" or bool(len(labels.answers().value))


def owners_facts(
    labels: LabelReplay,
    estimates: TierEstimates | None,
    residual: float | None,
    by_rater: Mapping[str, Mapping[str, float]],
    predict: Predict,
) -> dict:
    """For the labeler to show: each rater's noise, bias and worth, and predictions beside the newest answers.

    by_rater: labels and micro-coins spent, as the ledger has them.
    """
    known = {name: one for name, one in told(estimates, residual).items() if name in by_rater}
    raters = {}
    for name, one in known.items():
        worth = clean_per_coin(one["clean"], by_rater[name]["labels"], by_rater[name]["spent"])
        raters[name] = {
            "sigma": one["sigma"],
            "bias": one["bias"],
            "clean_per_coin": worth,
            "is_biased": name in biased_tiers(estimates),
        }
    # What is evident of a bias is taken off, but never all of it: where others can be asked, nobody who is biased is.
    has_others = any(not one["is_biased"] for one in raters.values())
    for one in raters.values():
        one["is_left"] = bool(one["is_biased"] and has_others)
    return {"raters": raters, "predictions": predictions(labels, predict)}


def predictions(labels: LabelReplay, predict: Predict) -> dict[str, float]:
    """Key of a question's first asking -> what the ensemble would answer, of the newest ones that were scored."""
    answers = labels.answers()
    places = np.arange(len(answers.value))[-NEWEST_SHOWN:]
    if labels.form.kind not in ("step", "clip") or not len(places):
        return {}
    rows = labels.rows(places)
    lengths = np.ones(len(places), np.int64) if rows.rows is None else rows.rows.numpy()
    clips = zip(answers.env[places].tolist(), answers.step[places].tolist(), lengths.tolist(), strict=True)
    keys = [key_of(labels.form.kind, Clip(*clip), None, DEFAULT, 0) for clip in clips]
    return dict(zip(keys, predict(rows).tolist(), strict=True))
