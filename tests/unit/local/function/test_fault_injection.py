"""Faults on demand: how they are spelled and drawn."""

from __future__ import annotations

import pytest

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.local.function.fault_injection import Fault, FaultDice, Faults


def test_text_and_mapping_spell_the_same_faults():
    """The command line and Python say the same."""
    assert Faults.parse("throttle=0.05, crash=0.01,duplicate=0.02") == Faults.of(
        {"throttle": 0.05, "crash": 0.01, "duplicate": 0.02}
    )


def test_nothing_spells_no_faults():
    """None, an empty text and an empty mapping are no faults."""
    assert Faults.of(None) == Faults.of("") == Faults.of({}) == Faults()


def test_text_of_faults_can_be_parsed_again():
    """``str`` of faults is what ``parse`` takes."""
    faults = Faults(throttle=0.05, oom=1.0)

    assert str(faults) == "throttle=0.05,oom=1"
    assert Faults.parse(str(faults)) == faults


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("throtle=0.1", "unknown fault 'throtle'"),
        ("throttle", "'=' is missing"),
        ("throttle=often", "'often' is not a number"),
        ("throttle=1.5", "not a probability"),
        ("throttle=-0.1", "not a probability"),
        ("throttle=nan", "not a probability"),
        ("throttle=0.1,throttle=0.2", "given twice"),
    ],
)
def test_misspelled_faults_are_refused(text, problem):
    """An unknown name or a probability out of range is an error that says so."""
    with pytest.raises(ConfigurationError, match=problem):
        Faults.parse(text)


def test_same_seed_draws_the_same_faults():
    """A seed makes a run reproducible."""
    faults = Faults(throttle=0.5, crash=0.3, duplicate=0.2)

    def draw():
        dice = FaultDice(faults, seed=7)
        return [(dice.hits("throttle"), dice.lost(), dice.hits("duplicate"), dice.coin()) for _ in range(50)]

    assert draw() == draw()


def test_turning_one_fault_on_does_not_move_another():
    """Each kind has its own stream, so that a reproduced run stays reproduced."""
    alone = FaultDice(Faults(throttle=0.5), seed=7)
    both = FaultDice(Faults(throttle=0.5, crash=0.5), seed=7)

    for _ in range(50):
        both.lost()
        assert alone.hits("throttle") == both.hits("throttle")


def test_certain_and_impossible_faults():
    """A probability of 1 always happens, and 0 never."""
    dice = FaultDice(Faults(oom=1.0), seed=1)

    assert [dice.lost() for _ in range(3)] == [Fault.OUT_OF_MEMORY] * 3
    assert not any(dice.hits("throttle") for _ in range(100))
