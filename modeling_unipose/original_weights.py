"""The weights of the original release: its pickles and safetensors, read one tensor at a time, under our names.

A release has five sets of weights (`WeightSource`). Every key is mapped to one of our weights or listed as unused. An
unknown or missing key and a wrong shape are errors that name it.
"""

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from .processing.pose_files import check_archive


LORA_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
# The codebook's moving counts are not part of the release. Uniform use of 2,048 codes by 256 poses of 80 tokens is 10
# per batch: further training then keeps the codes, while the original's first step reinitializes the codebook.
ASSUMED_CODE_COUNT = 10.0

EMBEDDING = "model.language_model.embed_tokens.weight"
QUERIES = "model.pose_query_embeddings.weight"
CODEBOOK = "model.pose_tokenizer.quantizer.codebook"
CODE_SUMS = "model.pose_tokenizer.quantizer.ema_sum"
CODE_COUNTS = "model.pose_tokenizer.quantizer.ema_count"
CODEBOOK_INITIALIZED = "model.pose_tokenizer.quantizer.initialized"
# Our weights without a key of their own in the release.
DERIVED = (QUERIES, CODE_SUMS, CODE_COUNTS, CODEBOOK_INITIALIZED)

# For each source: pattern of its keys -> our names. "|" splits a tensor's rows evenly between several names.
RENAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "llava": (
        (r"model\.(layers\..+|norm\.weight)", r"model.language_model.\1"),
        (r"model\.vision_tower\.vision_tower\.vision_model\.(.+)", r"model.vision_tower.\1"),
    ),
    "trained": (
        (r"base_model\.model\.lm_head\.weight", r"lm_head.weight"),
        (r"base_model\.model\.model\.embed_tokens\.weight", EMBEDDING),
        (r"base_model\.model\.model\.mm_projector\.0\.(weight|bias)", r"model.multi_modal_projector.linear_1.\1"),
        (r"base_model\.model\.model\.mm_projector\.2\.(weight|bias)", r"model.multi_modal_projector.linear_2.\1"),
    ),
    "pose_vqvae": (
        (r"(en|de)coder\.\w+\.0\.(weight|bias)", r"model.pose_tokenizer.\1coder.input_projection.\2"),
        *(
            (rf"(en|de)coder\.\w+\.{3 * step + 3}\.(weight|bias)", rf"model.pose_tokenizer.\1coder.resize.{step}.1.\2")
            for step in range(4)
        ),
        (r"encoder\.encoder\.11\.(weight|bias)", r"model.pose_tokenizer.encoder.downsample.\1"),
        (
            r"(en|de)coder\.\w+\.(?:12|14)\.model\.(\d+)\.conv1\.(.+)",
            r"model.pose_tokenizer.\1coder.residual.\2.dilated.\3",
        ),
        (
            r"(en|de)coder\.\w+\.(?:12|14)\.model\.(\d+)\.conv2\.(.+)",
            r"model.pose_tokenizer.\1coder.residual.\2.pointwise.\3",
        ),
        (r"encoder\.encoder\.13\.(weight|bias)", r"model.pose_tokenizer.encoder.output_projection.\1"),
        (r"decoder\.decoder\.15\.(weight|bias)", r"model.pose_tokenizer.decoder.hidden_projection.\1"),
        (r"decoder\.decoder\.16\.(weight|bias)", r"model.pose_tokenizer.decoder.output_projection.\1"),
        (r"quantizer\.codebook", CODEBOOK),
    ),
    "pose_vision": (
        (r"backbone\.pos_embed", r"model.pose_vision_tower.embeddings.position_embeddings"),
        (
            r"backbone\.patch_embed\.proj\.(weight|bias)",
            r"model.pose_vision_tower.embeddings.patch_embeddings.projection.\1",
        ),
        (
            r"backbone\.blocks\.(\d+)\.attn\.qkv\.(weight|bias)",
            "|".join(
                rf"model.pose_vision_tower.encoder.layer.\1.attention.attention.{part}.\2"
                for part in ("query", "key", "value")
            ),
        ),
        (
            r"backbone\.blocks\.(\d+)\.attn\.proj\.(weight|bias)",
            r"model.pose_vision_tower.encoder.layer.\1.attention.output.dense.\2",
        ),
        (r"backbone\.blocks\.(\d+)\.norm1\.(.+)", r"model.pose_vision_tower.encoder.layer.\1.layernorm_before.\2"),
        (r"backbone\.blocks\.(\d+)\.norm2\.(.+)", r"model.pose_vision_tower.encoder.layer.\1.layernorm_after.\2"),
        (r"backbone\.blocks\.(\d+)\.(mlp\..+)", r"model.pose_vision_tower.encoder.layer.\1.\2"),
        (r"backbone\.last_norm\.(weight|bias)", r"model.pose_vision_tower.layernorm.\1"),
    ),
    "adapter": (),
}

# For each source: pattern of unused keys -> the reason.
UNUSED: dict[str, tuple[tuple[str, str], ...]] = {
    "llava": (
        (r"lm_head\.weight|model\.embed_tokens\.weight", "replaced by UniPose's, which have its tokens"),
        (r"model\.mm_projector\..+", "replaced by UniPose's, which takes both vision encoders"),
        (r"model\.image_newline", "UniPose has square images in one piece"),
        (r".+\.(position_ids|rotary_emb\.inv_freq)", "computed, not learned"),
    ),
    "trained": (),
    "pose_vqvae": ((r".*loss.*", "sums of a finished training"),),
    "pose_vision": ((r"(?!.*backbone).+", "TokenHMR's head and body model; UniPose takes its backbone alone"),),
    "adapter": ((LORA_KEY.pattern, "merged into the language model's weights"),),
}


class WeightSource:
    """One set of weights, read lazily: one or more files, safetensors or pickles of tensors only.

    Args:
        name: "llava", "trained", "adapter", "pose_vqvae" or "pose_vision": a key of the tables above.
        files: All of its files.

    Raises:
        ValueError: A pickle with objects other than tensors and plain containers; it is not unpickled.
    """

    def __init__(self, name: str, files: list[Path]):
        self.name = name
        self.file_of: dict[str, Path] = {}
        self.pickled: dict[str, torch.Tensor] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path in files:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as opened:
                    shapes = {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118
            else:
                tensors = unpickle_tensors(path)
                self.pickled |= tensors
                shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
            self.shapes |= shapes
            self.file_of |= dict.fromkeys(shapes, path)

    def load(self, key: str) -> torch.Tensor:
        """One tensor. A safetensors file is closed again, so that its pages leave the memory."""
        if key in self.pickled:
            return self.pickled[key]
        with safe_open(self.file_of[key], framework="pt") as opened:
            return opened.get_tensor(key).clone()


def unpickle_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint file, or of its "state_dict"; memory-mapped if the format allows.

    Raises:
        ValueError: A damaged file, or one with other objects.
    """
    try:
        check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch raises anything between EOFError and UnpicklingError on a damaged file.
        raise ValueError(
            f"{path} cannot be read as a file of tensors: {next(iter(str(error).splitlines()), '')} A checkpoint with "
            "other objects is not unpickled, because that can run code: if you trust its origin, save its "
            "'state_dict' as a separate file first"
        ) from error
    tensors = content.get("state_dict", content) if isinstance(content, dict) else {}
    if not tensors or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise ValueError(f"{path} has no state dict; expected a dict of tensors, or one under the key 'state_dict'")
    return dict(tensors)


@dataclass(frozen=True)
class LoraAdapter:
    """LoRA: adds scaling * B @ A to a weight W.

    Args:
        source: Source of the factors.
        scaling: alpha / rank.
        modules: Weights that it changes, without ".weight".
    """

    source: WeightSource
    scaling: float
    modules: frozenset[str]

    @classmethod
    def from_config(cls, source: WeightSource, config_file: Path) -> "LoraAdapter":
        """Reads PEFT's adapter_config.json.

        Args:
            source: Source of the factors.
            config_file: Path of adapter_config.json.

        Raises:
            ValueError: A variant of LoRA that the release does not use.
        """
        config = json.loads(config_file.read_text(encoding="utf-8"))
        plain = {"bias": "none", "fan_in_fan_out": False, "use_dora": False, "rank_pattern": {}, "alpha_pattern": {}}
        for name, value in plain.items():
            if config.get(name, value) != value:
                raise ValueError(f"{config_file}: {name} is {config[name]!r}; accepted: {value!r} (plain LoRA)")
        rank = config["r"] ** 0.5 if config.get("use_rslora") else config["r"]
        matches = [LORA_KEY.fullmatch(key) for key in source.shapes]
        return cls(source, config["lora_alpha"] / rank, frozenset(match["module"] for match in matches if match))

    def key(self, module: str, side: str) -> str:
        """The key of a factor.

        Args:
            module: One of `modules`.
            side: "A" or "B".
        """
        return f"base_model.model.{module}.lora_{side}.weight"

    def merge(self, weight: torch.Tensor, module: str) -> torch.Tensor:
        """The merged weight in fp32, to be rounded once.

        Args:
            weight: W.
            module: One of `modules`.
        """
        up, down = (self.source.load(self.key(module, side)).float() for side in "BA")
        return weight.float() + self.scaling * (up @ down)

    def validate(self, base: WeightSource) -> list[str]:
        """Errors: factors that do not match the weights of `base`."""
        errors, shapes = [], self.source.shapes
        for module in sorted(self.modules):
            up, down, weight = self.key(module, "B"), self.key(module, "A"), f"{module}.weight"
            missing = [key for key in (up, down) if key not in shapes] + [weight] * (weight not in base.shapes)
            if missing:
                errors.append(f"the adapter changes {weight!r}, but there is no {missing[0]!r}")
            elif shapes[up][1:] != shapes[down][:1] or (shapes[up][0], shapes[down][1]) != base.shapes[weight]:
                factors = f"{shapes[up]} @ {shapes[down]}"
                errors.append(f"the adapter adds {factors} to {weight!r}, which has the shape {base.shapes[weight]}")
        return errors


@dataclass(frozen=True)
class OriginalWeight:
    """Source of one of our weights: a tensor, or the `index`-th of `parts` equal parts of its rows."""

    source: WeightSource
    key: str
    index: int = 0
    parts: int = 1
    adapter: LoraAdapter | None = None

    def expected_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the tensor in the release for a weight of this shape."""
        return (self.parts * shape[0], *shape[1:]) if self.parts > 1 else shape

    def load(self) -> torch.Tensor:
        """The weight, with its adapter merged."""
        tensor = self.source.load(self.key)
        if self.adapter is not None:
            tensor = self.adapter.merge(tensor, self.key.removesuffix(".weight"))
        return tensor.chunk(self.parts)[self.index] if self.parts > 1 else tensor


class OriginalWeights:
    """The whole release under our names.

    Args:
        sources: All five, by name.
        adapter: The LoRA of `sources["adapter"]`.
        expected: The state dict to fill: its names, shapes and dtypes; meta tensors suffice.

    Raises:
        ValueError: Lists every key that is missing, unknown or has a wrong shape.
    """

    def __init__(
        self, sources: Mapping[str, WeightSource], adapter: LoraAdapter, expected: Mapping[str, torch.Tensor]
    ):
        self.expected = expected
        self.weights: dict[str, OriginalWeight] = {}
        # (source, key, reason)
        self.unused: list[tuple[str, str, str]] = []
        unknown = [
            f"unknown key {key!r} in {source.file_of[key]}"
            for source in sources.values()
            for key in source.shapes
            if not self.assign(source, key, adapter)
        ]
        errors = [*unknown, *adapter.validate(sources["llava"]), *self.shape_mismatches()]
        if errors:
            raise ValueError("this is not a complete UniPose release:\n" + "\n".join(f"- {it}" for it in errors))

    def assign(self, source: WeightSource, key: str, adapter: LoraAdapter) -> bool:
        """Maps a key of the release to our names, or lists it as unused.

        Args:
            source: Source of the key.
            key: Name of a tensor in the release.
            adapter: Merged into the language model's weights.

        Returns:
            Whether the key is known.
        """
        for pattern, names in RENAMES[source.name]:
            if match := re.fullmatch(pattern, key):
                merged = source.name == "llava" and key.removesuffix(".weight") in adapter.modules
                parts = match.expand(names).split("|")
                for index, name in enumerate(parts):
                    self.weights[name] = OriginalWeight(source, key, index, len(parts), adapter if merged else None)
                return True
        for pattern, reason in UNUSED[source.name]:
            if re.fullmatch(pattern, key):
                self.unused.append((source.name, key, reason))
                return True
        return False

    def shape_mismatches(self) -> list[str]:
        """Errors: weights without a source, tensors of another shape, and tensors unknown to the config."""
        errors = []
        for name, tensor in self.expected.items():
            weight = self.weights.get(name)
            if weight is None:
                if name not in DERIVED:
                    errors.append(f"no tensor for {name!r}")
                continue
            expected, shape = weight.expected_shape(tuple(tensor.shape)), weight.source.shapes[weight.key]
            if weight.index == 0 and expected != shape:
                place = f"{weight.key!r} of {weight.source.file_of[weight.key]}"
                errors.append(f"{place} has the shape {shape}; the config expects {expected}")
        for name in sorted(set(self.weights) - set(self.expected)):
            weight = self.weights[name]
            errors.append(f"the config does not expect {weight.key!r} of {weight.source.file_of[weight.key]}")
        return errors

    def read(self, name: str) -> torch.Tensor:
        """One weight in its expected dtype.

        The queries are the last rows of the original's embedding; the moving sums follow from the codes.
        """
        if name == QUERIES:
            tensor = self.weights[EMBEDDING].load()[-len(self.expected[name]) :]
        elif name == CODE_SUMS:
            tensor = self.weights[CODEBOOK].load() * ASSUMED_CODE_COUNT
        elif name == CODE_COUNTS:
            tensor = torch.full(self.expected[name].shape, ASSUMED_CODE_COUNT)
        elif name == CODEBOOK_INITIALIZED:
            tensor = torch.tensor(True)
        else:
            tensor = self.weights[name].load()
        return tensor.to(self.expected[name].dtype).contiguous().clone()

    def save(self, folder: Path, max_shard_size: str) -> None:
        """Writes safetensors with one shard in memory at a time.

        Args:
            folder: Folder of the files.
            max_shard_size: Maximum size of a shard, such as "2GB".
        """
        plan = split_torch_state_dict_into_shards(dict(self.expected), max_shard_size=max_shard_size)
        with tqdm(total=len(self.expected), desc="weights", unit="tensor", disable=None) as progress:
            for filename, names in plan.filename_to_tensors.items():
                tensors = {}
                for name in names:
                    tensors[name] = self.read(name)
                    progress.update()
                save_file(tensors, folder / filename, metadata={"format": "pt"})
        if plan.is_sharded:
            index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
            (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
