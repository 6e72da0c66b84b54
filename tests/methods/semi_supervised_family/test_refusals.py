"""What the methods of this family refuse, by a key word of the message."""
import jax
import pytest
import tiny_parts
from tiny_parts import batch, build, start

from kpjax.errors import InputError
from kpjax.losses.objective import Term
from kpjax.methods.regda_family.regda import regda
from kpjax.methods.regda_family.source_free import source_free
from kpjax.methods.regda_family.teacher_adaptation import teacher_adaptation
from kpjax.methods.semi_supervised_family.easy_hard import easy_hard
from kpjax.methods.semi_supervised_family.image_generation import image_generation, image_generation_objective
from kpjax.methods.semi_supervised_family.mean_teacher import mean_teacher
from kpjax.methods.semi_supervised_family.semi_supervised import semi_supervised
from kpjax.models.image_generation import image_generator

ODD = {"odd": Term(1.0, lambda outputs, streams: outputs["of no view"].mean(), ("of no view",))}
FEWER = {"labelled": batch("labelled"), "unlabelled": jax.tree.map(lambda field: field[:4], batch("unlabelled"))}


def traced(method, streams=None):
    streams = tiny_parts.streams_of(method) if streams is None else streams
    state = jax.eval_shape(method.init, jax.random.key(0), streams, start())
    jax.eval_shape(method.update, state, streams, jax.random.key(0))


@pytest.mark.parametrize("factory", [
    easy_hard, image_generation, mean_teacher, regda, semi_supervised, source_free, teacher_adaptation])
def test_a_view_that_no_pass_makes(factory):
    with pytest.raises(ValueError, match="of no view"):
        build(factory, objective=ODD)


@pytest.mark.parametrize("factory", [easy_hard, image_generation, mean_teacher, semi_supervised])
def test_streams_that_share_a_pass_and_differ_in_size(factory):
    with pytest.raises(InputError, match="8 of labelled, 4 of unlabelled"):
        traced(build(factory), FEWER)


FEATURES = image_generation_objective(tiny_parts.CODEC, perceptual=True)


@pytest.mark.parametrize(("make", "word"), [
    (lambda: build(image_generation, objective=FEATURES), "perceptual is None"),
    (lambda: build(image_generation, objective=FEATURES, perceptual=tiny_parts.Backbone()), "no 'perceptual'"),
    (lambda: build(image_generation, generator=image_generator((4, 8)), size=9), "choose a size"),
])
def test_what_a_method_lacks(make, word):
    with pytest.raises((InputError, ValueError), match=word):
        traced(make())
