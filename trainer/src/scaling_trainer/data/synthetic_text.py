"""Text from a random grammar: words prefer other words, so that a larger model learns more.

Each sentence is `determiner [adjective] noun verb determiner noun [adverb] .`, and each choice
depends on the choice before: a noun has few verbs, a verb few objects and adverbs. A model can
learn all of these rules. The loss that remains is the entropy of the choices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_trainer.config.data import SyntheticText
from scaling_trainer.data.source import TextSource

Indices = NDArray[np.int64]

_CONSONANTS = "bdfgklmnprstvz"
_VOWELS = "aeiou"
_NOUNS, _VERBS, _ADJECTIVES, _ADVERBS = 200, 100, 80, 40
_LIKED = 4  # words that a word prefers
_SENTENCES_AT_ONCE = 10_000  # bounds the memory; so many have about 350,000 characters


@dataclass(frozen=True, slots=True)
class _Lexicon:
    """The words, and which words each of them prefers: (words, liked)."""

    words: dict[str, list[str]]
    adjectives_of_noun: Indices
    verbs_of_noun: Indices
    nouns_of_verb: Indices
    adverbs_of_verb: Indices


def synthetic_text(dataset: SyntheticText) -> TextSource:
    """Write sentences until the text has the wanted length."""
    rng = np.random.default_rng(dataset.seed)
    lexicon = _lexicon(rng)
    sentences: list[str] = []
    missing = dataset.characters
    while missing > 0:
        more = _sentences(lexicon, _SENTENCES_AT_ONCE, rng)
        sentences += more
        missing -= sum(len(sentence) + 1 for sentence in more)
    return TextSource(" ".join(sentences)[: dataset.characters].ljust(dataset.characters).encode())


def _lexicon(rng: np.random.Generator) -> _Lexicon:
    counts = {"noun": _NOUNS, "verb": _VERBS, "adjective": _ADJECTIVES, "adverb": _ADVERBS}
    fresh = _new_words(sum(counts.values()), rng)
    words: dict[str, list[str]] = {}
    for role, count in counts.items():
        words[role], fresh = fresh[:count], fresh[count:]
    return _Lexicon(
        words=words,
        adjectives_of_noun=rng.integers(_ADJECTIVES, size=(_NOUNS, _LIKED)),
        verbs_of_noun=rng.integers(_VERBS, size=(_NOUNS, _LIKED)),
        nouns_of_verb=rng.integers(_NOUNS, size=(_VERBS, _LIKED)),
        adverbs_of_verb=rng.integers(_ADVERBS, size=(_VERBS, _LIKED)),
    )


def _new_words(count: int, rng: np.random.Generator) -> list[str]:
    """Make different words of one to three syllables."""
    words: dict[str, None] = {}
    while len(words) < count:
        syllables = int(rng.integers(1, 4))
        consonants = rng.integers(len(_CONSONANTS), size=syllables)
        vowels = rng.integers(len(_VOWELS), size=syllables)
        pairs = zip(consonants, vowels, strict=True)
        words["".join(_CONSONANTS[first] + _VOWELS[second] for first, second in pairs)] = None
    return list(words)


def _sentences(lexicon: _Lexicon, count: int, rng: np.random.Generator) -> list[str]:
    words = lexicon.words
    # Zipf: the n-th noun is chosen in proportion to 1 / n.
    weights = 1 / np.arange(1, _NOUNS + 1)
    subject = rng.choice(_NOUNS, size=count, p=weights / weights.sum())
    verb = _preferred(lexicon.verbs_of_noun, subject, rng)
    object_noun = _preferred(lexicon.nouns_of_verb, verb, rng)
    adjective = _preferred(lexicon.adjectives_of_noun, subject, rng)
    adverb = _preferred(lexicon.adverbs_of_verb, verb, rng)
    columns = [
        _spelled(["the", "a"], rng.integers(2, size=count)),
        _sometimes(_spelled(words["adjective"], adjective), rng),
        _spelled(words["noun"], subject),
        _spelled(words["verb"], verb),
        _spelled(["the", "a"], rng.integers(2, size=count)),
        _spelled(words["noun"], object_noun),
        _sometimes(_spelled(words["adverb"], adverb), rng),
    ]
    return [" ".join(filter(None, row)) + "." for row in zip(*columns, strict=True)]


def _preferred(table: Indices, of: Indices, rng: np.random.Generator) -> Indices:
    """Choose a preferred word for each word: the first half the time, the second a quarter..."""
    rank = np.minimum(rng.geometric(0.5, size=len(of)) - 1, _LIKED - 1)
    return table[of, rank]


def _spelled(words: list[str], indices: Indices) -> list[str]:
    return [words[index] for index in indices]


def _sometimes(words: list[str], rng: np.random.Generator) -> list[str]:
    """Leave out about every second word."""
    kept = rng.integers(2, size=len(words))
    return [word if keep else "" for word, keep in zip(words, kept, strict=True)]
