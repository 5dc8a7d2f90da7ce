"""A small byte-level BPE tokenizer, made in-process, with UniPose's tokens added."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from unipose.processing.processing_unipose import add_pose_tokens


SENTENCES = (
    "A person kneels on the left knee and lifts both arms above the head.",
    "Describe this pose: the right hand is near the hip, the torso is bent forward.",
    "How does the second pose differ from the first? Move the left foot back and straighten the knee.",
)


def tiny_tokenizer(codebook_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of about 320 pieces, with pad, bos, eos and unk; it writes bos before a text by itself."""
    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<bos>", "<eos>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(SENTENCES, trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
    add_pose_tokens(tokenizer, codebook_size)
    return tokenizer
