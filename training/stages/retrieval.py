"""Trains a retrieval model, in whose space R-precision, recalls and FID are measured (paper, section 4).

    python -m unipose.training.datasets.build_corpus --config training/recipes/tiny/retrieval_corpus.yaml
    python -m unipose.training.stages.retrieval --config training/recipes/tiny/retrieval.yaml
    python -m unipose.training.stages.retrieval --config training/recipes/tiny/retrieval_pairs.yaml

The first model embeds poses, the second one ordered pairs of poses. The stage prints the table of the test split.
"""

from unipose.training.io import markdown_table
from unipose.training.trainer.config import RecipeParser, StageConfig
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.retrieval import RetrievalArguments, train_retrieval


def main() -> None:
    parser = RecipeParser((RetrievalArguments, OptimizerArguments, StageConfig))
    metrics = train_retrieval(*parser.parse_args_and_config())
    names = [name for name in metrics if "top" in name or name == "test_mean_recall"]
    rows = [[name.removeprefix("test_"), f"{100 * metrics[name]:.1f}"] for name in names]
    print(markdown_table(["metric", "%"], rows))


if __name__ == "__main__":
    main()
