"""The pose tokenizer, a separate model: 22 joint rotations <-> a few codes (paper, section 3.1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput, torch_compilable_check
from transformers.utils.generic import can_return_tuple

from .body_parts import PartDecoder, PartEncoder, rotation_6d_to_rotmat
from .checkpoint_loading import TRAINING_BUFFERS, CompleteLoadingMixin
from .configuration_unipose import UniPoseVQVAEConfig
from .finite_checks import check_features, check_pose_values, check_rotations
from .vector_quantizer import FiniteScalarQuantizer, VectorQuantizer


@dataclass
class UniPoseVQVAEOutput(ModelOutput):
    """Output of the pose tokenizer.

    Args:
        loss: Weighted sum of the two components below; training adds those of joints and vertices, which need a body.
        rotation_loss: Mean squared error of the rotation matrices.
        commitment_loss: Mean squared distance of the encoder's output to its codes; of body parts, of the encoded
            reconstruction to the codes.
        reconstruction: (batch, 22, 3, 3) rotation matrices.
        pose_codes: (batch, num_pose_tokens).
        perplexity: Perplexity of the code usage in the batch; at most codebook_size.
    """

    loss: torch.Tensor | None = None
    rotation_loss: torch.Tensor | None = None
    commitment_loss: torch.Tensor | None = None
    reconstruction: torch.Tensor | None = None
    pose_codes: torch.Tensor | None = None
    perplexity: torch.Tensor | None = None


class ResidualBlock(nn.Module):
    """ReLU, dilated convolution, ReLU, pointwise convolution, added to the input."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.dilated = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.pointwise = nn.Conv1d(channels, channels, 1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden + self.pointwise(torch.relu(self.dilated(torch.relu(hidden))))


def residual_stack(channels: int, num_blocks: int) -> nn.Sequential:
    """Residual blocks with dilations 3^(num_blocks - 1) down to 1.

    Args:
        channels: Number of channels.
        num_blocks: Number of blocks.
    """
    return nn.Sequential(*(ResidualBlock(channels, 3**depth) for depth in reversed(range(num_blocks))))


def resize_and_convolve(channels: int, length: int) -> nn.Sequential:
    """Nearest-neighbor resizing, convolution, ReLU.

    Args:
        channels: Number of channels.
        length: Length after resizing.
    """
    return nn.Sequential(nn.Upsample(size=length), nn.Conv1d(channels, channels, 3, padding=1), nn.ReLU())


@torch.no_grad()
def initialize_convolution(module: nn.Conv1d) -> None:
    """He initialization: with torch's default the signal vanishes over so many layers, and training starts late."""
    init.kaiming_normal_(module.weight, nonlinearity="relu")
    if module.bias is not None:
        # Not zero: before training the codebook is zero, and zeros do not decode to rotations.
        bound = (module.in_channels * module.kernel_size[0]) ** -0.5
        init.uniform_(module.bias, -bound, bound)


class PoseEncoder(nn.Module):
    """(batch, 6, 22) rotations -> (batch, output_size, lengths[-1] / 2) features.

    Args:
        hidden_size: Number of channels of the convolutions over the joint axis.
        lengths: Lengths that the joint axis is resized to, step by step; the last one is halved again.
        num_residual_blocks: See `UniPoseVQVAEConfig`.
        output_size: Number of channels of the features.
    """

    def __init__(self, hidden_size: int, lengths: Sequence[int], num_residual_blocks: int, output_size: int):
        super().__init__()
        self.input_projection = nn.Conv1d(6, hidden_size, 3, padding=1)
        self.resize = nn.Sequential(*(resize_and_convolve(hidden_size, length) for length in lengths))
        self.downsample = nn.Conv1d(hidden_size, hidden_size, 4, stride=2, padding=1)
        self.residual = residual_stack(hidden_size, num_residual_blocks)
        self.output_projection = nn.Conv1d(hidden_size, output_size, 3, padding=1)

    def forward(self, rotations: torch.Tensor) -> torch.Tensor:
        hidden = self.resize(torch.relu(self.input_projection(rotations)))
        return self.output_projection(self.residual(self.downsample(hidden)))


class PoseDecoder(nn.Module):
    """(batch, codebook_dim, num_pose_tokens) features -> (batch, 6, 22) rotations."""

    def __init__(self, config: UniPoseVQVAEConfig):
        super().__init__()
        width = config.hidden_size
        self.input_projection = nn.Conv1d(config.codebook_dim, width, 3, padding=1)
        self.resize = nn.Sequential(*(resize_and_convolve(width, length) for length in config.decoder_lengths))
        self.residual = residual_stack(width, config.num_residual_blocks)
        self.hidden_projection = nn.Conv1d(width, width, 3, padding=1)
        self.output_projection = nn.Conv1d(width, 6, 3, padding=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden = self.resize(torch.relu(self.input_projection(features)))
        return self.output_projection(self.hidden_projection(self.residual(hidden)))


class UniPoseVQVAE(CompleteLoadingMixin, PreTrainedModel):
    """Pose <-> codes. Everything is batched over poses; the global orientation is the stored one (AMASS, z up)."""

    config: UniPoseVQVAEConfig
    config_class = UniPoseVQVAEConfig
    base_model_prefix = "pose_tokenizer"
    main_input_name = "pose_values"
    input_modalities = ["pose"]  # noqa: RUF012
    _keys_to_ignore_on_load_missing = {TRAINING_BUFFERS}  # noqa: RUF012
    # It has no attention layers, so every choice for the whole model is valid.
    _supports_sdpa = True

    def __init__(self, config: UniPoseVQVAEConfig):
        super().__init__(config)
        if config.architecture == "body_parts":
            self.encoder: PoseEncoder | PartEncoder = PartEncoder(config)
            self.quantizer: VectorQuantizer | FiniteScalarQuantizer = FiniteScalarQuantizer(config.scalar_levels or [])
            self.decoder: PoseDecoder | PartDecoder = PartDecoder(config)
        else:
            self.encoder = PoseEncoder(
                config.hidden_size, config.encoder_lengths, config.num_residual_blocks, config.codebook_dim
            )
            self.quantizer = VectorQuantizer(
                config.codebook_size, config.codebook_dim, config.decay, config.dead_code_threshold
            )
            self.decoder = PoseDecoder(config)
        if self.dtype.itemsize < 4:
            self.float()
        self.post_init()

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> "UniPoseVQVAE":
        """Moves and casts like any module, but never to less than fp32: codes are arg-minima, which rounding changes.

        `half()`, `bfloat16()` and `to(dtype)` of a whole model, or of one that wraps it, end here.

        Args:
            fn: What is applied to each tensor.
            recurse: torch's.
        """

        def in_fp32(tensor: torch.Tensor) -> torch.Tensor:
            result = fn(tensor)
            is_low = result.is_floating_point() and result.dtype.itemsize < 4
            was_low = tensor.is_floating_point() and tensor.dtype.itemsize < 4
            return tensor.to(result.device) if is_low and not was_low else result

        return super()._apply(in_fp32, recurse)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv1d):
            initialize_convolution(module)
        elif isinstance(module, VectorQuantizer):
            # The first training batch fills it. Averages that a checkpoint lacks start at its codes.
            init.zeros_(module.codebook)
            init.copy_(module.ema_sum, module.codebook)
            init.ones_(module.ema_count)
            init.copy_(module.initialized, module.codebook.any())
        elif isinstance(module, FiniteScalarQuantizer):
            module.fill_codebooks()
        elif isinstance(module, nn.Linear):
            init.kaiming_uniform_(module.weight, a=5**0.5)
            init.zeros_(module.bias)

    def codebooks(self) -> torch.Tensor:
        """The distinct codebooks, (codebooks, codebook_size, codebook_dim); see `codebook_of_token`."""
        return self.quantizer.codebooks()

    def codebook_of_token(self) -> torch.Tensor:
        """The index in `codebooks` of each token's codebook, (num_pose_tokens,)."""
        return self.quantizer.codebook_of_token(self.config.num_pose_tokens)

    def expected_features(self, probabilities: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The means of codebook vectors under distributions over codes.

        Args:
            probabilities: (n, codebook_size).
            tokens: (n,) index of each one's token in a pose.

        Returns:
            (n, codebook_dim).
        """
        return self.per_codebook(tokens, lambda codebook: probabilities.float() @ codebook)

    def code_variance(self, probabilities: torch.Tensor, tokens: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """The variances of codebook vectors under distributions over codes, relative to those of all codes alike.

        Args:
            probabilities: (n, codebook_size).
            tokens: (n,) index of each one's token in a pose.
            means: (n, codebook_dim), their `expected_features`.

        Returns:
            (n,); 0 where one code has all the probability, about 1 where the distribution is flat.
        """
        squares = self.per_codebook(tokens, lambda codebook: probabilities.float() @ codebook.square().sum(dim=1))
        of_all = self.codebooks().float().var(dim=1, correction=0).sum(dim=1)
        of_token = of_all.clamp_min(torch.finfo(torch.float32).tiny)[self.codebook_of_token()[tokens]]
        return (squares - means.square().sum(dim=1)).clamp_min(0.0) / of_token

    def nearest_codes(self, features: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The codes nearest to features, each in the codebook of its token.

        Args:
            features: (n, codebook_dim).
            tokens: (n,) index of each one's token in a pose.

        Returns:
            (n,).
        """
        return self.quantizer.nearest_of_tokens(features, tokens)

    def per_codebook(self, tokens: torch.Tensor, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Rows of a function of the codebooks, each of its token's codebook.

        Args:
            tokens: (n,) index of each row's token in a pose.
            function: Codebook (codebook_size, codebook_dim) in fp32 -> (n, ...).

        Returns:
            (n, ...).
        """
        codebooks = self.codebooks().float()
        # Autocast would compute products in half precision, which changes the nearest codes.
        with torch.autocast(codebooks.device.type, enabled=False):
            results = torch.stack([function(codebook) for codebook in codebooks])
        return results[self.codebook_of_token()[tokens], torch.arange(tokens.shape[0], device=tokens.device)]

    def encode_features(self, pose_values: torch.Tensor) -> torch.Tensor:
        """(batch, 22, 6) -> (batch, num_pose_tokens, codebook_dim), before quantization.

        Raises:
            ValueError: The shape is wrong.
        """
        self.check_shape(pose_values)
        return self.encoder(pose_values.to(self.dtype).mT).mT

    def check_shape(self, pose_values: torch.Tensor) -> None:
        """Checks that pose_values are (batch, 22, 6).

        Raises:
            ValueError: The shape is wrong.
        """
        expected = (self.config.num_joints, 6)
        if pose_values.ndim != 3 or tuple(pose_values.shape[1:]) != expected:
            raise ValueError(
                f"pose_values must have the shape (batch, {expected[0]}, {expected[1]}), got "
                f"{tuple(pose_values.shape)}"
            )

    def encode(self, pose_values: torch.Tensor, allow_absent: bool = True) -> torch.Tensor:
        """Rotations -> codes, in the precision of the weights also under autocast.

        Args:
            pose_values: (batch, 22, 6), the first two rows of each rotation matrix.
            allow_absent: Whether all zeros stand for no pose, as in the original release; default True. The whole
                model takes none of these.

        Returns:
            (batch, num_pose_tokens).

        Raises:
            ValueError: The shape is wrong, values are not finite or of parallel rows, or the weights are damaged.
        """
        self.check_shape(pose_values)
        check_pose_values(pose_values, allow_absent)
        # Codes are arg-minima: half precision would change them.
        with torch.autocast(pose_values.device.type, enabled=False):
            features = self.encode_features(pose_values)
            check_features(features, self)
            return self.quantizer.nearest(features)

    def decode(self, pose_codes: torch.Tensor) -> torch.Tensor:
        """Codes -> rotations, in the precision of the weights also under autocast.

        Args:
            pose_codes: (batch, num_pose_tokens) integers from 0 to codebook_size - 1.

        Returns:
            (batch, 22, 3, 3) rotation matrices.

        Raises:
            ValueError: The shape, the type or a code is wrong, or the weights decode it to no rotations.
        """
        pose_codes = integer_codes(pose_codes)
        tokens, size = self.config.num_pose_tokens, self.config.codebook_size
        if pose_codes.ndim != 2 or pose_codes.shape[1] != tokens:
            raise ValueError(f"pose_codes must have the shape (batch, {tokens}), got {tuple(pose_codes.shape)}")
        torch_compilable_check(
            ((pose_codes >= 0) & (pose_codes < size)).all(),
            lambda: f"pose_codes must lie in 0..{size - 1}, got {pose_codes.min()}..{pose_codes.max()}",
        )
        with torch.autocast(pose_codes.device.type, enabled=False):
            rotmats = self.decode_features(self.quantizer.codes_to_features(pose_codes))
            check_rotations(rotmats, self)
            return rotmats

    def decode_features(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, num_pose_tokens, codebook_dim) -> rotation matrices (batch, 22, 3, 3), by Gram-Schmidt on rows."""
        return rotation_6d_to_rotmat(self.decoder(features.to(self.dtype).mT).mT)

    @can_return_tuple
    def forward(self, pose_values: torch.Tensor, **kwargs) -> UniPoseVQVAEOutput:
        """(batch, 22, 6) -> reconstruction, codes and loss components; in training mode the codebook is updated."""
        quantized = self.quantizer(self.encode_features(pose_values))
        reconstruction = self.decode_features(quantized.quantized)
        target = rotation_6d_to_rotmat(pose_values.to(reconstruction.dtype))
        rotation_loss = nn.functional.mse_loss(reconstruction, target)
        commitment_loss = quantized.commitment_loss
        if self.config.architecture == "body_parts":
            # A fixed grid needs no commitment; the reconstruction must have the same codes.
            again = self.encode_features(reconstruction[..., :2, :].flatten(-2))
            commitment_loss = nn.functional.mse_loss(again, quantized.quantized.detach())
        weighted = self.config.rotation_loss_weight * rotation_loss
        return UniPoseVQVAEOutput(
            loss=weighted + self.config.commitment_loss_weight * commitment_loss,
            rotation_loss=rotation_loss,
            commitment_loss=commitment_loss,
            reconstruction=reconstruction,
            pose_codes=quantized.pose_codes,
            perplexity=quantized.perplexity,
        )


def integer_codes(pose_codes: torch.Tensor) -> torch.Tensor:
    """Pose codes of any type of integers -> int64.

    Raises:
        ValueError: Not a tensor of integers.
    """
    if not isinstance(pose_codes, torch.Tensor):
        raise ValueError(f"pose_codes must be a tensor of integers, got a {type(pose_codes).__name__}")
    if pose_codes.is_floating_point() or pose_codes.is_complex() or pose_codes.dtype == torch.bool:
        raise ValueError(f"pose_codes must be a tensor of integers, got {pose_codes.dtype}")
    return pose_codes.long()


__all__ = ["UniPoseVQVAE", "UniPoseVQVAEOutput"]
