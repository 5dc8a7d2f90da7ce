"""Codebooks: nearest code, straight-through gradient, moving averages (paper, section 3.1)."""

import math
from dataclasses import dataclass

import torch
from torch import distributed, nn
from transformers import initialization as init


@dataclass
class QuantizerOutput:
    """quantized (batch, tokens, dim), pose_codes (batch, tokens), commitment_loss (), perplexity ()."""

    quantized: torch.Tensor
    pose_codes: torch.Tensor
    commitment_loss: torch.Tensor
    perplexity: torch.Tensor


def is_shared() -> bool:
    """Whether several processes train together."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def gather_rows(rows: torch.Tensor) -> torch.Tensor:
    """(n, dim), with the same n in all processes -> (processes * n, dim) in their order, the same in each."""
    if not is_shared():
        return rows
    parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def sum_over_processes(values: torch.Tensor) -> torch.Tensor:
    """Sums the values of all processes in place; the same in each."""
    if is_shared():
        distributed.all_reduce(values)
    return values


def perplexity(counts: torch.Tensor) -> torch.Tensor:
    """The perplexity of the code usage, from the rows of each code."""
    usage = counts / counts.sum()
    return torch.exp(-torch.sum(usage * torch.log(usage + 1e-7)))


class VectorQuantizer(nn.Module):
    """Codes that follow the moving average of the vectors assigned to them.

    Processes that train together share one codebook: it is updated as if one process had all their rows.
    The original release does not store the sums, so that resuming re-initializes its codebook. Here `codebook`,
    `ema_sum`, `ema_count` and `initialized` are buffers, and training resumes where it stopped.

    Args:
        codebook_size: Number of codes.
        codebook_dim: Width of a code.
        decay: Decay of the moving averages.
        dead_code_threshold: A code whose moving count is below it is replaced by a row of the batch.
    """

    codebook: torch.Tensor
    ema_sum: torch.Tensor
    ema_count: torch.Tensor
    initialized: torch.Tensor

    def __init__(self, codebook_size: int, codebook_dim: int, decay: float, dead_code_threshold: float):
        super().__init__()
        self.codebook_size = codebook_size
        self.decay = decay
        self.dead_code_threshold = dead_code_threshold
        self.register_buffer("codebook", torch.zeros(codebook_size, codebook_dim))
        self.register_buffer("ema_sum", torch.zeros(codebook_size, codebook_dim))
        self.register_buffer("ema_count", torch.ones(codebook_size))
        self.register_buffer("initialized", torch.zeros((), dtype=torch.bool))

    def codebooks(self) -> torch.Tensor:
        """(1, codes, dim): all tokens share one codebook."""
        return self.codebook.unsqueeze(0)

    def codebook_of_token(self, num_tokens: int) -> torch.Tensor:
        """(num_tokens,) index of each token's codebook."""
        return torch.zeros(num_tokens, dtype=torch.long, device=self.codebook.device)

    def nearest(self, features: torch.Tensor) -> torch.Tensor:
        """(..., dim) -> (...) index of the nearest code, in fp32; the first in a tie."""
        flat = features.reshape(-1, features.shape[-1]).to(self.codebook.device, torch.float32)
        codebook = self.codebook.float()
        # Autocast would compute the product in half precision, which changes the nearest codes.
        with torch.autocast(flat.device.type, enabled=False):
            distances = flat.square().sum(1, keepdim=True) - 2 * flat @ codebook.T + codebook.square().sum(1)
        return distances.argmin(dim=1).view(features.shape[:-1])

    def nearest_of_tokens(self, features: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The nearest codes of single features, as `nearest`.

        Args:
            features: (n, dim).
            tokens: (n,) index of each one's token in a pose.

        Returns:
            (n,).
        """
        return self.nearest(features)

    def codes_to_features(self, pose_codes: torch.Tensor) -> torch.Tensor:
        """(batch, tokens) -> (batch, tokens, dim)."""
        return nn.functional.embedding(pose_codes.to(self.codebook.device), self.codebook)

    def forward(self, features: torch.Tensor) -> QuantizerOutput:
        """Quantizes features (batch, tokens, dim). In training mode the codebook is updated."""
        if self.training and not self.initialized:
            self.initialize(features.detach().flatten(0, 1))
        pose_codes = self.nearest(features)
        quantized = self.codes_to_features(pose_codes).to(features)
        commitment_loss = (features - quantized).square().mean()
        if self.training:
            counts = self.update(features.detach().flatten(0, 1), pose_codes.flatten())
        else:
            counts = torch.bincount(pose_codes.flatten(), minlength=self.codebook_size)
        straight_through = features + (quantized - features).detach()
        return QuantizerOutput(straight_through, pose_codes, commitment_loss, perplexity(counts))

    @torch.no_grad()
    def initialize(self, rows: torch.Tensor) -> None:
        """Sets the codes to rows (n, dim) of the first training batch."""
        self.codebook.copy_(self.random_rows(rows))
        self.ema_sum.copy_(self.codebook)
        self.ema_count.fill_(1.0)
        self.initialized.fill_(True)

    @torch.no_grad()
    def update(self, rows: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Moves codes to the moving average of their rows; dead codes become random rows of the batch.

        Args:
            rows: (n, dim).
            codes: (n,) nearest code of each row.

        Returns:
            (codebook_size,) number of rows of each code, in all processes.
        """
        one_hot = nn.functional.one_hot(codes, self.codebook_size).to(self.ema_sum.dtype)
        rows = rows.to(self.ema_sum.dtype)
        with torch.autocast(rows.device.type, enabled=False):
            self.ema_sum.lerp_(sum_over_processes(one_hot.T @ rows), 1 - self.decay)
        counts = sum_over_processes(one_hot.sum(0))
        self.ema_count.lerp_(counts, 1 - self.decay)
        alive = (self.ema_count >= self.dead_code_threshold).unsqueeze(1)
        average = self.ema_sum / self.ema_count.clamp_min(1e-9).unsqueeze(1)
        self.codebook.copy_(torch.where(alive, average, self.random_rows(rows)))
        return counts

    def random_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """(n, dim) -> (codebook_size, dim); too few rows are repeated with a little noise.

        Rows are drawn from those of all processes; all use the draw of the first process.
        """
        rows = gather_rows(rows)
        if len(rows) < self.codebook_size:
            repeats = -(-self.codebook_size // len(rows))
            rows = rows.repeat(repeats, 1)
            rows = rows + torch.randn_like(rows) * 0.01 / rows.shape[1] ** 0.5
        drawn = rows[torch.randperm(len(rows), device=rows.device)[: self.codebook_size]]
        if is_shared():
            distributed.broadcast(drawn, 0)
        return drawn


class FiniteScalarQuantizer(nn.Module):
    """Codes are the points of a fixed grid (Mentzer et al., ICLR 2024); the first token's are points of a circle.

    Nothing is learned here: features between -1 and 1 are rounded to the grid, and gradients pass straight through.

    Args:
        levels: points of each dimension; their product is the number of codes.
    """

    codebook: torch.Tensor
    heading_codebook: torch.Tensor

    def __init__(self, levels: list[int]):
        super().__init__()
        self.levels = levels
        self.register_buffer("codebook", torch.zeros(math.prod(levels), len(levels)))
        self.register_buffer("heading_codebook", torch.zeros(math.prod(levels), len(levels)))
        self.fill_codebooks()

    @torch.no_grad()
    def fill_codebooks(self) -> None:
        """Sets both codebooks, which follow from the levels."""
        axes = [torch.linspace(-1.0, 1.0, count) for count in self.levels]
        init.copy_(self.codebook, torch.cartesian_prod(*axes))
        angles = torch.arange(len(self.codebook)) * (2 * math.pi / len(self.codebook))
        circle = torch.stack([angles.cos(), angles.sin()], dim=-1)
        init.copy_(self.heading_codebook, nn.functional.pad(circle, (0, len(self.levels) - 2)))

    def codebooks(self) -> torch.Tensor:
        """(2, codes, dim): the circle of headings, and the grid."""
        return torch.stack([self.heading_codebook, self.codebook])

    def codebook_of_token(self, num_tokens: int) -> torch.Tensor:
        """(num_tokens,) index of each token's codebook: the first token is the heading."""
        return (torch.arange(num_tokens, device=self.codebook.device) > 0).long()

    def nearest(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, tokens, dim) -> (batch, tokens) index of the nearest code, in fp32."""
        features = features.to(self.codebook.device, torch.float32)
        return torch.cat([self.nearest_heading(features[:, :1]), self.nearest_point(features[:, 1:])], dim=1)

    def nearest_of_tokens(self, features: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The nearest codes of single features, each in the codebook of its token, in fp32.

        Args:
            features: (n, dim).
            tokens: (n,) index of each one's token in a pose.

        Returns:
            (n,).
        """
        features = features.to(self.codebook.device, torch.float32)
        return torch.where(tokens == 0, self.nearest_heading(features), self.nearest_point(features))

    def nearest_heading(self, features: torch.Tensor) -> torch.Tensor:
        """(..., dim) -> (...) index of the nearest code of the circle."""
        size = len(self.codebook)
        return torch.round(torch.atan2(features[..., 1], features[..., 0]) / (2 * math.pi) * size).long() % size

    def nearest_point(self, features: torch.Tensor) -> torch.Tensor:
        """(..., dim) -> (...) index of the nearest code of the grid."""
        steps = torch.tensor([count - 1 for count in self.levels], device=features.device)
        digits = torch.round((features.clamp(-1.0, 1.0) + 1.0) / 2.0 * steps).long()
        codes = torch.zeros(digits.shape[:-1], dtype=torch.long, device=features.device)
        for dimension, count in enumerate(self.levels):
            codes = codes * count + digits[..., dimension]
        return codes

    def codes_to_features(self, pose_codes: torch.Tensor) -> torch.Tensor:
        """(batch, tokens) -> (batch, tokens, dim)."""
        codes = pose_codes.to(self.codebook.device)
        heading = nn.functional.embedding(codes[:, :1], self.heading_codebook)
        return torch.cat([heading, nn.functional.embedding(codes[:, 1:], self.codebook)], dim=1)

    def forward(self, features: torch.Tensor) -> QuantizerOutput:
        """(batch, tokens, dim) -> the same on the grid; the commitment loss is 0, since the grid does not move."""
        pose_codes = self.nearest(features.detach())
        quantized = self.codes_to_features(pose_codes).to(features)
        counts = torch.bincount(pose_codes[:, 1:].flatten(), minlength=len(self.codebook))
        straight_through = features + (quantized - features).detach()
        return QuantizerOutput(straight_through, pose_codes, features.new_zeros(()), perplexity(counts))
