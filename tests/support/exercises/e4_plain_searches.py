"""Answers to exercises 4.3 and 4.9, random search and successive halving: `RIGHT` must pass,
`WRONG` must not.
"""

import math

import numpy as np

# ---- 4.3 -----------------------------------------------------------------------------------------


def draw_by_dict(draw, latency, accuracy, limit, rounds):
    best, best_row, history, seen = -np.inf, None, [], set()
    for _ in range(rounds):
        rows = draw()
        new = {tuple(row): row for row in rows[latency(rows) <= limit]}
        new = [row for key, row in new.items() if key not in seen]
        seen.update(map(tuple, new))
        if new:
            scores = accuracy(np.stack(new))
            if scores.max() > best:
                best, best_row = scores.max(), new[scores.argmax()]
        history.append(best)
    return best_row, history


def draw_new_rows_only(draw, latency, accuracy, limit, rounds):
    """Rows that were seen are dropped before anything is asked of them; often none remain."""
    best, best_row, history, seen = -np.inf, None, [], set()
    for _ in range(rounds):
        rows = np.unique(draw(), axis=0)
        rows = rows[[tuple(row) not in seen for row in rows.tolist()]]
        seen.update(map(tuple, rows.tolist()))
        rows = rows[latency(rows) <= limit]
        if len(rows):
            scores = accuracy(rows)
            if scores.max() > best:
                best, best_row = scores.max(), rows[scores.argmax()]
        history.append(best)
    return best_row, history


def draw_row_by_row(draw, latency, accuracy, limit, rounds):
    known, history = {}, []
    for _ in range(rounds):
        for row in draw().tolist():
            if latency([row])[0] <= limit and tuple(row) not in known:
                known[tuple(row)] = accuracy([row])[0]
        history.append(max(known.values(), default=-math.inf))
    return max(known, key=known.get, default=None), np.array(history)


def draw_all_at_once(draw, latency, accuracy, limit, rounds):
    """All rounds are drawn before anything is judged."""
    batches = [draw() for _ in range(rounds)]
    rows, which, place = np.unique(
        np.concatenate(batches), axis=0, return_index=True, return_inverse=True
    )
    scores = np.full(len(rows), -np.inf)
    meets = latency(rows) <= limit
    if meets.any():
        scores[meets] = accuracy(rows[meets])
    of_rounds = scores[place.ravel()].reshape(rounds, -1).max(1)
    best = rows[scores.argmax()] if meets.any() else None
    return best, np.maximum.accumulate(of_rounds).tolist()


def draw_search(
    draw, latency, accuracy, limit, rounds, *, strict=False, forget=False, start=-np.inf
):
    """`draw_row_by_row` with a slip."""
    known, history, best_row, best = set(), [], None, start
    for _ in range(rounds):
        for row in draw():
            spent = latency(row[None])[0]
            if (spent < limit if strict else spent <= limit) and tuple(row) not in known:
                known.add(tuple(row))
                score = accuracy(row[None])[0]
                if score > best:
                    best, best_row = score, row
        history.append(best)
        if forget:
            known = set()
    return best_row, history


def draw_strict_limit(*arguments):
    return draw_search(*arguments, strict=True)


def draw_forgets_earlier_rounds(*arguments):
    return draw_search(*arguments, forget=True)


def draw_starts_from_zero(*arguments):
    return draw_search(*arguments, start=0.0)


def draw_starts_from_a_hundred(*arguments):
    return draw_search(*arguments, start=100.0)


def draw_judges_all(draw, latency, accuracy, limit, rounds):
    """The limit comes after the accuracy."""
    known, history, best_row = {}, [], None
    for _ in range(rounds):
        for row in draw():
            if tuple(row) not in known:
                known[tuple(row)] = accuracy(row[None])[0]
        meeting = {row: value for row, value in known.items() if latency([row])[0] <= limit}
        best_row = max(meeting, key=meeting.get, default=None)
        history.append(meeting.get(best_row, -np.inf))
    return best_row, history


def draw_judges_again(draw, latency, accuracy, limit, rounds):
    best, best_row, history = -np.inf, None, []
    for _ in range(rounds):
        rows = draw()
        rows = rows[latency(rows) <= limit]
        if len(rows):
            scores = accuracy(rows)
            if scores.max() > best:
                best, best_row = scores.max(), rows[scores.argmax()]
        history.append(best)
    return best_row, history


def draw_twins_of_a_round(draw, latency, accuracy, limit, rounds):
    """Rows of earlier rounds are known, those of the same round are not."""
    best, best_row, history, seen = -np.inf, None, [], set()
    for _ in range(rounds):
        rows = draw()
        rows = [row for row in rows[latency(rows) <= limit] if tuple(row) not in seen]
        seen.update(map(tuple, rows))
        if rows:
            scores = accuracy(np.stack(rows))
            if scores.max() > best:
                best, best_row = scores.max(), rows[scores.argmax()]
        history.append(best)
    return best_row, history


def draw_empty_rounds(draw, latency, accuracy, limit, rounds):
    """Asks for the accuracy of no row at all where a round holds none."""
    best, best_row, history, seen = -np.inf, None, [], set()
    for _ in range(rounds):
        rows = draw()
        rows = [row for row in np.unique(rows[latency(rows) <= limit], axis=0)]
        rows = [row for row in rows if tuple(row) not in seen]
        seen.update(map(tuple, rows))
        scores = accuracy(np.array(rows).reshape(len(rows), -1))
        if len(rows) and max(scores) > best:
            best, best_row = max(scores), rows[np.argmax(scores)]
        history.append(best)
    return best_row, history


def draw_history_of_rounds(draw, latency, accuracy, limit, rounds):
    """The best of each round instead of the best so far."""
    batches = [draw() for _ in range(rounds)]
    queue = iter(batches)
    best_row, history = draw_by_dict(lambda: next(queue), latency, accuracy, limit, rounds)
    of_rounds = [history[0]]
    for before, now in zip(history, history[1:]):
        of_rounds.append(now if now > before else -np.inf)
    return best_row, of_rounds


def draw_skips_rounds_without_rows(draw, latency, accuracy, limit, rounds):
    row, history = draw_by_dict(draw, latency, accuracy, limit, rounds)
    return row, [value for value in history if np.isfinite(value)]


def draw_none_before_the_first(draw, latency, accuracy, limit, rounds):
    row, history = draw_by_dict(draw, latency, accuracy, limit, rounds)
    return row, [value if np.isfinite(value) else 0.0 for value in history]


def draw_once_more(draw, latency, accuracy, limit, rounds):
    row, history = draw_by_dict(draw, latency, accuracy, limit, rounds + 1)
    return row, history[:-1]


def draw_one_round_less(draw, latency, accuracy, limit, rounds):
    row, history = draw_by_dict(draw, latency, accuracy, limit, rounds - 1)
    return row, [*history, history[-1]]


def draw_until_one_meets(draw, latency, accuracy, limit, rounds):
    """Stops once a round has brought a row that meets the limit."""
    best_row, history = None, []
    for _ in range(rounds):
        if best_row is None:
            best_row, (value,) = draw_by_dict(draw, latency, accuracy, limit, 1)
        history.append(value)
    return best_row, history


def draw_three_values(draw, latency, accuracy, limit, rounds):
    row, history = draw_by_dict(draw, latency, accuracy, limit, rounds)
    return row, history, history[-1]


def draw_row_only(draw, latency, accuracy, limit, rounds):
    return draw_by_dict(draw, latency, accuracy, limit, rounds)[0]


def draw_last_value(draw, latency, accuracy, limit, rounds):
    row, history = draw_by_dict(draw, latency, accuracy, limit, rounds)
    return row, history[-1]


def draw_raises(draw, latency, accuracy, limit, rounds):
    row, history = draw_by_dict(draw, latency, accuracy, limit, rounds)
    if row is None:
        raise ValueError("no row meets the limit")
    return row, history


def draw_fastest_of_none(draw, latency, accuracy, limit, rounds):
    """A row that breaks the limit is better than none."""
    batches = [draw() for _ in range(rounds)]
    queue = iter(batches)
    row, history = draw_by_dict(lambda: next(queue), latency, accuracy, limit, rounds)
    rows = np.concatenate(batches)
    return rows[latency(rows).argmin()] if row is None else row, history


def draw_fastest(draw, latency, accuracy, limit, rounds):
    batches = [draw() for _ in range(rounds)]
    queue = iter(batches)
    row, history = draw_by_dict(lambda: next(queue), latency, accuracy, limit, rounds)
    rows = np.concatenate(batches)
    return None if row is None else rows[latency(rows).argmin()], history


def draw_four_rounds(draw, latency, accuracy, limit, rounds):
    return draw_by_dict(draw, latency, accuracy, limit, 6)


# ---- 4.9 -----------------------------------------------------------------------------------------


def halve_sorted(count, measure, images, most):
    remaining, spent = list(range(count)), 0
    while len(remaining) > 1:
        scores = {i: measure(i, images) for i in remaining}
        spent += images * len(remaining)
        kept = 1 if images == most else (len(remaining) + 1) // 2
        remaining = sorted(remaining, key=lambda i: (-scores[i], i))[:kept]
        images = min(2 * images, most)
    return remaining[0], spent


def halve_arrays(count, measure, images, most):
    remaining, spent = np.arange(count), 0
    while len(remaining) > 1:
        scores = np.array([measure(i, images) for i in remaining[::-1]])[::-1]
        spent += images * len(remaining)
        order = np.argsort(-scores, kind="stable")
        if images == most:
            return remaining[order[0]], spent
        remaining = np.sort(remaining[order[: math.ceil(len(remaining) / 2)]])
        images = min(images * 2, most)
    return remaining[0], spent


def halve_recursive(count, measure, images, most, candidates=None, spent=0):
    candidates = range(count) if candidates is None else candidates
    if len(candidates) == 1:
        return candidates[0], spent
    ranked = sorted((-measure(i, images), i) for i in candidates)
    spent += len(candidates) * images
    if images == most:
        return ranked[0][1], spent
    best = [i for _, i in ranked[: len(ranked) - len(ranked) // 2]]
    return halve_recursive(count, measure, min(most, 2 * images), most, sorted(best), spent)


def halving(
    count,
    measure,
    images,
    most,
    *,
    share=lambda n: (n + 1) // 2,
    grow=lambda n: 2 * n,
    key=lambda score, i: (-score, i),
    decides=True,
    alone=1,
):
    """`halve_sorted` with a slip."""
    remaining, spent = list(range(count)), 0
    while len(remaining) > alone:
        scores = {i: measure(i, images) for i in remaining}
        spent += images * len(remaining)
        kept = 1 if images == most and decides else share(len(remaining))
        remaining = sorted(remaining, key=lambda i: key(scores[i], i))[:kept]
        images = min(grow(images), most)
    return remaining[0], spent


def halve_rounds_down(*arguments):
    return halving(*arguments, share=lambda n: n // 2)


def halve_drops_one(*arguments):
    return halving(*arguments, share=lambda n: n - 1)


def halve_adds_images(count, measure, images, most):
    return halving(count, measure, images, most, grow=lambda n: n + images)


def halve_same_images(*arguments):
    return halving(*arguments, grow=lambda n: n)


def halve_keeps_the_worse(*arguments):
    return halving(*arguments, key=lambda score, i: (score, i))


def halve_later_of_equals(*arguments):
    return halving(*arguments, key=lambda score, i: (-score, -i))


def halve_stable(*arguments):
    """Of equal ones the one that was ahead before."""
    return halving(*arguments, key=lambda score, i: -score)


def halve_goes_on_at_most(*arguments):
    """Halves on all images too, and so measures the same again."""
    return halving(*arguments, decides=False)


def halve_measures_the_winner(count, measure, images, most):
    winner, spent = halve_sorted(count, measure, images, most)
    measure(winner, most)
    return winner, spent + most


def halve_more_than_there_are(count, measure, images, most):
    remaining, spent = list(range(count)), 0
    while len(remaining) > 1:
        scores = {i: measure(i, images) for i in remaining}
        spent += images * len(remaining)
        remaining = sorted(remaining, key=lambda i: (-scores[i], i))[: (len(remaining) + 1) // 2]
        images *= 2
    return remaining[0], spent


def halve_in_the_sort(count, measure, images, most):
    """Measures each candidate twice: for the order, and for the best accuracy."""
    remaining, spent = list(range(count)), 0
    while len(remaining) > 1:
        spent += images * len(remaining)
        kept = 1 if images == most else (len(remaining) + 1) // 2
        best = max(measure(i, images) for i in remaining)
        order = sorted(remaining, key=lambda i: (best - measure(i, images), i))
        remaining, images = order[:kept], min(2 * images, most)
    return remaining[0], spent


def halve_once(count, measure, images, most):
    scores = [measure(i, images) for i in range(count)]
    return int(np.argmax(scores)), count * images


def halve_all_on_all(count, measure, images, most):
    scores = [measure(i, most) for i in range(count)]
    return int(np.argmax(scores)), count * most


def halve_counts_measurements(count, measure, images, most):
    calls = []

    def counted(i, n):
        calls.append(i)
        return measure(i, n)

    return halve_sorted(count, counted, images, most)[0], len(calls)


def halve_counts_new_images(count, measure, images, most):
    """Images that a candidate was measured on before cost nothing."""
    largest = {}

    def counted(i, n):
        largest[i] = n
        return measure(i, n)

    winner, _ = halve_sorted(count, counted, images, most)
    return winner, sum(largest.values())


def halve_counts_kept(count, measure, images, most):
    remaining, spent = list(range(count)), 0
    while len(remaining) > 1:
        scores = {i: measure(i, images) for i in remaining}
        kept = 1 if images == most else (len(remaining) + 1) // 2
        remaining = sorted(remaining, key=lambda i: (-scores[i], i))[:kept]
        spent += images * len(remaining)
        images = min(2 * images, most)
    return remaining[0], spent


def halve_winner_only(*arguments):
    return halve_sorted(*arguments)[0]


def halve_accuracy_of_the_winner(count, measure, images, most):
    last = {}

    def noted(i, n):
        last[i] = measure(i, n)
        return last[i]

    winner, spent = halve_sorted(count, noted, images, most)
    return last.get(winner, 100.0), spent


def halve_numbers_from_one(count, measure, images, most):
    winner, spent = halve_sorted(count, measure, images, most)
    return winner + 1, spent


def halve_always_measures(count, measure, images, most):
    """One candidate is measured as well."""
    if count == 1:
        measure(0, images)
        return 0, images
    return halve_sorted(count, measure, images, most)


def halve_eight_images(count, measure, images, most):
    return halve_sorted(count, measure, min(8, most), most)


RIGHT = {
    "4.3": [draw_by_dict, draw_row_by_row, draw_all_at_once, draw_new_rows_only],
    "4.9": [halve_sorted, halve_arrays, halve_recursive],
}
WRONG = {
    "4.3": [
        draw_judges_again,
        draw_strict_limit,
        draw_forgets_earlier_rounds,
        draw_starts_from_zero,
        draw_starts_from_a_hundred,
        draw_judges_all,
        draw_twins_of_a_round,
        draw_empty_rounds,
        draw_history_of_rounds,
        draw_skips_rounds_without_rows,
        draw_none_before_the_first,
        draw_once_more,
        draw_one_round_less,
        draw_until_one_meets,
        draw_three_values,
        draw_row_only,
        draw_last_value,
        draw_raises,
        draw_fastest_of_none,
        draw_fastest,
        draw_four_rounds,
    ],
    "4.9": [
        halve_rounds_down,
        halve_drops_one,
        halve_adds_images,
        halve_same_images,
        halve_keeps_the_worse,
        halve_later_of_equals,
        halve_stable,
        halve_goes_on_at_most,
        halve_measures_the_winner,
        halve_more_than_there_are,
        halve_in_the_sort,
        halve_once,
        halve_all_on_all,
        halve_counts_measurements,
        halve_counts_new_images,
        halve_counts_kept,
        halve_winner_only,
        halve_accuracy_of_the_winner,
        halve_numbers_from_one,
        halve_always_measures,
        halve_eight_images,
    ],
}
