"""What was found about somebody, in sentences that a team lead can say to them: what happened, how often, and what others do."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from pipeline.consensus.habits.answers import Row
from pipeline.consensus.habits.drift import SHORTEST
from pipeline.consensus.habits.sheet import Sheet

COPYING = 5  # answers to an example: the two, and three third parties
Said = tuple[str, float, str]  # annotator, how bad in [0, 1], the sentence


def agreement(row: Row) -> Said:
    return row["annotator"], 1 - row["rate"], (
        f"Agrees with the others in {row['rate']:.0%} of {row['judged']} shared answers "
        f"({row['low']:.0%} to {row['high']:.0%}); the others agree among each other in {row['others']:.0%}."
    )  # fmt: skip


def likeness(row: Row) -> Said:
    return row["annotator"], min(1.0, -row["difference"] / max(row["others"], 1e-9)), (
        f"On {row['judged']} shared examples the answers are like the others' by {row['rate']:.2f} of 1 ({row['low']:.2f} to "
        f"{row['high']:.2f}); the others' among each other by {row['others']:.2f}."
    )  # fmt: skip


def calm(row: Row, exact: bool) -> str:
    """For somebody about whom nothing stands out."""
    if row["others"] is None:
        return f"{row['judged']} answers were compared, each with a single other one: a difference has two possible owners."
    if exact:
        return (
            f"Agrees with the others in {row['rate']:.0%} of {row['judged']} shared answers; the others among each other in "
            f"{row['others']:.0%}."
        )
    return (
        f"On {row['judged']} shared examples the answers are like the others' by {row['rate']:.2f} of 1; the others' among each "
        f"other by {row['others']:.2f}."
    )


def confusion(row: Row) -> Said:
    return row["annotator"], row["rate"], (
        f"Gives “{row['given']}” in {row['count']} of {row['n']} cases ({row['rate']:.0%}) where the others say "
        f"“{row['consensus']}”; others do so in {row['others']:.0%}."
    )  # fmt: skip


def bias(row: Row) -> Said:
    return row["annotator"], min(row["difference"], 1.0), (
        f"Where {row['slice']} is “{row['group']}”, gives “{row['label']}” in {row['rate']:.0%} of {row['n']} examples "
        f"({row['low']:.0%} to {row['high']:.0%}); the others give it to {row['others']:.0%} of the same examples. Elsewhere "
        f"the gap is {row['difference'] * 100:.0f} points smaller."
    )  # fmt: skip


def speed(row: Row) -> Said:
    return row["annotator"], 1 - row["ratio"], (
        f"Takes {row['seconds']:.1f} seconds an answer (median), the others {row['others']:.1f}, and agrees with them less."
    )  # fmt: skip


def run(row: Row) -> Said:
    return row["annotator"], 1 - row["agree"], (
        f"Gave “{row['label']}” {row['length']} times in a row, where the others say so for {row['agree']:.0%} of these."
    )  # fmt: skip


def spam(row: Row) -> Said:
    kind = {"random": "", "constant": "; nearly all are the same answer"}
    how = kind.get(row["pattern"], f"; they repeat in a {row['pattern']}")
    return row["annotator"], 1.0, (
        f"The {row['n']} shared answers have nothing to do with what is asked{how}: beyond chance they agree with the others "
        f"by {max(row['content'], 0):.0%} ({row['low']:.0%} to {row['high']:.0%}); the others among each other by "
        f"{row['others']:.0%}."
    )  # fmt: skip


def drift(row: Row) -> Said:
    return row["annotator"], min(1.0, row["fall"] * 2), (
        f"Agreed with the others by {row['before']:.0%} in the first {row['place']} answers and by {row['after']:.0%} in the "
        f"{row['n'] - row['place']} after: {row['fall'] * 100:.0f} points ({row['low'] * 100:.0f} to {row['high'] * 100:.0f}) "
        "more than the others' agreement fell on the same examples."
    )  # fmt: skip


def habit(row: Row) -> Said:
    return row["annotator"], min(1.0, row["rise"]), (
        f"Since answer {row['place'] + 1} of {row['n']}, gives “{row['label']}” in {row['after']:.0%}, before in "
        f"{row['before']:.0%}; the others went from {row['others_before']:.0%} to {row['others_after']:.0%} on the same examples."
    )  # fmt: skip


def copied(row: Row) -> list[Said]:
    """To whoever answered later, or to both where the times do not tell."""
    whom = [row["later"]] if row["later"] else [row["annotator"], row["other"]]
    return [(who, max(0.5, row["share"]), _copied(row, who)) for who in whom]


def _copied(row: Row, who: str) -> str:
    other = row["other"] if who == row["annotator"] else row["annotator"]
    order = (
        f"answered later in {row['times_later']} of {row['timed']} of these"
        if row["later"]
        else "who answered first cannot be told"
    )
    return (
        f"Shares {row['shared']} of {row['n']} unusual answers with annotator {other}; of two who work apart "
        f"{row['expected']:.1f} would be expected; {order}. A source in common, such as notes, would look the same."
    )


def followed(row: Row) -> Said:
    parts = []
    if row["follows_wrong"]:
        parts.append(
            f"Took over {row['followed']} of {row['wrong']} suggestions that the others' answers contradict "
            f"({row['followed_low']:.0%} to {row['followed_high']:.0%}): {row['share']:.0%} more than by mistakes of their own, "
            f"the others {row['others_share']:.0%}."
        )
    if row["leans"]:
        parts.append(
            f"Agrees with {row['shown_rate']:.0%} of {row['shown']} suggestions that were shown, but with "
            f"{row['held_rate']:.0%} of {row['held']} that were held back: {row['gap'] * 100:.0f} points "
            f"({row['gap_low'] * 100:.0f} to "
            f"{row['gap_high'] * 100:.0f}), the others {row['others_gap'] * 100:.0f}."
        )
    return row["annotator"], min(1.0, max(row["share"], row["gap"])), " ".join(parts)


def gold(row: Row) -> Said:
    ends = f" ({row['low']:.0%} to {row['high']:.0%})" if row["low"] is not None else ""
    return row["annotator"], 1 - row["accuracy"], (
        f"Right in {row['accuracy']:.0%}{ends} of {row['n']} examples whose answer was decided; the others in "
        f"{row['others']:.0%} of the same ones."
    )  # fmt: skip


def scale(row: Row) -> Said:
    parts = []
    if row["shifted"]:
        parts.append(
            f"Rates “{row['scale']}” {'higher' if row['shift'] > 0 else 'lower'} than the others on the same {row['n']} "
            f"examples, by {abs(row['shift']):.0%} of the scale ({row['low']:+.0%} to {row['high']:+.0%})."
        )
    if row["narrow"]:
        parts.append(f"Uses little of “{row['scale']}”: the ratings vary by {row['spread']:.0%} of what the others' do.")
    return row["annotator"], min(1.0, max(abs(row["shift"]) * 2, 1 - row["spread"])), " ".join(parts)


def words(parts: Iterable[tuple[str, list[Row], Callable[[Row], Said | list[Said]]]]) -> list[Row]:
    """annotator, about, severity, p, sentence of all that is flagged. parts: (what it is about, rows, its sentence)."""
    told: list[Row] = []
    for about, rows, say in parts:
        for row in rows:
            if row["flagged"]:
                said = say(row)
                p = min(row[key] for key in ("p", "p_wrong", "p_gap", "p_spread") if key in row) if about != "speed" else None
                for who, bad, sentence in said if isinstance(said, list) else [said]:
                    other = {row["annotator"]: row["other"], row["other"]: row["annotator"]}[who] if "other" in row else ""
                    told.append(
                        {"annotator": who, "about": about, "severity": bad, "p": p, "sentence": sentence, "other": other}
                    )
    return sorted(told, key=lambda row: (row["annotator"], -row["severity"], row["about"], row["sentence"]))


def not_told(sheet: Sheet, rows: dict[str, list[Row]], suggestions: int) -> list[str]:
    """What could not be asked, and what it would take. suggestions: how many were made at all."""
    size = np.bincount(sheet.example)
    told = []
    if len(sheet.people) < 3:
        told.append(
            "There are two annotators: a difference between them has two possible owners, and only ground truth can tell whose "
            "it is."
        )
    elif not np.isfinite(sheet.rest).any():
        told.append("Drift and spam: no example has three answers, and nobody is held against a single other one.")
    elif not rows["drift"]:
        told.append(f"Drift: nobody has {SHORTEST} answers to examples that two others answered, too.")
    if (size < COPYING).all():
        told.append(f"Copying from each other: no example has {COPYING} answers, which it takes to call one of them unusual.")
    if not np.isfinite(sheet.when).any():
        told.append("Order in time: the answers carry no times, so their order is taken from their numbers.")
    if suggestions and not rows["suggestions"]:
        told.append("Copying from suggestions: nobody has ten answers that were begun after a suggestion was shown.")
    if not rows["gold"]:
        told.append("Accuracy against ground truth: no answer was decided for an example that an annotator answered.")
    return told
