"""One choice of a request on its way through the engine."""

from dataclasses import dataclass, field
from random import Random

from fettle.adapters.bank import BASE
from fettle.models.virtual_tokens import VirtualTokens
from fettle.serving.adapter_pool import PooledAdapter
from fettle.serving.detokenize import Detokenizer, StopFinder
from fettle.serving.grammar import GrammarState
from fettle.serving.prefixes import PrefixKeys
from fettle.types.generation import FinishReason, SamplingParams, TokenLogprob


@dataclass(eq=False)
class Sequence:
    """Tokens, how to choose the next one, and what the engine holds for it.

    Attributes:
        tokens: the prompt's and those made since.
        num_prompt: how many of them are the prompt's.
        max_length: `tokens` never grows beyond it.
        end_ids: tokens that end it.
        grammar: how far the answer has come in its grammar, if it has one.
        adapter: None is the base model.
        slot: of the adapter in the bank, while it is pinned.
        blocks: of the key/value cache, in the order of the positions.
        num_computed: tokens whose keys and values are in those blocks.
        prefix: keys of its full blocks.
        num_published: of its blocks that others can find.
        num_cached: prompt tokens that somebody had computed before it came; None before it was admitted.
        priority: the lower, the earlier.
        prompt_logprobs: of the prompt's tokens that have been scored and not yet been told.
        num_scored: prompt tokens that have been scored.
    """

    request_id: str
    index: int
    tokens: list[int]
    num_prompt: int
    max_length: int
    sampling: SamplingParams
    end_ids: frozenset[int]
    random: Random
    detokenizer: Detokenizer
    stops: StopFinder
    prefix: PrefixKeys
    priority: int = 0
    grammar: GrammarState | None = None
    adapter: PooledAdapter | None = None
    slot: int = BASE
    is_pinned: bool = False
    blocks: list[int] = field(default_factory=list)
    num_computed: int = 0
    num_published: int = 0
    num_cached: int | None = None
    prompt_logprobs: list[TokenLogprob] = field(default_factory=list)
    num_scored: int = 0

    @property
    def model(self) -> str:
        """Whose share of the engine it takes: its adapter's name, or "" for the base model."""
        return self.adapter.name if self.adapter else ""

    @property
    def virtual(self) -> VirtualTokens | None:
        """What its adapter puts before its tokens; valid while the adapter is pinned."""
        return self.adapter.virtual if self.adapter else None

    @property
    def num_virtual(self) -> int:
        """Positions before its first token."""
        return self.adapter.num_virtual_tokens if self.adapter else 0

    @property
    def num_positions(self) -> int:
        """Places in the cache for all that it has, its virtual tokens too."""
        return self.num_virtual + len(self.tokens)

    @property
    def num_made(self) -> int:
        """Tokens made so far."""
        return len(self.tokens) - self.num_prompt

    @property
    def num_left(self) -> int:
        """Tokens that must be computed before the next one can be chosen."""
        return len(self.tokens) - self.num_computed

    @property
    def must_score(self) -> bool:
        """Whether log-probabilities of prompt tokens are still wanted."""
        return self.sampling.prompt_logprobs and self.num_scored < self.num_prompt

    def add(self, token: int) -> tuple[str, FinishReason | None]:
        """Append a token; the text it adds, and why the sequence ends with it, if it does.

        Raises:
            FettleError: its grammar cannot be followed any further.
        """
        self.tokens.append(token)
        if token in self.end_ids:
            return self._rest(), "stop"
        if self.grammar is not None:
            self.grammar.add(token)
        text = self.stops.add(self.detokenizer.add(token))
        if self.stops.is_found:
            return text, "stop"
        is_done = self.grammar is not None and self.grammar.is_done
        if len(self.tokens) < self.max_length and not is_done:
            return text, None
        rest = self._rest()
        return text + rest, "stop" if self.stops.is_found or is_done else "length"

    def _rest(self) -> str:
        text = self.stops.add(self.detokenizer.rest())
        return text if self.stops.is_found else text + self.stops.rest()


@dataclass(frozen=True)
class Piece:
    """What one step computes of a sequence: `count` tokens from `start` on."""

    sequence: Sequence
    start: int
    count: int

    @property
    def end(self) -> int:
        """The first token that is not in it."""
        return self.start + self.count

    @property
    def first_position(self) -> int:
        """Of its first token."""
        return self.sequence.num_virtual + self.start

    @property
    def end_position(self) -> int:
        """The first one behind it: so many positions its last token sees."""
        return self.first_position + self.count

    @property
    def makes_token(self) -> bool:
        """Whether the sequence's next token can be chosen after it."""
        return self.end == len(self.sequence.tokens)
