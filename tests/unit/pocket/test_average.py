import torch

from fettle.models.loading import load_decoder
from fettle.testing.models import tiny_model
from pocket.average import mean


def test_every_weight_is_the_mean_of_all_models(tmp_path):
    folders = [tiny_model(tmp_path / str(seed), seed=seed) for seed in (1, 2, 3)]
    averaged = dict(mean([load_decoder(folder) for folder in folders]).named_parameters())
    every = [dict(load_decoder(folder).named_parameters()) for folder in folders]
    for name, value in averaged.items():
        torch.testing.assert_close(value, sum(of[name] for of in every) / 3)
    assert not torch.equal(averaged["model.embed_tokens.weight"], every[0]["model.embed_tokens.weight"])
