"""The mean of trained weights: `python -m pocket.average FIRST SECOND --out MODEL`.

Two ends of one training, the second after the rate rose and fell once more, lie around a better place than either.
Source: arXiv 2203.05482.
"""

import argparse
from pathlib import Path

import torch

from fettle.models.decoder import Decoder
from fettle.models.loading import load_decoder
from pocket.train import write_model


@torch.no_grad()
def mean(decoders: list[Decoder]) -> Decoder:
    """The first decoder, with the mean of all their weights; computed in float32."""
    parameters = [dict(decoder.named_parameters()) for decoder in decoders]
    for name, value in parameters[0].items():
        value.copy_(torch.stack([of[name] for of in parameters]).mean(dim=0))
    return decoders[0]


def main() -> None:
    """Average model folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="model folders of one shape")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    args = parser.parse_args()
    write_model(mean([load_decoder(folder) for folder in args.models]), args.out)


if __name__ == "__main__":
    main()
