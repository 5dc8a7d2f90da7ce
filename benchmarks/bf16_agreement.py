"""Agreement of bf16 with fp32: fraction of equal pose codes, and distance of the joints in mm.

PYTHONPATH=tests python benchmarks/bf16_agreement.py

Both dtypes get the same prompts with `generation_mode="pose"`. The recorded release has random weights, so its best
codes have similar logits. The embedded model is trained; its prompts are captions of held-out frames.
"""

import numpy as np
import torch
from measure import print_machine, print_table
from original import POSE_CASES, case_inputs, converted
from transformers import AutoModelForImageTextToText, AutoProcessor

from unipose import UniPoseForConditionalGeneration
from unipose.embedded_checkpoint import find_embedded_checkpoint
from unipose.processing.body_model import BodyModel
from unipose.training.captions.describe import describe
from unipose.training.evaluation.posecode_metrics import posecodes_of_poses
from unipose.training.sampling.poses import held_out_poses


FRAMES = 64

Inputs = dict[str, torch.Tensor]


def generate_poses(model: UniPoseForConditionalGeneration, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Greedily generates one pose per row.

    Args:
        model: the model, in either dtype.
        inputs: inputs of `generate`.

    Returns:
        pose codes (rows, num_pose_tokens), and joints (rows, 22, 3) in meters.
    """
    tokens = model.config.num_pose_tokens
    inputs = {
        name: values.to(model.dtype) if name.endswith("pixel_values") else values for name, values in inputs.items()
    }
    ids = model.generate(**inputs, generation_mode="pose", do_sample=False)[:, -tokens - 1 : -1]
    codes = ids - model.config.pose_code_start_id
    return codes, BodyModel.builtin().forward_joints(model.decode_pose_codes(codes))


def compare(name: str, folder: str, batches: list[Inputs]) -> list[str]:
    """A row of the table.

    Args:
        name: name of the row.
        folder: folder of the model.
        batches: inputs of `generate`.
    """
    models = [
        AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype).eval()
        for dtype in (torch.float32, torch.bfloat16)
    ]
    equal, distances = [], []
    for inputs in batches:
        (codes, joints), (half_codes, half_joints) = (generate_poses(model, inputs) for model in models)
        equal.append((codes == half_codes).float().mean(dim=1))
        distances.append((joints - half_joints).norm(dim=-1).mean(dim=1) * 1000)
    agreement, distance = torch.cat(equal), torch.cat(distances)
    figures = [
        agreement.mean() * 100,
        (agreement == 1).float().mean() * 100,
        distance.mean(),
        distance.median(),
        distance.max(),
    ]
    return [name, str(len(agreement)), *(f"{figure:.1f}" for figure in figures)]


def embedded_batches(folder: str) -> list[Inputs]:
    """One batch of prompts: captions of `FRAMES` held-out frames, for the model in `folder`."""
    processor = AutoProcessor.from_pretrained(folder)
    poses = held_out_poses()
    poses = poses[torch.linspace(0, len(poses) - 1, FRAMES).long()]
    rng = np.random.default_rng(0)
    captions = [describe(codes, rng).text for codes in posecodes_of_poses(poses, BodyModel.builtin())]
    chats = [[{"role": "user", "content": caption}] for caption in captions]
    arguments = {"return_tensors": "pt", "padding": True}
    return [
        processor.apply_chat_template(
            chats, generation_mode="pose", tokenize=True, return_dict=True, processor_kwargs=arguments
        )
    ]


def main() -> None:
    print_machine()
    embedded = str(find_embedded_checkpoint())
    rows = [
        compare("recorded cases, random weights", str(converted()), [case_inputs(name) for name in POSE_CASES]),
        compare("embedded model, held-out captions", embedded, embedded_batches(embedded)),
    ]
    header = ["model", "poses", "equal codes (%)", "equal poses (%)", "joints, mean (mm)", "median (mm)", "max (mm)"]
    print_table(header, rows)


if __name__ == "__main__":
    main()
