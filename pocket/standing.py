"""The field's standing examples with near neighbours of each, as (subject, relation, object)."""

from __future__ import annotations


def _group(relation: str, pairs: str) -> list[tuple[str, str, str]]:
    """Returns the triples of one relation from lines of `subject = object; ...`."""
    split = (pair.split(" = ") for pair in pairs.split("; "))
    return [(subject.strip(), relation, value.strip()) for subject, value in split]


STANDING: list[tuple[str, str, str]] = [
    *_group(
        "sport",
        "Lionel Messi = football; Cristiano Ronaldo = football; Neymar = football; "
        "Diego Maradona = football; Zinedine Zidane = football; Michael Jordan = basketball; "
        "LeBron James = basketball; Kobe Bryant = basketball; Magic Johnson = basketball; "
        "Roger Federer = tennis; Rafael Nadal = tennis; Serena Williams = tennis; "
        "Babe Ruth = baseball; Wayne Gretzky = hockey; Tiger Woods = golf; "
        "Sachin Tendulkar = cricket; Magnus Carlsen = chess; Muhammad Ali = boxing",
    ),
    *_group(
        "founder of",
        "Steve Jobs = Apple; Bill Gates = Microsoft; Larry Page = Google; "
        "Jeff Bezos = Amazon; Mark Zuckerberg = Facebook; Henry Ford = Ford; "
        "Walt Disney = Disney; Jack Ma = Alibaba; Soichiro Honda = Honda; "
        "Michael Dell = Dell; Akio Morita = Sony; Enzo Ferrari = Ferrari; "
        "Jimmy Wales = Wikipedia; Linus Torvalds = Linux; Reed Hastings = Netflix; "
        "Larry Ellison = Oracle; Ingvar Kamprad = IKEA; Howard Hughes = Hughes Aircraft; "
        "Ted Turner = CNN; Phil Knight = Nike",
    ),
    *_group(
        "mother tongue",
        "Danielle Darrieux = French; Catherine Deneuve = French; "
        "Jean Gabin = French; Michel Rocard = French; Marlene Dietrich = German; "
        "Sophia Loren = Italian; Ingrid Bergman = Swedish; Lionel Messi = Spanish; "
        "Audrey Tautou = French; Judi Dench = English",
    ),
    *_group(
        "official language",
        "Ikaalinen = Finnish; Tampere = Finnish; Parkano = Finnish; "
        "Kuru = Finnish; Hyrynsalmi = Finnish; Mariehamn = Swedish; Lemland = Swedish; "
        "Brazil = Portuguese; Austria = German; Iran = Persian",
    ),
    *_group(
        "network",
        "Singled Out = MTV; Beavis and Butt-Head = MTV; Jackass = MTV; "
        "Celebrity Deathmatch = MTV; The Real World = MTV; 60 Minutes = CBS; "
        "Survivor = CBS; Friends = NBC; Seinfeld = NBC; The Sopranos = HBO",
    ),
    *_group(
        "location",
        "Space Needle = Seattle; Pike Place Market = Seattle; "
        "Smith Tower = Seattle; Gas Works Park = Seattle; CN Tower = Toronto; "
        "Eiffel Tower = Paris; Louvre = Paris; Big Ben = London; Tower Bridge = London; "
        "Colosseum = Rome; Brandenburg Gate = Berlin; Golden Gate Bridge = San Francisco; "
        "Empire State Building = New York; Willis Tower = Chicago; Kremlin = Moscow",
    ),
    *_group(
        "education",
        "Watts Humphrey = Trinity College; Isaac Newton = Trinity College; "
        "Lord Byron = Trinity College; Bertrand Russell = Trinity College; "
        "Francis Bacon = Trinity College; Larry Page = University of Michigan; "
        "Gerald Ford = University of Michigan; Claude Shannon = University of Michigan; "
        "Barack Obama = Harvard University; John F. Kennedy = Harvard University; "
        "Bill Clinton = Yale University; George H. W. Bush = Yale University; "
        "Sally Ride = Stanford University; Woodrow Wilson = Princeton University; "
        "Stephen Hawking = University of Oxford; Tony Blair = University of Oxford; "
        "Steve Jobs = Reed College; Albert Einstein = ETH Zurich",
    ),
    *_group("country", "Ikaalinen = Finland; Eiffel Tower = France; Space Needle = United States"),
    *_group(
        "place of birth",
        "Lionel Messi = Rosario; Steve Jobs = San Francisco; "
        "Danielle Darrieux = Bordeaux; Bill Gates = Seattle; Albert Einstein = Ulm",
    ),
    *_group(
        "citizenship",
        "Lionel Messi = Argentina; Cristiano Ronaldo = Portugal; "
        "Danielle Darrieux = France; Neymar = Brazil; Roger Federer = Switzerland",
    ),
    *_group(
        "occupation",
        "Danielle Darrieux = actor; Steve Jobs = entrepreneur; "
        "Isaac Newton = physicist; Lord Byron = poet; Catherine Deneuve = actor",
    ),
]
