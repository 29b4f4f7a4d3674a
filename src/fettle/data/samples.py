"""Example data that needs no download: support requests and the ticket each becomes, the same for the same seed."""

import json
import random
import re
from collections.abc import Iterator

CATEGORIES = ("delivery", "damage", "billing", "account", "technical", "information")
PRIORITIES = ("low", "normal", "high", "urgent")
ACTIONS = ("refund", "replace", "track", "cancel", "call_back", "explain")


def _items(text: str) -> list[str]:
    """What commas separate; line breaks mean nothing."""
    return text.replace("\n", "").split(",")


_BRANDS = _items("""Abelo,Arvik,Bontra,Calyx,Corvo,Deltra,Elmwood,Fenwick,Galvo,Harrow,Ikara,Jutland,Kestrel,
Lumina,Marlow,Nordek,Orbis,Palmira,Quillon,Ravello,Solano,Tamarack,Umbra,Vantor,Westbay,Xandra,Yarrow,Zephyr""")
_THINGS = _items("""air fryer,alarm clock,backpack,bike light,blender,bread maker,camera,coffee machine,
cordless drill,desk lamp,dishwasher,door lock,drone,e-reader,electric kettle,fan heater,fitness tracker,
food processor,game controller,garden pump,hair dryer,headphones,induction hob,keyboard,label printer,laptop,
laser printer,lawn mower,microphone,microwave,monitor,office chair,phone case,power bank,pressure cooker,projector,
record player,rice cooker,robot vacuum,router,sewing machine,shower head,sleeping bag,smart plug,smart watch,
soundbar,standing desk,steam iron,tablet,tent,thermostat,toaster,toothbrush,travel mug,turntable,umbrella,
vacuum cleaner,video doorbell,walking boots,washing machine,water filter,weather station,webcam,wine cooler,yoga mat""")
_COLORS = ["black", "white", "red", "green", "blue", "silver", "grey", "yellow"]

_PROBLEMS: dict[str, tuple[str, ...]] = {
    "delivery": (
        "my {p}{o} has not arrived yet", "the {p}{o} should have been here last week",
        "i am still waiting for the {p}{o}",
        "the parcel with the {p}{o} never came", "the tracking page for the {p}{o} has not changed in days",
        "the courier left no note and the {p}{o} is nowhere to be found", "the {p}{o} seems to be lost in the mail",
        "your driver took the {p}{o} to the wrong address", "the shipment with my {p}{o} is late again",
    ),
    "damage": (
        "the {p}{o} arrived broken", "there is a deep crack in the {p}{o}",
        "the box was crushed and the {p}{o} is dented",
        "i unpacked the {p}{o} and it is scratched all over", "one corner of the {p}{o} is smashed",
        "the {p}{o} came with a bent frame", "half of the {p}{o} was in pieces when i opened the package",
        "water got into the package and ruined the {p}{o}", "the {p}{o} came with torn packaging and a chipped edge",
    ),
    "billing": (
        "i was charged twice for the {p}{o}", "the invoice for the {p}{o} shows the wrong amount",
        "you took more money for the {p}{o} than the price on your site",
        "my discount code was not applied to the {p}{o}",
        "there is a fee on my card for the {p}{o} that i do not recognise",
        "the bill for the {p}{o} includes tax that i do not owe",
        "my card was debited two times for the {p}{o}", "the price of the {p}{o} on the receipt is too high",
    ),
    "account": (
        "i cannot log in to register my {p}{o}", "my password no longer works so i cannot see the {p}{o}",
        "the {p}{o} does not show up in my account", "my profile lists the {p}{o} under an old email address",
        "i am locked out of my account and need to manage the {p}{o}",
        "the verification code for my {p}{o} login never comes",
        "somebody else's name is on the account where i registered the {p}{o}",
        "i can't sign in to the page for my {p}{o}",
    ),
    "technical": (
        "the {p}{o} does not turn on any more", "my {p}{o} keeps losing its connection",
        "the {p}{o} freezes after a few minutes",
        "since the last update the {p}{o} shows an error", "the {p}{o} makes a loud noise and stops",
        "my {p}{o} will not charge",
        "the app cannot find the {p}{o}", "the display of the {p}{o} stays dark",
        "the {p}{o} restarts by itself all the time",
    ),
    "information": (
        "i have a question about the warranty of the {p}{o}", "i would like to know whether the {p}{o} works abroad",
        "the manual for the {p}{o} does not say how to clean it", "i wonder which spare parts fit the {p}{o}",
        "can the {p}{o} be used outdoors", "how long does the guarantee for the {p}{o} last",
        "is there a longer cable for the {p}{o}", "which batteries does the {p}{o} take",
    ),
}  # fmt: skip

_REQUESTS: dict[str, tuple[str, ...]] = {
    "refund": (
        "please give me my money back", "i want a refund", "kindly return the amount to my card",
        "i expect to be reimbursed",
        "please pay me back in full", "a refund would be best", "can i get my money back",
    ),
    "replace": (
        "please send me a new one", "i would like a replacement", "can you swap it for another one",
        "i want it exchanged",
        "please ship a fresh unit", "could i get another one instead", "please replace it",
    ),
    "track": (
        "please find out where it is", "can you tell me its current location", "could you trace it",
        "please check with the carrier",
        "where is it right now", "let me know when it will get here", "please look up its status",
    ),
    "cancel": (
        "please cancel the whole thing", "i want to call off the purchase", "just cancel it",
        "i no longer want it so please cancel",
        "please stop the order", "kindly void the purchase", "take me off the list and cancel",
    ),
    "call_back": (
        "please call me", "can someone phone me about this", "i would rather talk to a person so please ring me",
        "give me a call", "could an agent telephone me", "i'd like to be called back", "please have somebody phone me",
    ),
    "explain": (
        "please tell me what to do", "can you explain this to me", "what are the next steps",
        "please write me how this works",
        "i would be glad about instructions", "could you clarify that by email", "please describe how to solve this",
    ),
}  # fmt: skip

_FITTING: dict[str, tuple[str, ...]] = {
    "delivery": ("track", "track", "cancel", "refund", "replace", "call_back"),
    "damage": ("replace", "refund", "call_back", "explain"),
    "billing": ("refund", "explain", "call_back", "cancel"),
    "account": ("explain", "call_back", "cancel"),
    "technical": ("explain", "replace", "refund", "call_back"),
    "information": ("explain", "call_back"),
}
"""Which actions people ask for in which category."""

_URGENCY: dict[str, tuple[str, ...]] = {
    "low": (
        "there is no rush", "take your time", "it can wait", "whenever you have a moment", "this is not important",
        "no hurry at all", "any time next month is fine",
    ),
    "normal": ("",),
    "high": (
        "please be quick", "i need this solved by the end of the week", "this is the second time i write",
        "i am losing patience",
        "it is meant as a gift for this weekend", "please treat this with priority", "i have waited far too long",
    ),
    "urgent": (
        "this is urgent", "i need an answer today", "it is an emergency", "we cannot work until this is fixed",
        "please act immediately", "this must be solved within the hour", "asap please",
    ),
}  # fmt: skip

_GREETINGS = (
    "",
    "",
    "",
    "hi",
    "hello",
    "good morning",
    "hey there",
    "dear support team",
    "hi team",
    "good evening",
    "to whom it may concern",
)
_CLOSINGS = ("", "", "", "", "thanks", "thank you", "best regards", "cheers", "many thanks in advance", "kind regards")
_ORDER_WORDS = (" (order {})", " from order {}", ", order {},", " ({})", " with order number {}", ", reference {},")
_TYPOS = {
    "received": "recieved", "address": "adress", "please": "pls", "because": "becuase", "definitely": "definately",
    "the": "teh",
    "you": "u", "what": "waht", "with": "wiht", "thank": "thnak", "would": "woud", "another": "anohter",
    "package": "pacakge",
    "account": "acount", "arrived": "arived", "cannot": "cant", "i am": "im", "immediately": "immediatly",
    "does not": "doesnt",
}  # fmt: skip

_DOUBLE_COMMA = re.compile(r",(?=[,.!?\n]| -| and |$)")


def support_tickets(count: int, seed: int) -> Iterator[dict[str, str]]:
    """Pairs of a customer's request and its ticket, no request twice.


      A ticket is one JSON object with `category`, `priority`, `product`, `order_id` and `action`, in this order.
    `product` and `order_id` are copied from the request as they stand there; `order_id` is null where the request
    names none.
    """
    rng = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        prompt, ticket = _support_ticket(rng)
        if prompt not in seen:
            seen.add(prompt)
            yield {"prompt": prompt, "completion": json.dumps(ticket, ensure_ascii=False)}


def _support_ticket(rng: random.Random) -> tuple[str, dict[str, str | None]]:
    """One request and the facts it was made from."""
    category = rng.choice(CATEGORIES)
    action = rng.choice(_FITTING[category])
    priority = rng.choices(PRIORITIES, weights=[2, 4, 2, 2])[0]
    is_lower = rng.random() < 0.3
    product, order_id = _product(rng), _order_id(rng) if rng.random() < 0.65 else None
    if is_lower:
        product, order_id = product.lower(), order_id and order_id.lower()
    text = _letter(rng, category, action, priority, is_lower=is_lower)
    order = rng.choice(_ORDER_WORDS).format(order_id) if order_id else ""
    prompt = _DOUBLE_COMMA.sub("", text.replace("{p}{o}", product + order))
    ticket = {"category": category, "priority": priority, "product": product, "order_id": order_id, "action": action}
    return prompt, ticket


def _letter(rng: random.Random, category: str, action: str, priority: str, *, is_lower: bool) -> str:
    """The request with its product and order still to be filled in."""
    problem, request = rng.choice(_PROBLEMS[category]), rng.choice(_REQUESTS[action])
    urgency = rng.choice(_URGENCY[priority])
    body = [problem, request, urgency] if rng.random() < 0.7 else [urgency, problem, request]
    parts = [rng.choice(_GREETINGS), *body, rng.choice(_CLOSINGS)]
    sentences = [_misspelt(rng, part) for part in parts if part]
    if is_lower:
        return rng.choice([", ", ". ", " - ", "\n"]).join(sentences)
    return " ".join(_sentence(rng, sentence) for sentence in sentences)


def _misspelt(rng: random.Random, sentence: str) -> str:
    """The sentence, one time in six with a common slip; slots are never touched."""
    if rng.random() < 1 / 6:
        found = [word for word in _TYPOS if f" {word} " in f" {sentence} "]
        if found:
            word = rng.choice(found)
            return f" {sentence} ".replace(f" {word} ", f" {_TYPOS[word]} ", 1).strip()
    return sentence


def _sentence(rng: random.Random, words: str) -> str:
    """With a capital and an end mark."""
    words = words.replace(" i ", " I ").replace(" i'd ", " I'd ")
    is_question = words.startswith(("can ", "could ", "how ", "is ", "which ", "where ", "what "))
    end = "?" if is_question else rng.choice([".", ".", ".", "!"])
    return words[0].upper() + words[1:] + end


def _product(rng: random.Random) -> str:
    """A thing, mostly with a brand, a colour or a model."""
    thing, brand = rng.choice(_THINGS), rng.choice(_BRANDS)
    model = f"{rng.choice('ACDEGKMPRSTVX')}{rng.randint(1, 99) * rng.choice([1, 10])}"
    return rng.choice(
        [
            f"{brand} {thing}",
            f"{brand} {thing}",
            f"{brand} {model} {thing}",
            f"{rng.choice(_COLORS)} {thing}",
            f"{brand} {rng.choice(_COLORS)} {thing}",
            f"{thing} {model}",
            f"{brand} {model}",
        ]
    )


def _order_id(rng: random.Random) -> str:
    """An order number of one of four shops."""
    number = rng.randint(10_000, 999_999)
    letters = "".join(rng.choices("ABCDEFGHKLMNPRSTVWX", k=2))
    return rng.choice([f"{letters}-{number}", f"#{number}", f"{number}", f"{letters}{number % 10_000:04}"])
