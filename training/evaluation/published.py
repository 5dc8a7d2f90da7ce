"""The tables of the paper, as data: arXiv 2411.16781, its tables of comprehension, generation, estimation and editing.

Percentages and millimeters, as printed there. They were measured on SMPL's body and with the authors' retrieval
models, so only figures by the same definitions can be compared with them (docs/paper-tables.md).
"""

from dataclasses import dataclass


COMPREHENSION = ("r_precision_top1", "r_precision_top2", "r_precision_top3", "bleu4", "rouge_l", "meteor")
GENERATION = (
    "text_to_pose_top5",
    "text_to_pose_top10",
    "text_to_pose_top20",
    "pose_to_text_top5",
    "pose_to_text_top10",
    "pose_to_text_top20",
    "mpjpe_mm",
    "pa_mpjpe_mm",
    "fid",
)
EDITING = ("mpjpe_mm", "pa_mpjpe_mm", "fid")
ESTIMATION = ("mpjpe_mm", "pa_mpjpe_mm")

COLUMN_TITLES = {
    "r_precision_top1": "R-precision top 1",
    "r_precision_top2": "top 2",
    "r_precision_top3": "top 3",
    "bleu4": "BLEU-4",
    "rouge_l": "ROUGE-L",
    "meteor": "METEOR",
    "text_to_pose_top5": "R(T2P) top 5",
    "text_to_pose_top10": "top 10",
    "text_to_pose_top20": "top 20",
    "pose_to_text_top5": "R(P2T) top 5",
    "pose_to_text_top10": "top 10",
    "pose_to_text_top20": "top 20",
    "mpjpe_mm": "MPJPE (mm)",
    "pa_mpjpe_mm": "PA-MPJPE (mm)",
    "fid": "FID",
}


@dataclass(frozen=True)
class PublishedTable:
    """One table of the paper.

    Args:
        task: the task, a key of `TASKS`.
        dataset: the dataset of the figures.
        metrics: the columns, keys of `COLUMN_TITLES`.
        rows: figures of each method, in the order of `metrics`; None where the paper has none.
    """

    task: str
    dataset: str
    metrics: tuple[str, ...]
    rows: dict[str, tuple[float | None, ...]]


PUBLISHED = {
    "pose-to-text": PublishedTable(
        "pose-to-text",
        "PoseScript",
        COMPREHENSION,
        {"PoseScript": (91.6, 95.6, 97.0, 12.9, 33.9, 34.2), "UniPose": (85.6, 95.2, 97.6, 12.1, 33.3, 30.8)},
    ),
    "pose-diff": PublishedTable(
        "pose-diff",
        "PoseFix",
        COMPREHENSION,
        {"PoseFix": (64.6, 77.1, 83.0, 12.0, 33.5, 36.7), "UniPose": (67.9, 81.8, 88.6, 13.8, 33.7, 31.2)},
    ),
    "image-to-text": PublishedTable(
        "image-to-text",
        "ImageScript",
        COMPREHENSION,
        {"GPT-4V": (17.7, 24.0, 32.3, 7.1, 29.1, 34.2), "UniPose": (24.5, 35.4, 43.2, 18.2, 42.5, 44.7)},
    ),
    "image-diff": PublishedTable(
        "image-diff",
        "ImageDiff",
        COMPREHENSION,
        {"GPT-4V": (7.3, 13.5, 18.8, 1.3, 16.1, 21.8), "UniPose": (13.5, 25.0, 33.8, 15.9, 36.5, 39.6)},
    ),
    "text-to-pose": PublishedTable(
        "text-to-pose",
        "PoseScript",
        GENERATION,
        {
            "PoseScript": (73.3, 82.5, 89.4, 70.0, 82.5, 87.4, 318.0, 161.3, 0.075),
            "ChatPose": (17.6, 25.3, 35.8, 28.0, 39.0, 54.4, None, None, None),
            "ChatHuman": (41.8, 52.6, 65.1, 42.1, 52.3, 66.5, None, None, None),
            "UniPose": (73.7, 82.4, 89.6, 70.9, 80.5, 89.6, 308.6, 171.1, 0.038),
        },
    ),
    "pose-edit": PublishedTable(
        "pose-edit",
        "PoseFix",
        EDITING,
        {"PoseFix": (300.2, 144.1, 0.019), "UniPose": (270.3, 138.9, 0.015)},
    ),
    "image-to-pose-3dpw": PublishedTable(
        "image-to-pose",
        "3DPW",
        ESTIMATION,
        {
            "HMR2.0": (70.0, 44.5),
            "TokenHMR": (71.0, 44.3),
            "ChatPose": (163.6, 81.9),
            "UniPose": (94.7, 59.1),
        },
    ),
    "image-to-pose-human36m": PublishedTable(
        "image-to-pose",
        "Human3.6M",
        ESTIMATION,
        {"HMR2.0": (44.8, 33.6), "ChatPose": (126.0, 82.4), "UniPose": (69.2, 41.8)},
    ),
}
