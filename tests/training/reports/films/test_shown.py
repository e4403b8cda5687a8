"""Where a film goes: into TensorBoard, byte for byte, and into the report folder."""

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tandem.training.reports.films.gif import gif
from tandem.training.reports.films.studio import Occasion
from tandem.training.reports.logger import LogConfig, Logger


def test_a_film_is_in_tensorboard_and_in_the_report(tmp_path):
    film = gif([Image.new("RGB", (6, 4), color) for color in ("red", "blue")], 10)
    with Logger(tmp_path, LogConfig()) as logger:
        logger.film("eval/film", film, Occasion(phase=3, step=70))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    (image,) = events.Images("eval/film")
    assert (image.step, image.width, image.height, image.encoded_image_string) == (70, 6, 4, film.data)
    assert (tmp_path / "report" / "films" / "eval_film-003.gif").read_bytes() == film.data
