"""Registers the package's classes with the Auto classes and the pipelines of transformers.

Registering needs the classes, and with them torch and most of transformers: seconds, which `import unipose` does not
take. So a finder on `sys.meta_path`, Python's own place for it, watches the modules on both sides. When one of a pair
is imported, so is the other, and the two are registered. This also holds where transformers was imported first.
"""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import NamedTuple


AUTO = "transformers.models.auto"
PACKAGE = f"{__package__}."


def register_configs(auto: ModuleType, own: ModuleType) -> None:
    """Registers the configs with `AutoConfig`.

    Args:
        auto: The module of transformers with the Auto class.
        own: The module of the classes.
    """
    auto.AutoConfig.register("unipose", own.UniPoseConfig, exist_ok=True)
    auto.AutoConfig.register("unipose_vqvae", own.UniPoseVQVAEConfig, exist_ok=True)
    # Saved folders carry the code of these classes, so that they load where the package is not installed.
    own.UniPoseConfig.register_for_auto_class()
    own.UniPoseVQVAEConfig.register_for_auto_class()


def register_pose_tokenizer(auto: ModuleType, own: ModuleType) -> None:
    """Registers the pose tokenizer with `AutoModel`.

    Args:
        auto: The module of transformers with the Auto class.
        own: The module of the classes.
    """
    auto.AutoModel.register(own.UniPoseVQVAE.config_class, own.UniPoseVQVAE, exist_ok=True)
    own.UniPoseVQVAE.register_for_auto_class("AutoModel")


def register_models(auto: ModuleType, own: ModuleType) -> None:
    """Registers the models with `AutoModel` and those of images and text.

    Args:
        auto: The module of transformers with the Auto class.
        own: The module of the classes.
    """
    config = own.UniPoseModel.config_class
    auto.AutoModel.register(config, own.UniPoseModel, exist_ok=True)
    auto.AutoModelForImageTextToText.register(config, own.UniPoseForConditionalGeneration, exist_ok=True)
    auto.AutoModelForMultimodalLM.register(config, own.UniPoseForConditionalGeneration, exist_ok=True)
    own.UniPoseModel.register_for_auto_class("AutoModel")
    own.UniPoseForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")


def register_image_processor(auto: ModuleType, own: ModuleType) -> None:
    """Registers the image processor with `AutoImageProcessor`.

    Args:
        auto: The module of transformers with the Auto class.
        own: The module of the classes.
    """
    from .configuration_unipose import UniPoseConfig

    classes = {"pil": own.UniPoseImageProcessor}
    auto.AutoImageProcessor.register(UniPoseConfig, image_processor_classes=classes, exist_ok=True)
    own.UniPoseImageProcessor.register_for_auto_class("AutoImageProcessor")


def register_processor(auto: ModuleType, own: ModuleType) -> None:
    """Registers the processor with `AutoProcessor`.

    Args:
        auto: The module of transformers with the Auto class.
        own: The module of the classes.
    """
    from .configuration_unipose import UniPoseConfig

    auto.AutoProcessor.register(UniPoseConfig, own.UniPoseProcessor, exist_ok=True)
    own.UniPoseProcessor.register_for_auto_class("AutoProcessor")


def register_pipeline(pipelines: ModuleType, own: ModuleType) -> None:
    """Registers the pipeline, with the embedded checkpoint as its default.

    Args:
        pipelines: `transformers.pipelines`.
        own: The module of the class.
    """
    from transformers import AutoModelForImageTextToText

    from .embedded_checkpoint import EmbeddedDefault

    pipelines.PIPELINE_REGISTRY.register_pipeline(
        "unipose",
        pipeline_class=own.UniPosePipeline,
        pt_model=AutoModelForImageTextToText,
        default=EmbeddedDefault(),
        type="multimodal",
    )


class Registration(NamedTuple):
    """Classes of this package and where they are registered.

    Args:
        theirs: Module of transformers.
        ours: Module of this package.
        register: Registers the classes of the second with the first.
    """

    theirs: str
    ours: str
    register: Callable[[ModuleType, ModuleType], None]


REGISTRATIONS = (
    Registration(f"{AUTO}.configuration_auto", "unipose.configuration_unipose", register_configs),
    Registration(f"{AUTO}.modeling_auto", "unipose.modeling_pose_vqvae", register_pose_tokenizer),
    Registration(f"{AUTO}.modeling_auto", "unipose.modeling_unipose", register_models),
    Registration(
        f"{AUTO}.image_processing_auto", "unipose.processing.image_processing_unipose", register_image_processor
    ),
    Registration(f"{AUTO}.processing_auto", "unipose.processing.processing_unipose", register_processor),
    Registration("transformers.pipelines", "unipose.pipeline_unipose", register_pipeline),
)


class RegisteringFinder(MetaPathFinder):
    """Finds the modules of `REGISTRATIONS` as Python does, and registers classes once both modules are complete.

    Modules of this package import transformers. While one of them is being imported no other is imported from here: it
    could need the first, which is not complete yet.
    """

    def __init__(self) -> None:
        self.watched = {name for entry in REGISTRATIONS for name in (entry.theirs, entry.ours)}
        self.complete = self.watched & sys.modules.keys()
        self.registered: set[Registration] = set()
        # Number of the package's modules that are being imported.
        self.depth = 0

    def install(self) -> None:
        """Watches imports from now on, and registers with what of transformers is there already."""
        sys.meta_path.insert(0, self)
        self.settle()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        is_own = fullname.startswith(PACKAGE)
        spec = PathFinder.find_spec(fullname, path, target) if is_own or fullname in self.watched else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            self.depth += is_own
            try:
                execute(module)
            finally:
                self.depth -= is_own
            if fullname in self.watched:
                self.complete.add(fullname)
            self.settle()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def settle(self) -> None:
        """Registers all classes that can be: of a pair with one complete module, the other is imported."""
        for entry in REGISTRATIONS:
            known = self.complete & {entry.theirs, entry.ours}
            if self.depth or not known or entry in self.registered:
                continue
            for name in {entry.theirs, entry.ours} - sys.modules.keys():
                import_module(name)
            if {entry.theirs, entry.ours} <= self.complete and entry not in self.registered:
                self.registered.add(entry)
                entry.register(sys.modules[entry.theirs], sys.modules[entry.ours])
