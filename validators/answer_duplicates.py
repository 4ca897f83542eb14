"""Which answers were given twice: the same to different questions, or different ones to the same question?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Annotated, Any

from pydantic import Field

from pipeline.evidence.duplicates import THRESHOLD, exact_groups, near_pairs, normalise
from pipeline.evidence.minhash import gram_sets, likeness
from pipeline.types import Corpus
from validators.answers.contradiction import opposed
from validators.answers.written import Written, read_answers, words
from validators.check import Report, Skip, check, findings

# "Yes", "Positive" and "I do not know" are the right answer to many questions.
WORDS = 5
# Half of the 5-grams in common (Dice): from there on two questions are taken for one in other words; see duplicates.CHAIN_FLOOR.
SAME_QUESTION = 1 / 3
# In a set with several answers to one question in ten, several answers are what was wanted.
USUAL = 0.1
SHOWN = 50
OPPOSED = 0.8  # severity of answers that speak against each other: the greatest there is
# Of the different questions with one answer, and of the different answers to one question, so many are held against each.
COMPARED = 20


@check(
    "answer_duplicates",
    "Which answers were given to several questions, or contradict another answer to the same one?",
    subject="example",
)
def answer_duplicates(corpus: Corpus, *, threshold: Annotated[float, Field(gt=0, le=1)] = THRESHOLD) -> Report:
    """Flags an answer of five words and more that is, by `threshold`, the answer to another question, too; and answers
    to the same question (but for case, white space and closing signs) that are not alike.

    Severity of a shared answer is its similarity to the other one times 0.9; of answers to one question 0.8 where they speak
    against each other (yes against no, other numbers, a negation), else half of what they differ by. Different
    answers that do not contradict are listed, not flagged: both can be right.

    threshold: Jaccard of character 5-grams, as in `near_duplicates`.
    """
    rows = read_answers(corpus)
    if len(rows) < 2:
        raise Skip("There are fewer than two answers.")
    shared = _shared(rows, threshold)
    several = _several(rows, threshold)
    usual = len(several) > max(4, USUAL * len(rows))
    table = [_row(rows, place, shared.get(place), several.get(place), usual) for place in range(len(rows))]
    facts = {
        "judged": len(rows), "answers_to_several_questions": len(shared), "questions_with_several_answers": len(several),
        "several_answers_are_usual": usual, "groups": _groups(rows, shared),
    }  # fmt: skip
    return Report(findings(table), facts)


def _row(
    rows: Sequence[Written],
    place: int,
    shared: tuple[int, float] | None,
    several: tuple[int, float, str] | None,
    usual: bool,
) -> dict[str, Any]:
    signs: list[tuple[float, bool, str]] = []
    if shared:
        other, alike = shared
        how = "the same" if alike == 1 else "nearly the same"
        why = f"Example {rows[other].example_id} asks something else and has {how} answer (similarity {alike:.2f})."
        signs.append((0.9 * alike, True, why))
    if several:
        other, severity, why = several
        why = f"Example {rows[other].example_id} asks the same and is answered otherwise: {why}."
        signs.append((severity, severity >= 0.5 and not usual, why))
    return {
        "subject_id": str(rows[place].example_id), "severity": max((sign[0] for sign in signs), default=0.0),
        "flagged": any(sign[1] for sign in signs), "reason": " ".join(sign[2] for sign in signs), "suggestion": "",
    }  # fmt: skip


def _shared(rows: Sequence[Written], threshold: float) -> dict[int, tuple[int, float]]:
    """Row → the most similar answer to another question (of equals the first), and the similarity."""
    texts = [row.answer if len(words(row.answer)) >= WORDS else "" for row in rows]
    prompts, differ = _questions(rows)
    inside: dict[int, dict[int, list[int]]] = {}  # answer → question → rows, each named by its first row
    for place, answer in enumerate(exact_groups(texts).tolist()):
        if texts[place]:
            inside.setdefault(answer, {}).setdefault(prompts[place], []).append(place)
    partners = {answer: [(1.0, answer)] for answer in inside}
    for one, two, similarity in near_pairs(texts, floor=threshold):
        partners[one].append((similarity, two))
        partners[two].append((similarity, one))
    found: dict[int, tuple[int, float]] = {}
    for answer, questions in inside.items():
        alike = sorted(partners[answer], reverse=True)
        for prompt, places in questions.items():
            best: tuple[int, float] | None = None
            for similarity, partner in alike:
                if best and similarity < best[1]:
                    break
                asked = islice(inside[partner].items(), COMPARED)
                other = next((given[0] for question, given in asked if differ(prompt, question)), None)
                if other is not None and (best is None or other < best[0]):
                    best = (other, similarity)
            if best:
                found |= dict.fromkeys(places, best)
    return found


def _questions(rows: Sequence[Written]) -> tuple[list[int], Callable[[int, int], bool]]:
    """For each row the first one with the same question but for case and white space; and whether two such are different."""
    names = [normalise(row.prompt) for row in rows]
    first: dict[str, int] = {}
    prompts = [first.setdefault(name, place) for place, name in enumerate(names)]
    grams = cache(lambda place: gram_sets([names[place]])[0])
    return prompts, lambda one, two: one != two and likeness(grams(one), grams(two)) < SAME_QUESTION


def _several(rows: Sequence[Written], threshold: float) -> dict[int, tuple[int, float, str]]:
    """Row → another row with the same question and another answer, the severity, and how they differ."""
    groups: dict[int, list[int]] = {}
    for place, group in enumerate(exact_groups([row.prompt for row in rows]).tolist()):
        groups.setdefault(group, []).append(place)
    found: dict[int, tuple[int, float, str]] = {}
    for places in (places for places in groups.values() if len(places) > 1):
        answers: dict[str, list[int]] = {}
        for place in places:
            answers.setdefault(normalise(rows[place].answer), []).append(place)
        best = _furthest(rows, {given[0]: name for name, given in answers.items()}, threshold)
        for given in answers.values():
            if given[0] in best:
                found |= dict.fromkeys(given, best[given[0]])
    return found


def _furthest(rows: Sequence[Written], names: Mapping[int, str], threshold: float) -> dict[int, tuple[int, float, str]]:
    """Of rows with different answers to one question (row → its normalised answer): row → the one that is most at odds with
    it, the first of equals, the severity, and how. Each is compared with the first COMPARED."""
    places = list(names)
    grams = dict(zip(places, gram_sets(list(names.values())), strict=True)) if len(places) > 1 else {}
    best: dict[int, tuple[int, float, str]] = {}
    for number, place in enumerate(places):
        for other in places[: min(number, COMPARED)]:
            if all(one in best and best[one][1] >= OPPOSED for one in (place, other)):
                continue
            if why := opposed(rows[place].answer, rows[other].answer):
                severity = OPPOSED
            elif (similarity := likeness(grams[place], grams[other])) < threshold:
                severity, why = 0.49 * (1 - similarity), f"the answers share {similarity:.0%} of their wording"
            else:
                continue
            for one, two in ((place, other), (other, place)):
                if one not in best or severity > best[one][1]:
                    best[one] = (two, severity, why)
    return best


def _groups(rows: Sequence[Written], shared: dict[int, tuple[int, float]]) -> list[dict[str, Any]]:
    pairs = sorted({(min(place, other), max(place, other), value) for place, (other, value) in shared.items()})
    return [
        {"examples": [str(rows[one].example_id), str(rows[two].example_id)], "similarity": value}
        for one, two, value in pairs[:SHOWN]
    ]
