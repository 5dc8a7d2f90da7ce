"""The stages of training (paper, section 3.4), one command each, in this order.

    pose_tokenizer   poses <-> codes
    vision_encoders  the vision encoders, only where no pretrained ones are available
    align            the language model learns poses: from text, into text, edited, compared
    project          the projector learns to map images to tokens; the rest is frozen
    instruct         all tasks in many wordings; language model and projector

Each stage reads a recipe (`training/recipes`), starts from the folder of the previous stage, and writes a folder that
`from_pretrained` loads. The last three differ in the parts they train (`trainer.language`, `trainer.trainable_parts`).
"""
