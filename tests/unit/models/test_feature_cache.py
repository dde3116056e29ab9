import pytest
import torch

from legor1.models.feature_cache import FeatureCache, fingerprint


def image(value, rows=2):
    grid = torch.tensor([1, rows, 2])
    return torch.full((2 * rows, 3), float(value)), grid


class Tower:
    """Encodes an image by its mean, and notes what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, images):
        self.asked.append([float(patches[0, 0]) for patches, _ in images])
        return [patches.mean(1) for patches, _ in images]


def features(cache, images, tower):
    """Return the features of images, told apart by what the model sees of them."""
    keys = [fingerprint(*shown) for shown in images]
    by_key = dict(zip(keys, images, strict=True))
    return cache.get(keys, lambda missing: tower([by_key[key] for key in missing]))


def test_an_image_is_encoded_once():
    cache, tower = FeatureCache(1 << 20), Tower()
    first = features(cache, [image(1), image(2), image(1)], tower)
    again = features(cache, [image(2), image(3)], tower)
    assert tower.asked == [[1, 2], [3]]
    assert [tensor[0].item() for tensor in [*first, *again]] == [1, 2, 1, 2, 3]


def test_the_images_used_longest_ago_are_dropped():
    cache, tower = FeatureCache(limit=2 * 4 * 4), Tower()  # two images of four float32
    for value in (1, 2, 1, 3, 1, 2):
        features(cache, [image(value)], tower)
    assert tower.asked == [[1], [2], [3], [2]]
    assert cache.size == sum(f.nbytes for f in cache.entries.values()) <= cache.limit


def test_what_is_known_by_a_name_is_made_once_until_it_is_dropped():
    cache, made = FeatureCache(1 << 20), []

    def make(names):
        made.append(names)
        return [torch.full((2,), float(len(name))) for name in names]

    tensors = cache.get(["a", "bb", "a"], make)
    assert [tensor[0].item() for tensor in tensors] == [1, 2, 1]
    cache.drop("a")
    cache.drop("unknown")
    assert cache.size == 8
    cache.get(["a", "bb"], make)
    assert made == [["a", "bb"], ["a"]]


@pytest.mark.parametrize("limit", [0, 15])
def test_what_does_not_fit_is_encoded_each_time_and_still_right(limit):
    cache, tower = FeatureCache(limit), Tower()
    for _ in range(2):
        made = features(cache, [image(1), image(2)], tower)
        assert [f[0].item() for f in made] == [1, 2]
    assert tower.asked == [[1, 2], [1, 2]]
    assert cache.size == 0 and not cache.entries


def test_a_fingerprint_tells_content_shape_and_precision_apart():
    patches, grid = image(1)
    others = [
        image(2),
        (patches, torch.tensor([1, 2, 2]).flip(0)),
        (patches.to(torch.bfloat16), grid),
    ]
    assert fingerprint(patches.clone(), grid.clone()) == fingerprint(patches, grid)
    assert len({fingerprint(*one) for one in [(patches, grid), *others]}) == 4
