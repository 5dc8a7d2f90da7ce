"""The paper's ablations at tiny size, one command each: variants trained alike but for one thing, then measured.

    tasks               one task against all seven
    towers              the general picture tower against both
    attention           output poses code by code against whole
    orientation_noise   the pose tokenizer without and with jitter of the global orientation

Each reads a recipe (`training/recipes/ablations`), trains its variants one after the other by the stages' own
functions, and writes `table.md` and `metrics.json` beside them. Stopped anywhere, it goes on where it was.
"""
