"""An engine worker without a model: it answers with the words of the prompt; some words are orders."""

import os
import sys
from pathlib import Path

from fettle.clusters.frames import Abort, AddAdapter, Close, Generate, RemoveAdapter, Stats, ToWorker
from fettle.clusters.link import LinkClosed, WorkerLink
from fettle.errors import InvalidInput, UnsupportedModel
from fettle.types.engine import EngineSpec
from fettle.types.generation import GenerateChunk, TokenLogprob

spec = EngineSpec.model_validate_json(Path(sys.argv[1]).read_text())
link = WorkerLink.from_fd(spec.link_fd)
aborted: list[str] = []
adapters: list[str] = []
held: list[Generate] = []


def said(frame: Generate) -> str:
    """The prompt, or the last turn of a conversation."""
    turns = frame.request.messages or ()
    return frame.request.text or (turns[-1].content if turns else "")


def chunks_of(frame: Generate) -> list[GenerateChunk]:
    words = said(frame).split()
    return [
        GenerateChunk(
            request_id=frame.id,
            index=index,
            text=word,
            token_ids=(number,),
            logprobs=(TokenLogprob(token_id=number, token=word, logprob=-0.5, top=((number, word, -0.5),)),),
            finish_reason="stop" if number == len(words) - 1 else None,
            prompt_tokens=len(words),
            completion_tokens=number + 1,
        )
        for number, word in enumerate(words)
        for index in range(frame.request.num_choices)
    ]


def generate(frame: Generate) -> None:
    text = said(frame)
    if text == "die":
        print("last words of the engine", file=sys.stderr, flush=True)
        os.kill(os.getpid(), 9)
    if text == "refuse":
        link.fail(frame.id, InvalidInput("this cannot be done", hint="do another", param="text"))
    elif text.startswith("hold"):
        held.append(frame)
        link.send_chunks([GenerateChunk(request_id=frame.id, text="holding")])
    elif frame.adapter and frame.adapter not in adapters:
        link.fail(frame.id, InvalidInput(f"no adapter {frame.adapter}"))
    elif text == "adapter?":
        link.send_chunks([GenerateChunk(request_id=frame.id, text=frame.adapter or "none", finish_reason="stop")])
    else:
        for chunk in chunks_of(frame):
            link.send_chunks([chunk])


def handle(frame: ToWorker) -> None:
    match frame:
        case Generate():
            generate(frame)
        case Abort(request_id):
            aborted.append(request_id)
        case AddAdapter(frame_id, name, folder):
            if not Path(folder).is_dir():
                link.fail(frame_id, UnsupportedModel(f"{folder} is no adapter"))
                return
            adapters.append(name)
            link.reply(frame_id)
        case RemoveAdapter(frame_id, name):
            adapters.remove(name)
            link.reply(frame_id)
        case Stats(frame_id):
            link.reply(frame_id, {"aborted": len(aborted), "adapters": len(adapters), "pid": os.getpid()})
        case Close():
            for request in held:
                link.send_chunks([GenerateChunk(request_id=request.id, text="end", finish_reason="stop")])
            sys.exit(0)


if not Path(spec.model_path).is_dir():
    print("there is no model", file=sys.stderr, flush=True)
    link.fail("", UnsupportedModel(f"{spec.model_path} is no model"))
    sys.exit(2)
link.ready({"name": spec.name})
try:
    while True:
        for one in link.receive():
            handle(one)
except LinkClosed:
    sys.exit(0)
