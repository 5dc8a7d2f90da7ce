"""Stage 1: trains the pose tokenizer (paper, section 3.1 and stage 1 of section 3.4).

python -m unipose.training.stages.pose_tokenizer --config training/recipes/tiny/pose_tokenizer.yaml
"""

from unipose.processing.body_model import to_body_model
from unipose.training.evaluation.metrics import reconstruction_error
from unipose.training.sampling.poses import held_out_poses
from unipose.training.trainer.config import RecipeParser, StageConfig
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.pose_tokenizer import PoseTokenizerArguments, train_pose_tokenizer
from unipose.training.trainer.schedules import StepScheduleArguments


def main() -> None:
    parser = RecipeParser((PoseTokenizerArguments, StepScheduleArguments, OptimizerArguments, StageConfig))
    arguments, *others = parser.parse_args_and_config()
    trainer = train_pose_tokenizer(arguments, *others)
    body = to_body_model(arguments.body)
    metrics = {"body": body.title}
    metrics |= reconstruction_error(trainer.model.cpu(), held_out_poses().float(), body)
    trainer.log_metrics("held_out", metrics)
    trainer.save_metrics("held_out", metrics)


if __name__ == "__main__":
    main()
