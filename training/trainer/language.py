"""Training of the language stages `align`, `project` and `instruct`: the corpus, the model and TRL's trainer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from datasets import Dataset
from peft import PeftModel
from PIL import Image
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin, set_seed
from transformers.utils import ModelOutput
from trl import SFTTrainer

from unipose import UniPoseConfig, UniPoseForConditionalGeneration, UniPoseModel
from unipose.processing.body_model import BodyModel
from unipose.query_runs import is_pose_code
from unipose.training.datasets.shards import load_corpus
from unipose.training.trainer.callbacks import SetEpochCallback
from unipose.training.trainer.checkpoints import find_checkpoint
from unipose.training.trainer.code_revealing import CodeRevealingCollator
from unipose.training.trainer.code_smoothing import CodeTargets, smoothed_cross_entropy
from unipose.training.trainer.code_vectors import code_rows
from unipose.training.trainer.collator import UniPoseDataCollator
from unipose.training.trainer.config import RecipeParser, StageConfig
from unipose.training.trainer.kept_codes import KeptCodeCollator
from unipose.training.trainer.moving_rows import MovingRows, MovingTable, load_word_rows
from unipose.training.trainer.optimizer import OptimizerArguments, build_optimizer
from unipose.training.trainer.prepared_rows import keep_rows, prepare_rows, remove_rows, rows_key
from unipose.training.trainer.projector_init import standardize_projector
from unipose.training.trainer.random_collator import RandomCollator
from unipose.training.trainer.sample_callback import AnswerSampleCallback
from unipose.training.trainer.samplers import GroupedSampler
from unipose.training.trainer.trainable_parts import LoraArguments, Part, merge_adapters, set_trainable
from unipose.training.trainer.trainers import SampledDataMixin, StageTrainer
from unipose.training.trainer.vision_encoders import load_vision_encoders


@dataclass
class LanguageArguments:
    """The model and the rows of a language stage."""

    model: str = field(metadata={"help": "Folder or Hub id of the initial model."})
    corpus: str = field(default="runs/corpus", metadata={"help": "Folder of a corpus by build_corpus."})
    vision_encoders: str | None = field(
        default=None, metadata={"help": "Output folder of the stage vision_encoders, to load its encoders first."}
    )
    standardize_image_features: int | None = field(
        default=None,
        metadata={"help": "Number of corpus images to fit the scales of an untrained projector to."},
    )
    tasks: list[str] | None = field(default=None, metadata={"help": "Tasks of the corpus to train on; default: all."})
    rows: int | None = field(
        default=None, metadata={"help": "Maximum number of training rows of each task; default: all rows."}
    )
    attention: str | None = field(
        default=None, metadata={"help": "Attention of the language model: sdpa, eager or flex_attention."}
    )
    code_smoothing: float | None = field(
        default=None,
        metadata={"help": "Width of the soft targets of pose codes; default: the paper's loss."},
    )
    word_vectors: str | None = field(
        default=None,
        metadata={
            "help": "File of word vectors by build_model, along which the embeddings of words move; default: freely."
        },
    )
    code_vectors: bool = field(
        default=False,
        metadata={"help": "Whether the embeddings of near pose codes move together; default: each moves freely."},
    )
    reveal_codes: float = field(
        default=0.0,
        metadata={"help": "Share of the output poses of which random codes are given, for pose_refinement_steps."},
    )
    vary_kept_codes: float = field(
        default=0.0,
        metadata={"help": "Share of the edits in which body parts that all poses share are exchanged in all of them."},
    )
    compile_language_model: bool = field(
        default=False, metadata={"help": "Whether to compile the language model, which needs a C++ compiler."}
    )
    workers: int = field(default=1, metadata={"help": "Number of processes that prepare the rows."})
    eval_rows: int = field(
        default=256, metadata={"help": "Maximum number of validation rows for the loss of an evaluation."}
    )
    samples: int = field(
        default=2, metadata={"help": "Number of validation rows of each task to answer at an evaluation; 0: none."}
    )


class Scored(NamedTuple):
    """Logits of some positions of a batch.

    Args:
        logits: (positions, classes).
        places: (batch, length) bool: the positions.
        first: Id of the first class.
    """

    logits: torch.Tensor
    places: torch.Tensor
    first: int = 0

    def is_right(self, labels: torch.Tensor) -> torch.Tensor:
        """(positions,) whether the highest logit is that of the label; the host waits for the device."""
        return self.logits.argmax(dim=-1) + self.first == labels[self.places]


class LanguageTrainer(SampledDataMixin, StageTrainer, SFTTrainer):
    """TRL's trainer on prepared rows (`length`, `has_image`, `task`, `source`), with the model's own loss.

    TRL's fused head pads the labeled positions to whole tiles and computes their logits in fp32, half of a step at a
    small model's size. Here the model computes the logits of the labeled positions only, with `code_targets` those of
    codes alone where the label is a code.

    Args:
        code_targets: target distributions of pose codes; one-hot where left out.
        reveal_codes: share of the output poses of which random codes are given; evaluation gives none.
        vary_kept_codes: share of the edits whose kept parts come from another pose; in evaluation none do.
    """

    def __init__(
        self,
        *args,
        code_targets: CodeTargets | None = None,
        reveal_codes: float = 0.0,
        vary_kept_codes: float = 0.0,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.code_targets = None if code_targets is None else code_targets.to(self.args.device)
        # Below the head, and below what may wrap the model.
        self.decoder = next(module for module in self.model.modules() if isinstance(module, UniPoseModel))
        self.random_collators: list[RandomCollator] = []
        seed = self.args.seed
        if vary_kept_codes:
            config = cast(UniPoseConfig, self.model.config)
            self.random_collators.append(KeptCodeCollator(self.data_collator, vary_kept_codes, seed, config))
        if reveal_codes:
            self.random_collators.append(CodeRevealingCollator(self.train_collator(), reveal_codes, seed))

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if self.code_targets is None:
            is_labeled = inputs["shift_labels"] != -100
            outputs = model(
                **inputs, logits_to_keep=is_labeled, num_items_in_batch=num_items_in_batch, use_cache=False
            )
            loss = outputs.loss
            scored = [Scored(outputs.logits, is_labeled)]
        else:
            loss, scored, outputs = self.smoothed_loss(model, inputs)
            num_items = sum(len(each.logits) for each in scored) if num_items_in_batch is None else num_items_in_batch
            loss = loss / torch.as_tensor(num_items, device=loss.device).clamp_min(1)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            # The divisor counts the labels of all processes, and their gradients are averaged.
            loss = loss * self.accelerator.num_processes
        if model.training and (self.state.global_step + 1) % self.args.logging_steps == 0:
            is_right = torch.cat([each.is_right(inputs["shift_labels"]) for each in scored])
            self.log_components({"token_accuracy": is_right.float().mean()})
        return (loss, outputs) if return_outputs else loss

    def smoothed_loss(
        self, model: nn.Module, inputs: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, list[Scored], ModelOutput]:
        """The summed loss with soft targets of pose codes.

        The head computes all logits where the label is a word, and those of the codes where it is a code.

        Args:
            model: the model, wrapped or not.
            inputs: a batch.

        Returns:
            The sum, the logits of codes and of words, and the output of the model.
        """
        targets = cast(CodeTargets, self.code_targets)
        config = cast(UniPoseConfig, self.model.config)
        labels = inputs["shift_labels"]
        first, size = config.pose_code_start_id, config.num_pose_codes
        is_code = is_pose_code(labels, config)
        is_word = (labels != -100) & ~is_code
        # Found once: every search for the places of a mask makes the host wait for the device.
        code_places = is_code.flatten().nonzero()[:, 0]
        # The model's own loss is that of the words: their sum.
        of_words = {"labels": None, "shift_labels": labels.masked_fill(is_code, -100), "num_items_in_batch": 1}
        hidden: list[torch.Tensor] = []
        hook = self.decoder.register_forward_hook(lambda module, args, output: hidden.append(output[0]))
        try:
            outputs = model(**{**inputs, **of_words}, logits_to_keep=is_word, use_cache=False)
        finally:
            hook.remove()
        with self.accelerator.autocast():
            model_with_head = cast(PreTrainedModel, self.model)
            head = cast(nn.Linear, model_with_head.get_output_embeddings()).weight
            hidden_codes = hidden[0].flatten(0, 1).index_select(0, code_places)
            code_logits = nn.functional.linear(hidden_codes, head[first : first + size])
            is_kept = None
            if outputs.source_pose_codes is not None:
                sources = outputs.source_pose_codes.flatten()[code_places] - first
                code_logits = self.decoder.point_to_sources(code_logits, hidden_codes, sources.unsqueeze(1))
                is_kept = sources == labels.flatten()[code_places] - first
        codes = labels.flatten()[code_places] - first
        codebooks = targets.codebook_of_position(inputs["input_ids"], config).flatten()[code_places]
        loss = smoothed_cross_entropy(code_logits, codes, targets.distributions, codebooks, is_kept)
        return loss + outputs.loss, [Scored(code_logits, is_code, first), Scored(outputs.logits, is_word)], outputs

    def train_collator(self) -> Any:
        return self.random_collators[-1] if self.random_collators else self.data_collator

    def train_sampler(self) -> GroupedSampler:
        rows = self.train_dataset
        batch_size = self.args.train_batch_size * self.args.world_size
        sampler = GroupedSampler(rows["length"], rows["has_image"], batch_size, self.args.seed)
        self.add_callback(SetEpochCallback(sampler, *self.random_collators))
        return sampler

    def name_row(self, row: int) -> str:
        named = self.train_dataset.select_columns(["task", "source"])[row]
        return f"{row} ({named['task']}, {named['source']})"


def run_stage(parts: Sequence[Part]) -> None:
    """Parses a command line and its recipe, trains some parts of a model, and saves all of it."""
    parser = RecipeParser((LanguageArguments, LoraArguments, OptimizerArguments, StageConfig))
    train_stage(*parser.parse_args_and_config(), parts)


def train_stage(
    arguments: LanguageArguments,
    lora: LoraArguments,
    optimizer: OptimizerArguments,
    config: StageConfig,
    parts: Sequence[Part],
) -> LanguageTrainer:
    """Trains some parts of a model, from the last checkpoint where the run resumes, and saves all of it.

    Args:
        arguments: the model and the rows.
        lora: options of LoRA.
        optimizer: options of the optimizer.
        config: the trainer's arguments.
        parts: trained parts of the model.
    """
    trainer = build_trainer(arguments, lora, optimizer, config, parts)
    trainer.train(resume_from_checkpoint=find_checkpoint(config))
    model = gather_full_weights(trainer.accelerator.unwrap_model(trainer.model), arguments, lora, parts)
    if trainer.is_world_process_zero():
        save_merged(model, trainer.processing_class, config.output_dir)
        remove_rows(Path(config.output_dir))
    return trainer


def build_trainer(
    arguments: LanguageArguments,
    lora: LoraArguments,
    optimizer: OptimizerArguments,
    config: StageConfig,
    parts: Sequence[Part],
) -> LanguageTrainer:
    """A model with trainable `parts`, the corpus prepared for it, and the trainer of both.

    Args:
        arguments: the model and the rows.
        lora: options of LoRA.
        optimizer: options of the optimizer.
        config: the trainer's arguments.
        parts: trained parts of the model.

    Raises:
        ValueError: a model in half precision, whose trained weights are in float32, with `precision: fp32`.
    """
    # Adapters are drawn before the trainer sets the seed; all processes must draw the same.
    set_seed(config.seed)
    processor = AutoProcessor.from_pretrained(arguments.model)
    model = load_model(arguments)
    if model.dtype.itemsize < torch.float32.itemsize and not (config.bf16 or config.fp16):
        raise ValueError(
            f"{arguments.model} is in {model.dtype}, but precision is fp32: train it with precision bf16, or build it "
            "in float32"
        )
    collator = UniPoseDataCollator(processor, model.config.pose_attention)
    key = rows_key(arguments.corpus, [arguments.tasks, arguments.rows], model, collator)

    def prepare(chosen: Dataset) -> Dataset:
        return prepare_rows(chosen, model, collator, arguments.workers)

    with config.main_process_first(desc="preparation of the rows"):
        rows = keep_rows(Path(config.output_dir), key, lambda: prepare(select_rows(arguments)))
    evaluates = config.eval_strategy != "no"
    validation = load_corpus(arguments.corpus, "validation", tasks=arguments.tasks) if evaluates else None
    eval_dataset = None
    if validation is not None:
        eval_dataset = prepare(subsample(validation, arguments.eval_rows))
    if arguments.standardize_image_features is not None:
        images = sample_images(rows, arguments.standardize_image_features)
        standardize_projector(model, processor.image_processor(images, return_tensors="pt"))
    code_targets = None
    if arguments.code_smoothing is not None:
        code_targets = CodeTargets(model.model.pose_tokenizer, arguments.code_smoothing)
    trained = set_trainable(model, parts, lora)
    trainer = LanguageTrainer(
        model=trained,
        args=config,
        train_dataset=rows,
        eval_dataset=eval_dataset,
        data_collator=collator,
        processing_class=processor,
        code_targets=code_targets,
        reveal_codes=arguments.reveal_codes,
        vary_kept_codes=arguments.vary_kept_codes,
        optimizers=build_optimizer(trained, optimizer, config, moving_table(trained, arguments, config.device)),
    )
    if validation is not None and arguments.samples:
        body = BodyModel.builtin()
        trainer.add_callback(AnswerSampleCallback(trainer, body, validation, processor, arguments.samples))
    return trainer


def moving_table(
    model: PreTrainedModel | PeftModel, arguments: LanguageArguments, device: torch.device
) -> MovingTable | None:
    """The embedding table, if some of its rows move along vectors of words or of pose codes.

    Args:
        model: the model with its trainable parts.
        arguments: the files and options of the vectors.
        device: where the model is trained.
    """
    table = cast(nn.Embedding, model.get_input_embeddings()).weight
    ranges: list[MovingRows] = []
    if arguments.word_vectors is not None:
        ranges.append(load_word_rows(arguments.word_vectors, table, device))
    if arguments.code_vectors:
        decoder = next(module for module in model.modules() if isinstance(module, UniPoseModel))
        ranges.append(code_rows(decoder.pose_tokenizer, cast(UniPoseConfig, model.config), table, device))
    return MovingTable(table, ranges) if ranges else None


def select_rows(arguments: LanguageArguments) -> Dataset:
    """The training rows of the corpus that the stage names."""
    rows = load_corpus(arguments.corpus, tasks=arguments.tasks)
    return rows if arguments.rows is None else subsample_each_task(rows, arguments.rows)


def load_model(arguments: LanguageArguments) -> UniPoseForConditionalGeneration:
    """The model to start from, with the vision encoders and the attention that the stage names."""
    model = cast(UniPoseForConditionalGeneration, AutoModelForImageTextToText.from_pretrained(arguments.model))
    if arguments.vision_encoders is not None:
        load_vision_encoders(model, Path(arguments.vision_encoders))
    if arguments.attention is not None:
        model.set_attn_implementation({"text_config": arguments.attention})
    if arguments.compile_language_model:
        model.model.language_model.compile(dynamic=True)
    return model


def sample_images(rows: Dataset, count: int) -> list[Image.Image]:
    """The first images of at most `count` rows, spread evenly over the rows with images.

    Args:
        rows: prepared rows.
        count: maximum number of images.

    Raises:
        ValueError: no row has an image.
    """
    with_images = np.flatnonzero(rows["has_image"])
    if not len(with_images):
        raise ValueError(
            "no row of these tasks has an image: leave standardize_image_features out, or name tasks with images"
        )
    return [row["images"][0] for row in subsample(rows.select(with_images), count)]


def subsample(rows: Dataset, count: int) -> Dataset:
    """At most `count` rows, spread evenly, so that each task keeps its share.

    Args:
        rows: rows of a corpus.
        count: maximum number of rows.
    """
    count = min(count, len(rows))
    return rows.select(np.arange(count) * len(rows) // count)


def subsample_each_task(rows: Dataset, count: int) -> Dataset:
    """At most `count` rows of each task, spread evenly: the same rows with any other tasks.

    Args:
        rows: rows of a corpus.
        count: maximum number of rows per task.
    """
    tasks = np.asarray(rows["task"])
    chosen = []
    for task in np.unique(tasks):
        own = np.flatnonzero(tasks == task)
        own_count = min(count, len(own))
        chosen.append(own[np.arange(own_count) * len(own) // own_count])
    return rows.select(np.sort(np.concatenate(chosen)))


def gather_full_weights(
    model: PreTrainedModel | PeftModel, arguments: LanguageArguments, lora: LoraArguments, parts: Sequence[Part]
) -> PreTrainedModel | PeftModel:
    """The model with all of its weights, in the first process; others may hold a shard of the weights (FSDP2).

    All processes must call it.

    Args:
        model: the trained model, unwrapped.
        arguments: arguments of the stage; they name the initial model.
        lora: options of LoRA.
        parts: trained parts of the model.
    """
    if not any(isinstance(weight, DTensor) for weight in model.parameters()):
        return model
    weights = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if not weights:
        return model
    whole = set_trainable(AutoModelForImageTextToText.from_pretrained(arguments.model), parts, lora)
    whole.load_state_dict(weights)
    return whole


def save_merged(model: PreTrainedModel | PeftModel, processor: ProcessorMixin, folder: str | Path) -> None:
    """Saves the model with its adapters merged, and the processor: a folder that `from_pretrained` loads.

    Args:
        model: the trained model.
        processor: the model's processor.
        folder: where both are saved.
    """
    merge_adapters(model).save_pretrained(folder)
    processor.save_pretrained(folder)
