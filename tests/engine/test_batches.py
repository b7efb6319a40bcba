"""How batches are cut over the programs there are."""

import pytest
from numserve.engine.batches import Cost, Costs, choose, cover, powers_of_two, total

POWERS = list(powers_of_two(16))


def by_rows(size: int) -> float:
    """As convolutions: a run costs next to nothing, a row everything."""
    return size + 0.1


def by_runs(size: int) -> float:
    """As linear layers: a run costs what it costs."""
    return 10 + 0.1 * size


def test_powers_of_two_end_at_the_most() -> None:
    assert POWERS == [1, 2, 4, 8, 16]
    assert list(powers_of_two(1)) == [1]


@pytest.mark.parametrize(
    ("batch", "cost", "expected"),
    [
        (1, by_rows, [1]),
        (8, by_rows, [8]),
        (7, by_rows, [4, 2, 1]),
        (7, by_runs, [8]),
        (9, by_rows, [8, 1]),
        (9, by_runs, [16]),
        (40, by_rows, [16, 16, 8]),
        (40, by_runs, [16, 16, 8]),
    ],
)
def test_a_batch_is_cut_or_filled_up_whichever_costs_less(batch: int, cost: Cost, expected: list[int]) -> None:
    assert cover(batch, POWERS, cost) == expected


def test_any_sizes_will_do() -> None:
    assert cover(5, [3], by_rows) == [3, 3]
    assert cover(2, [8], by_rows) == [8]
    assert cover(6, [6, *POWERS], by_rows) == [6]
    assert cover(5000, [1], by_rows) == [1] * 5000


@pytest.mark.parametrize("cost", [by_rows, by_runs, Costs()])
@pytest.mark.parametrize("batch", range(1, 70))
def test_a_cover_holds_the_batch_and_only_its_last_part_has_rows_to_spare(batch: int, cost: Cost) -> None:
    sizes = cover(batch, POWERS, cost)
    assert sum(sizes[:-1]) < batch <= sum(sizes)


def test_costs_are_the_least_time_met_and_lie_on_a_line_elsewhere() -> None:
    costs = Costs()
    assert costs(4) == 5
    costs.note(1, 0.1)
    assert costs(1) == 2  # the first run does not count
    costs.note(1, 0.2)
    assert costs(3) == pytest.approx(0.4)
    for seconds in (0.1, 0.9, 0.6):
        costs.note(5, seconds)
    assert costs(5) == 0.6
    assert costs(9) == pytest.approx(1.0)
    costs.note(5, 0.1)
    assert costs(9) == pytest.approx(0.2)  # that more rows take less time is an accident


def test_where_there_is_room_a_program_is_made_that_spares_a_tenth() -> None:
    assert choose(24, [8], POWERS, room=True, cost=by_rows) == [8, 8, 8]
    assert choose(24, [8], POWERS, room=True, cost=by_runs) == [16, 8]
    assert choose(16, [8], POWERS, room=True, cost=by_rows) == [16]  # a size of its own in any case
    assert choose(7, [8], POWERS, room=True, cost=by_rows) == [4, 2, 1]
    assert choose(15, [16], POWERS, room=True, cost=by_rows) == [16]


def test_without_room_programs_that_are_there_do_unless_that_costs_much_more() -> None:
    assert choose(7, [16, 8], POWERS, room=False, cost=by_rows) == [8]
    assert choose(1, [16, 8, 4], POWERS, room=False, cost=by_rows) == [1]


@pytest.mark.parametrize("cost", [by_rows, by_runs, Costs()])
def test_any_stream_of_batches_settles_on_few_programs(cost: Cost) -> None:
    kept: list[int] = []
    made = []
    for batch in [*range(1, 33)] * 3:
        for size in choose(batch, kept, list(powers_of_two(64)), len(kept) < 4, cost):
            made += [size] * (size not in kept)
            kept = [*(s for s in kept if s != size), size][-4:]
    assert len(made) <= 8
    assert all(total(choose(n, kept, [], False, cost), cost) <= 2 * cost(n) for n in range(1, 33))
