"""What an observation's spec says of itself, and which contradictions it refuses."""

import pytest

from tandem.envs.records import ObsSpec


def test_classes_tell_a_category_from_a_vector():
    vector, category = ObsSpec((3,)), ObsSpec((2,), classes=5)
    assert (vector.kind, vector.dtype) == ("vector", "float32")
    assert (category.kind, category.dtype) == ("category", "int32")
    assert vector == ObsSpec((3,), kind="vector") and category == ObsSpec((2,), 5, "category")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": 5, "kind": "vector"}, "classes: must be above 0 for categories alone, got 5 for a vector"),
        ({"kind": "category"}, "classes: must be above 0 for categories alone, got 0 for a category"),
        ({"classes": -1}, "classes: must be above 0 for categories alone, got -1 for a category"),
        ({"kind": "smell"}, "kind: must be one of vector, category, image, got 'smell'"),
    ],
)
def test_a_kind_that_contradicts_its_classes_is_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        ObsSpec((2,), **settings)
