"""The paper's ablations at tiny size, one command each: variants whose training differs in one setting, then measured.

    tasks               one task against all seven
    vision_encoders     the vision encoder alone against both encoders
    attention           output poses code by code against mixed attention
    orientation_noise   the pose tokenizer without and with jitter of the global orientation

Each reads a recipe (`training/recipes/ablations`), trains its variants one after the other by the stages' own
functions, and writes `table.md` and `metrics.json` beside them. A stopped one resumes.
"""
