"""Requests of many domains as templates: `(a|b|)` is a choice, `[slot]` an entity."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Intent:
    """One thing that people ask for, and how they say it."""

    domain: str
    name: str
    templates: tuple[str, ...]


_WHERE = "([city]|[city]|[city](,|) [state]|[city](,|) [country]|[state]|[country]|[country])"
"""What `{where}` stands for: to know a town from a state and a country is most of what placing a request takes."""

_REQUESTS = """
music: play music
(please |can you |i want to hear |)play [song] by [artist]( on [service]|)
(put on|start|i'd like) some [genre]( music|) from [year]
play the album [album]( by [artist]|)( using [service]|)
(let me hear|i want to listen to|play me) [artist]( from the [genre] section|)
(open [service] and |)play [song]
play (the |some |)[order] [music_kind] (by|from|of) [artist]( on [service]|)
play (a |the |)[music_kind] [song]( by [artist]|)
(play|hear|start) [artist] [song]
(play|put on) [order] [genre] (from|of) [year]( on [service]|)
music: add to list
add [song]( by [artist]|) to (my|the) [playlist]( playlist|)
put [artist] (on|in|onto) (my |)[playlist]
(i want|i'd like) [song] (added to|in) the playlist (called |named |)[playlist]
(could you |)include the track [song] in [playlist]
save [song] (for later |)in [playlist]
add (this|the|that) [music_kind]( by [artist]|) to [owner] [playlist]( playlist|)
put [artist]('s [music_kind]|) (on|onto|in) [owner] (playlist |list |)[playlist]
(add|put) [song] (to|onto|in) [owner] [playlist]( playlist|)
(add|put) [artist] (to|onto|in) [owner] [playlist]( playlist|)
(i want|i'd like) (some |)[artist] (in|on) [owner] playlist [playlist]
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
(find|search|look up|show) (me |)the [series_part] [book]( by [author]|)
(i want|show me) the [order] [series_part] (of|by|from) [author]
library: borrow book
(i want to|may i|can i) (borrow|reserve) [book]( until [end_date]|)( under the name [person]|)
(renew|extend) (my loan of |)[book] (for|by) [duration]
films: film times
(when|what time) is [film] (playing|showing|on)( at [cinema]|)( on [date]|)
(find|show|list) (the |)(showings|times|screenings) (of|for) [film]( in {where}|)
which films (are on|are showing|play) (at|in) the [cinema]( [date]|)
is there a [film_genre] (film|movie) (on|playing) (near|in) {where}
(find|show|where is) the [series_part] (called|named|titled|) [film]
(what are|give me) the [order] (films|movie schedules|showings) (at|in|for) [relation] [cinema]
(show|list) (film|movie) times [relation] [city]( on [date]|)
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
(book|reserve) [hotel] in {where} (from|starting) [date] (to|until) [end_date]
i need a (room|bed) in {where} for [people] (people|guests)( for [duration]|)
(find|get) me a hotel (near|in) {where}( for [date]|)
travel: rent vehicle
(rent|hire|book) a [vehicle] in {where}( for [duration]|)( from [company]|)
(i need|get me) a [vehicle] (to|going to) [destination] at [time]
travel: flight status
(is|when does) flight [flight] (on time|land|leave)( today|)
(check|what is) the status of [flight]( from [origin]|)( on [date]|)
weather: get weather
(what is|what's|how is|tell me) the (weather|forecast) (in|for|near) {where}( on [date]|)
will (there be|we get|it bring) [condition] in {where}( [date]|)
(will it be|is it going to be) [temperature] in {where}( at [time]|)
do i need an umbrella in {where} (on [date]|at [time])
how (cold|hot|windy) (will it be|is it) (in|around) {where} [date]
is [condition] (expected|coming|likely) (in|near) {where}( on [date]|)
(what is|what's) the (weather|forecast) (in|for) [city](,|) [state]( on [date]|)
(will it be|is it|how) [condition] (in|at) [city](,|) [country]( at [time]|)
(weather|forecast) (for|in) [state] (on|for) [date]
is there [condition] (in|over) [country]( on [date]|)
(what will|how will) the weather be [relation] [landmark]( in [duration]|)
(tell me|show me) the forecast (of|for) my (current |)(position|location) (for|on) [date]
weather: weather alert
(warn|tell|alert) me (if|when) (there is|we expect) [condition] in {where}
(set|create) a weather alert for [condition] (in|near) {where}
restaurants: book table
(book|reserve|get) (me |)a table for [people] at [restaurant]( at [time]|)( on [date]|)
i (want|need|would like) to (eat|have) [cuisine] (food |)in {where} (with [people] people|[date])
(find|book) a [kind] (that serves|serving|with) [dish] (in|near) {where}( for [people]|)
make a reservation (at|for) [restaurant] in {where}( for [people]|)( at [time]|)
(we are [people]|party of [people]) and want a [cuisine] [kind] (near|in) {where}
[person] and [other] (will|want to) eat at [restaurant] (on|this) [date]
(book|reserve) (me |)(a table|a spot|seats) (at|in) (a |an |)[order] [kind] (in|near) [city](,|) [state]( for [people]|)
(book|find) a [kind] with [facility] (in|for) [country]( for [party]|)
(i want|i need|get me) a (table|spot|reservation) for [party] at [restaurant]( in [state]|)( [date]|)
(book|reserve) (a table|a place) [relation] [landmark] for [people]( [time]|)
(let's|i'd like to) (eat|dine) at a [cuisine] [kind] [relation] [city]( in [duration]|)
(party of|table for) [people] (at|in) (a |an |)[kind] that serves [dish] in [state]( at [time]|)
(book|get) [restaurant] in [country] for [people] (people |)(at|for) [time]
restaurants: order food
(i'd like to order|order|can i have) [quantity] [dish]( from [restaurant]|)( to [address]|)
(deliver|send|bring) [dish] to [address]( at [time]|)
restaurants: rate work
(rate|give) (the |)[series_part] [book] [rating] (of|out of) [best]( stars| points|)
(i give|give) [rating] (stars|points) to (the |this |)(current |last |)[series_part]( [title]|)
(i think|i'd say) (the |)[order] [series_part] [title] (is worth|deserves|gets) [rating]( points| stars|)
[rating] (out of|of) [best]( stars|) for [title]
restaurants: review place
[restaurant] in {where} (was|is) (great|awful|fine), [rating] stars
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
(who|which person) (leads|runs) the [department] (team|department)( in {where}|)
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
(i moved|we moved), (my|our) (new |)address is [address] in {where}
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
            found[-1][2].append(line.replace("\\n", "\n").replace("{where}", _WHERE))
    return [Intent(domain, name, tuple(templates)) for domain, name, templates in found]


REQUESTS = _parse(_REQUESTS)
"""Spoken-style requests."""

RECORDS = _parse(_RECORDS)
"""Written facts: notices, invoices, notes."""
