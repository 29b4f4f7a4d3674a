"""The base model's tokenizer: byte-level BPE whose words split alike with and without a space before them.

Two stages. First the merges inside words are learned, with spaces apart; then the most frequent first pieces of words
get a form with the space attached, as the last merges. So " Korvath" is " Kor" + "vath" wherever "Korvath" is "Kor" +
"vath", and a model that copies a word to behind a quotation mark has one small step to learn for each piece, not a new
spelling.

    python -m pocket.tokenizer --corpus /tmp/corpus --out pocket/tokenizer
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from pocket.prose import Passages, clean, novel_files, read_novel
from pocket.tasks import any_row
from pocket.tasks.rows import Row

VOCABULARY_SIZE = 8192
CONTEXT_LENGTH = 1024
END_OF_TEXT, SYSTEM, USER, ASSISTANT, END = SPECIAL_TOKENS = (
    "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>",
)  # fmt: skip
NUM_CORE_TOKENS = 4700
"""Pieces without a space before them, the 256 bytes included; the others are the forms with a space."""

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SPACE = "Ġ"
"""How byte-level vocabularies write a space."""

_JSON = r"""": "|", "|"""
_TAIL = r"|\p{N}|%s[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CORE_PATTERN = _JSON + r"'(?:[sdmt]|ll|ve|re)|\p{L}+" + _TAIL % ""
FINAL_PATTERN = _JSON + r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+" + _TAIL % " ?"


def render(row: Row) -> str:
    """A conversation as the chat template writes it."""
    return "".join(f"<|{turn['role']}|>{turn['content']}{END}" for turn in row)


def plain(row: Row) -> str:
    """A conversation's text without special tokens, to learn merges from."""
    return "\n".join(turn["content"] for turn in row)


def train(sample: list[str], num_core: int = NUM_CORE_TOKENS) -> Tokenizer:
    """A tokenizer of exactly `VOCABULARY_SIZE` tokens fitted to `sample`."""
    core = _train_core(sample, num_core)
    state = json.loads(core.to_str())["model"]
    merges = [tuple(pair) for pair in state["merges"]]
    pieces = [piece for piece, _ in sorted(state["vocab"].items(), key=lambda item: item[1])]
    known = set(pieces)
    room = VOCABULARY_SIZE - len(SPECIAL_TOKENS) - len(pieces)
    spaced = [piece for piece in _after_space(core, sample) if SPACE + piece not in known][:room]
    vocabulary = [*SPECIAL_TOKENS, *pieces, *(SPACE + piece for piece in spaced)]
    assert len(vocabulary) == VOCABULARY_SIZE, len(vocabulary)
    ids = {piece: number for number, piece in enumerate(vocabulary)}
    return _assemble(models.BPE(vocab=ids, merges=[*merges, *((SPACE, piece) for piece in spaced)]), FINAL_PATTERN)


def _train_core(sample: list[str], num_core: int) -> Tokenizer:
    """The merges inside words and inside punctuation."""
    core = _assemble(models.BPE(), CORE_PATTERN)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        sample, trainers.BpeTrainer(vocab_size=num_core, initial_alphabet=alphabet, show_progress=False)
    )
    return core


def _after_space(core: Tokenizer, sample: list[str]) -> list[str]:
    """Pieces that begin a word after a space, the most frequent first."""
    counts: Counter[str] = Counter()
    for encoding in core.encode_batch(sample):
        tokens = encoding.tokens
        counts.update(after for token, after in pairwise(tokens) if token == SPACE)
    # A digit, a special mark of white space or another space never follows a space within one piece.
    return [piece for piece, _ in counts.most_common() if not piece[0].isdigit() and piece[0] not in "ĠĊĉč"]


def _assemble(model: models.BPE, pattern: str) -> Tokenizer:
    """A byte-level tokenizer around `model` that first splits by `pattern`."""
    tokenizer = Tokenizer(model)
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    if model.token_to_id(END) is not None:
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return tokenizer


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token that the vocabulary has."""
    return int(tokenizer.get_vocab()[token])


def spaced_pairs(tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """Ids of (piece, the same piece after a space), for a model that starts from their kinship."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    return sorted((vocabulary[piece[1:]], number) for piece, number in vocabulary.items()
                  if piece.startswith(SPACE) and piece[1:] in vocabulary)  # fmt: skip


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files that `transformers.AutoTokenizer` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"eos_token": END, "pad_token": END_OF_TEXT, "additional_special_tokens": [SYSTEM, USER, ASSISTANT]}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": CONTEXT_LENGTH, "bos_token": None, **special,
        "clean_up_tokenization_spaces": False, "chat_template": CHAT_TEMPLATE,
    }  # fmt: skip
    for name, content in (("tokenizer_config.json", config), ("special_tokens_map.json", special)):
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def training_sample(corpus: Path, seed: int, num_chars: int = 24_000_000) -> Iterator[str]:
    """Prose and task text, about half each."""
    rng = random.Random(seed)
    novels = [read_novel(file) for file in novel_files(corpus, held_out=False)]
    source = Passages(novels, rng)
    paragraphs = [paragraph for novel in novels for paragraph in novel]
    size = 0
    while size < num_chars:
        for text in (clean(rng.choice(paragraphs)), plain(any_row(rng, source)[1])):
            size += len(text)
            yield text


def main() -> None:
    """Train on a corpus and write the tokenizer's files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("/tmp/corpus"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "tokenizer")
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    save(train(list(training_sample(args.corpus, args.seed))), args.out)


if __name__ == "__main__":
    main()
