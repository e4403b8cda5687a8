"""A labeler of one's own that looks: tandem train smoke task=dmc_cartpole_swingup labeler.kind=clip labeler.name=my_rater:Upright

A question carries a sight of each of its clips: the rows and the actions that led to them. This rater gives a row 1 where the
pole stands upright and 0 where it hangs, and a clip the sum over its rows. It remembers nothing: a question asked again, as
after a crash, is scored the same, because the score is a function of what is seen.
"""

from tandem.envs.records import Answer, Clip, Declined, Question, Sight


class Upright:
    """Answers every question at the next call of `collect`."""

    def __init__(self):
        self._open: dict[str, Question] = {}

    def submit(self, questions: list[Question]) -> None:
        self._open |= {question.key: question for question in questions}

    def collect(self) -> list[Answer | Declined]:
        questions, self._open = self._open, {}
        return [reply(question) for question in questions.values()]


def reply(question: Question) -> Answer | Declined:
    if not question.sights or "position" not in question.sights[0].obs:
        return Declined(question.key, "there is no position to look at")
    scores = [score(clip, sight) for clip, sight in zip(question.clips, question.sights, strict=True)]
    if question.kind == "pair":
        left, right = scores
        return Answer(question.key, 0.5 if left == right else float(left > right))
    return Answer(question.key, scores[0])


def score(clip: Clip, sight: Sight) -> float:
    """The clip's own rows are the last ones; those before them show what led there. position: cart, cos, sin of the angle."""
    cosine = sight.obs["position"][-clip.length :, 1]
    return float(((1 + cosine) / 2).sum())
