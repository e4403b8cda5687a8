"""Simulated raters: people who err. What they do wrong is a function of (seed, question key) and of the true reward."""

import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np

from ..records import Answer, Declined, Question
from .env_reward import EnvReward, preferred
from .question_keys import question_of


@dataclass(frozen=True)
class TierConfig:
    price: float  # coins an answer
    sigma: float = (
        0.0  # standard deviation of the noise of an answer, reward units; of pairs: of the difference they see
    )
    bias: float = 0.0  # added to every answer
    slope: float = 0.0  # state-dependent bias, slope * sin(reward): no shift and no rescaling undoes it
    flip: float = 0.0  # probability that the reward's sign is turned before anything else happens to it
    prior_sigma: float | None = None  # what is believed of the noise before duplicates tell; null: as large as can be
    prior_bias: float | None = None  # and of the bias before gold tells; null: a tenth of the answers' spread

    def __post_init__(self):
        if not 1e-6 <= self.price <= 1e12:
            raise ValueError(f"price: must be positive (from 0.000001 to 1e+12 coins), got {self.price}")
        for name in ("sigma", "prior_sigma", "prior_bias"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: must be at least 0 and finite, got {value}")
        for name in ("bias", "slope"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name}: must be finite, got {getattr(self, name)}")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip: must be between 0 and 1, got {self.flip}")


class Rater:
    """Errs on the answers of the labeler that knows. A question asked again, after a crash for example, has the same
    answer; a repeated question has a key of its own, and an answer of its own."""

    def __init__(self, labeler: EnvReward, config: TierConfig, seed: int):
        self._labeler, self._config, self._seed = labeler, config, seed

    def submit(self, questions: list[Question]) -> None:
        self._labeler.submit(questions)

    def collect(self) -> list[Answer | Declined]:
        replies = self._labeler.collect()
        return [reply if isinstance(reply, Declined) else self._erring(reply) for reply in replies]

    def state_dict(self) -> dict:
        return self._labeler.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self._labeler.load_state_dict(state)

    def _erring(self, answer: Answer) -> Answer:
        return replace(answer, value=self._answer(answer))

    def _answer(self, answer: Answer) -> float:
        digest = hashlib.sha256(answer.key.encode()).digest()  # hash() differs from process to process
        rng = np.random.default_rng([self._seed, int.from_bytes(digest, "little")])
        noise, is_flipped = float(rng.standard_normal()), rng.random() < self._config.flip
        question = question_of(answer.key)
        if question is not None and question.kind == "pair":
            left, right = self._labeler.sums(question)
            difference = (right - left if is_flipped else left - right) + self._config.sigma * noise
            return preferred(difference)
        reward = -answer.value if is_flipped else answer.value
        bias = self._config.bias + self._config.slope * math.sin(answer.value)
        return reward + bias + self._config.sigma * noise
