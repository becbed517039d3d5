from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.few_shot import embeddings as module
from napari_vrp_sam.research.few_shot.embeddings import EmbeddingCache, module_digest

IDS = [f"image {number}" for number in range(10)]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(module, "PER_SHARD", 4)


def encoder(seen, stop=None):
    def encode(image_id):
        if image_id == stop:
            raise KeyboardInterrupt
        seen.append(image_id)
        return torch.full((3, 2, 2), float(image_id.split()[1])) + 1 / 3

    return encode


def test_each_image_is_encoded_once(tmp_path):
    cache, seen, messages = EmbeddingCache(tmp_path, "pascal5i", "abc", [IDS]), [], []
    assert cache.missing() == [0, 1, 2]
    cache.fill(encoder(seen), messages.append)
    assert seen == IDS
    assert messages[-1].startswith("Encoding image 10 of 10")
    again = EmbeddingCache(tmp_path, "pascal5i", "abc", [IDS])
    again.fill(encoder(seen))
    assert seen == IDS
    embedding = again["image 7"]
    assert embedding.dtype == torch.bfloat16
    torch.testing.assert_close(
        embedding.float(), torch.full((3, 2, 2), 7 + 1 / 3), rtol=2e-3, atol=0
    )


def test_an_interrupted_computation_is_resumed(tmp_path):
    cache, before, after = EmbeddingCache(tmp_path, "pascal5i", "abc", [IDS]), [], []
    with pytest.raises(KeyboardInterrupt):
        cache.fill(encoder(before, stop="image 6"))
    assert cache.missing() == [1, 2]
    cache.fill(encoder(after))
    assert after == IDS[4:]
    assert not list(cache.folder.glob(".*"))  # no temporary files


def test_other_weights_and_other_images_have_their_own_cache(tmp_path):
    folders = {
        EmbeddingCache(tmp_path, "pascal5i", weights, [ids]).folder
        for weights, ids in (("abc", IDS), ("abd", IDS), ("abc", IDS[1:]))
    }
    assert len(folders) == 3


def test_runs_share_embeddings(tmp_path):
    groups, seen = [IDS[:5], IDS[5:]], []
    one = EmbeddingCache(tmp_path, "pascal5i", "abc", groups, IDS[:5])
    one.fill(encoder(seen))
    assert seen == IDS[:5]
    other = EmbeddingCache(tmp_path, "pascal5i", "abc", groups)
    assert other.missing() == [2, 3]
    messages = []
    other.fill(encoder(seen), messages.append)
    assert seen == IDS
    assert messages[0].startswith("Encoding image 6 of 10")
    assert torch.equal(one["image 4"], other["image 4"])


def test_a_cache_is_filled_concurrently(tmp_path):
    caches = [EmbeddingCache(tmp_path, "pascal5i", "abc", [IDS]) for _ in range(3)]
    seen = []
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda cache: cache.fill(encoder(seen)), caches))
    assert sorted(seen) == sorted(IDS)
    assert caches[0].missing() == []


def test_damaged_files_and_invalid_folders_are_reported(tmp_path):
    cache = EmbeddingCache(tmp_path, "pascal5i", "abc", [IDS])
    cache.fill(encoder([]))
    (cache.folder / "00001.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"00001\.safetensors is damaged: delete it"):
        cache["image 5"]
    assert cache["image 3"].shape == (3, 2, 2)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="cannot be written"):
        EmbeddingCache(tmp_path / "file", "pascal5i", "abc", [IDS]).fill(encoder([]))


def test_a_digest_depends_only_on_the_weights():
    torch.manual_seed(0)
    one, other = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    assert module_digest(one) != module_digest(other)
    other.load_state_dict(one.state_dict())
    assert module_digest(one) == module_digest(other)
