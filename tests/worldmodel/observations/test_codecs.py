"""Pencil tests of the codecs: what goes in, what comes out, and what a mistake costs, for each kind of observation."""

import math

import pytest
import torch

from tandem.envs.records import DTYPES, ObsSpec
from tandem.worldmodel.observations.codecs import CODECS, CategoryCodec, VectorCodec, codecs_of, width
from tandem.worldmodel.observations.decoder import Decoder
from tandem.worldmodel.observations.encoder import Encoder

SPECS = {"state": ObsSpec((2, 3)), "kind": ObsSpec((2,), classes=4), "scalar": ObsSpec(())}


def test_every_kind_of_observation_has_a_codec():
    assert CODECS.keys() == DTYPES.keys()


def test_keys_go_in_by_their_order_whatever_the_order_they_came_in():
    assert list(codecs_of(SPECS)) == list(codecs_of(dict(reversed(SPECS.items())))) == ["kind", "scalar", "state"]
    assert [width(codec) for codec in codecs_of(SPECS).values()] == [8, 1, 6]  # 2 x 4 classes, 1, 2 x 3


def test_a_vector_is_symlogged_and_its_loss_is_squared_there():
    codec, value = VectorCodec(ObsSpec((2,))), torch.tensor([[math.e - 1, 1 - math.e**2]])
    torch.testing.assert_close(codec.encode(value), torch.tensor([[1.0, -2.0]]))
    torch.testing.assert_close(codec.loss(torch.tensor([[1.5, 0.0]]), value), torch.tensor([[0.25, 4.0]]))


def test_a_category_is_one_hot_and_its_loss_the_cross_entropy_of_logits():
    codec, value = CategoryCodec(ObsSpec((2,), classes=3)), torch.tensor([[2, 0]], dtype=torch.int32)
    assert codec.encode(value).tolist() == [[[0, 0, 1], [1, 0, 0]]]
    logits = torch.tensor([[[0.0, 0.0, 0.0], [math.log(2), 0.0, 0.0]]])
    # one of three equal classes; then the class of odds 2 : 1 : 1
    torch.testing.assert_close(codec.loss(logits, value), torch.tensor([[math.log(3), math.log(2)]]))


@pytest.mark.parametrize("lead", [(), (5,), (2, 3), (0,), (0, 3)])
def test_encoder_and_decoder_keep_the_leading_axes_even_without_a_row(lead):
    torch.manual_seed(0)
    obs = {key: torch.ones((*lead, *spec.shape), dtype=getattr(torch, spec.dtype)) for key, spec in SPECS.items()}
    feat = Encoder(SPECS, units=7, layers=1)(obs)
    assert feat.shape == (*lead, 7)
    decoder = Decoder(SPECS, deter=7, stoch=0, units=6, layers=1)
    assert {key: out.shape for key, out in decoder(feat).items()} == {
        "kind": (*lead, 2, 4),
        "scalar": lead,
        "state": (*lead, 2, 3),
    }
    assert all(loss.shape == lead for loss in decoder.losses(feat, obs).values())
