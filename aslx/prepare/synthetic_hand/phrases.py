"""Made-up phrases of the kinds that Kaggle's signers spelled: street addresses, telephone numbers
and web addresses; for the supplemental set, sentences of letters and spaces.

Names are composed of syllables and of common English words, and of no data set's list.
"""

from collections.abc import Sequence

import numpy as np

LONGEST = 31  # Characters, as in Kaggle's train.csv.


def _list(text: str) -> list[str]:
    return text.split("|" if "|" in text else " ")


_ONSETS = _list("b br c ch cl d dr f fl g gr h j k kr l m n p pr r s sh st t th tr v w y z")
_VOWELS = _list("a a e e i i o o u ai ea ee io oo ou")
_CODAS = ("", "", "", *_list("l n r s t m d ck ll ng nd rd rt ss st th x ff gg pp"))
_WORDS = _list(
    "north south east west old new upper lower high low lake river hill oak pine cedar maple elm "
    "willow spring creek stone bridge mill church school park garden forest meadow valley ridge "
    "harbor island beach bay ocean sun moon star silver golden green white black red blue king "
    "queen prince union liberty victory pioneer eagle hawk fox deer bear horse cotton sugar apple "
    "cherry peach rose lily daisy ivy fern summer winter market station railroad county college"
)
_STREETS = _list(
    "road street avenue drive lane court circle way place trail terrace boulevard highway st rd "
    "ave dr ln ct blvd loop path run row crossing"
)
_NAMES = _list(
    "adam alan amber anita boris carla cody diane edgar elena felix gina hugo irene jacob jenny "
    "kevin laura marco nadia oscar paula quentin ralph sonia tessa ursula victor wanda xavier yuri "
    "zelda"
)
_DOMAINS = _list("com com com com org net edu gov co.uk de fr it es jp com.br info io us ca")
_FOLDERS = _list("news blog shop help photos music video sports index archive search page home")

_SUBJECTS = _list(
    "the cat|my sister|our teacher|the old clock|a quiet neighbor|the baker|this small town|"
    "your uncle|the tall tree|every student|the blue car|a gray dog|the train|his lawyer|"
    "her garden|the winter sun|a kind nurse|the paper map|their boat|the new phone"
)
_VERBS = _list(
    "needs|finds|keeps|loses|likes|sees|moves|wants|joins|misses|follows|carries|paints|"
    "watches|leaves|shares|hides|passes"
)
_OBJECTS = _list(
    "more time|a warm coat|the last bus|fresh bread|no reason|two tickets|the answer|a good view|"
    "an exam|the quiet room|cold water|a long walk|the zoo|a quick joke|the box|some advice|"
    "a red kite|the key"
)

_TELEPHONES = {  # Forms, and the cumulative share of the telephone numbers at which each ends.
    "{0}-{1}-{2}": 0.3,
    "({0}) {1}-{2}": 0.42,
    "+{3}-{0}-{1}-{2}": 0.55,
    "+{3}-{4}-{5}-{6}-{0}": 0.7,
    "{0}.{1}.{2}": 0.8,
    "{0}{1}{2}": 0.9,
    "+{7} {0} {1} {2}": 1,
}


def _pick(rng: np.random.Generator, items: Sequence[str]) -> str:
    return items[int(rng.integers(len(items)))]


def _digits(rng: np.random.Generator, n: int) -> str:
    return "".join(map(str, rng.integers(0, 10, n)))


def given_name(rng: np.random.Generator) -> str:
    return _pick(rng, _NAMES)


def invented_name(rng: np.random.Generator) -> str:
    """One to three syllables."""
    syllables = 1 + int(rng.random() < 0.75) + int(rng.random() < 0.2)
    return "".join(
        _pick(rng, _ONSETS) + _pick(rng, _VOWELS) + _pick(rng, _CODAS) for _ in range(syllables)
    )


def _word(rng: np.random.Generator) -> str:
    kind = rng.random()
    return (
        _pick(rng, _WORDS) if kind < 0.45 else given_name(rng) if kind < 0.6 else invented_name(rng)
    )


def _address(rng: np.random.Generator) -> str:
    kind = rng.random()
    number = str(int(10 ** rng.uniform(0.5, 4.7)))
    street = " ".join(_word(rng) for _ in range(1 + int(rng.random() < 0.45)))
    if kind < 0.12:
        return street if " " in street else f"{street} {_word(rng)}"
    if kind < 0.45:
        return f"{number} {street}"
    if kind < 0.92:
        return f"{number} {street} {_pick(rng, _STREETS)}"
    if kind < 0.96:
        return f"{number} {street}, #{_digits(rng, 2)}"
    return f"{number} st. {_pick(rng, _NAMES)}'s {_pick(rng, _STREETS)}"


def _telephone(rng: np.random.Generator) -> str:
    digits = [_digits(rng, n) for n in (3, 3, 4, 2, 2, 2, 2)]
    kind = rng.random()
    form = next(form for form, end in _TELEPHONES.items() if kind < end)
    return form.format(*digits, 1 + rng.integers(9))


def _query(rng: np.random.Generator) -> str:
    a, b = _pick(rng, _FOLDERS)[:4], _pick(rng, _NAMES)[:4]
    n = _digits(rng, 2)
    forms = [f"?{a}={n}", f"?{a[0]}={b}&id={n[0]}", f"#{b}", f"/%{n}{b}", f"/{b};{n}", f"/!{b}"]
    forms += [f"/{a}(1)", f"/{b}*", f"/${n}", f"/{a}[{n[0]}", f":80{n}", f"/{b},{a}", f"@{n}"]
    return _pick(rng, forms)


def _web(rng: np.random.Generator) -> str:
    host = _word(rng) + (_pick(rng, ["-", "", "", ""]) + _word(rng) if rng.random() < 0.5 else "")
    site = f"{host}.{_pick(rng, _DOMAINS)}"
    start = rng.random()
    site = f"www.{site}" if start < 0.35 else f"https://{site}" if start < 0.42 else site
    end = rng.random()
    if end < 0.3:
        return site
    if end < 0.62:
        return f"{site}/{_pick(rng, [_pick(rng, _FOLDERS), _word(rng)])}"
    if end < 0.7:
        return f"{site}/~{_pick(rng, _NAMES)}"
    if end < 0.78:
        return f"{site}/{_word(rng)}_{_word(rng)[:4]}"
    if end < 0.85:
        return f"{site}/{_pick(rng, _FOLDERS)}.html"
    if end < 0.9:
        return f"{_pick(rng, _NAMES)}@{site.removeprefix('https://').removeprefix('www.')}"
    return site + _query(rng)


def phrase(seed: tuple[int, ...]) -> str:
    """The phrase that this random seed gives: 1 to `LONGEST` of the 59 characters."""
    rng = np.random.default_rng(seed)
    kind = rng.random()
    make = _address if kind < 0.43 else _telephone if kind < 0.6 else _web
    text = ""
    while not 0 < len(text) <= LONGEST:
        text = make(rng)
    return text


def sentence(seed: tuple[int, ...]) -> str:
    """The sentence that this random seed gives, as in Kaggle's supplemental set."""
    rng = np.random.default_rng(seed)
    text = ""
    while not 0 < len(text) <= LONGEST:
        text = " ".join(_pick(rng, words) for words in (_SUBJECTS, _VERBS, _OBJECTS))
    return text
