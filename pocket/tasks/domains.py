"""Requests of many domains as templates: `(a|b|)` is a choice, `[slot]` an entity."""

from dataclasses import dataclass

from pocket.tasks import entities as e
from pocket.tasks.entities import Maker, listed


@dataclass(frozen=True)
class Slot:
    """A part of a request: what makes it, names for its key, and what it means."""

    make: Maker
    keys: tuple[str, ...]
    about: str


@dataclass(frozen=True)
class Intent:
    """One thing that people ask for, and how they say it."""

    domain: str
    name: str
    templates: tuple[str, ...]


def _slot(make: Maker, keys: str, about: str) -> Slot:
    return Slot(make, tuple(keys.split("/")), about)


ALIKE = tuple(
    frozenset(group.split())
    for group in (
        "song album playlist book film title",
        "artist author director person other",
        "city place country origin destination",
        "date end_date year",
        "genre book_genre film_genre",
        "task message subject phrase",
        "hotel restaurant cinema room_name room",
        "account to_account",
        "company carrier airline service",
        "code parcel flight",
        "item device vehicle media",
        "rating best people quantity percent weight size",
        "time duration",
        "amount currency",
        "email phone",
        "kind cuisine dish",
    )
)
"""Slots that a reader could take for each other; one that a text lacks is not asked for beside one that it has."""

SLOTS: dict[str, Slot] = {
    "song": _slot(e.title, "song/track/song title/piece/tune", "the piece of music"),
    "album": _slot(e.title, "album/record/album name/release", "the album"),
    "artist": _slot(e.artist, "artist/performer/musician/band/singer", "who plays or sings it"),
    "playlist": _slot(e.playlist, "playlist/list/list name/target list", "the list it goes to"),
    "genre": _slot(listed("genre"), "genre/style/music genre", "the style of music"),
    "service": _slot(listed("music_service"), "service/app/platform/player", "the app to use"),
    "year": _slot(e.year, "year/release year/period", "the year"),
    "book": _slot(e.title, "book/title/work/book title", "the title of the book"),
    "author": _slot(e.person, "author/writer/written by", "who wrote it"),
    "book_genre": _slot(listed("book_genre"), "genre/category/shelf", "the kind of book"),
    "film": _slot(e.title, "film/movie/title/film title", "the title of the film"),
    "director": _slot(e.person, "director/directed by/filmmaker", "who directed it"),
    "film_genre": _slot(listed("movie_genre"), "genre/film genre/kind", "the kind of film"),
    "cinema": _slot(listed("cinema"), "cinema/theatre/house/venue", "the cinema"),
    "rating": _slot(e.rating, "rating/score/stars/points", "how many stars or points"),
    "best": _slot(e.best_rating, "out of/maximum/scale/top score", "the best score"),
    "media": _slot(listed("media_kind"), "type/media/format/kind", "what kind of work it is"),
    "city": _slot(e.city, "city/town/location/place/where", "the city"),
    "place": _slot(e.place, "place/location/area/region/where", "the place"),
    "country": _slot(e.country, "country/nation/land", "the country"),
    "origin": _slot(e.city, "origin/from/departure city/start/from city", "where it starts"),
    "destination": _slot(e.city, "destination/to/arrival city/going to/to city", "where it ends"),
    "date": _slot(e.date, "date/day/when/on date", "the day"),
    "end_date": _slot(e.date, "end date/return date/until/checkout/back on", "the last day"),
    "time": _slot(e.clock, "time/at/hour/start time/at time", "the time of day"),
    "duration": _slot(e.duration, "duration/length/how long/for time", "how long"),
    "airline": _slot(listed("airline"), "airline/carrier/operator", "the airline"),
    "class": _slot(listed("travel_class"), "class/cabin/travel class", "the travel class"),
    "flight": _slot(e.flight, "flight/flight number/service number", "the flight or train number"),
    "vehicle": _slot(listed("vehicle"), "vehicle/mode/transport", "the means of transport"),
    "hotel": _slot(e.venue, "hotel/property/accommodation/place name", "the hotel"),
    "restaurant": _slot(e.venue, "restaurant/place name/venue/house", "the restaurant"),
    "kind": _slot(listed("restaurant_kind"), "venue type/kind of place/establishment/sort", "the kind of place"),
    "cuisine": _slot(listed("cuisine"), "cuisine/food type/kitchen/food style", "the kind of food"),
    "dish": _slot(listed("dish"), "dish/food/meal/item", "what to eat"),
    "people": _slot(e.small_number, "people/guests/number of people/seats", "how many people"),
    "condition": _slot(listed("weather"), "condition/weather/forecast/sky", "the kind of weather"),
    "temperature": _slot(e.temperature, "temperature/degrees/target/setting", "the temperature"),
    "room": _slot(listed("room"), "room/location/zone/where", "the room"),
    "device": _slot(listed("device"), "device/appliance/thing/gadget", "the device"),
    "color": _slot(listed("color"), "color/colour/shade", "the colour"),
    "percent": _slot(e.percent, "level/percentage/brightness/amount", "the level"),
    "person": _slot(e.somebody, "person/contact/name/who/recipient", "the person"),
    "other": _slot(e.first_name, "with/second person/other person/companion", "the other person"),
    "meeting": _slot(listed("meeting"), "event/meeting/title/subject/appointment", "what happens"),
    "room_name": _slot(listed("room_name"), "room/venue/location/meeting room", "where they meet"),
    "task": _slot(e.phrase, "task/reminder/note/text/todo", "what to remember"),
    "message": _slot(e.phrase, "message/body/content/text", "what to say"),
    "subject": _slot(e.phrase, "subject/topic/title/about", "what it is about"),
    "email": _slot(e.email, "email/email address/mail/contact email", "the e-mail address"),
    "phone": _slot(e.phone, "phone/phone number/number/mobile", "the telephone number"),
    "account": _slot(listed("account"), "account/from account/source account/card", "the account"),
    "to_account": _slot(listed("account"), "to account/target account/destination account", "the account it goes to"),
    "amount": _slot(e.amount, "amount/sum/value/price/total", "how much money"),
    "currency": _slot(listed("currency"), "currency/to currency/money", "the currency"),
    "company": _slot(e.company, "company/firm/business/merchant/organisation", "the company"),
    "doctor": _slot(listed("doctor"), "doctor/specialist/provider/doctor type", "which kind of doctor"),
    "symptom": _slot(listed("symptom"), "symptom/complaint/reason/problem", "what hurts"),
    "code": _slot(e.code, "order/order number/reference/number/booking/id", "the number of the order"),
    "parcel": _slot(e.code, "parcel/tracking number/shipment/tracking id", "the number of the parcel"),
    "carrier": _slot(listed("carrier"), "courier/shipping company/delivered by", "who delivers"),
    "address": _slot(e.address, "address/street/deliver to/street address", "the street address"),
    "weight": _slot(e.weight, "weight/size/quantity/measure", "how heavy or large it is"),
    "item": _slot(e.product, "item/product/article/goods/thing", "the thing"),
    "size": _slot(listed("size"), "size/fit/dimension", "the size"),
    "material": _slot(listed("material"), "material/made of/fabric", "what it is made of"),
    "quantity": _slot(e.small_number, "quantity/count/how many/units", "how many"),
    "department": _slot(listed("department"), "department/team/unit/division", "the department"),
    "document": _slot(listed("document"), "document/file/paper/attachment", "the document"),
    "job": _slot(listed("job"), "job/role/position/profession", "the job"),
    "language": _slot(listed("language"), "language/target language/tongue", "the language"),
    "title": _slot(e.title, "title/name/label/called", "its name"),
    "phrase": _slot(e.phrase, "phrase/words/query/search text", "the words"),
}  # fmt: skip
"""Every slot by its name in the templates."""

_REQUESTS = """
music: play music
(please |can you |i want to hear |)play [song] by [artist]( on [service]|)
(put on|start|i'd like) some [genre]( music|) from [year]
play the album [album]( by [artist]|)( using [service]|)
(let me hear|i want to listen to|play me) [artist]( from the [genre] section|)
(open [service] and |)play [song]
music: add to list
add [song]( by [artist]|) to (my|the) [playlist]( playlist|)
put [artist] (on|in|onto) (my |)[playlist]
(i want|i'd like) [song] (added to|in) the playlist (called |named |)[playlist]
(could you |)include the track [song] in [playlist]
save [song] (for later |)in [playlist]
music: create list
(create|make|start) a (new |)playlist (called|named) [playlist]( with [genre]|)
i need a new [genre] list (for|called) [playlist]
music: song info
who (sings|wrote|recorded) [song]
which album has [song]( by [artist]|)
when did [artist] release [album]
library: find book
(find|look for|search for) (the book|a copy of|the novel) [book]( by [author]|)
do you have anything by [author]
is [book] (available|in the library)( in [language]|)
(show me|recommend) a [book_genre] (book|novel)( in [language]|)
library: borrow book
(i want to|may i|can i) (borrow|reserve) [book]( until [end_date]|)( under the name [person]|)
(renew|extend) (my loan of |)[book] (for|by) [duration]
films: film times
(when|what time) is [film] (playing|showing|on)( at [cinema]|)( on [date]|)
(find|show|list) (the |)(showings|times|screenings) (of|for) [film]( in [city]|)
which films (are on|are showing|play) (at|in) the [cinema]( [date]|)
is there a [film_genre] (film|movie) (on|playing) (near|in) [city]
films: book seats
(book|reserve|get me) [people] (tickets|seats) for [film]( at [cinema]|)( at [time]|)
i need [people] tickets to [film] on [date]
films: film info
who directed [film]
(tell me about|what is) the [film_genre] film (by|from) [director]
how long is [film]( by [director]|)
travel: book flight
(i want to|i need to|please|) (fly|book a flight) from [origin] to [destination]( on [date]|)( with [airline]|)
(get|find) me a [class] (seat|ticket) to [destination]( leaving [date]|)
book (a flight|[airline]) from [origin] to [destination] (departing|on) [date] (returning|and back) [end_date]
are there flights (to [destination] from [origin]|from [origin] to [destination])( in [class]|)
travel: book hotel
(book|reserve) [hotel] in [city] (from|starting) [date] (to|until) [end_date]
i need a (room|bed) in [city] for [people] (people|guests)( for [duration]|)
(find|get) me a hotel (near|in) [city]( for [date]|)
travel: rent vehicle
(rent|hire|book) a [vehicle] in [city]( for [duration]|)( from [company]|)
(i need|get me) a [vehicle] (to|going to) [destination] at [time]
travel: flight status
(is|when does) flight [flight] (on time|land|leave)( today|)
(check|what is) the status of [flight]( from [origin]|)( on [date]|)
weather: get weather
(what is|what's|how is|tell me) the (weather|forecast) (in|for|near) [place]( on [date]|)
will (there be|we get|it bring) [condition] in [place]( [date]|)
(will it be|is it going to be) [temperature] in [place]( at [time]|)
do i need an umbrella in [place] (on [date]|at [time])
how (cold|hot|windy) (will it be|is it) (in|around) [place] [date]
is [condition] (expected|coming|likely) (in|near) [place]( on [date]|)
weather: weather alert
(warn|tell|alert) me (if|when) (there is|we expect) [condition] in [place]
(set|create) a weather alert for [condition] (in|near) [place]
restaurants: book table
(book|reserve|get) (me |)a table for [people] at [restaurant]( at [time]|)( on [date]|)
i (want|need|would like) to (eat|have) [cuisine] (food |)in [city] (with [people] people|[date])
(find|book) a [kind] (that serves|serving|with) [dish] (in|near) [city]( for [people]|)
make a reservation (at|for) [restaurant] in [city]( for [people]|)( at [time]|)
(we are [people]|party of [people]) and want a [cuisine] [kind] (near|in) [city]
[person] and [other] (will|want to) eat at [restaurant] (on|this) [date]
restaurants: order food
(i'd like to order|order|can i have) [quantity] [dish]( from [restaurant]|)( to [address]|)
(deliver|send|bring) [dish] to [address]( at [time]|)
restaurants: review place
[restaurant] in [city] (was|is) (great|awful|fine), [rating] stars
(rate|score) [restaurant] [rating] out of [best]
home: switch device
(turn|switch) (on|off) the [device] in the [room]
(turn|switch) the [room] [device] (on|off)( at [time]|)
(please |)(start|stop) the [device]( in the [room]|)( for [duration]|)
home: set level
(set|change|turn) the [room] (lights|lamp) to [percent]
make the [device] in the [room] [color]
(set|put|raise|lower) the (heating|temperature) (in the [room] |)to [temperature]
(dim|brighten) the [room] to [percent]
home: schedule device
(run|start) the [device] at [time]( every [date]|)( for [duration]|)
(wake me|set an alarm) (at|for) [time]( on [date]|)
calendar: add event
(schedule|add|put|create) a [meeting] with [person] (on|for) [date]( at [time]|)
(put|enter) [meeting] in my calendar (on|for) [date]( at [time]|)( in [room_name]|)
(plan|set up) a [duration] [meeting] (with|for) [person]( at [time]|)
(book|reserve) [room_name] for the [meeting] (on|at) [date]
calendar: move event
(move|push|shift) the [meeting] (to|until) [date]( at [time]|)
(reschedule|delay) my [meeting] with [person] to [time]
calendar: cancel event
(cancel|delete|remove) (my |the )[meeting]( with [person]|)( on [date]|)
(i can't make|i will miss) the [meeting] (on|at) [date]
calendar: set reminder
remind me to [task] (on|at) [date]( at [time]|)
(set|add|make) a reminder (to|saying) [task]( for [date]|)
(don't let me forget|remember) to [task]
banking: transfer money
(transfer|send|move) [amount] from (my |)[account] to (my |)[to_account]
(pay|send|wire) [amount] to [person]( from my [account]|)( on [date]|)
(please |)send [person] [amount]( for [subject]|)
banking: check balance
(what is|how much is) (on|in) my [account]
(show|tell me) the balance of (my |the )[account]( in [currency]|)
banking: report charge
(there is|i see) a (strange|double|wrong) charge of [amount] from [company]( on [date]|)
[company] (charged|billed) me [amount] (twice|by mistake)( on my [account]|)
banking: exchange rate
how (much|many [currency]) is [amount]( in [currency]|)
(change|convert) [amount] (to|into) [currency]
health: book appointment
(i need|book|make) an appointment with (a|the) [doctor]( on [date]|)( at [time]|)
can i see a [doctor] about (my |a )[symptom]( on [date]|)
my [symptom] (is getting worse|won't go away), (is there a|i want a) [doctor] free [date]
(see|visit) [person] (for|about) [symptom] at [time]
health: report symptom
i (have|have had) (a |)[symptom] (for|since) [duration]
[person] (has|complains of|woke up with) (a |)[symptom]( since [date]|)
logistics: track parcel
where is (my |)(parcel|package|shipment) [parcel]
(track|check) [parcel]( with [carrier]|)
has [carrier] (delivered|picked up) (parcel |)[parcel]( to [address]|)( yet|)
logistics: ship parcel
(ship|send) [quantity] (boxes|crates|pallets) of [weight] from [origin] to [destination]( with [carrier]|)
(pick up|collect) (a parcel|[item]) (from|at) [address] (on|at) [date]
(send|deliver) [item] to [person], [address]( by [date]|)
logistics: change address
(change|correct) the (delivery |)address (of|for) [code] to [address]
(deliver|bring) (order |)[code] to [address] instead
shopping: search item
(i am looking for|find|show me|do you sell) (a |)[item] (in|made of) [material]( under [amount]|)
(do you have|is there) (a |)[item] in [color]( and [size]|)
(search for|look up) [item]( below [amount]|)( in [size]|)
shopping: buy item
(buy|order|add to my cart) [quantity] [item]( in [color]|)( for [amount]|)
i('ll take| want| will have) [quantity] of the [item], [size]
shopping: return item
(i want to return|return|send back) (the |my )[item]( from order [code]|)
(the |my )[item] (is too small|broke|does not fit), (please |)refund [amount]
(i would like to|can i) exchange (the |my )[item] (from|in) (order |)[code]( for [size]|)
shopping: price question
how much (is|does) (the |a )[item]( cost|)( in [color]|)
is the [item] (cheaper|on sale) (than [amount]|on [date])
office: send message
(send|write) (a message|an email) to [email] (saying|that says) [message]
(tell|text|message) [person] (that |)[message]
(email|write) [person] about [subject]( and attach the [document]|)
(call|ring|phone) [person]( on [phone]|)( at [time]|)
office: find document
(find|open|show me) the [document] (from|by) [person]( of [date]|)
(where is|i need) the [document] (for|about) [subject]
(search|look) for [phrase] in the [document]
office: ask department
(who|which person) (leads|runs) the [department] (team|department)( in [city]|)
(forward|send) the [document] to [department]( by [date]|)
(connect me to|i want to talk to|put me through to) [department]( about [subject]|)
office: translate text
(translate|say) [phrase] (to|into|in) [language]
how do you say [phrase] in [language]
shopping: review item
(my |the )[item] (gets|earns|is worth) [rating] (stars|points)( out of [best]|)
(write|leave) a review for (the |)[item]: [rating] (stars|of [best])
(my score for|i score) the [item]( from [company]|) (is |)[rating]
library: reserve media
(keep|hold|set aside) the [media] [title] for [person]( until [end_date]|)
(has|did) anyone (returned|bring back) [title]( yet|)
(the |)[media] [title] (is overdue|was lost)( since [date]|)
support: report problem
(my |the )[item] (stopped working|won't turn on|makes a strange noise) (after [duration]|since [date])
(order |)[code] (arrived|came) (damaged|broken|incomplete)( on [date]|)
[item] from order [code] (is missing|never came)
bookings: change booking
(change|move) (booking|reservation) [code] to [date]( at [time]|)
(cancel|drop) (booking |reservation |)[code]( for [person]|)
profile: contact details
(my new|change my) (phone number|number) (is|to) [phone]
(update|set) (my |the )email (of|for) [person] to [email]
(i moved|we moved), (my|our) (new |)address is [address] in [city]
"""

_RECORDS = """
people: employee
[person], (a |)[job] (at|with) [company] in [city], can be reached at [email](. Telephone: [phone]|).
[company] has (appointed|hired) [person] as [job](, starting [date]|)(. The office is in [city]|).
On [date], [person] (joined|left) the [department] department of [company].
people: contact
Please contact [person] ([email]|[phone]) (about|regarding) the [document](. Office: [address]|).
Name: [person]\\nAddress: [address], [city]\\nPhone: [phone](\\nE-mail: [email]|)
business: invoice
Invoice [code] (of|dated) [date] for [amount] (is due|must be paid) by [end_date](. Pay to: [company]|).
[company] billed [amount] for [quantity] [item]. Reference [code](, due [end_date]|).
Dear [person], your payment of [amount] for invoice [code] (has arrived|was received)( on [date]|).
business: order
Order [code]: [quantity] x [item], [amount], (ship|deliver) to [address], [city].
Thank you, [person]! Your order [code] of [item] (ships|will arrive) on [date]( with [carrier]|).
business: agreement
This agreement of [date] between [company] and [person] (runs|lasts) for [duration]( and is worth [amount]|).
[company] of [city] will deliver [weight] of [material] to [address] by [date].
events: announcement
[meeting] (with|by) [person] on [date] at [time], [room_name](. Tickets cost [amount]|).
(Join us|You are invited) for a [meeting] at [restaurant], [address], [city], on [date]( at [time]|).
The [meeting] of the [department] department (moves|has been moved) to [room_name] on [date].
events: concert
[artist] (plays|performs) [album] live in [city] on [date](, doors open at [time]|)(, tickets [amount]|).
The [film_genre] film "[film]" by [director] (opens|premieres) in [country] on [date].
"[book]" by [author] is a [book_genre] book (published in|from) [year](, translated into [language]|).
travel: itinerary
[airline] flight [flight] leaves [origin] at [time] and (lands|arrives) in [destination] on [date](, [class]|).
[person] stays at [hotel], [city], from [date] to [end_date]( for [amount]|).
A [vehicle] will (collect|pick up) [person] at [address] at [time].
health: note
Patient [person] reports (a |)[symptom] for [duration](; referred to the [doctor]|)(; next visit [date]|).
[person] (has|had) an appointment with the [doctor] on [date] at [time](, reference [code]|).
logistics: shipment
Shipment [parcel] ([weight]) left [origin] on [date] and (goes|travels) to [destination]( with [carrier]|).
[carrier] will deliver parcel [parcel] to [address] between [time] and the evening of [date].
goods: listing
For sale: [item], [color], [material], [amount](. Call [phone]|).
[item] ([weight], [size]) from [company], now [amount]( until [end_date]|).
news: report
[person], a [job] from [city], (won|lost|found) [amount] on [date].
(The mayor of|A court in) [city] (fined|praised) [company] (on|last) [date], [person] said.
weather: bulletin
[condition] (expected|likely) in [place] on [date], up to [temperature].
"""


def _parse(text: str) -> list[Intent]:
    """Intents from lines `domain: name` followed by their templates."""
    found: list[tuple[str, str, list[str]]] = []
    for line in text.strip().splitlines():
        head, colon, tail = line.partition(": ")
        if colon and head.isalpha() and head.islower() and "[" not in tail:
            found.append((head, tail, []))
        else:
            found[-1][2].append(line.replace("\\n", "\n"))
    return [Intent(domain, name, tuple(templates)) for domain, name, templates in found]


REQUESTS = _parse(_REQUESTS)
"""Spoken-style requests."""

RECORDS = _parse(_RECORDS)
"""Written facts: notices, invoices, notes."""
