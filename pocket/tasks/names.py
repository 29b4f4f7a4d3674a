"""Word lists that the entity generators combine."""


def _words(text: str) -> list[str]:
    """What spaces and lines separate."""
    return text.split()


def _items(text: str) -> list[str]:
    """What commas separate; line breaks mean nothing."""
    return text.replace("\n", "").split(",")


FIRST = _words("""Ada Aisha Alan Alice Amara Amir Ana Anders Andrea Anita Anton Ariel Arjun Astrid Ayesha Bela
Ben Bianca Boris Bruno Carla Carlos Carmen Cecil Chen Chloe Clara Colin Dana Daniel Daria David Deepa Diego Dmitri
Dora Edith Elena Eli Elif Emil Emma Erik Esther Eva Farah Felix Fiona Florence Francis Freya Gabriel George Gita
Grace Greta Hana Hannah Harold Hassan Helen Henry Hugo Ian Ibrahim Ida Igor Imani Ines Ingrid Irene Isaac Ivan Jack
Jade James Jamila Jane Jasper Javier Jean Joan Joel Jonas Jorge Josef Judith Julia Kai Karim Karl Kate Keiko Kenji
Kevin Kofi Kwame Lars Laura Leah Leila Leo Lian Liam Lila Lina Louis Lucia Luis Luke Mabel Maja Malik Marco Maria
Mark Martha Mateo Maya Mei Mia Miguel Mila Mina Miriam Mohamed Mona Nadia Naomi Neil Nia Nico Nikhil Nina Noah Nora
Olga Oliver Omar Oscar Otto Owen Pablo Paula Pedro Petra Philip Priya Quentin Rachel Rafael Ravi Rebecca Rita Robert
Rosa Ruth Sami Samuel Sandra Sara Selma Simon Sofia Stella Sven Tara Teresa Theo Thomas Tim Tomas Uma Vera Victor
Vikram Viola Walter Wanda Wei Yara Yusuf Zara Zoe""")

LAST = _words("""Abbott Adeyemi Ahmed Akhtar Allen Almeida Andersen Baker Banerjee Barros Becker Bell Bennett
Berg Bianchi Bishop Blake Boateng Braun Brooks Campbell Carter Castillo Chan Clark Cohen Cole Costa Cruz Dahl Davies
Diaz Dixon Dubois Duffy Eriksen Evans Farrell Fernandez Fischer Fletcher Ford Foster Fraser Fujita Garcia Gibson
Gomez Gordon Graham Grant Gray Greene Gupta Haas Hale Hansen Harper Hassan Hayes Herrera Hill Hoffman Holm Hughes
Hunt Ibrahim Ito Ivanov Jackson Jansen Jensen Jones Kapoor Kato Kaufman Keller Kelly Khan Kim Klein Kovacs Kowalski
Kumar Lam Lane Larsen Lee Lehmann Li Lopez Lund Lynch Maier Malik Marsh Martin Mason Mendes Meyer Miller Mishra
Moore Morales Moreau Murphy Nakamura Nash Nguyen Novak Nowak Okafor Oliveira Olsen Ortiz Osei Palmer Park Parker
Patel Perez Petrov Pham Pires Porter Quinn Rahman Ramos Rao Reed Reyes Ricci Richter Rivera Rossi Roth Russo Ryan
Saito Santos Sato Schmidt Shah Sharma Silva Singh Stone Suzuki Tan Tanaka Taylor Thomas Torres Tran Turner Vargas
Vega Vogel Wagner Walsh Wang Ward Weber West White Wolf Wong Wood Wright Yamada Yang Yilmaz Young Zhang Ziegler
Zimmer""")

CITIES = _items("""Amsterdam,Ankara,Athens,Atlanta,Auckland,Baltimore,Bangkok,Barcelona,Basel,Beirut,Belfast,
Berlin,Bergen,Birmingham,Bogota,Boston,Bristol,Brussels,Budapest,Buenos Aires,Cairo,Calgary,Cape Town,Cardiff,
Casablanca,Chicago,Cologne,Copenhagen,Cork,Dakar,Dallas,Delhi,Denver,Detroit,Dublin,Durban,Edinburgh,Florence,
Frankfurt,Geneva,Genoa,Glasgow,Gothenburg,Hamburg,Hanoi,Havana,Helsinki,Hong Kong,Houston,Istanbul,Jaipur,Jakarta,
Johannesburg,Kansas City,Karachi,Kathmandu,Kiev,Kingston,Kobe,Krakow,Kyoto,Lagos,Lahore,Leeds,Leipzig,Lima,Lisbon,
Liverpool,London,Los Angeles,Lyon,Madrid,Malaga,Manchester,Manila,Marseille,Medellin,Melbourne,Memphis,Mexico City,
Miami,Milan,Minneapolis,Montreal,Mumbai,Munich,Nairobi,Naples,New Orleans,New York,Nice,Osaka,Oslo,Ottawa,Palermo,
Paris,Perth,Philadelphia,Phoenix,Pittsburgh,Porto,Portland,Prague,Quito,Reykjavik,Riga,Rio de Janeiro,Rome,Rotterdam,
Salt Lake City,San Diego,San Francisco,Santa Fe,Santiago,Sapporo,Seattle,Seoul,Seville,Shanghai,Sheffield,Singapore,
Sofia,St Louis,Stockholm,Stuttgart,Sydney,Taipei,Tallinn,Tampa,Tel Aviv,Tokyo,Toronto,Toulouse,Trieste,Tunis,Turin,
Utrecht,Valencia,Vancouver,Venice,Vienna,Vilnius,Warsaw,Wellington,Winnipeg,York,Zagreb,Zurich,Málaga,São Paulo,
Bogotá,Zürich,Kraków,Reykjavík,Düsseldorf,Århus,Gdańsk,Besançon""")

COUNTRIES = _items("""Argentina,Australia,Austria,Belgium,Bolivia,Brazil,Bulgaria,Canada,Chile,China,Colombia,
Croatia,Cuba,Denmark,Ecuador,Egypt,Estonia,Ethiopia,Finland,France,Germany,Ghana,Greece,Hungary,Iceland,India,
Indonesia,Ireland,Israel,Italy,Jamaica,Japan,Jordan,Kenya,Latvia,Lebanon,Malaysia,Mali,Malta,Mexico,Morocco,Nepal,
New Zealand,Nigeria,Norway,Oman,Pakistan,Peru,Poland,Portugal,Romania,Senegal,Serbia,Slovenia,South Africa,
South Korea,Spain,Sri Lanka,Sweden,Switzerland,Thailand,Tunisia,Turkey,Uganda,Ukraine,United Kingdom,United States,
Uruguay,Vietnam,Zambia""")

ADJECTIVES = _words("""amber ancient angry autumn bitter black blind blue brave bright broken burning calm cheap
clever cold copper crimson crooked cruel crystal dark dead deep distant divine double dry dusty early eager electric
empty endless eternal faded fallen false famous final first flying forgotten fragile free frozen gentle ghostly
giant glass golden grand gray green happy heavy hidden high hollow holy honest hot humble hungry icy inner iron
ivory jolly kind last late lazy little lonely long lost loud lovely lucky mad magic midnight mighty misty modern
naked narrow new noble northern old open orange pale patient perfect plain polite proud purple quick quiet rapid red
restless rising rough royal rusty sacred sad scarlet secret second shy silent silver simple sleepy slow small smooth
soft solar southern stormy strange sunny sweet swift tall tender thin tiny tired true upper velvet violet wandering
warm white wicked wide wild winter wooden wounded yellow young""")

NOUNS = _words("""acre alley anchor angel apple arrow ash balloon banner barn beach bear bell bird blade blossom
boat bone book bottle branch bread bridge brother butterfly cabin candle canyon captain carpet castle cathedral
chair chapel circle city clock cloud coast compass corner cottage crow crown curtain dance daughter dawn day desert
diamond dinner dog door dragon dream drum dust eagle echo edge ember empire engine evening eye falcon farm father
feather fence field fire fish flame flower forest fountain fox friend frost garden gate ghost giant girl glass glove
grass grave harbor harvest heart heaven hill honey horizon horse hotel hour house hunter island jacket journey key
king kingdom kitchen kite ladder lady lake lamp lantern leaf letter lighthouse lily lion machine map market meadow
memory mill mirror money moon morning mother mountain mouse museum needle nest night north ocean orchard owl palace
paper parade path pearl piano pigeon pilot planet pocket poet pony prince promise queen rabbit radio rain raven
ribbon river road robin rocket roof room rose sail salt sand school season shadow shell shepherd ship shore silence
sister sky sleep smoke snow soldier song south spider spring stairs star station stone storm story stranger street
summer sun swallow swan table temple thief thunder tide tiger time tower town train traveler tree tunnel valley
village violin voice wall water wave whale wheel willow wind window wing winter wolf woman wood world yard year""")

PRODUCTS = _items("""backpack,bath towel,bicycle pump,blender,board game,bookshelf,boots,bread maker,camera,
camping stove,candle,carpet cleaner,ceiling lamp,coffee grinder,coffee machine,cordless drill,cutlery set,desk lamp,
dishwasher,doorbell,duvet,ear buds,electric kettle,fan heater,fitness band,floor mat,food processor,frying pan,
garden hose,graphics tablet,hair dryer,hand mixer,headphones,hiking jacket,humidifier,iron,juicer,keyboard,knife set,
lawn mower,laptop stand,mattress,microphone,microwave,mirror,monitor,notebook,office chair,paper shredder,phone case,
picture frame,pillow,power bank,pressure cooker,printer,projector,rain coat,raincoat,razor,rice cooker,router,
rucksack,running shoes,sandwich toaster,scarf,sewing machine,shower head,sleeping bag,smart plug,smart watch,sofa,
soundbar,speaker,suitcase,sunglasses,table,tablet,teapot,tent,thermometer,toaster,toothbrush,travel adapter,tripod,
umbrella,vacuum cleaner,wallet,washing machine,water bottle,webcam,wine rack,yoga mat""")

FOREIGN = _items("""açaí,ångström,año nuevo,azúcar,bébé,brûlée,café,canción,château,città,cœur,corazón,crème,crêpe,
déjà vu,día,doña,élan,élite,été,Éire,fête,fiancée,flambé,Fjörð,für immer,garçon,gâteau,gemütlich,größe,hôtel,île,
jalapeño,José,København,Köln,la niña,lumière,Łódź,mañana,Märchen,mère,naïve,niño,noël,où,páramo,père,piñata,più,
Plzeň,porquê,pâté,Québec,rêve,rosé,São João,señor,señorita,smörgåsbord,soirée,soleil,straße,tiếng,touché,über,vários,
vía,voilà,weiß,Ærø,Øresund,Şule,żubr,město,škoda,čas,kösz,élet,öröm,güneş,şarkı,yağmur,niebo,słońce,dzień,noche,luna,
fuego,tierra,amor,vida,camino,sueño,liebe,nacht,himmel,wald,stern,nuit,étoile,jardin,mer,vent,hiver,notte,stella,
mare,sole,vento,cielo,saudade,praia,chuva,сад,море,звезда,φως,νύχτα""")

ONSETS = _items("""b,b,br,c,ch,cl,d,d,dr,f,f,fl,g,gr,h,j,k,k,kr,l,l,l,m,m,m,n,n,n,p,p,pr,qu,r,r,r,s,s,sh,sk,st,t,
t,th,tr,v,v,w,y,z,zh,""")
VOWELS = _items("a,a,a,e,e,e,i,i,i,o,o,o,u,u,ai,ea,ee,ia,io,oo,ou,y")
CODAS = _items(",,,,,,,,n,n,r,r,l,s,t,m,nd,rk,x,th,ck,sh,ng,st,k,p")

COMPANY_TAILS = _items("""& Sons,Bank,Books,Brothers,Clinic,Co,Couriers,Dynamics,Electronics,Energy,Foods,Freight,GmbH,
Group,Holdings,Hotels,Inc,Industries,Insurance,Labs,Logistics,Ltd,Media,Motors,Pharmacy,Records,Software,Solutions,
Stores,Studios,Supplies,Systems,Telecom,Tools,Travel,Trust,Works""")

WEEKDAYS = _items("Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday")
MONTHS = _items("January,February,March,April,May,June,July,August,September,October,November,December")

RELATIONS = _items("sister,brother,wife,husband,boss,mother,cousin,friend,niece,team")

LISTS: dict[str, list[str]] = {
    kind: _items(items)
    for kind, items in {
        "genre": "jazz,blues,folk,techno,house,reggae,soul,punk,opera,country,hip hop,heavy metal,indie rock,"
        "classical,disco,ambient,latin,gospel,swing,grunge,k-pop,bluegrass,trance,funk,bossa nova,drum and bass,"
        "new wave,ska,samba,flamenco",
        "music_service": "Tunely,Wavebox,Soundnest,Melodeck,Airtone,Jukely,Radiora,Streamly,Songhub,Vinylio",
        "cuisine": "Italian,Thai,Mexican,Indian,Japanese,French,Greek,Turkish,Korean,Lebanese,Ethiopian,Peruvian,"
        "Spanish,Vietnamese,Moroccan,Chinese,Cuban,Brazilian,Polish,Swedish,vegan,seafood,barbecue,Syrian,Georgian,"
        "Malaysian",
        "dish": "lasagna,pad thai,mushroom risotto,fish tacos,lamb curry,tomato soup,ramen,cheese pizza,falafel wrap,"
        "beef stew,sushi platter,caesar salad,chicken burger,onion soup,paella,pancakes,apple pie,chocolate cake,"
        "dumplings,fried rice,grilled salmon,veggie burger,garlic bread,tiramisu,moussaka,bibimbap,couscous,goulash,"
        "gnocchi",
        "restaurant_kind": "restaurant,bistro,café,pub,diner,steakhouse,food truck,bakery,tavern,brasserie,pizzeria,"
        "tea house,wine bar,noodle bar,buffet,gastropub,cafeteria,taqueria,ice cream parlor",
        "facility": "parking,wifi,a pool,outdoor seating,live music,a terrace,smoking room,spa,indoor,outdoor,a garden,"
        "a playground,air conditioning,takeout,valet parking,a bar",
        "relation": "near,close to,nearby,next to,in the same area as,within walking distance of,not far from,"
        "in the neighborhood of,around,far from,ten minutes from,across from,close by",
        "order": "best,top,top-rated,highly rated,popular,most popular,latest,newest,cheapest,good,famous,last,first,"
        "current,next",
        "music_kind": "song,track,album,tune,artist,record,single,EP,piece,symphony,soundtrack",
        "series_part": "chronicle,novel,saga,book,series,essay,textbook,game,show,album,movie,song,picture,poster",
        "party": "me and my sister,my wife and I,the whole family,just me,my boss and me,two friends,our team,"
        "my grandmother and me,the three of us,my kids,everybody",
        "room": "kitchen,living room,bedroom,garage,hallway,bathroom,office,basement,attic,dining room,nursery,porch,"
        "guest room,laundry room,study,balcony,garden,hall,pantry,cellar",
        "device": "lights,lamp,heater,fan,thermostat,blinds,television,speaker,oven,coffee maker,air conditioner,"
        "dehumidifier,alarm,garage door,sprinkler,vacuum,front door,ceiling fan,radio,dishwasher,kettle,camera",
        "color": "red,blue,green,yellow,purple,orange,pink,white,black,teal,turquoise,ivory,maroon,navy,gold,silver,"
        "beige,crimson,lavender,olive,grey,brown,magenta,dark green,light blue",
        "size": "small,medium,large,extra large,XS,XL,size 38,size 9,size 42,king size,queen size,one size,500 ml,"
        "2 litre",
        "material": "cotton,wool,leather,steel,oak,bamboo,glass,linen,silk,plastic,aluminium,ceramic,copper,walnut,"
        "nylon",
        "weather": "rain,snow,sun,fog,wind,a storm,hail,thunder,clear skies,frost,clouds,a heat wave,sleet,drizzle,"
        "a blizzard",
        "doctor": "dentist,cardiologist,dermatologist,pediatrician,optician,physiotherapist,general practitioner,"
        "neurologist,allergist,psychologist,podiatrist,surgeon,radiologist,vet,orthodontist,midwife",
        "symptom": "headache,sore throat,back pain,fever,cough,rash,dizziness,toothache,earache,sprained ankle,"
        "knee pain,blurred vision,stomach ache,insomnia,runny nose,stiff neck,chest pain,itchy eyes,nausea,"
        "swollen wrist",
        "airline": "Norvair,Bluewing,Skyline Air,Condora,Aeropol,Sunjet,Transmar,Polaris Air,Alto Airways,Kitefly,"
        "Vistara Sky",
        "travel_class": "economy,business class,first class,premium economy,second class,standard,sleeper,couchette",
        "vehicle": "taxi,minivan,rental car,bus,train,ferry,tram,bicycle,scooter,limousine,shuttle,convertible,truck,"
        "van",
        "account": "savings account,checking account,joint account,credit card,business account,current account,"
        "travel card,pension fund,student account,holiday fund,rent account,debit card",
        "currency": "euros,dollars,pounds,yen,francs,kroner,rupees,pesos,zloty,baht,rand,lira,dirhams,reais",
        "meeting": "team meeting,budget review,job interview,phone call,lunch,workshop,sales call,stand-up,"
        "dentist visit,yoga class,parent evening,board meeting,piano lesson,design review,project kickoff,book club,"
        "haircut,training",
        "room_name": "Room 12,Room B4,the Oak Room,conference room 3,the main hall,the annex,Studio 2,the library,"
        "Suite 500,the east wing,Lab 7,the lobby,the roof terrace,meeting room Delta",
        "department": "sales,billing,human resources,legal,marketing,support,finance,purchasing,IT,research,"
        "logistics,payroll,public relations,engineering,facilities,compliance",
        "job": "nurse,teacher,architect,baker,plumber,pilot,lawyer,engineer,carpenter,chemist,farmer,editor,waiter,"
        "painter,librarian,electrician,accountant,translator,mechanic,biologist,tailor,gardener,journalist,violinist,"
        "sculptor",
        "document": "invoice,contract,report,passport,receipt,budget,agenda,manual,certificate,proposal,spreadsheet,"
        "presentation,brochure,application form,lease,timesheet,press release,newsletter,itinerary,permit",
        "animal": "cat,dog,horse,parrot,rabbit,goat,turtle,hamster,duck,donkey,hen,ferret,pony,snake,canary,otter,"
        "lizard",
        "fruit": "apple,banana,cherry,mango,peach,plum,grape,lemon,orange,pear,kiwi,fig,melon,apricot,papaya,lime,"
        "guava",
        "vegetable": "carrot,onion,potato,leek,cabbage,spinach,pepper,celery,turnip,radish,pumpkin,beetroot,zucchini,"
        "kale",
        "instrument": "piano,guitar,violin,drums,flute,cello,trumpet,harp,clarinet,saxophone,banjo,oboe,accordion,tuba",
        "sport": "tennis,football,chess,rowing,judo,cricket,handball,fencing,hockey,golf,climbing,rugby,skiing,"
        "swimming",
        "cloth": "shirt,jacket,coat,dress,skirt,scarf,hat,sweater,gloves,socks,trousers,boots,belt,tie,blouse,cardigan",
        "furniture": "chair,table,desk,sofa,shelf,bed,stool,wardrobe,bench,cupboard,drawer,armchair,bookcase,cabinet",
        "tool": "hammer,saw,drill,wrench,chisel,pliers,screwdriver,shovel,rake,axe,ladder,file,spanner,clamp,level",
        "metal": "iron,copper,tin,gold,silver,zinc,lead,nickel,titanium,platinum,mercury,cobalt,chromium,tungsten",
        "carrier": "Parcelo,Swiftpost,Cargoline,QuickShip,Northern Freight,Postway,Blue Dolphin Couriers,ExpressOne,"
        "Mailo",
        "media_kind": "song,album,playlist,track,book,novel,film,movie,series,show,podcast,game,painting,photograph,"
        "poem,soundtrack,documentary,trailer,comic,audiobook",
        "cinema": "Odeon,Grand Palace,Roxy,Regal,Lumen,Starlight,Capitol,Rialto,Plaza,Empire,Bijou,Orpheum,Majestic,"
        "Astoria",
        "movie_genre": "comedy,thriller,drama,horror,western,documentary,romance,animated,science fiction,crime,"
        "adventure,mystery,musical,biography,war,fantasy",
        "book_genre": "mystery,fantasy,biography,poetry,history,science fiction,romance,cookbook,travel,philosophy,"
        "memoir",
        "language": "French,German,Polish,Spanish,Hindi,Japanese,Korean,Arabic,Turkish,Dutch,Greek,Welsh,Swahili,Czech",
    }.items()
}
"""Closed lists by kind; their items are common nouns unless the kind says otherwise."""

OPINIONS: dict[str, list[str]] = {
    "positive": _items("""excellent,wonderful,great,superb,lovely,perfect,delightful,brilliant,charming,very good,
a real pleasure,fantastic,better than expected,worth every penny,outstanding,splendid,a joy,first class,marvellous"""),
    "negative": _items("""terrible,awful,bad,dreadful,boring,a waste of money,horrible,disappointing,poor,useless,
much worse than expected,not worth it,broken,rude,dirty,very slow,a disgrace,miserable,unbearable"""),
    "neutral": _items("""average,ordinary,as described,nothing special,neither good nor bad,acceptable,
what it says on the box,so-so,in the middle,quite normal,as usual"""),
}
"""What people say of a thing, by whether they like it."""

RATED = _items("food,service,film,book,room,staff,delivery,concert,camera,battery,trip,story,show,coffee,hotel,screen")
"""What opinions are about."""

FEELINGS: dict[str, list[str]] = {
    "angry": ["This makes me furious.", "I am very annoyed.", "What a mess you made", "I have had enough of you.",
              "It drives me mad.", "You should be ashamed."],
    "happy": ["I am so glad", "You made my day.", "I love your work.", "What a wonderful day",
    "I could sing with joy."],
    "worried": ["I am afraid something is wrong.", "This keeps me awake.", "I am rather nervous about it.",
                "I hope nothing bad happened."],
    "calm": [],
}  # fmt: skip
"""Remarks that give a feeling away."""

WISHED_LENGTHS: dict[str, list[str]] = {
    "short": ["Keep it short.", "One line will do.", "Just a few words please.", "Be brief."],
    "long": ["Tell me everything.", "I want all the details.", "Please explain at length.", "Leave nothing out."],
    "any": [],
}
"""Remarks about the answer that is wanted."""

OFTEN: dict[str, list[str]] = {
    "first time": ["I have never asked before.", "This is my first try.", "I am new here."],
    "again": ["I asked this last week already.", "As I said before.", "Here I am again.", "Once more the same thing"],
    "always": ["I do this every day.", "It is the same every time.", "As always"],
}
"""Remarks about how often it happened."""

WHOM: dict[str, list[str]] = {
    "self": [],
    "friend": ["I ask for my friend {}.", "It is for {}, a friend.", "My friend {} wants to know."],
    "family": ["It is for my mother.", "My son {} needs it.", "My sister {} asks.", "It is for my uncle {}."],
    "employer": ["I write for my company.", "My boss {} wants it.", "It is for our office."],
}
"""Remarks about who needs it."""
