"""Muon: what a step is, and that it is one optimizer with AdamW."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import TrainingArguments

from unipose.training.trainer.optimizer import MuonAdamW, OptimizerArguments, build_optimizer, orthogonalize


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(5, 6), nn.Linear(6, 8), nn.Flatten(), nn.Linear(8, 3))


def arguments(tmp_path) -> TrainingArguments:
    return TrainingArguments(output_dir=str(tmp_path), learning_rate=0.01, weight_decay=0.0, use_cpu=True)


@pytest.mark.parametrize("shape", [(4, 4), (8, 3), (3, 8), (2, 5, 6)])
def test_a_direction_has_singular_values_near_one(shape: tuple[int, ...]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(matrix))
    assert values.min() > 0.6
    assert values.max() < 1.3
    nearest = torch.linalg.svd(matrix, full_matrices=False)
    # The same singular vectors: the product with the orthogonal factor is near the identity.
    factor = nearest.U @ nearest.Vh
    assert nn.functional.cosine_similarity(orthogonalize(matrix).flatten(), factor.flatten(), dim=0) > 0.95


def test_matrices_are_muons_and_the_rest_is_adamws(tmp_path) -> None:
    model, twin = small_network(), None
    twin = deepcopy(model)
    optimizer, _ = build_optimizer(
        model, OptimizerArguments(muon_learning_rate=0.1, muon_momentum=0.0), arguments(tmp_path)
    )
    assert optimizer is not None
    reference = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.0)
    ids = torch.tensor([1, 3, 3])
    for network, each in ((model, optimizer), (twin, reference)):
        network(ids).square().sum().backward()
        each.step()
    assert torch.equal(model[0].weight, twin[0].weight), "a table is looked up, not multiplied"
    for layer in (1, 3):
        assert torch.equal(model[layer].bias, twin[layer].bias)
        assert not torch.equal(model[layer].weight, twin[layer].weight)
    step = small_network()[3].weight - model[3].weight
    assert torch.linalg.svdvals(step.detach()).max() == pytest.approx(0.1, rel=0.3)


def straightforward_step(
    matrices: dict[str, torch.Tensor], gradients: dict[str, torch.Tensor], averages: dict[str, torch.Tensor],
    rate: float, decay: float, momentum: float,
) -> None:  # fmt: skip
    """One matrix after the other, as the paper of Muon writes it."""
    for name, matrix in matrices.items():
        averages[name] = momentum * averages[name] + (1 - momentum) * gradients[name]
        x = (momentum * averages[name] + (1 - momentum) * gradients[name]).flatten(1)
        rows, columns = x.shape
        x = x.T if rows > columns else x
        x = x / (x.norm() + 1e-7)
        for _ in range(5):
            square = x @ x.T
            x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
        x = x.T if rows > columns else x
        matrix.copy_((1 - rate * decay) * matrix - rate * max(1, rows / columns) ** 0.5 * x.view_as(matrix))


def test_steps_are_those_of_the_straightforward_version() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = {"square": (6, 6), "other": (6, 6), "wide": (4, 9), "tall": (9, 4), "kernel": (8, 3, 2), "unused": (6, 6)}
    start = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    expected = {name: matrix.clone() for name, matrix in start.items()}
    averages = {name: torch.zeros_like(matrix) for name, matrix in start.items()}
    parameters = {name: nn.Parameter(matrix.clone()) for name, matrix in start.items()}
    optimizer = MuonAdamW(list(parameters.values()), [], 0.1, 0.9, torch.float32, weight_decay=0.2)
    for _ in range(3):
        gradients = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        gradients["unused"].zero_()
        used = {name: expected[name] for name in shapes if name != "unused"}
        straightforward_step(used, gradients, averages, 0.1, 0.2, 0.9)
        for name, parameter in parameters.items():
            parameter.grad = gradients[name].clone()
        optimizer.step()
    for name, parameter in parameters.items():
        torch.testing.assert_close(parameter.data, expected[name], atol=1e-5, rtol=1e-5)
    assert torch.equal(parameters["unused"].data, start["unused"])


class Operations(TorchDispatchMode):
    """Counts the operations that compute something: views of a tensor do not."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        aliases = [value.alias_info for value in func._schema.returns if value.alias_info is not None]
        self.count += not aliases or any(alias.is_write for alias in aliases)
        return func(*args, **(kwargs or {}))


def test_many_matrices_cost_as_many_operations_as_few() -> None:
    """On a GPU each operation is a launch."""

    def operations(count: int) -> int:
        matrices = [nn.Parameter(torch.randn(4, 6)) for _ in range(count)]
        optimizer = MuonAdamW(matrices, [], 0.1, 0.9, torch.float32)
        for _ in range(2):
            for matrix in matrices:
                matrix.grad = torch.randn(4, 6)
            with Operations() as counted:
                optimizer.step()
        return counted.count

    assert operations(20) == operations(2) < 50


def test_only_matrices_decay(tmp_path) -> None:
    model = small_network()
    before = deepcopy(model)
    settings = TrainingArguments(output_dir=str(tmp_path), learning_rate=0.01, weight_decay=10.0, use_cpu=True)
    optimizer, _ = build_optimizer(model, OptimizerArguments(muon_learning_rate=1e-3), settings)
    assert optimizer is not None
    model(torch.tensor([1, 3, 3])).square().sum().backward()
    optimizer.step()
    unused = torch.tensor([0, 2, 4])
    assert torch.equal(model[0].weight[unused], before[0].weight[unused]), "these rows have no gradient"
    shrunk = model[1].weight.norm() / before[1].weight.norm()
    assert shrunk < 0.995


def test_positions_of_one_row_are_adamws(tmp_path) -> None:
    """Muon's step on a row of thousands of numbers would hardly move any of them."""
    model = nn.Module()
    model.positions = nn.Parameter(torch.zeros(1, 50, 8))
    optimizer, _ = build_optimizer(model, OptimizerArguments(muon_learning_rate=0.1), arguments(tmp_path))
    assert optimizer is not None
    model.positions.sum().backward()
    optimizer.step()
    torch.testing.assert_close(model.positions.data, torch.full((1, 50, 8), -0.01))


def test_the_state_is_saved_and_loaded(tmp_path) -> None:
    """Two steps, and one step, saved, loaded and another one: the same weights, bit by bit."""

    def step(network: nn.Module, optimizer: MuonAdamW) -> None:
        network(torch.tensor([0, 2, 4])).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    settings = OptimizerArguments(muon_learning_rate=0.1)
    straight = small_network()
    optimizer, _ = build_optimizer(straight, settings, arguments(tmp_path))
    assert optimizer is not None
    step(straight, optimizer)
    stopped, state = deepcopy(straight), deepcopy(optimizer.state_dict())
    step(straight, optimizer)
    resumed, _ = build_optimizer(stopped, settings, arguments(tmp_path))
    assert resumed is not None
    resumed.load_state_dict(state)
    step(stopped, resumed)
    assert all(torch.equal(first, second) for first, second in zip(straight.parameters(), stopped.parameters()))


def test_frozen_parameters_stay_and_no_rate_means_the_trainers_own(tmp_path) -> None:
    model = small_network()
    model[1].requires_grad_(False)
    optimizer, _ = build_optimizer(model, OptimizerArguments(muon_learning_rate=0.1), arguments(tmp_path))
    assert optimizer is not None
    taken = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert taken == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert build_optimizer(model, OptimizerArguments(), arguments(tmp_path)) == (None, None)


def test_a_matrix_that_was_not_used_stays(tmp_path) -> None:
    """Its momentum alone would send it on by whole steps, the way of the last batch that used it."""
    model = small_network()
    optimizer, _ = build_optimizer(model, OptimizerArguments(muon_learning_rate=0.1), arguments(tmp_path))
    assert optimizer is not None
    model(torch.tensor([0, 2, 4])).square().sum().backward()
    optimizer.step()
    before = deepcopy(model.state_dict())
    momentum = optimizer.state[model[1].weight]["momentum_buffer"].clone()
    optimizer.zero_grad()
    (0.0 * model(torch.tensor([0, 2, 4]))).sum().backward()
    assert model[1].weight.grad is not None
    assert not model[1].weight.grad.any()
    optimizer.step()
    for layer in ("1.weight", "3.weight"):
        assert torch.equal(model.state_dict()[layer], before[layer])
    assert torch.equal(optimizer.state[model[1].weight]["momentum_buffer"], momentum)


def test_a_step_waits_for_the_device_once(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The question which gradients are zero is put for all matrices together."""
    model = small_network()
    optimizer, _ = build_optimizer(model, OptimizerArguments(muon_learning_rate=0.1), arguments(tmp_path))
    assert optimizer is not None
    model(torch.tensor([0, 2, 4])).square().sum().backward()
    reads: list[torch.Tensor] = []
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: reads.append(tensor) or tolist(tensor))
    monkeypatch.setattr(torch.Tensor, "__bool__", None)
    optimizer.step()
    assert [len(read) for read in reads] == [2]
