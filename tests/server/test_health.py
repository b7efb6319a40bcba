"""Health: what is known of models that cannot serve is as if all were asked each time, and hardly any is."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from numserve.server.health import WAITED_FOR, Health

STATES = st.sampled_from(["ready", "asleep", "unloaded", *WAITED_FOR])
NAMES = st.sampled_from("abc")


class Fleet:
    """Models of which a test says how they are, and which count how often they are asked."""

    def __init__(self) -> None:
        self.there = {}
        self.asked = 0
        self.health = Health(self.find)

    def find(self, name):
        self.asked += 1
        return self.there.get(name)

    def be(self, name, state):
        """A model comes, changes, or goes where `state` is None."""
        if state is None:
            self.there.pop(name, None)
        else:
            told = SimpleNamespace(state=state)
            self.there[name] = SimpleNamespace(healthy=lambda: state != "crash-loop", status=lambda: told)
        self.health.changed(name)


@given(st.lists(st.tuples(NAMES, st.none() | STATES, st.booleans())))
def test_it_knows_what_asking_all_would_tell(changes):
    fleet = Fleet()
    for name, state, asked in changes:
        fleet.be(name, state)
        if asked:
            fleet.health.missing()
    assert fleet.health.unhealthy() == {name for name, model in fleet.there.items() if not model.healthy()}
    assert fleet.health.missing() == {name for name, model in fleet.there.items() if model.status().state in WAITED_FOR}


def test_only_what_has_changed_is_asked():
    fleet = Fleet()
    for number in range(100):
        fleet.be(f"m{number}", "loading")
    assert len(fleet.health.missing()) == 100 and fleet.asked == 100
    fleet.be("m1", "ready")
    fleet.be("m1", "failing")
    fleet.be("m2", None)
    assert len(fleet.health.missing()) == 99 and not fleet.health.unhealthy() and fleet.asked == 102
