"""Exports a model to ONNX, for programs without torch: descriptions and edits to poses, and the pose tokenizer.

python -m unipose.training.tools.export_onnx --model modeling_unipose/embedded --output runs/onnx

`generate_pose.onnx` answers prompts that end in pose-start with the codes that greedy `generate` gives; images are not
part of it. Poses of a prompt are the ids of their codes. `encode_pose.onnx` and `decode_pose.onnx` are the pose
tokenizer. `prompts.json` holds the prompts and the ids that these need; `tokenizer.json` is the model's own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnxscript import opset20 as op
from torch import nn
from torch.export import Dim
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import TrlParser

from unipose.pose_decoding import CodeChooser, PoseDecoding, options_of
from unipose.tasks_unipose import TASKS
from unipose.training.io import atomic_path, write_json


OPSET = 20
# Smaller weights are not worth a node of the graph.
LEAST_HALVED = 1024


@dataclass
class ExportOnnxArguments:
    """Options: folders of the model and of the ONNX files."""

    model: str = field(default="modeling_unipose/embedded", metadata={"help": "Folder or Hub id of the model."})
    output: str = field(default="runs/onnx", metadata={"help": "Folder of the ONNX files."})


class GeneratePose(nn.Module):
    """Greedy `generate(generation_mode="pose")` of prompts that end in pose-start, as one forward without a cache.

    Args:
        model: The model with its head.

    Raises:
        ValueError: Its codes do not come from one forward.
    """

    def __init__(self, model: Any):
        super().__init__()
        decoding = PoseDecoding.resolve(model.config, options_of(model.generation_config))
        if model.config.pose_attention != "mixed" or decoding.pose_refinement_steps != 1:
            raise ValueError(
                f"pose_attention is {model.config.pose_attention!r} and pose_refinement_steps is "
                f"{decoding.pose_refinement_steps}: expected 'mixed' and 1, since one graph is one forward"
            )
        self.model = model
        self.chooser = CodeChooser(model.config, model.model.pose_tokenizer, decoding)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """(batch, length) prompts, left-padded, and their mask -> (batch, num_pose_tokens) codes.

        Args:
            input_ids: Codes of input poses stand where they are.
            attention_mask: 0 at padding, 1 elsewhere.
        """
        config = self.model.config
        tokens = config.num_pose_tokens
        ids = nn.functional.pad(input_ids, (0, tokens), value=config.pose_query_token_id)
        mask = nn.functional.pad(attention_mask, (0, tokens), value=1)
        positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
        outputs = self.model.model(ids, attention_mask=mask, position_ids=positions, use_cache=False)
        hidden = outputs.last_hidden_state[:, -tokens:]
        logits = nn.functional.linear(hidden, self.model.lm_head.weight[self.chooser.ids]).float()
        sources = outputs.source_pose_codes
        if sources is not None:
            sources = sources[:, -tokens:]
            in_logits = (sources - config.pose_code_start_id).unsqueeze(-1)
            logits = self.model.model.point_to_sources(logits, hidden, in_logits)
            sources = sources.flatten()
        index = torch.arange(tokens, device=ids.device).repeat(ids.shape[0])
        return self.chooser.choose(logits.flatten(0, 1), index, sources).view(-1, tokens)


class EncodePose(nn.Module):
    """(poses, 22, 6) pose_values -> (poses, num_pose_tokens) codes."""

    def __init__(self, pose_tokenizer: Any):
        super().__init__()
        self.pose_tokenizer = pose_tokenizer

    def forward(self, pose_values: torch.Tensor) -> torch.Tensor:
        return self.pose_tokenizer.quantizer.nearest(self.pose_tokenizer.encode_features(pose_values))


class DecodePose(nn.Module):
    """(poses, num_pose_tokens) codes -> (poses, 22, 3, 3) rotation matrices, stored frame (z up)."""

    def __init__(self, pose_tokenizer: Any):
        super().__init__()
        self.pose_tokenizer = pose_tokenizer

    def forward(self, pose_codes: torch.Tensor) -> torch.Tensor:
        features = self.pose_tokenizer.quantizer.codes_to_features(pose_codes)
        return self.pose_tokenizer.decode_features(features)


def cumulative_maximum(values: Any, dim: int) -> tuple[Any, Any]:
    """`aten.cummax` along the last of two dimensions, which torch's exporter cannot translate.

    Args:
        values: (batch, length) integers.
        dim: The dimension.

    Returns:
        The maxima, in place of the indices too, which nothing reads.
    """
    length = op.Squeeze(op.Shape(values, start=1, end=2))
    position = op.Range(op.Constant(value_int=0), length, op.Constant(value_int=1))
    is_before = op.LessOrEqual(op.Unsqueeze(position, [0]), op.Unsqueeze(position, [1]))
    least = op.Constant(value_int=torch.iinfo(torch.int64).min)
    maxima = op.ReduceMax(op.Where(is_before, op.Unsqueeze(values, [1]), least), [2], keepdims=0)
    return maxima, maxima


def all_true(values: Any) -> Any:
    """`aten._is_all_true` of booleans of any shape, of the model's own checks, which an ONNX graph does not hold."""
    return op.Cast(op.ReduceMin(op.Cast(values, to=onnx.TensorProto.INT64), keepdims=0), to=onnx.TensorProto.BOOL)


@torch.no_grad()
def export_module(
    module: nn.Module, inputs: dict[str, torch.Tensor], dynamic: dict[int, str], output: str, path: Path
) -> None:
    """Writes a module as an ONNX file.

    Args:
        module: The module.
        inputs: Examples of its arguments, by name.
        dynamic: Names of the dimensions of every input that may have any size.
        output: Name of its output.
        path: The file.
    """
    table: dict[Callable[..., Any], Callable[..., Any]] = {
        torch.ops.aten.cummax.default: cumulative_maximum,
        torch.ops.aten._is_all_true.default: all_true,
    }
    dimensions = {index: Dim(name) for index, name in dynamic.items()}
    program = torch.onnx.export(
        module.eval(),
        kwargs=inputs,
        input_names=list(inputs),
        output_names=[output],
        dynamic_shapes=dict.fromkeys(inputs, dimensions),
        custom_translation_table=table,
        opset_version=OPSET,
        verbose=False,
    )
    with atomic_path(path) as partial:
        onnx.save(halve_weights(program.model_proto), partial)


def halve_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Stores weights that half precision holds exactly in half precision: no number changes.

    Args:
        model: Changed in place.
    """
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < LEAST_HALVED:
            continue
        with np.errstate(over="ignore"):
            halved = values.astype(np.float16)
        if (halved.astype(np.float32) != values).any():
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(halved, f"{name}_half"))
        casts.append(onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def write_prompts(processor: Any, model: Any, path: Path) -> None:
    """Writes the prompts of the two tasks and the ids that a program without transformers needs.

    Args:
        processor: The model's processor.
        model: The model with its head.
        path: The JSON file.
    """
    config = model.config
    pose = processor.tokenizer.pose_start_token + "{codes}" + processor.tokenizer.pose_end_token
    contents = {"text-to-pose": "{text}", "pose-edit": f"{pose} {{text}}"}
    prompts = {}
    for task, content in contents.items():
        template = processor.task_prompts.get(task, TASKS[task].prompt)
        text = content.replace("{text}", template)
        # Rendered around a word of its own, since the processor takes control tokens in texts for plain text.
        rendered = processor.apply_chat_template([{"role": "user", "content": "TEXT"}], generation_mode="pose")
        prompts[task] = rendered.replace("TEXT", text)
    write_json(
        path,
        {
            "prompts": prompts,
            "pose_code": f"<{processor.pose_code_prefix}{{code}}>",
            "num_pose_tokens": config.num_pose_tokens,
            "pad_token_id": processor.tokenizer.pad_token_id,
        },
    )


def export(arguments: ExportOnnxArguments) -> None:
    """Writes the three graphs, the tokenizer and the prompts.

    Args:
        arguments: Folders.
    """
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    model = AutoModelForImageTextToText.from_pretrained(arguments.model).float().eval()
    processor = AutoProcessor.from_pretrained(arguments.model)
    pose_tokenizer, config = model.model.pose_tokenizer, model.config
    ids = torch.full((2, 8), config.pose_start_token_id)
    prompts = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    export_module(GeneratePose(model), prompts, {0: "batch", 1: "length"}, "pose_codes", output / "generate_pose.onnx")
    values = {"pose_values": torch.eye(3)[:2].flatten().repeat(2, config.pose_tokenizer_config.num_joints, 1)}
    export_module(EncodePose(pose_tokenizer), values, {0: "poses"}, "pose_codes", output / "encode_pose.onnx")
    codes = {"pose_codes": torch.zeros(2, config.num_pose_tokens, dtype=torch.long)}
    export_module(DecodePose(pose_tokenizer), codes, {0: "poses"}, "rotmats", output / "decode_pose.onnx")
    write_prompts(processor, model, output / "prompts.json")
    processor.tokenizer.backend_tokenizer.save(str(output / "tokenizer.json"))


def main() -> None:
    (arguments,) = TrlParser((ExportOnnxArguments,)).parse_args_and_config()
    export(arguments)
    for path in sorted(Path(arguments.output).iterdir()):
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path}")


if __name__ == "__main__":
    main()
