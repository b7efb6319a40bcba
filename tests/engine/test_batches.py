"""How batches are cut over the programs there are."""

import pytest
from numserve.engine.batches import choose, cost, cover, powers_of_two

POWERS = list(powers_of_two(16))


def test_powers_of_two_end_at_the_most() -> None:
    assert POWERS == [1, 2, 4, 8, 16]
    assert list(powers_of_two(1)) == [1]


@pytest.mark.parametrize(
    ("batch", "sizes", "expected"),
    [
        (1, POWERS, [1]),
        (8, POWERS, [8]),
        (7, POWERS, [8]),  # one row for nothing costs less than two runs more
        (9, POWERS, [8, 1]),
        (12, POWERS, [8, 4]),
        (40, POWERS, [16, 16, 8]),
        (5, [3], [3, 3]),
        (2, [8], [8]),
        (6, [6, *POWERS], [6]),
    ],
)
def test_a_batch_is_cut_or_filled_up_whichever_costs_less(batch: int, sizes: list[int], expected: list[int]) -> None:
    assert cover(batch, sizes) == expected


@pytest.mark.parametrize("batch", range(1, 70))
def test_a_cover_holds_the_batch_and_only_its_last_part_has_rows_to_spare(batch: int) -> None:
    sizes = cover(batch, POWERS)
    assert sum(sizes[:-1]) < batch <= sum(sizes)
    assert cost(sizes) <= 1.5 * (batch + 1)


def test_where_there_is_room_the_best_is_made() -> None:
    assert choose(16, [8], POWERS, room=True) == [16]
    assert choose(7, [8], POWERS, room=True) == [8]


def test_without_room_programs_that_are_there_do_unless_that_costs_much_more() -> None:
    assert choose(16, [8, 4, 2, 1], POWERS, room=False) == [8, 8]
    assert choose(1, [16, 8, 4], POWERS, room=False) == [1]


def test_any_stream_of_batches_settles_on_few_programs() -> None:
    kept: list[int] = []
    made = 0
    for batch in [*range(1, 33)] * 3:
        for size in choose(batch, kept, list(powers_of_two(64)), len(kept) < 4):
            made += size not in kept
            kept = [*(s for s in kept if s != size), size][-4:]
    assert made <= 12
