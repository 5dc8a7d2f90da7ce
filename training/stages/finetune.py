"""Fine-tunes a model on your own rows (docs/training/own-data.md).

    python -m unipose.training.stages.finetune --data my_rows.jsonl --output_dir my-model

Rows are trained as they are written. Some are held out, and the card tells before from after on them; rows of what the
model knows are mixed in, so that it does not forget. The output folder loads with `from_pretrained` and `pipeline`.
"""

from collections.abc import Sequence

from unipose.training.trainer.config import RecipeParser
from unipose.training.trainer.finetune_arguments import FinetuneArguments, FinetuneConfig, FinetuneLoraArguments
from unipose.training.trainer.finetune_report import figure_table
from unipose.training.trainer.finetuning import finetune
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.replay import ReplayArguments


def main(argv: Sequence[str] | None = None) -> None:
    parser = RecipeParser(
        (FinetuneArguments, FinetuneLoraArguments, ReplayArguments, OptimizerArguments, FinetuneConfig)
    )
    arguments = parser.parse_args_and_config(argv)
    report = finetune(*arguments)
    if report:
        print(f"{figure_table(report)}\n\nwrote {arguments[-1].output_dir}")


if __name__ == "__main__":
    main()
