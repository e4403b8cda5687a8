"""A film of the model's mind: truth above, the model below it, then what sets them apart."""

import io

import numpy as np
import torch
from PIL import Image

from tandem.envs.records import ObsSpec, Spaces
from tandem.training.reports.films.mind import MindFilm, OpenLoop, difference
from tandem.training.reports.films.paint import Line, chart, ends
from tandem.worldmodel.dynamics import DynamicsConfig, DynamicsModel
from tandem.worldmodel.records import Window


def test_the_difference_is_grey_where_both_agree_and_half_of_what_sets_them_apart():
    # 0.5 + (model - truth) / 2 in bytes is 127.5 + (model - truth) / 2, rounded up: 128; 127.5 + 127.5; 127.5 - 127.5;
    # 127.5 + 50 = 177.5
    model, truth = np.array([[9, 255, 0, 200]], np.uint8), np.array([[9, 0, 255, 100]], np.uint8)
    assert difference(model, truth).tolist() == [[128, 255, 0, 178]]


def grey(values, size=64):
    return np.stack([np.full((size, size, 1), value, np.uint8) for value in values])


def test_a_film_shows_truth_model_and_difference_of_each_row():
    truth, model = {"eye": grey([20, 60, 100, 140])}, {"eye": grey([20, 60, 200, 40])}
    episode = OpenLoop(truth, model, 2, imagined=np.arange(4.0), reward=np.zeros(4))
    film = MindFilm([episode], "a task")()
    with Image.open(io.BytesIO(film.data)) as image:
        rows = []
        for index in range(4):
            image.seek(index)
            pixels = np.asarray(image.convert("RGB")).astype(int)
            rows.append([pixels[top, 130, 0] for top in (100, 230, 364)])
            # The model's picture has a frame: blue while it sees, orange once it imagines.
            red, _, blue = (
                (pixels[176:300, 60:80] - 128).reshape(-1, 3)[(pixels[176:300, 60:80].std(-1) > 40).reshape(-1)].T
            )
            assert (blue > red).all() if index < 2 else (red > blue).all()
            assert red.size
    wanted = [[20, 20, 128], [60, 60, 128], [100, 200, 178], [140, 40, 78]]  # 127.5 + (40 - 140) / 2 = 77.5
    assert np.abs(np.array(rows) - wanted).max() <= 6


def test_several_cameras_and_episodes_stand_side_by_side():
    def film(keys, episodes):
        images = {key: grey([10, 200]) for key in keys}
        return MindFilm([OpenLoop(images, images, 1, np.zeros(2))] * episodes, "")()

    one, two, more = film("a", 1), film("ab", 1), film("abcd", 3)
    assert one.width < two.width < more.width and one.height == two.height
    assert film("abcd", 3).width == film("abcd", 1).width  # six columns hold one episode of four cameras


def test_an_open_loop_is_decoded_to_what_was_observed():
    from tandem.agents.actor_critic import ActorCritic, ActorCriticConfig
    from tandem.training.models import Models
    from tandem.training.reports.dreams import open_loop
    from tandem.worldmodel.reward import RewardConfig, RewardModel

    specs = {"eye": ObsSpec((16, 16, 3), kind="image"), "kind": ObsSpec((2,), 5), "state": ObsSpec((3,))}
    spaces, config = Spaces(specs, 2), DynamicsConfig(deter=16, hidden=8, stoch=2, classes=4, units=8)
    torch.manual_seed(0)
    critic = ActorCritic(ActorCriticConfig(units=8, bins=15), spaces, config.feat_size, config.discount)
    models = Models(
        DynamicsModel(config, spaces), RewardModel(RewardConfig(units=8, bins=15), config.feat_size), critic
    )
    obs = {key: torch.zeros((1, 12, *spec.shape), dtype=getattr(torch, spec.dtype)) for key, spec in specs.items()}
    first = torch.zeros(1, 12, dtype=torch.bool)
    first[:, 0] = True
    window = Window(obs, torch.zeros(1, 12, 2), first, torch.zeros(1, 16), torch.zeros(1, 2, dtype=torch.int64))
    seen = open_loop(models, window, 0, reward=np.arange(12.0))
    assert seen.images == ["eye"] and seen.start == 8 and seen.imagined.shape == (12,)
    for key, spec in specs.items():
        assert seen.predicted[key].shape == seen.truth[key].shape == (12, *spec.shape)
        assert seen.predicted[key].dtype == seen.truth[key].dtype == spec.dtype
    truth, predicted, start = seen.vectors()
    assert {key: one.shape for key, one in predicted.items()} == {"kind": (12, 2), "state": (12, 3)} and start == 8
    assert truth.keys() == predicted.keys()


def test_a_chart_goes_from_the_lowest_to_the_highest_number():
    line = Line("a", np.array([np.nan, 0.0, 10.0, np.nan, 5.0]), "#000000")
    assert ends([line]) == ("0", "10") and ends([Line("b", np.array([7.0, 7.0]), "#000000")]) == ("6.5", "7.5")
    dark = np.asarray(chart([line], 5, (41, 21)).convert("L")) < 100
    down, across = np.nonzero(dark)
    # Row 1 of five stands a quarter from the left, row 4 at the right edge in the middle; rows 0 and 3 are not known.
    assert down[across == 10].max() >= 18 and down[across == 20].min() <= 2
    assert abs(down[across == 40].mean() - 10) < 2 and not dark[:, :8].any() and not dark[:, 24:38].any()
