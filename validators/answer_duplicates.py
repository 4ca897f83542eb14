"""Which answers were given twice: the same to different questions, or different ones to the same question?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from pipeline.evidence.duplicates import THRESHOLD, exact_groups, near_pairs, normalise
from pipeline.evidence.minhash import jaccard, shingles
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
    """Row → the most similar answer to another question, and the similarity."""
    texts = [row.answer if len(words(row.answer)) >= WORDS else "" for row in rows]
    exact = exact_groups(texts)
    members: dict[int, list[int]] = {}
    for place, text in enumerate(texts):
        if normalise(text):
            members.setdefault(int(exact[place]), []).append(place)
    found: dict[int, tuple[int, float]] = {}
    pairs = [(first, first, 1.0) for first, inside in members.items() if len(inside) > 1]
    for one, two, similarity in [*pairs, *near_pairs(texts, floor=threshold)]:
        for place in members[one]:
            for other in members[two]:
                _keep_best(found, rows, place, other, similarity)
    return found


def _keep_best(
    found: dict[int, tuple[int, float]], rows: Sequence[Written], one: int, two: int, similarity: float
) -> None:
    if one == two or _same_question(rows[one], rows[two]):
        return
    for place, other in ((one, two), (two, one)):
        if (similarity, -other) > (found[place][1], -found[place][0]) if place in found else True:
            found[place] = (other, similarity)


def _same_question(one: Written, two: Written) -> bool:
    first, second = normalise(one.prompt), normalise(two.prompt)
    return first == second or jaccard(shingles(first), shingles(second)) >= SAME_QUESTION


def _several(rows: Sequence[Written], threshold: float) -> dict[int, tuple[int, float, str]]:
    """Row → another row with the same question and another answer, the severity, and how they differ."""
    groups = exact_groups([row.prompt for row in rows])
    members: dict[int, list[int]] = {}
    for place, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(place)
    found: dict[int, tuple[int, float, str]] = {}
    for inside in (places for places in members.values() if len(places) > 1):
        for place in inside:
            for other in inside:
                verdict = _at_odds(rows[place], rows[other], threshold) if place != other else None
                if verdict and (place not in found or verdict[0] > found[place][1]):
                    found[place] = (other, *verdict)
    return found


def _at_odds(one: Written, two: Written, threshold: float) -> tuple[float, str] | None:
    """How much two answers to one question differ, and in what; None if they do not."""
    first, second = normalise(one.answer), normalise(two.answer)
    similarity = jaccard(shingles(first), shingles(second))
    if first == second:
        return None
    if why := opposed(one.answer, two.answer):
        return 0.8, why
    return (
        None
        if similarity >= threshold
        else (0.49 * (1 - similarity), f"the answers share {similarity:.0%} of their wording")
    )


def _groups(rows: Sequence[Written], shared: dict[int, tuple[int, float]]) -> list[dict[str, Any]]:
    pairs = sorted({(min(place, other), max(place, other), value) for place, (other, value) in shared.items()})
    return [
        {"examples": [str(rows[one].example_id), str(rows[two].example_id)], "similarity": value}
        for one, two, value in pairs[:SHOWN]
    ]
