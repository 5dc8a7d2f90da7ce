"""One task against all seven (paper, section 4); the rows of a task are the same in both variants.

python -m unipose.training.ablations.tasks --config training/recipes/ablations/tasks.yaml
"""

from unipose.training.ablations.table import Table, write_table
from unipose.training.ablations.variants import Ablation, add_columns
from unipose.training.trainer.trainable_parts import INSTRUCT


ALL = "all tasks"


def main() -> None:
    ablation = Ablation.from_recipe(INSTRUCT)
    evaluation = ablation.evaluation()
    measures = {"text-to-pose": evaluation.text_to_pose, "image-to-pose": evaluation.image_to_pose}
    variants = {f"{task} alone": [task] for task in measures} | {ALL: ablation.stage.tasks}
    table: Table = {name: {} for name in variants}
    for name, tasks in variants.items():
        # Rows of text-to-pose have no images for the projector.
        text_only = {"standardize_image_features": None} if tasks == ["text-to-pose"] else {}
        pipe = ablation.train(name, tasks=tasks, **text_only)
        table[name]["steps"] = ablation.steps(name)
        for task, measure in measures.items():
            if name == ALL or task in (tasks or ()):
                add_columns(table, measure(pipe, name))
    write_table(table, ablation.folder)


if __name__ == "__main__":
    main()
