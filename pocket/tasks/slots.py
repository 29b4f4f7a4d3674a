"""Parts of requests: what makes each, names for its key, and what it means."""

from dataclasses import dataclass

from pocket.tasks import entities as e
from pocket.tasks import times
from pocket.tasks.entities import Maker, listed


@dataclass(frozen=True)
class Slot:
    """A part of a request: what makes it, names for its key, and what it means."""

    make: Maker
    keys: tuple[str, ...]
    about: str


def _slot(make: Maker, keys: str, about: str) -> Slot:
    return Slot(make, tuple(keys.split("/")), about)


ALIKE = tuple(
    frozenset(group.split())
    for group in (
        "song album playlist book film title",
        "artist author director person other",
        "city place country state origin destination landmark",
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
    "year": _slot(times.year, "year/release year/period", "the year"),
    "book": _slot(e.title, "book/title/work/book title", "the title of the book"),
    "author": _slot(e.person, "author/writer/written by", "who wrote it"),
    "book_genre": _slot(listed("book_genre"), "genre/category/shelf", "the kind of book"),
    "film": _slot(e.title, "film/movie/title/film title", "the title of the film"),
    "director": _slot(e.person, "director/directed by/filmmaker", "who directed it"),
    "film_genre": _slot(listed("movie_genre"), "genre/film genre/kind", "the kind of film"),
    "cinema": _slot(listed("cinema"), "cinema/theatre/house/venue", "the cinema"),
    "owner": _slot(e.owner, "owner/playlist owner/whose/belongs to", "whose it is"),
    "music_kind": _slot(listed("music_kind"), "music type/music item/what/item type", "what kind of music it is"),
    "order": _slot(listed("order"), "sort/ranking/order/quality", "which of many, or how good"),
    "series_part": _slot(listed("series_part"), "object type/kind of work/form/object", "what kind of work it is"),
    "rating": _slot(e.rating, "rating/score/stars/points", "how many stars or points"),
    "best": _slot(e.best_rating, "out of/maximum/scale/top score", "the best score"),
    "media": _slot(listed("media_kind"), "type/media/format/kind", "what kind of work it is"),
    "city": _slot(e.city, "city/town/location/place/where", "the city"),
    "place": _slot(e.place, "place/location/area/region/where", "the place"),
    "state": _slot(e.state, "state/province/region/federal state", "the state"),
    "landmark": _slot(e.landmark, "landmark/point of interest/sight/poi", "the place that everybody knows"),
    "relation": _slot(listed("relation"), "distance/relation/spatial relation/position", "how near it is"),
    "facility": _slot(listed("facility"), "facility/amenity/feature/extra", "what the place has"),
    "party": _slot(e.party, "party/party description/company/who comes", "who comes along"),
    "country": _slot(e.country, "country/nation/land", "the country"),
    "origin": _slot(e.city, "origin/from/departure city/start/from city", "where it starts"),
    "destination": _slot(e.city, "destination/to/arrival city/going to/to city", "where it ends"),
    "date": _slot(times.date, "date/day/when/on date", "the day"),
    "end_date": _slot(times.date, "end date/return date/until/checkout/back on", "the last day"),
    "time": _slot(times.clock, "time/at/hour/start time/at time", "the time of day"),
    "duration": _slot(times.duration, "duration/length/how long/for time", "how long"),
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
