"""Ablations at tiny size: the paper's, and our own choices. A command trains and measures variants that differ in one.

    tasks               one task against all seven
    vision_encoders     the vision encoder alone against both encoders
    attention           causal against mixed attention of output poses
    choices             ways of decoding; a corpus with and without people's words or recorded motion
    orientation_noise   the pose tokenizer without and with jitter of the global orientation

Each reads a recipe (`training/recipes/ablations`), trains its variants one after the other with the functions of the
stages, and writes `table.md` and `metrics.json`. The same command resumes a stopped ablation.
"""
