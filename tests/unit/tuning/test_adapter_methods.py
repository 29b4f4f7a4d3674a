"""Every kind of adapter has a method that trains it; what it wrote is served in one batch with the others."""

from pathlib import Path

import pytest
import torch

from fettle.adapters.bank import BASE, AdapterBank
from fettle.adapters.files import load_adapter
from fettle.adapters.inject import inject
from fettle.adapters.kinds import KINDS
from fettle.adapters.kinds.virtual import VirtualKind
from fettle.adapters.methods import METHODS
from fettle.models.attention import PackedAttention
from fettle.models.loading import load_decoder
from fettle.tuning.tune import tune
from fettle.types.tuning import EvaluationEvent

#: The first method of each kind; the others differ in their loss or in how the base is held, and have their own tests.
FIRST = {method.kind: name for name, method in reversed(list(METHODS.items())) if method.kind}
VARIANTS: dict[str, tuple[str, dict]] = {name: (name, {}) for name in FIRST.values()}
#: These are no part of a layer; how they are served is in tests/contract/test_virtual_kinds.py.
VIRTUAL = [name for name, method in METHODS.items() if method.kind and isinstance(KINDS[method.kind], VirtualKind)]
#: The tiny model's embeddings are six times as large as those of `pocket`: prompts must go as much farther in a step.
RATES = {"prompt": 0.2, "prefix": 0.03}
VARIANTS |= {"dora": ("lora", {"dora": True}), "rslora": ("lora", {"rank_stabilized": True})}


@pytest.fixture
def tuned(plan):
    """Tunes a variant; the adapter's folder and the losses on held-out rows."""

    def run(variant: str) -> tuple[Path, list[float]]:
        method, settings = VARIANTS[variant]
        rate = RATES.get(variant)
        made, events = plan(variant, method=method, adapter=settings, epochs=4, learning_rate=rate), []
        tune(made, events.append)
        losses = [event.validation.loss for event in events if isinstance(event, EvaluationEvent)]
        return Path(made.output_path), losses

    return run


def test_every_kind_has_a_method():
    assert FIRST.keys() == set(KINDS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loss_falls_and_the_adapter_is_written(variant, tuned, base):
    folder, losses = tuned(variant)
    assert losses[-1] < 0.9 * losses[0]
    adapter = load_adapter(folder)
    assert adapter.kind == METHODS[VARIANTS[variant][0]].kind
    assert set(adapter.sites) <= {site.name for site in inject(load_decoder(base), AdapterBank())}
    assert bool(adapter.virtual) == (variant in VIRTUAL)


def test_adapters_of_all_methods_are_served_in_one_batch_as_each_alone(tuned, base):
    decoder, bank = load_decoder(base), AdapterBank()
    inject(decoder, bank)
    slots = [BASE, *(bank.add(load_adapter(tuned(variant)[0])) for variant in VARIANTS if variant not in VIRTUAL)]
    lengths = [3 + index % 4 for index in range(len(slots))]
    tokens = [torch.arange(length) + 40 for length in lengths]
    with torch.inference_mode():
        rows = [run(decoder, bank, [slot], [row]) for slot, row in zip(slots, tokens, strict=True)]
        mixed = run(decoder, bank, slots, tokens)
    torch.testing.assert_close(mixed, torch.cat(rows), rtol=1e-4, atol=1e-4)
    plain = run(decoder, bank, [BASE] * len(slots), tokens).split(lengths)
    assert all((row - part).abs().max() > 1e-3 for row, part in zip(rows[1:], plain[1:], strict=True))


def run(decoder, bank, slots, rows):
    positions = torch.cat([torch.arange(len(row)) for row in rows])
    with bank.route([(slot, len(row)) for slot, row in zip(slots, rows, strict=True)]):
        return decoder(torch.cat(rows), positions, PackedAttention([len(row) for row in rows]))
