"""The engine serves families that only `transformers` has, with adapters of all kinds in one batch."""

import pytest
import torch

from fettle.adapters.files import load_adapter
from fettle.serving import Engine, EngineSettings, attention
from fettle.testing.foreign import foreign_adapter, foreign_model
from tests.unit.serving.conftest import ROOM, Plain, ask, run, tokens

PROMPTS = {None: [40, 41, 42], "lora": [50, 51, 52, 53, 54, 55, 56, 57], "ia3": [60] * 5, "bottleneck": [7, 8],
           "prompt": [70, 71, 72], "prefix": [80, 81]}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "is_large"),
    [
        *((f, False) for f in ("gpt2", "gpt_neox", "phi3", "gemma3_text", "granite", "mixtral", "opt")),
        ("gemma3_text", True),
    ],
)
def test_a_mixed_batch_gives_the_tokens_of_a_full_recompute(family, is_large, tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "is_compiled", lambda config: is_large)
    base = foreign_model(tmp_path / "base", family)
    adapters = {kind: foreign_adapter(tmp_path / kind, kind, base, seed=1) for kind in PROMPTS if kind}
    engine = Engine.load(base, EngineSettings(**ROOM))
    for name, folder in adapters.items():
        engine.add_adapter(name, folder)
    for name, prompt in PROMPTS.items():
        engine.add(str(name), ask(prompt), adapter=name)

    answers = run(engine)

    expected = {
        name: Plain(base, load_adapter(adapters[name]) if name else None).greedy(prompt, 12)
        for name, prompt in PROMPTS.items()
    }
    assert {name: tokens(answers[str(name), 0]) for name in PROMPTS} == expected
    plain = Plain(base)
    assert all(plain.greedy(prompt, 12) != expected[name] for name, prompt in PROMPTS.items() if name)


def test_the_engine_says_what_the_model_itself_would_say(tmp_path):
    import transformers

    base = foreign_model(tmp_path, "gpt_neox")
    engine = Engine.load(base, EngineSettings(**ROOM))
    engine.add("one", ask([40, 41, 42]))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    theirs.generation_config.eos_token_id = None

    said = theirs.generate(torch.tensor([[40, 41, 42]]), max_new_tokens=12, do_sample=False, pad_token_id=0)

    assert tokens(run(engine)["one", 0]) == said[0, 3:].tolist()
