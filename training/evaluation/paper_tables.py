"""The paper's tables: the published figures, and beside them those of a model on your copy of the dataset.

    python -m unipose.training.evaluation.paper_tables --table text-to-pose
    python -m unipose.training.evaluation.paper_tables --table text-to-pose --data posescript --amass AMASS --model M

Without `--model` the table has the published figures only. docs/paper-tables.md has a command for each table.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import pipeline
from trl import TrlParser

from unipose.processing.body_model import BodyModel, to_body_model
from unipose.training.evaluation.metrics import mpjpe, pa_mpjpe, pose_errors
from unipose.training.evaluation.paper_data import KeypointRegressor, PaperDataArguments, Samples, load_samples
from unipose.training.evaluation.published import COLUMN_TITLES, PUBLISHED, PublishedTable
from unipose.training.evaluation.retrieval import RetrievalModel
from unipose.training.evaluation.retrieval_metrics import GROUP_SIZE, fid, r_precision, recall_at
from unipose.training.evaluation.tasks import first_poses, predict
from unipose.training.evaluation.text_metrics import bleu4_counts, meteor, rouge_l
from unipose.training.geometry import remove_heading
from unipose.training.io import markdown_table, write_json


# {column: value}
Scores = dict[str, float]
TOP_R_PRECISION, TOP_RECALL = (1, 2, 3), (5, 10, 20)
# A batch of posed SMPL bodies has some megabytes of vertices each.
BODY_BATCH = 64


@dataclass
class PaperTableArguments:
    """The table, and the model that is evaluated."""

    table: str = field(metadata={"help": f"The table: {', '.join(PUBLISHED)}."})
    model: str | None = field(
        default=None, metadata={"help": "Folder or Hub id of the model; default: the published figures only."}
    )
    retrieval_model: str | None = field(
        default=None,
        metadata={
            "help": "Folder or Hub id of the retrieval model (stage retrieval), one of pairs for pose-diff and "
            "image-diff; default: its columns stay empty."
        },
    )
    body: str | None = field(
        default=None,
        metadata={
            "help": "SMPL, SMPL-H or SMPL-X file of the body on which errors in millimeters are measured; by default "
            "the built-in body, which is not SMPL."
        },
    )
    joint_regressor: str | None = field(
        default=None,
        metadata={"help": "J_regressor_h36m.npy or SMPL_to_J19.pkl, for datasets with keypoints."},
    )
    output: str | None = field(default=None, metadata={"help": "Folder of <table>.json; default: none is written."})
    batch_size: int = field(default=32, metadata={"help": "Number of inputs per forward pass."})
    seed: int = field(default=0, metadata={"help": "Seed of the division into groups of 32."})


@dataclass(frozen=True)
class TableScores:
    """What was measured.

    Args:
        values: figures of the columns, in the units of the table.
        definitions: how they were measured, one sentence each.
    """

    values: Scores
    definitions: list[str]


def load_retrieval(folder: str | None, pairs: bool) -> RetrievalModel | None:
    """The retrieval model, or None where none is named.

    Args:
        folder: folder or Hub id.
        pairs: whether the table needs one of pairs of poses.

    Raises:
        ValueError: the model is of the other kind.
    """
    if folder is None:
        return None
    model = RetrievalModel.from_pretrained(folder)
    if model.config.pairs != pairs:
        kinds = {True: "pairs of poses", False: "single poses"}
        raise ValueError(f"{folder} embeds {kinds[model.config.pairs]}; this table needs one of {kinds[pairs]}")
    return model


def check_rows(samples: Samples, retrieval: RetrievalModel | None) -> None:
    """Checks that there are enough rows for R-precision and recalls.

    Args:
        samples: the rows.
        retrieval: the retrieval model, if any.

    Raises:
        ValueError: fewer than 32 rows.
    """
    if retrieval is not None and len(samples) < GROUP_SIZE:
        raise ValueError(f"got {len(samples)} rows; R-precision and recalls need at least {GROUP_SIZE}")


def score_texts(
    predictions: list[str], samples: Samples, retrieval: RetrievalModel | None, seed: int = 0
) -> TableScores:
    """Figures of generated texts: R-precision with the true poses, BLEU-4, ROUGE-L and METEOR.

    Args:
        predictions: a text of each row.
        samples: the rows.
        retrieval: the retrieval model, if any.
        seed: seed of the groups of 32.
    """
    values: Scores = {}
    definitions = []
    if retrieval is not None and samples.poses is not None:
        # An empty text matches no pose; the tokenizer needs a token.
        texts = retrieval.get_text_features([text if text.strip() else "." for text in predictions])
        poses = retrieval.get_pose_features(without_heading(samples.poses))
        permutation = torch.randperm(len(texts), generator=torch.Generator().manual_seed(seed))
        precision = r_precision(texts, poses, permutation, TOP_R_PRECISION)
        values |= {f"r_precision_top{k}": 100 * value for k, value in precision.items()}
        definitions.append(f"R-precision of generated text and true pose, one division into groups, seed {seed}")
    bleu = bleu4_counts(predictions, samples.texts)
    rouge, unigrams = rouge_l(predictions, samples.texts), meteor(predictions, samples.texts)
    values |= {"bleu4": 100 * bleu.score(), "rouge_l": 100 * rouge.mean, "meteor": 100 * unigrams.mean}
    return TableScores(values, [*definitions, bleu.definition, rouge.definition, unigrams.definition])


def without_heading(poses: torch.Tensor) -> torch.Tensor:
    """Poses as the retrieval models are trained on: facing the front; of a pair both rotated by the first's heading.

    Args:
        poses: (n, 22, 3, 3) or (n, 2, 22, 3, 3).
    """
    if poses.ndim == 4:
        return remove_heading(poses)
    first = remove_heading(poses[:, 0])
    rotation = first[:, 0] @ poses[:, 0, 0].mT
    rotated = poses.clone()
    rotated[:, :, 0] = rotation[:, None] @ poses[:, :, 0]
    return rotated


def score_generated_poses(
    predictions: torch.Tensor, samples: Samples, body: BodyModel, retrieval: RetrievalModel | None
) -> TableScores:
    """Figures of poses from texts: recalls of true text and generated pose, errors without alignment, and FID.

    Args:
        predictions: (n, 22, 3, 3), a pose of each row.
        samples: the rows; of pairs the second pose is the target.
        body: the body to measure.
        retrieval: the retrieval model of single poses, if any.
    """
    assert samples.poses is not None
    is_edit = samples.poses.ndim == 5
    targets = samples.poses[:, 1] if is_edit else samples.poses
    values: Scores = dict(pose_errors(predictions, targets, body))
    definitions = [f"MPJPE of 22 joints without alignment, body: {body.title}"]
    if retrieval is not None:
        generated = retrieval.get_pose_features(without_heading(predictions))
        values["fid"] = fid(generated, retrieval.get_pose_features(without_heading(targets)))
        definitions.append("FID of the retrieval model's embeddings of generated and true poses")
        if not is_edit:
            texts = retrieval.get_text_features(samples.texts)
            for name, recalls in (
                ("text_to_pose", recall_at(texts, generated, TOP_RECALL)),
                ("pose_to_text", recall_at(generated, texts, TOP_RECALL)),
            ):
                values |= {f"{name}_top{k}": 100 * value for k, value in recalls.items()}
            definitions.append(f"recalls of true text and generated pose among all {len(targets)} rows")
    return TableScores(values, definitions)


@torch.no_grad()
def score_estimated_poses(
    predictions: torch.Tensor, samples: Samples, body: BodyModel, regressor: KeypointRegressor | None
) -> TableScores:
    """Errors of poses from images, with the pelvis at the origin.

    Args:
        predictions: (n, 22, 3, 3), a pose of each row.
        samples: the rows, with keypoints or poses.
        body: the body to measure.
        regressor: of keypoints; needed for rows with keypoints.

    Raises:
        ValueError: rows with keypoints without a regressor.
    """
    if samples.keypoints is None:
        assert samples.poses is not None
        joints, target = body.forward_joints(predictions), body.forward_joints(samples.poses)
        definition = (
            f"MPJPE of 22 joints, the pelvis aligned, both poses on one body ({body.title}); the published figures "
            "are of 14 keypoints and each person's own shape"
        )
        errors = mpjpe(joints, target, (0,)), pa_mpjpe(joints, target)
    else:
        if regressor is None:
            raise ValueError("this dataset has keypoints: give --joint_regressor, and an SMPL file as --body")
        joints = torch.cat([regressor(body(part).vertices) for part in predictions.split(BODY_BATCH)])
        errors = mpjpe(joints, samples.keypoints.to(joints)), pa_mpjpe(joints, samples.keypoints.to(joints))
        definition = f"MPJPE of 14 keypoints, the pelvis aligned, mean shape of the body: {body.title}"
    return TableScores({"mpjpe_mm": errors[0].mean().item(), "pa_mpjpe_mm": errors[1].mean().item()}, [definition])


def score_model(arguments: PaperTableArguments, data: PaperDataArguments) -> TableScores:
    """Runs a model on the dataset of a table.

    Args:
        arguments: the table and the model.
        data: where the dataset is.

    Raises:
        ValueError: an option that does not fit the table.
        DatasetError: a file of the dataset is missing or damaged.
    """
    published = PUBLISHED[arguments.table]
    needs_pairs = published.task in ("pose-diff", "image-diff")
    estimates = published.task == "image-to-pose"
    retrieval = None if estimates else load_retrieval(arguments.retrieval_model, needs_pairs)
    body, regressor = to_body_model(arguments.body), None
    if arguments.joint_regressor is not None:
        vertices = len(body.v_template)
        regressor = KeypointRegressor.load(arguments.joint_regressor, vertices, data.pickles_may_run_code)
    samples = load_samples(arguments.table, data)
    check_rows(samples, retrieval)
    pipe: Any = pipeline("unipose", model=arguments.model)  # type: ignore[call-overload]
    outputs = predict(pipe, published.task, arguments.batch_size, **samples.inputs)
    if estimates:
        return score_estimated_poses(first_poses(outputs), samples, body, regressor)
    if published.task in ("text-to-pose", "pose-edit"):
        return score_generated_poses(first_poses(outputs), samples, body, retrieval)
    return score_texts([output["text"] for output in outputs], samples, retrieval, arguments.seed)


def to_markdown(table: PublishedTable, model: str, scores: TableScores | None) -> str:
    """The published rows, and that of the model; "-" where there is no figure.

    Args:
        table: the published figures.
        model: name of the model.
        scores: its figures, or None.
    """
    rows: list[list[str]] = [
        [f"{method} (published)", *(_format(metric, value) for metric, value in zip(table.metrics, values))]
        for method, values in table.rows.items()
    ]
    values = {} if scores is None else scores.values
    rows.append([model, *(_format(metric, values.get(metric)) for metric in table.metrics)])
    lines = [markdown_table(["method", *(COLUMN_TITLES[metric] for metric in table.metrics)], rows)]
    lines += [] if scores is None else ["", *(f"- {definition}" for definition in scores.definitions)]
    return "\n".join(lines)


def _format(metric: str, value: float | None) -> str:
    if value is None or np.isnan(value):
        return "-"
    return f"{value:.3f}" if metric == "fid" else f"{value:.1f}"


def main() -> None:
    arguments, data = TrlParser((PaperTableArguments, PaperDataArguments)).parse_args_and_config()
    if arguments.table not in PUBLISHED:
        raise ValueError(f"unknown table {arguments.table!r}; expected one of {', '.join(PUBLISHED)}")
    published = PUBLISHED[arguments.table]
    scores = None if arguments.model is None else score_model(arguments, data)
    print(f"{published.task} on {published.dataset}\n")
    print(to_markdown(published, arguments.model or "your model", scores))
    if arguments.output is not None:
        content: dict[str, Any] = {"settings": asdict(arguments) | asdict(data), "published": asdict(published)}
        content |= {} if scores is None else asdict(scores)
        write_json(Path(arguments.output) / f"{arguments.table}.json", content)


if __name__ == "__main__":
    main()
