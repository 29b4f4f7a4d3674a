"""The engine: requests in, chunks of text out; synchronous, without I/O besides loading."""

import logging
import math
import secrets
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from pathlib import Path
from random import Random
from typing import Any, Self

from fettle.adapters.bank import AdapterBank
from fettle.adapters.inject import inject
from fettle.errors import Conflict, FettleError, InvalidInput
from fettle.models.decoder import Decoder
from fettle.models.dtypes import serving_dtype
from fettle.models.layout import laid_out
from fettle.models.loading import load_decoder, read_config
from fettle.models.tokenizer import Tokenizer
from fettle.serving.adapter_pool import AdapterPool, PooledAdapter
from fettle.serving.attention import prepare
from fettle.serving.blocks import BlockPool
from fettle.serving.cache import PagedCache, num_blocks
from fettle.serving.detokenize import Detokenizer, StopFinder
from fettle.serving.grammar import Grammars, GrammarState
from fettle.serving.memory import available_bytes, planned
from fettle.serving.prefixes import PrefixKeys
from fettle.serving.runner import Output, Runner
from fettle.serving.sampler import NO_TOKEN, Sampler, Scorer, masked
from fettle.serving.scheduler import Scheduler
from fettle.serving.sequence import Piece, Sequence
from fettle.serving.settings import EngineSettings
from fettle.types.generation import FinishReason, GenerateChunk, GenerateRequest, Grammar, SamplingParams, TokenLogprob

log = logging.getLogger(__name__)


class Engine:
    """One base model and any number of adapters, answering many requests in one continuous batch."""

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer, settings: EngineSettings) -> None:
        """An engine for a loaded model, whose linear layers become adaptable."""
        self._config, self._tokenizer = decoder.config, tokenizer
        self._end_ids = frozenset((*decoder.config.eos_token_ids, *tokenizer.eos_ids))
        bank = AdapterBank()
        inject(decoder, bank)
        self._adapters = AdapterPool(bank, decoder, max_bytes=settings.adapter_bytes)
        self._blocks = BlockPool(num_blocks(decoder.config, settings, decoder.dtype), settings.block_size)
        cache = PagedCache(
            decoder.config, num_blocks=self._blocks.num_blocks, block_size=settings.block_size, dtype=decoder.dtype
        )
        self._runner = Runner(decoder, bank, cache, self._blocks)
        self._scheduler = Scheduler(
            self._blocks,
            self._adapters,
            max_batch_tokens=settings.max_batch_tokens,
            max_sequences=settings.max_sequences,
        )
        self._sampler, self._scorer = Sampler(), Scorer(tokenizer.token_text)
        self._grammars = Grammars(lambda: tokenizer.source, tokenizer.vocab_size, self._end_ids)
        self._open: dict[tuple[str, int], Sequence] = {}
        self._counts = {
            "steps": 0,
            "prompt_tokens": 0,
            "cached_tokens": 0,
            "completion_tokens": 0,
            "finished": 0,
            "failed": 0,
        }

    @classmethod
    def load(cls, base_folder: Path, settings: EngineSettings | None = None) -> Self:
        """An engine for the model in a folder.

        Raises:
            UnsupportedModel: its files cannot be used.
            InvalidInput: this machine cannot keep its weights as the settings say.
            Unavailable: it does not fit the memory that is available.
        """
        settings = settings or EngineSettings()
        folder = Path(base_folder)
        config = read_config(folder)
        dtype = serving_dtype(settings.dtype, config.num_parameters)
        if (available := available_bytes()) is not None:
            planned(config, settings, dtype, num_blocks(config, settings, dtype)).check(available)
        decoder = laid_out(load_decoder(folder, dtype=dtype), settings.weights)
        prepare(config, dtype)
        return cls(decoder, Tokenizer.load(folder), settings)

    @property
    def max_length(self) -> int:
        """Tokens of prompt and answer together, at most: the context, or what the cache holds.

        An adapter's virtual tokens are among them.
        """
        return min(self._config.max_positions, self._blocks.num_blocks * self._blocks.block_size)

    @property
    def has_work(self) -> bool:
        """Whether a step would do something."""
        return self._scheduler.has_work

    def add_adapter(self, name: str, folder: Path) -> None:
        """Load an adapter and serve it as `name`; requests that use an older one of that name keep it to their end.

        Raises:
            UnsupportedModel: its files cannot be used, or do not fit the model.
        """
        self._adapters.add(name, Path(folder))

    def remove_adapter(self, name: str) -> None:
        """Forget an adapter; requests that use it go on to their end.

        Raises:
            NotFound: there is no such adapter.
        """
        self._adapters.remove(name)

    def add(self, request_id: str, request: GenerateRequest, *, adapter: str | None = None, index: int = 0) -> None:
        """Queue one choice of a request; its prompt must be token ids, and `model` is not looked at.

        Args:
            request_id: comes back in its chunks.
            request: what to answer, and how.
            adapter: a name given to `add_adapter`; None is the base model.
            index: of the choice; the choices of a seeded request differ by it.

        Raises:
            InvalidInput: the prompt is empty, too long, or has tokens that the model does not know; or the grammar has
                a fault.
            NotFound: there is no such adapter.
            Conflict: this choice is being answered already.
        """
        if (request_id, index) in self._open:
            raise Conflict(f"request {request_id!r} is being answered already", param="request_id")
        prompt, sampling = list(request.token_ids or ()), request.sampling
        pooled = None if adapter is None else self._adapters.get(adapter)
        room = self.max_length - (pooled.num_virtual_tokens if pooled else 0)
        self._check(prompt, sampling, room)
        sequence = Sequence(
            request_id=request_id,
            index=index,
            tokens=prompt,
            num_prompt=len(prompt),
            max_length=min(room, len(prompt) + (sampling.max_tokens or room)),
            sampling=sampling,
            end_ids=(end_ids := self._ends(sampling)),
            random=_random(sampling.seed, index),
            detokenizer=Detokenizer(self._tokenizer),
            stops=StopFinder(sampling.stop),
            grammar=self._grammar(sampling.grammar, end_ids),
            adapter=pooled,
            prefix=self._prefix(request.scope, pooled),
            priority=request.priority,
        )
        self._open[request_id, index] = sequence
        self._scheduler.add(sequence)

    def abort(self, request_id: str) -> None:
        """Forget all choices of a request and free what they hold; nothing more is said about them."""
        for key in [key for key in self._open if key[0] == request_id]:
            self._scheduler.remove(self._open.pop(key))

    def step(self) -> list[GenerateChunk]:
        """Compute one batch; what it added to each choice that it advanced.

        A choice that cannot go on ends with finish reason 'abort' and says why; the others do not notice.
        """
        chunks: list[GenerateChunk] = []
        pieces = self._scheduler.schedule()
        for sequence, error in self._scheduler.take_failed():
            chunks.append(self._failed(sequence, error))
        self._counts["steps"] += 1
        for output in self._outputs(pieces, chunks):
            chunks += self._advance(output)
        return chunks

    def generate(self, requests: Iterable[GenerateRequest], *, adapter: str | None = None) -> list[list[GenerateChunk]]:
        """Answer all requests, whose prompts are token ids; for each its choices, each as one whole chunk.

        Raises:
            InvalidInput: a request cannot be answered; then none is.
            FettleError: a request failed on the way.
        """
        asked = [(f"generate-{place}", request) for place, request in enumerate(requests)]
        try:
            for request_id, request in asked:
                for index in range(request.num_choices):
                    self.add(request_id, request, adapter=adapter, index=index)
            whole = self._run_to_end()
        finally:
            for request_id, _ in asked:
                self.abort(request_id)
        return [[whole[name, index] for index in range(request.num_choices)] for name, request in asked]

    def _run_to_end(self) -> dict[tuple[str, int], GenerateChunk]:
        parts: dict[tuple[str, int], list[GenerateChunk]] = {}
        while self.has_work:
            for chunk in self.step():
                if chunk.error:
                    raise FettleError(chunk.error)
                parts.setdefault((chunk.request_id, chunk.index), []).append(chunk)
        return {key: _joined(chunks) for key, chunks in parts.items()}

    def stats(self) -> dict[str, Any]:
        """Counters and gauges by name."""
        return {
            "running": len(self._scheduler.running),
            "waiting": self._scheduler.num_waiting,
            "preemptions": self._scheduler.num_preemptions,
            "blocks": self._blocks.num_blocks,
            "blocks_free": self._blocks.num_free,
            "blocks_kept": self._blocks.num_kept,
            "adapters": len(self._adapters.names),
            "adapters_resident": self._adapters.num_resident,
            "adapters_in_use": self._adapters.num_in_use,
            "adapter_bytes": self._adapters.resident_bytes,
            **self._counts,
        }

    def _check(self, prompt: Seq[int], sampling: SamplingParams, room: int) -> None:
        size = self._config.vocab_size
        if not prompt:
            raise InvalidInput("the prompt is empty", hint="Give at least one token.", param="prompt")
        if strays := sorted({token for token in (*prompt, *sampling.logit_bias) if not 0 <= token < size}):
            raise InvalidInput(f"token ids {strays[:5]} are not in the vocabulary of {size} tokens", param="token_ids")
        if len(prompt) >= room:
            raise InvalidInput(
                f"the prompt has {len(prompt)} tokens; prompt and answer together may have {room}",
                hint="Shorten the prompt.",
                param="prompt",
            )

    def _prefix(self, scope: str, adapter: PooledAdapter | None) -> PrefixKeys:
        number, num_virtual = (adapter.number, adapter.num_virtual_tokens) if adapter else (0, 0)
        size = self._blocks.block_size
        return PrefixKeys(scope=scope, adapter=number, num_virtual=num_virtual, block_size=size)

    def _ends(self, sampling: SamplingParams) -> frozenset[int]:
        return frozenset(sampling.stop_token_ids) | (frozenset() if sampling.ignore_eos else self._end_ids)

    def _grammar(self, grammar: Grammar | None, end_ids: frozenset[int]) -> GrammarState | None:
        # A token of text that a request ends with is where the grammar has it; only control tokens are beside it.
        ends = end_ids & (self._end_ids | self._tokenizer.special_ids)
        return None if grammar is None else self._grammars.begin(grammar, ends)

    def _outputs(self, pieces: Seq[Piece], chunks: list[GenerateChunk]) -> list[Output]:
        """What the pieces give; when they fail together each is tried alone, so that only the guilty one ends."""
        if not pieces:
            return []
        try:
            output = self._runner.run(pieces)
        except Exception as error:
            log.exception("a step of %d pieces failed", len(pieces))
            if len(pieces) == 1:
                chunks.append(self._failed(pieces[0].sequence, error))
                return []
            return [output for piece in pieces for output in self._alone(piece, chunks)]
        for piece in pieces:
            self._scheduler.computed(piece)
        return [output]

    def _alone(self, piece: Piece, chunks: list[GenerateChunk]) -> list[Output]:
        """What one piece of a failed step gives; nothing yet, if it reads what another one failed to compute."""
        if self._scheduler.is_sound(piece):
            return self._outputs([piece], chunks)
        self._scheduler.put_back(piece.sequence)
        return []

    def _advance(self, output: Output) -> list[GenerateChunk]:
        for piece, logits in output.scored:
            self._score_prompt(piece, logits)
        logits = masked(output.logits, output.sequences)
        tokens = self._sampler.choose(logits, output.sequences)
        return [
            self._added(sequence, token, logits[row : row + 1])
            for row, (sequence, token) in enumerate(zip(output.sequences, tokens, strict=True))
        ]

    def _score_prompt(self, piece: Piece, logits: Any) -> None:
        sequence = piece.sequence
        if not sequence.num_scored:
            # Nothing comes before the first token.
            sequence.prompt_logprobs.append(self._scorer.entry(sequence.tokens[0], math.nan))
            sequence.num_scored = 1
        # A sequence that had to give way computes again what has been scored already.
        first, last = sequence.num_scored, min(piece.end + 1, sequence.num_prompt)
        if first < last:
            rows = logits[first - 1 - piece.start : last - 1 - piece.start]
            top = sequence.sampling.logprobs or 0
            sequence.prompt_logprobs += self._scorer.score(rows, sequence.tokens[first:last], top)
            sequence.num_scored = last

    def _added(self, sequence: Sequence, token: int, logits: Any) -> GenerateChunk:
        try:
            if token == NO_TOKEN:
                raise _no_token(sequence)
            wanted = sequence.sampling.logprobs
            logprobs = () if wanted is None else tuple(self._scorer.score(logits, [token], wanted))
            text, reason = sequence.add(token)
        except Exception as error:  # noqa: BLE001 - it is this request's alone
            return self._failed(sequence, error)
        self._counts["completion_tokens"] += 1
        if sequence.num_made == 1:
            self._counts["prompt_tokens"] += sequence.num_prompt
            self._counts["cached_tokens"] += sequence.num_cached or 0
        if reason:
            self._counts["finished"] += 1
            self._close(sequence)
        return _chunk(sequence, text, (token,), logprobs, reason)

    def _failed(self, sequence: Sequence, error: Exception) -> GenerateChunk:
        if not isinstance(error, FettleError):
            log.error("a request failed", exc_info=error)
            error = FettleError("the engine failed on this request; that is a bug, and its log says where")
        self._counts["failed"] += 1
        self._close(sequence)
        return _chunk(sequence, "", (), (), "abort", error)

    def _close(self, sequence: Sequence) -> None:
        del self._open[sequence.request_id, sequence.index]
        self._scheduler.remove(sequence)


def _random(seed: int | None, index: int) -> Random:
    """Each choice's own random numbers; a seeded one gives the same tokens in any batch."""
    return Random(f"{secrets.randbits(64) if seed is None else seed}:{index}")


def _no_token(sequence: Sequence) -> FettleError:
    if sequence.grammar is not None and sequence.grammar.error:
        return FettleError(f"the answer's grammar cannot be followed any further: {sequence.grammar.error}")
    return FettleError("the model's output is not a number; its weights or its adapter are damaged")


def _chunk(
    sequence: Sequence,
    text: str,
    token_ids: tuple[int, ...],
    logprobs: tuple[TokenLogprob, ...],
    reason: FinishReason | None,
    error: FettleError | None = None,
) -> GenerateChunk:
    scored, sequence.prompt_logprobs = tuple(sequence.prompt_logprobs), []
    # Without validation: this is made for every token, from what the engine itself knows.
    return GenerateChunk.model_construct(
        request_id=sequence.request_id,
        index=sequence.index,
        text=text,
        token_ids=token_ids,
        logprobs=logprobs,
        prompt_logprobs=scored,
        finish_reason=reason,
        prompt_tokens=sequence.num_prompt,
        completion_tokens=sequence.num_made,
        cached_tokens=sequence.num_cached or 0,
        error_code=error.code if error else "",
        error=str(error) if error else "",
    )


def _joined(chunks: Seq[GenerateChunk]) -> GenerateChunk:
    """One chunk that says what these say one after the other."""
    return chunks[-1].model_copy(
        update={
            "text": "".join(chunk.text for chunk in chunks),
            "token_ids": tuple(token for chunk in chunks for token in chunk.token_ids),
            "logprobs": tuple(one for chunk in chunks for one in chunk.logprobs),
            "prompt_logprobs": tuple(one for chunk in chunks for one in chunk.prompt_logprobs),
        }
    )
