"""Problems that look for the best, or for a proof: what they are worth, when that is better, and what is believed."""

from __future__ import annotations

import functools
from typing import Any, Optional

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parry_mpi.data import DataCodec
from parry_mpi.problem import SCORE_MAX, Best, Decision, Enumeration, Optimisation, plain_number


class Shortest(Optimisation[int, str]):
    """Nodes are their own objective; odd ones are no solution."""

    def objective(self, node):
        return None if node % 2 else node

    def bound(self, node):
        return node - 1

    def verify(self, objective, solution):
        return solution == str(objective)


class Longest(Shortest):
    sense = "max"

    def bound(self, node):
        return node + 1


class Roughly(Shortest):
    gap: int = 3


class RoughlyLongest(Longest):
    gap: int = 3


class Typeless(Optimisation):
    pass


class Proof(Decision[int, list[int]]):
    def witness(self, node):
        return [node] if node > 5 else None


def best(objective: Any, solution: Any = None) -> Best[Any]:
    return Best(objective, str(objective) if solution is None else solution)


class TestSense:
    @pytest.mark.parametrize(("problem", "better"), [(Shortest(), 2), (Longest(), 4)])
    def test_better_is_what_the_sense_says(self, problem, better):
        """Protects the answer: min keeps the small one, max the large one, whichever came first."""
        assert best(better) == problem.combine(best(2), best(4)) == problem.combine(best(4), best(2))
        assert problem.score(best(better)) == min(problem.score(best(2)), problem.score(best(4)))

    @pytest.mark.parametrize("problem", [Shortest(), Longest()])
    def test_nothing_is_neutral(self, problem):
        """Protects searches without a solution: nothing and something is something, and nothing has no score."""
        assert problem.zero() is None
        assert problem.combine(None, None) is None
        assert best(2) == problem.combine(None, best(2)) == problem.combine(best(2), None)
        assert problem.score(None) is None

    def test_ties_go_to_the_first(self):
        """Protects a run's directory: a solution that is as good does not replace the one that is kept."""
        for problem in (Shortest(), Longest()):
            assert "first" == problem.combine(best(2, "first"), best(2, "second")).solution

    @given(st.lists(st.integers() | st.floats(allow_nan=False), min_size=1, max_size=8), st.randoms(use_true_random=False))
    def test_order_does_not_matter(self, objectives, draw):
        """Protects the optimum from the order in which reports come in."""
        objectives = [each for each in objectives if isinstance(each, float) or abs(each) <= SCORE_MAX]
        for problem, chosen in ((Shortest(), min), (Longest(), max)):
            draw.shuffle(objectives)
            found = functools.reduce(problem.combine, map(best, objectives), None)
            assert (chosen(objectives) if objectives else None) == (found and found.objective)

    @given(st.integers(-SCORE_MAX, SCORE_MAX))
    def test_kernels_are_told_the_objective(self, objective):
        """Protects kernels: what they are told is an objective of their own sense, not the library's score."""
        for problem in (Shortest(), Longest()):
            assert objective == problem.objective_of(problem.score(best(objective)))
            assert problem.objective_of(None) is None


class TestPruning:
    @pytest.mark.parametrize(
        ("problem", "node", "incumbent", "pruned"),
        [
            (Shortest(), 11, 10, True),  # the bound is 10: as good is not better
            (Shortest(), 10, 10, False),
            (Longest(), 9, 10, True),
            (Longest(), 10, 10, False),
            (Roughly(), 8, 10, False),  # 7 is better by 3
            (Roughly(), 9, 10, True),  # 8 is not
            (RoughlyLongest(), 12, 10, False),
            (RoughlyLongest(), 11, 10, True),
        ],
    )
    def test_what_cannot_be_better_is_left_out(self, problem, node, incumbent, pruned):
        """Protects the optimum, and speed: what cannot be better by the gap is left out, and nothing else."""
        assert pruned is problem.prunes(node, problem.score(best(incumbent)))

    def test_no_bound_leaves_out_nothing(self):
        """Protects problems without a bound: everything is explored."""
        assert not Typeless().prunes(1, -SCORE_MAX)
        assert not Proof().prunes(1, 0)

    def test_infinite_bound_means_no_solution(self):
        """Protects users who can tell that a branch is dead: an infinite bound is left out as soon as anything is known."""
        problem = Shortest()
        problem.__dict__["bound"] = lambda _node: float("inf")
        assert problem.prunes(1, SCORE_MAX)

    @pytest.mark.parametrize("problem", [Shortest(), Longest()])
    def test_improvement_is_better(self, problem):
        """Protects the others from news that is none: only what is better counts, and no solution never does."""
        worse, better = (6, 2) if problem.sense == "min" else (2, 6)
        known = problem.score(best(4))
        assert Best(better, better) == problem.improvement(better, known)
        for node in (worse, 4, 3):
            assert problem.improvement(node, known) is None
        assert Best(worse, worse) == problem.improvement(worse, None) == problem.value(worse)
        assert problem.value(3) is None

    def test_target(self):
        """Protects the user's waiting: a target is reached by a score that is as good."""
        assert Shortest().enough() is None
        for problem, reached, missed in ((Shortest(), 4, 5), (Longest(), 6, 5)):
            problem.__dict__["target"] = lambda: np.int32(reached)  # noqa: B023 called at once
            assert problem.score(best(reached)) <= problem.enough() < problem.score(best(missed))
        assert 0 == Proof().enough()


class TestLimit:
    @pytest.mark.parametrize(
        ("problem", "gap", "incumbent", "limit"),
        [
            (Shortest, 0, 72, 72),
            (Shortest, 1, 72, 72),  # 71 is better by 1, and less than 72
            (Shortest, 3, 72, 70),
            (Shortest, 0.5, 72, 72),
            (Shortest, 2.5, 72, 70),  # 70 is better by 2, 69 by 3
            (Longest, 3, 17, 19),
            (Longest, 0, 17, 17),
            (Shortest, float("inf"), 72, 1 - SCORE_MAX),
            (Shortest, 10**30, 72, 1 - SCORE_MAX),
            (Shortest, 3, 1 - SCORE_MAX, 1 - SCORE_MAX),
        ],
    )
    def test_of_integers(self, problem, gap, incumbent, limit):
        """Protects kernels that compute with integers: they are told an integer, and what is better than that is better by the gap."""
        problem = problem(gap=gap)
        told = problem.limit(problem.score(best(incumbent)))
        assert (limit, int) == (told, type(told))

    @given(
        st.integers(-50, 50), st.sampled_from([0, 1, 2, 3, 0.5, 2.5]), st.integers(-60, 60), st.sampled_from([Shortest, Longest])
    )
    def test_leaves_out_what_prunes_does(self, incumbent, gap, bound, kind):
        """Protects the optimum: a kernel that leaves out what is no better than the limit leaves out what every other search does."""
        problem = kind(gap=gap)
        score, known = problem.score(best(bound)), problem.score(best(incumbent))
        limit = problem.score(best(problem.limit(known)))
        assert problem.hopeless(score, known) == (score >= limit)

    @given(st.floats(-1e3, 1e3), st.floats(0, 10), st.floats(-2e3, 2e3))
    def test_of_floats(self, incumbent, gap, bound):
        """Protects the optimum of objectives that are no integers: not even rounding leaves out what is better by the gap."""
        problem = Shortest(gap=gap)
        assert problem.hopeless(bound, incumbent) == (bound >= problem.limit(incumbent))

    def test_nothing_known(self):
        """Protects the beginning: as long as there is no solution there is nothing to beat."""
        assert Roughly().limit(None) is None


class TestGap:
    def test_parameter(self):
        """Protects users: a gap is given like any parameter, and a class may have a default of its own."""
        assert (0, 2.5, 3, 1) == (Shortest().gap, Shortest(gap=2.5).gap, Roughly().gap, Roughly(gap=1).gap)

    def test_default_without_a_type(self):
        """Protects from a gap that is given and ignored: a default without its type would hide the parameter, and is refused."""
        with pytest.raises(TypeError, match="gap is a parameter of Hidden: write its default with its type, gap: int = 3"):
            type("Hidden", (Shortest,), {"gap": 3})

    @pytest.mark.parametrize(("bound", "score"), [(5, 5), (float("inf"), float("inf")), (float("-inf"), None), (None, None)])
    def test_bounds_that_say_nothing(self, bound, score):
        """Protects the wire: a bound that everything is worse than says nothing, and is not sent."""
        problem = Shortest()
        problem.__dict__["bound"] = lambda _node: bound
        assert score == problem.bound_score(1)


class TestNumbers:
    @pytest.mark.parametrize(
        ("number", "plain"),
        [(np.int64(5), 5), (np.uint8(200), 200), (np.float32(0.5), 0.5), (np.float64("inf"), float("inf")), (True, 1), (-3, -3)],
    )
    def test_numpy_numbers_become_pythons(self, number, plain):
        """Protects kernels: the numbers they compute with can be compared, sent, and stored without wrapping around."""
        result = plain_number(number)
        assert (plain, type(plain)) == (result, type(result))
        assert -plain == Longest().score(best(number))
        assert Shortest().score(best(np.uint8(3))) - 4 == -1

    @pytest.mark.parametrize("number", [float("nan"), np.float64("nan"), 2**63, -(2**63), np.uint64(2**63), "3", None, 1j, [3]])
    def test_what_cannot_be_compared_is_refused(self, number):
        """Protects the optimum: not a number would never be better nor worse, and what exceeds 64 bits could not be sent."""
        with pytest.raises(ValueError, match="has to be a number of at most 64 bits, not"):
            plain_number(number)
        with pytest.raises(ValueError, match="has to be a number"):
            Shortest().combine(best(1), best(number))
        with pytest.raises(ValueError, match="has to be a number"):
            Longest().score(best(number))

    @pytest.mark.parametrize("number", [SCORE_MAX, -SCORE_MAX])
    def test_largest_numbers(self, number):
        """Protects problems with large costs: 63 bits and a sign are kept exactly, negated too."""
        assert number == plain_number(number)
        assert -number == Longest().score(best(number))
        codec = DataCodec(Shortest.value_type(), "a value")
        assert number == codec.decode(codec.encode(best(number))).objective


class TestVerifying:
    def test_what_verify_rejects_is_not_believed(self):
        """Protects the result from a worker that errs: it is told where the solution was found, and the result stays."""
        problem = Shortest()
        with pytest.raises(ValueError, match=r"verify\(\) rejects the solution .*'three'.* found on node7"):
            problem.add_result(best(4), best(3, "three"), "node7")
        assert best(3) == problem.add_result(best(4), best(3), "node7")

    def test_only_what_is_better_is_verified(self, monkeypatch):
        """Protects rank 0: what would not be kept anyway costs no verification, and what is kept none again."""
        asked = []
        monkeypatch.setattr(Shortest, "verify", lambda _self, objective, _solution: asked.append(objective) or True)
        problem, result = Shortest(), None
        for value in (best(4), best(6), None, best(4, "as good"), best(2)):
            result = problem.add_result(result, value, "host")
        assert ([4, 2], best(2)) == (asked, result)

    def test_witness(self):
        """Protects the answer yes: a witness is verified before it counts, and the first one stays."""
        problem = Proof()
        assert [6] == problem.add_result(None, [6], "host")
        assert [6] == problem.add_result([6], [7], "host")
        assert problem.add_result(None, None, "host") is None
        problem.__dict__["verify"] = lambda _witness: False
        with pytest.raises(ValueError, match=r"verify\(\) rejects the witness \[6\] that was found on host"):
            problem.add_result(None, [6], "host")
        assert problem.verify(None) is False

    def test_long_solutions_are_cut_in_the_message(self):
        """Protects the terminal: one line says what was rejected."""
        with pytest.raises(ValueError, match="rejects") as refused:
            Shortest().add_result(None, best(1, "x" * 10**6), "host")
        assert len(str(refused.value)) < 1000


class TestTypes:
    def test_values_are_typed(self):
        """Protects type safety on the wire: a solution that is not of the declared type does not come back."""
        assert (int, Optional[Best[str]]) == (Shortest.node_type(), Shortest.value_type())  # noqa: UP045 as it is written
        assert Optional[list[int]] == Proof.value_type()  # noqa: UP045
        codec = DataCodec(Shortest.value_type(), "a value")
        assert best(3.5) == codec.decode(codec.encode(best(np.float32(3.5), "3.5")))
        assert codec.decode(codec.encode(None)) is None
        with pytest.raises(Exception, match="a value does not come back"):
            codec.decode(msgspec.msgpack.encode({"objective": 3, "solution": 4}))

    @pytest.mark.parametrize(
        ("call", "told"),
        [
            (
                lambda: Typeless().objective(1),
                r"Typeless must define objective\(node\), or explore\(frontier, budget, incumbent\)",
            ),
            (lambda: Decision().witness(1), r"Decision must define witness\(node\)"),
        ],
    )
    def test_missing_methods_are_named(self, call, told):
        """Protects beginners: what is missing is named."""
        with pytest.raises(NotImplementedError, match=told):
            call()

    def test_defaults(self):
        """Protects short problems: the node is the solution, everything is believed, nothing is known beforehand."""
        problem = Typeless()
        assert ("min", 0, None, None) == (problem.sense, problem.gap, problem.bound(1), problem.target())
        assert (7, True, True) == (problem.solution(7), problem.verify(1, 7), Proof().verify([1]))

    def test_what_is_computed_once_may_be_kept(self):
        """Protects problems that read a file or build a table: a cached_property works, and is no parameter."""

        class Cached(Enumeration[int, int]):
            n: int = 3
            built = 0

            @functools.cached_property
            def table(self):
                type(self).built += 1
                return list(range(self.n))

        problem = Cached()
        assert [0, 1, 2] == problem.table == problem.table
        assert 1 == Cached.built
        assert {"n": 3} == msgspec.to_builtins(problem)
        assert Cached() == problem


def test_parameter_without_default():
    """Protects who writes an optimisation: it may have parameters that must be given, beside the gap that every one has."""

    class Ruler(Optimisation[int, int]):
        marks: int

    assert (7, 0, 2) == (Ruler(marks=7).marks, Ruler(marks=7).gap, Ruler(marks=7, gap=2).gap)
