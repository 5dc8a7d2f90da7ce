"""The machinery of `benchmarks/speed.py`: the list of matrix products, ratios, and the history of runs."""

import sys
from pathlib import Path

import pytest
import torch
from tiny_models import SIZES, WORDS, tiny_model


sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import history
import loglog_plots
import matrix_products
import measure


def shapes(products: list[matrix_products.Product]) -> list[tuple[int, int, int, int]]:
    return [product.shape for product in products]


def test_products_of_a_tiny_language_model_are_those_counted_by_hand() -> None:
    model = tiny_model(vision=None, pose_vision=False)
    hidden, inner = SIZES["hidden_size"], SIZES["intermediate_size"]
    batch, length, heads, size = 3, 5, SIZES["num_attention_heads"], 8
    ids = torch.randint(2, WORDS, (batch, length))
    with torch.no_grad():
        products = matrix_products.record_products(lambda: model(ids, logits_to_keep=1), model)
    rows, narrow = batch * length, 2 * size  # two heads have keys and values
    layer = [
        *[(1, rows, hidden, columns) for columns in (heads * size, narrow, narrow)],
        (batch * heads, length, size, length),
        (batch * heads, length, length, size),
        (1, rows, heads * size, hidden),
        *[(1, rows, hidden, inner)] * 2,
        (1, rows, inner, hidden),
    ]
    head = (1, batch, hidden, model.config.text_config.vocab_size)
    assert sorted(shapes(products)) == sorted([*layer * SIZES["num_hidden_layers"], head])


def test_weights_are_the_operands_and_activations_are_not() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    with torch.no_grad():
        first, second = matrix_products.record_products(lambda: model(torch.ones(5, 3)), model)
    assert first.right.data_ptr() == model[0].weight.data_ptr()
    torch.testing.assert_close(first.compute(), first.left @ model[0].weight.detach().T)
    assert second.right.data_ptr() == model[2].weight.data_ptr()
    assert first.operations + second.operations == 2 * (5 * 3 * 4 + 5 * 4 * 2)


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_convolution_is_one_product_and_its_gradients_are_two(dilation: int) -> None:
    layer = torch.nn.Conv1d(6, 4, 3, padding=dilation, dilation=dilation)
    inputs = torch.randn(2, 6, 10, requires_grad=True)
    products = matrix_products.record_products(lambda: layer(inputs).sum().backward(), layer)
    assert shapes(products) == [(1, 20, 18, 4), (1, 20, 4, 18), (1, 4, 20, 18)]


def test_training_computes_three_times_the_products() -> None:
    model = tiny_model(vision=None, pose_vision=False)
    ids = torch.randint(2, WORDS, (2, 6))
    forward = matrix_products.record_products(lambda: model(ids, use_cache=False), model)
    both = matrix_products.record_products(lambda: model(ids, labels=ids, use_cache=False).loss.backward(), model)
    attention = sum(one.operations for one in forward if one.shape[0] > 1)
    total = sum(one.operations for one in forward)
    # Of a product with a weight both factors have a gradient; of attention the scores are computed again too.
    assert sum(one.operations for one in both) == 3 * (total - attention) + 3.5 * attention


def test_times_alternate_after_one_call_that_does_not_count() -> None:
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    times = measure.interleaved_times(calls, 2)
    assert order == list("ababab")
    assert {name: len(values) for name, values in times.items()} == {"a": 2, "b": 2}


def test_the_ratio_is_that_of_neighbors() -> None:
    """The machine was slow in the first round: medians of each alone would give 1."""
    assert measure.median_ratio([40.0, 2.0, 4.0], [20.0, 1.0, 2.0]) == 2.0


def test_the_history_names_what_got_worse(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert "no earlier run" in history.describe_changes(history.last_run(history.read_runs(path), "here"), {}, 0.1)
    history.add_run(path, "here", {"slow": 1.0, "fast": 2.0, "same": 3.0, "gone": 1.0})
    history.add_run(path, "elsewhere", {"slow": 9.0})
    runs = history.read_runs(path)
    assert [run["machine"] for run in runs] == ["here", "elsewhere"]
    before = history.last_run(runs, "here")
    assert before is not None
    assert before["ratios"]["slow"] == 1.0
    text = history.describe_changes(before, {"slow": 1.2, "fast": 1.5, "same": 3.2, "new": 1.0}, 0.1)
    assert text.splitlines()[1:] == ["worse: slow: 1 -> 1.2", "better: fast: 2 -> 1.5"]


def test_without_a_run_of_this_machine_the_last_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history.add_run(path, "elsewhere", {"one": 1.23456})
    last = history.last_run(history.read_runs(path), "here")
    assert last is not None
    assert last["ratios"] == {"one": 1.23}


def test_the_exponent_is_that_of_large_numbers() -> None:
    numbers = (1, 10, 100, 1000, 10_000, 100_000)
    assert loglog_plots.fit_exponent([(n, 3.0 * n**1.5) for n in numbers]) == pytest.approx(1.5)
    constant_then_square = [(n, 1e3 + n**2) for n in numbers]
    assert loglog_plots.fit_exponent(constant_then_square) == pytest.approx(2.0, abs=0.05)


def test_plots_stand_in_rows() -> None:
    plot = loglog_plots.Plot("A title", "numbers", {"time, s": [(1, 0.1), (10, 1.0)], "flat": [(1, 5.0), (10, 5.0)]})
    sheet = loglog_plots.draw_plots([plot] * 3)
    assert sheet.size == (2 * loglog_plots.WIDTH, 2 * loglog_plots.HEIGHT)
    empty = sheet.crop((loglog_plots.WIDTH, loglog_plots.HEIGHT, *sheet.size))
    assert empty.getcolors() == [(loglog_plots.WIDTH * loglog_plots.HEIGHT, (255, 255, 255))]
    drawn = sheet.crop((0, 0, loglog_plots.WIDTH, loglog_plots.HEIGHT))
    assert all(color in {one for _, one in drawn.getcolors(100_000)} for color in loglog_plots.COLORS[:2])


def test_a_section_of_a_page_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before\n\n<!-- speed -->\n\nold\n\n<!-- end of speed -->\n\nAfter\n")
    measure.replace_section(page, "speed", "| new |")
    assert page.read_text() == "Before\n\n<!-- speed -->\n\n| new |\n\n<!-- end of speed -->\n\nAfter\n"
    with pytest.raises(ValueError, match="<!-- growth -->"):
        measure.replace_section(page, "growth", "")
