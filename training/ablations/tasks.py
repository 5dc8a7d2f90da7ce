"""One task against all seven (paper, section 4): a task's rows are the same, alone and beside those of the others.

python -m unipose.training.ablations.tasks --config training/recipes/ablations/tasks.yaml
"""

from unipose.training.ablations.table import Table, write_table
from unipose.training.ablations.variants import Ablation, fill
from unipose.training.trainer.trainable_parts import INSTRUCT


ALL = "all tasks"


def main() -> None:
    ablation = Ablation.read(INSTRUCT)
    questions = ablation.questions()
    asked = {"text-to-pose": questions.text_to_pose, "image-to-pose": questions.image_to_pose}
    variants = {f"{task} alone": [task] for task in asked} | {ALL: ablation.stage.tasks}
    table: Table = {name: {} for name in variants}
    for name, tasks in variants.items():
        # Where no task shows pictures there are none to fit the projector to.
        blind = {"standardize_pictures": None} if tasks == ["text-to-pose"] else {}
        pipe = ablation.train(name, tasks=tasks, **blind)
        table[name]["steps"] = ablation.steps(name)
        for task, ask in asked.items():
            if name == ALL or task in (tasks or ()):
                fill(table, ask(pipe, name))
    write_table(table, ablation.folder)


if __name__ == "__main__":
    main()
