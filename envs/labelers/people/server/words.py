"""What raters are told: how to judge each kind of question, and why there is none."""

WORST, BEST = "as bad as it gets", "as good as it gets"
JUDGE = {
    "clip": (
        "You see a short clip of something that acts. Say how good what it does is, from 1 to 5.",
        "Judge all of the clip, not its last picture. What is dimmed led there: look at it, and do not judge it.",
        "Use the whole scale. Most clips of a beginner are a 1 or a 2, and that is what it needs to hear.",
    ),
    "pair": (
        "You see two short clips. Say in which of them the acting is better.",
        "Judge all of each clip, not its last picture. What is dimmed led there: look at it, and do not judge it.",
        "Say that they are the same where you would have to toss a coin.",
    ),
    "moments": (
        "You see a clip. Stop it where something was achieved or went wrong, and mark that frame.",
        "Mark the frame in which it happens, not the way there. Send it without a mark where nothing happened.",
        "What is dimmed led there and cannot be marked.",
    ),
}
ALWAYS = (
    "There is no trick in it: say what you see. Say that you cannot tell where the clip does not show it.",
    "You are paid for your time whatever you say, for clips that you skip too.",
)
NOTHING = "Nothing to label just now"
NO_QUESTION = "All questions are answered or with somebody else. The next ones come by themselves; you can leave this page open, your time stands still meanwhile."
NO_TRAINER = (
    "The training that asks the questions is not running. Your answers are saved; questions come once it goes on."
)
PAUSED = "A pause"
DRAWING, DRAWING_TITLE = "The next clip is being drawn, which takes some seconds.", "One moment"
AGAIN_SECONDS, DRAWING_SECONDS = 4, 1


EXAMPLE = "{} raters gave this {:.1f} of 5 on average."


def instructions() -> dict[str, list[str]]:
    """By kind of question as the page shows it: before pairs, clips are scored."""
    return {kind: [*judge, *ALWAYS] for kind, judge in JUDGE.items()}


def feedback(verdict: float | str | list) -> str:
    """Of practice: what the owner said, in the words of the page."""
    if isinstance(verdict, str):
        said = {"left": "the left one is better", "right": "the right one is better", "same": "they are the same"}[
            verdict
        ]
    elif isinstance(verdict, list):
        signs = {1: "success", -1: "failure"}
        said = ", ".join(f"{signs[sign]} at frame {row + 1} of the clip" for row, sign in verdict) or "nothing happened"
    else:
        said = f"{1 + 4 * verdict:.1f} of 5"
    return f"This was for practice. Whoever runs this said: {said}."
