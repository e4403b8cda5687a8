"""How soon a bias injected into a rater is noticed, and how often one that is not there."""

import numpy as np

from tandem.budget.money import MICRO
from tandem.budget.offers import LabelOffer
from tandem.envs.labelers.base import Labeler, LabelerConfig
from tandem.envs.labelers.make import make_labeler
from tandem.envs.records import Answer, Clip, Question
from tandem.envs.vault import RewardVault
from tandem.training.measurements import raters as tiers
from tandem.worldmodel.records import LabelBatch
from tandem.worldmodel.replay.label_store import Asked
from tandem.worldmodel.replay.labels import LabelReplay

from .settings import BLOCK, INJECTED, INJECTED_AFTER, MOST_BLOCKS, RATERS
from .world import copy_of, new_replay, states_and_rewards


def delay(name: str, seed: int) -> dict:
    """Labels and gold labels from the injection until the tier's correction is evident; None where it never is.

    The cheap tier is bought on with an offer's usual share of gold, and the reward model is a right one: noticing rests
    on gold alone. "early": whether the tier was taken for biased before anything was injected.
    """
    rng = np.random.default_rng([23, seed])
    config = LabelerConfig(tiers={"cheap": RATERS["cheap"], "expert": RATERS["expert"]}, gold="expert")
    labels, vault, item, gold, early = new_replay(config), RewardVault(), 0, 0, False
    honest, turned = (
        make_labeler(LabelerConfig(tiers={**config.tiers, "cheap": one}), vault, seed)
        for one in (config.tiers["cheap"], INJECTED[name])
    )

    def predict(batch: LabelBatch) -> np.ndarray:
        cosine, sine, speed, torque = batch.obs["state"][:, -1].double().numpy().T
        return -(np.arctan2(sine, cosine) ** 2 + 0.1 * (4 * speed) ** 2 + 0.001 * (2 * torque) ** 2)

    offer, gold_before = LabelOffer("cheap", MICRO, duplicate_share=0.1, gold_share=0.1, checks=("expert",)), 0
    for block in range(INJECTED_AFTER // BLOCK + MOST_BLOCKS):
        is_injected = block * BLOCK >= INJECTED_AFTER
        gold_before = gold_before if is_injected else gold
        item, gold = answer_block(labels, vault, turned if is_injected else honest, offer, item, gold, rng)
        estimates = tiers.estimate(labels, config, predict)
        offer = next(one for one in tiers.offers(config, estimates, 0.25) if one.tier == "cheap")
        is_noticed = bool(tiers.biased(estimates))
        early |= is_noticed and not is_injected
        if is_injected and is_noticed and not early:
            return {"labels": (block + 1) * BLOCK - INJECTED_AFTER, "gold": gold - gold_before, "early": False}
    return {"labels": None, "gold": None, "early": early}


def answer_block(
    labels: LabelReplay,
    vault: RewardVault,
    labeler: Labeler,
    offer: LabelOffer,
    item: int,
    gold: int,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """BLOCK further items as the offer has them. -> items and gold labels so far."""
    seen, rewards = states_and_rewards(BLOCK, rng)
    for one, reward in zip(seen, rewards.tolist(), strict=True):
        item += 1
        vault.put(0, item, reward)
        asked = [("cheap", 0)] + [("cheap", 1)] * (rng.random() < offer.duplicate_share)
        is_gold = rng.random() < offer.gold_share
        gold += is_gold
        for tier, repeat in asked + [("expert", 0)] * is_gold:
            question = Question(f"label/0/{item}/{tier}/{repeat}", Clip(0, item), tier)
            labels.ask(Asked(question, copy_of(item, one), repeat == 0))
            labeler.submit([question])
    for answer in labeler.collect():
        labels.answer(Answer(answer.key, answer.value))
    return item, gold
