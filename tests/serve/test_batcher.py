"""Who shares a call of the model with whom, without a model."""

import asyncio
import threading

from hypothesis import given
from hypothesis import strategies as st

from recbole_genrec.serve.batcher import Batcher, Busy


class Model:
    """Answers a history with its own items and an option; notes its calls."""

    def __init__(self) -> None:
        self.calls: list[list[list[str]]] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def lists(self, histories):
        self.go_on.wait(10)
        self.calls.append(list(histories))
        return [("list", *history) for history in histories]

    def beams(self, histories):
        self.calls.append(list(histories))
        return [("beam", *history) for history in histories]

    def broken(self, histories):
        raise ValueError("no answer")


def together(requests, batch=64, wait=0.02, queue=256):
    """The results of requests `(answer, histories)` that arrive at once, in their order."""

    async def ask_all():
        async with Batcher(batch, wait, queue) as batcher:
            asked = (batcher.ask(*request) for request in requests)
            return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(ask_all())


def test_what_arrives_together_shares_a_call():
    model = Model()
    answers = together([(model.lists, [[str(n)]]) for n in range(5)])
    assert answers == [[("list", str(n))] for n in range(5)]
    assert model.calls == [[[str(n)] for n in range(5)]]


def test_other_questions_have_a_call_of_their_own_and_the_oldest_goes_first():
    model = Model()
    answers = together(
        [(model.beams, [["a"]]), (model.lists, [["b"]]), (model.beams, [["c"], ["d"]])]
    )
    assert answers == [[("beam", "a")], [("list", "b")], [("beam", "c"), ("beam", "d")]]
    assert model.calls == [[["a"], ["c"], ["d"]], [["b"]]]


def test_a_batch_is_not_exceeded_but_by_a_single_request():
    model = Model()
    together([(model.lists, [["a"]] * size) for size in (2, 2, 5, 1)], batch=4)
    assert [len(call) for call in model.calls] == [4, 5, 1]


def test_a_batch_of_one_answers_each_request_by_itself():
    model = Model()
    together([(model.lists, [["a"]]), (model.lists, [["b"]])], batch=1)
    assert model.calls == [[["a"]], [["b"]]]


@given(
    st.lists(st.tuples(st.booleans(), st.lists(st.lists(st.text(max_size=2)), min_size=1))),
    st.integers(1, 6),
)
def test_everybody_gets_the_answer_that_they_would_get_alone(requests, batch):
    model = Model()
    asked = [(model.lists if lists else model.beams, histories) for lists, histories in requests]
    assert together(asked, batch, wait=0) == [answer(histories) for answer, histories in asked]


def test_a_failure_reaches_those_who_asked_and_nobody_else():
    model = Model()
    first, second, third = together(
        [(model.broken, [["a"]]), (model.lists, [["b"]]), (model.broken, [["c"]])]
    )
    assert second == [("list", "b")]
    assert str(first) == str(third) == "no answer"


def test_more_than_the_queue_holds_is_refused_and_the_rest_is_answered():
    model = Model()
    answers = together([(model.lists, [[str(n)]]) for n in range(5)], queue=3)
    assert [type(answer) for answer in answers] == [list] * 3 + [Busy] * 2


def test_the_queue_is_of_histories_but_an_empty_one_takes_whatever_comes():
    model = Model()
    asked = [(model.lists, [["a"]] * size) for size in (5, 1)]
    assert [type(answer) for answer in together(asked, queue=3)] == [list, Busy]
    asked = [(model.lists, [["a"]] * size) for size in (2, 2, 1)]
    assert [type(answer) for answer in together(asked, queue=3)] == [list, Busy, list]


def test_what_arrives_while_the_model_works_shares_the_next_call():
    model = Model()

    async def ask():
        async with Batcher(batch=64, wait=0, queue=256) as batcher:
            model.go_on.clear()
            asked = [asyncio.create_task(batcher.ask(model.lists, [["first"]]))]
            await asyncio.sleep(0.01)
            assert not batcher.waiting  # the model works on it
            asked += [asyncio.create_task(batcher.ask(model.lists, [[str(n)]])) for n in range(3)]
            await asyncio.sleep(0.01)
            asked[2].cancel()  # whose client does not wait any longer
            model.go_on.set()
            return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(ask())
    assert model.calls == [[["first"]], [["0"], ["2"]]]
    assert answers[3] == [("list", "2")]
    assert isinstance(answers[2], asyncio.CancelledError)
