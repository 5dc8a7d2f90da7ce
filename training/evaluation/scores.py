"""Answers and rows -> the statistics of every metric: of a model and of baselines in the same way."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.instruction_reader import read_instruction
from unipose.training.evaluation.diversity import multimodality_of_rows
from unipose.training.evaluation.metrics import mpjpe, pa_mpjpe, pve, rotation_errors
from unipose.training.evaluation.posecode_metrics import (
    changed_parts_named,
    count_stated,
    count_true_paircodes,
    count_true_posecodes,
)
from unipose.training.evaluation.retrieval import RetrievalModel
from unipose.training.evaluation.retrieval_metrics import GROUP_SIZE, r_precision_of_rows, retrieval_ranks
from unipose.training.evaluation.task_rows import TaskRows
from unipose.training.evaluation.text_metrics import bleu4_counts, meteor, rouge_l
from unipose.training.evaluation.uncertainty import Bleu, Diversity, Frechet, Mean, Statistic
from unipose.training.geometry import remove_heading


Statistics = dict[str, Statistic]

PRECISION_TOP_K = (1, 2, 3)
RECALL_TOP_K = (5, 10, 20)
# Poses whose vertices are computed at once.
MESH_BATCH = 256


@dataclass(frozen=True)
class Judge:
    """What answers are measured with.

    Args:
        body: the body on which the statements of texts are measured.
        error_body: the body on which millimeters are measured.
        retrieval: embeds texts and single poses, for R-precision, recall and FID.
        pair_retrieval: embeds texts and ordered pairs of poses.
        shuffles: number of divisions into groups over which R-precision is averaged.
        seed: seed of these divisions.
    """

    body: BodyModel
    error_body: BodyModel
    retrieval: RetrievalModel | None = None
    pair_retrieval: RetrievalModel | None = None
    shuffles: int = 1
    seed: int = 0

    def retrieval_of(self, rows: TaskRows) -> RetrievalModel | None:
        """The retrieval model for the texts of rows; None where the first pose of a pair is not known."""
        if not rows.compares:
            return self.retrieval
        return None if rows.before is None else self.pair_retrieval


@torch.no_grad()
def pose_statistics(rows: TaskRows, poses: torch.Tensor, judge: Judge) -> Statistics:
    """Metrics of poses that answer rows.

    Args:
        rows: n rows with targets.
        poses: (n, 22, 3, 3), an answer to each.
        judge: what they are measured with.
    """
    targets = rows.poses
    assert targets is not None
    statistics = error_statistics(poses, targets, judge.error_body)
    if len(rows.statements):
        codes = rows.statements
        if rows.before is None:
            true = count_true_posecodes(codes, poses, judge.body)
            statistics["posecode_precision"] = Mean.ratio(true, [len(own) for own in codes])
        else:
            true = count_true_paircodes(codes, rows.before, poses, judge.body)
            statistics["paircode_precision"] = Mean.ratio(true, [len(own) for own in codes])
    if (model := judge.retrieval_of(rows)) is not None and len(rows.texts):
        texts, shown = embed_texts(model, rows.texts), embed_poses(model, rows, poses)
        statistics |= precision_statistics(texts, shown, judge) | recall_statistics(texts, shown)
    if judge.retrieval is not None and len(rows) > 1:
        facing = [facing_front(rows, each) for each in (poses, targets)]
        embeds, true_embeds = (judge.retrieval.get_pose_features(each).double().cpu() for each in facing)
        statistics["fid"] = Frechet(embeds.numpy(), true_embeds.numpy())
        statistics["diversity"] = Diversity(embeds.numpy())
    return statistics


@torch.no_grad()
def sample_statistics(rows: TaskRows, samples: torch.Tensor, judge: Judge) -> Statistics:
    """Multimodality: how different the sampled answers to one row are.

    Args:
        rows: n rows.
        samples: (n, samples, 22, 3, 3).
        judge: the body to measure; embeddings are those of its retrieval model, if it has one.
    """
    joints = torch.stack([judge.error_body.forward_joints(own) for own in samples]).double().numpy()
    # The mean over joints of their distances: the MPJPE between two samples.
    distances = [multimodality_of_rows(joints[:, :, joint]) for joint in range(joints.shape[2])]
    statistics: Statistics = {"multimodality_mm": Mean.of(1000 * np.mean(distances, axis=0))}
    if judge.retrieval is not None:
        facing = facing_front(rows, samples.flatten(0, 1))
        embeds = judge.retrieval.get_pose_features(facing).double().cpu().unflatten(0, samples.shape[:2])
        statistics["multimodality"] = Mean.of(multimodality_of_rows(embeds.numpy()))
    return statistics


@torch.no_grad()
def error_statistics(poses: torch.Tensor, targets: torch.Tensor, body: BodyModel) -> Statistics:
    """Errors in millimeters and degrees, without root alignment: every pose has its pelvis at the origin.

    Args:
        poses: (n, 22, 3, 3) predictions.
        targets: (n, 22, 3, 3).
        body: the body to measure.
    """
    joints, target = body.forward_joints(poses), body.forward_joints(targets)
    batches = zip(poses.split(MESH_BATCH), targets.split(MESH_BATCH))
    vertex_errors = [pve(body(some).vertices, body(others).vertices) for some, others in batches]
    return {
        "mpjpe_mm": Mean.of(mpjpe(joints, target).numpy()),
        "pa_mpjpe_mm": Mean.of(pa_mpjpe(joints, target).numpy()),
        "pve_mm": Mean.of(torch.cat(vertex_errors).numpy()),
        "rotation_error_deg": Mean.of(rotation_errors(poses, targets).mean(dim=1).numpy()),
    }


@torch.no_grad()
def text_statistics(rows: TaskRows, texts: Sequence[str], judge: Judge) -> Statistics:
    """Metrics of texts that answer rows.

    Args:
        rows: n rows; references, and the poses that texts describe, are used as far as they are known.
        texts: n answers.
        judge: what they are measured with.
    """
    readings = [(read_instruction if rows.compares else read_caption)(text) for text in texts]
    codes = [reading.codes for reading in readings]
    kind = "paircode" if rows.compares else "posecode"
    stated, statistics = [len(own) for own in codes], Statistics()
    if rows.poses is not None:
        if rows.before is None:
            true = count_true_posecodes(codes, rows.poses, judge.body)
        else:
            true = count_true_paircodes(codes, rows.before, rows.poses, judge.body)
        statistics[f"{kind}_precision"] = Mean.ratio(true, stated)
    if len(rows.statements):
        expected = [len({*own}) for own in rows.statements]
        statistics[f"{kind}_recall"] = Mean.ratio(count_stated(codes, rows.statements), expected)
    if rows.changes is not None:
        named = changed_parts_named(texts, rows.changes)
        statistics["changed_part_named"] = Mean.of([np.nan if each is None else each for each in named])
    statistics["codes_per_caption"] = Mean.of(stated)
    unparsable = [len(reading.unparsable) for reading in readings]
    statistics["unparsable_sentences"] = Mean.ratio(unparsable, [reading.sentences for reading in readings])
    if len(rows.texts):
        statistics |= {
            "bleu4": Bleu(bleu4_counts(texts, rows.texts)),
            "rouge_l": Mean.of(rouge_l(texts, rows.texts).rows),
            "meteor": Mean.of(meteor(texts, rows.texts).rows),
        }
    if (model := judge.retrieval_of(rows)) is not None and rows.poses is not None:
        statistics |= precision_statistics(embed_texts(model, texts), embed_poses(model, rows, rows.poses), judge)
    return statistics


def embed_texts(model: RetrievalModel, texts: Sequence[str]) -> torch.Tensor:
    """(n, dim) embeddings in double precision; an empty text counts as a full stop.

    Args:
        model: a retrieval model.
        texts: n texts.
    """
    return model.get_text_features([text if text.strip() else "." for text in texts]).double().cpu()


def embed_poses(model: RetrievalModel, rows: TaskRows, poses: torch.Tensor) -> torch.Tensor:
    """(n, dim) embeddings in double precision of poses, or of pairs whose second poses they are.

    Args:
        model: the retrieval model of the rows.
        rows: n rows.
        poses: (n, 22, 3, 3).
    """
    inputs = facing_front(rows, poses) if rows.before is None else torch.stack([rows.before, poses], dim=1)
    return model.get_pose_features(inputs).double().cpu()


def facing_front(rows: TaskRows, poses: torch.Tensor) -> torch.Tensor:
    """Poses as retrieval models know them: without the headings that people in images have.

    Args:
        rows: n rows.
        poses: (n, 22, 3, 3) in the stored frame.
    """
    return remove_heading(poses) if rows.has_headings else poses


def precision_statistics(texts: torch.Tensor, poses: torch.Tensor, judge: Judge) -> Statistics:
    """R-precision; nothing for fewer rows than one group.

    Args:
        texts: (n, dim) embeddings.
        poses: (n, dim) embeddings.
        judge: number and seed of divisions.
    """
    if len(texts) < GROUP_SIZE:
        return {}
    return {
        f"r_precision_top{k}": Mean.of(r_precision_of_rows(texts, poses, k, judge.shuffles, judge.seed).numpy())
        for k in PRECISION_TOP_K
    }


def recall_statistics(texts: torch.Tensor, poses: torch.Tensor) -> Statistics:
    """R(T2P), R(P2T) and mRecall among all rows; nothing for fewer rows than the largest k.

    Args:
        texts: (n, dim) embeddings.
        poses: (n, dim) embeddings.
    """
    if len(texts) < max(RECALL_TOP_K):
        return {}
    ranks = {"text_to_pose": retrieval_ranks(texts, poses), "pose_to_text": retrieval_ranks(poses, texts)}
    hits = {f"{way}_top{k}": (rank <= k).double().numpy() for way, rank in ranks.items() for k in RECALL_TOP_K}
    statistics: Statistics = {name: Mean.of(values) for name, values in hits.items()}
    return statistics | {"mean_recall": Mean.of(np.mean(list(hits.values()), axis=0))}
