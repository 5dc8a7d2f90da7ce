"""Skinned GLB files: what an application that follows the specification sees in them."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from glb_reader import Glb
from smpl_files import model_arrays, write_model

from unipose.processing.body_model import PARENTS, BodyModel, load_body_model
from unipose.processing.clothing import Clothes, vertex_colors
from unipose.processing.pose_features import JOINT_NAMES, to_y_up
from unipose.processing.pose_io import save_animation, save_pose
from unipose.processing.pose_motion import interpolate_poses
from unipose.training.named_poses.archetypes import archetype_poses


VALIDATOR = Path(__file__).parent / "gltf_validator"
POSES = ["stand", "crouch", "kneel", "hands_up", "lie_back", "crawl"]


def validate(path: Path) -> dict[str, Any]:
    """The issues that Khronos' validator finds. `make test` installs it where there is npm; CI must have it."""
    installed = (VALIDATOR / "node_modules" / "gltf-validator").is_dir() and shutil.which("node")
    if not installed and not os.environ.get("CI"):
        pytest.skip(f"needs Node.js and `npm install --prefix tests/{VALIDATOR.name}`")
    command = ["node", str(VALIDATOR / "validate.js"), str(path)]
    report = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return json.loads(report)["issues"]


def distances(found: np.ndarray, expected: torch.Tensor) -> np.ndarray:
    """Millimeters."""
    return 1000 * np.linalg.norm(found - expected.numpy(), axis=1)


@pytest.mark.parametrize("name", POSES)
def test_the_skinned_mesh_is_the_posed_body(tmp_path: Path, body: BodyModel, name: str) -> None:
    pose = archetype_poses([name])[0]
    off = distances(Glb.read(save_pose(tmp_path / "pose.glb", pose)).skinned_vertices(), body(pose[None]).vertices[0])
    assert off.max() < 4.0
    assert off.mean() < 0.1


def test_the_skeleton_is_smpls(tmp_path: Path, body: BodyModel) -> None:
    pose = archetype_poses(["crawl"])[0]
    glb = Glb.read(save_pose(tmp_path / "pose.glb", pose))
    nodes, (skin,) = glb.content["nodes"], glb.content["skins"]
    assert [nodes[joint]["name"] for joint in skin["joints"]] == [*JOINT_NAMES, "left_hand", "right_hand"]
    parents = {child: node for node, each in enumerate(nodes) for child in each.get("children", ())}
    assert [parents.get(joint, -1) for joint in skin["joints"]] == list(PARENTS)
    matrices = glb.world_matrices(nodes)
    places = np.stack([matrices[joint][:3, 3] for joint in skin["joints"][:22]])
    np.testing.assert_allclose(places, body.forward_joints(pose[None])[0].numpy(), atol=1e-6)
    mesh = next(number for number, node in enumerate(nodes) if "mesh" in node)
    assert glb.content["scenes"] == [{"nodes": [0, mesh]}], "the transforms of a skinned mesh's parents are ignored"


def test_without_rotations_it_is_the_rest_pose(tmp_path: Path, body: BodyModel) -> None:
    glb = Glb.read(save_pose(tmp_path / "pose.glb", archetype_poses(["crawl"])[0]))
    for node in glb.content["nodes"]:
        node.pop("rotation", None)
    np.testing.assert_allclose(glb.skinned_vertices(), body.v_template.numpy(), atol=1e-6)


def test_surface_and_material(tmp_path: Path, body: BodyModel) -> None:
    path = save_pose(tmp_path / "pose.glb", archetype_poses(["stand"])[0])
    glb = Glb.read(path)
    (material,) = glb.content["materials"]
    assert material["pbrMetallicRoughness"] == {"metallicFactor": 0.0, "roughnessFactor": 0.8}
    assert np.array_equal(glb.array(glb.primitive["indices"]).reshape(-1, 3), body.faces.numpy())
    mesh = trimesh.Trimesh(body.v_template.numpy(), body.faces.numpy(), process=False)
    normals = glb.attributes["NORMAL"]
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-6)
    along = (normals[mesh.faces] * mesh.face_normals[:, None]).sum(axis=2)
    assert along.mean() > 0.85
    assert (along > 0).mean() > 0.98, "they point outward"
    linear = glb.attributes["COLOR_0"]
    assert (linear[:, 3] == 1.0).all()
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)[:, :3]
    np.testing.assert_allclose(255 * srgb, vertex_colors(body, Clothes()), atol=0.51)
    weights = glb.attributes["WEIGHTS_0"]
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-6)
    assert weights.min() >= 0.0


def test_other_readers_open_it(tmp_path: Path) -> None:
    scene = trimesh.load_scene(save_pose(tmp_path / "pose.glb", archetype_poses(["stand"])[0]), process=False)
    (mesh,) = scene.geometry.values()
    assert mesh.vertices.shape == (1229, 3)
    assert set(JOINT_NAMES) <= set(scene.graph.nodes)


@pytest.mark.parametrize("keep_floor", [True, False])
def test_an_animation_passes_through_the_poses(tmp_path: Path, body: BodyModel, keep_floor: bool) -> None:
    poses = archetype_poses(["stand", "crouch", "lie_back"])
    path = save_animation(tmp_path / "edit.glb", poses, fps=10, seconds=0.5, keep_floor=keep_floor)
    glb = Glb.read(path)
    vertices = body(poses).vertices
    if keep_floor:
        lowest = vertices[..., 1].amin(dim=1)
        vertices = vertices + torch.stack([torch.zeros(3), lowest[0] - lowest, torch.zeros(3)], dim=1)[:, None]
    for time, expected in zip((0.0, 0.5, 1.0), vertices):
        assert distances(glb.skinned_vertices(time), expected).max() < 4.0
    assert distances(glb.skinned_vertices(), vertices[0]).max() < 4.0, "it opens in the first pose"
    (animation,) = glb.content["animations"]
    assert len(glb.array(animation["samplers"][0]["input"])) == 11
    for sampler in animation["samplers"][1:]:
        quaternions = glb.array(sampler["output"])
        assert (quaternions[1:] * quaternions[:-1]).sum(axis=1).min() > 0.7, "neighbors are on one side"


def test_frames_between_poses_rotate_at_constant_speed() -> None:
    poses = archetype_poses(["stand", "crawl", "hands_up"])
    frames = interpolate_poses(poses, fps=30, seconds=0.2)
    assert frames.shape == (13, 22, 3, 3)
    torch.testing.assert_close(frames[::6], poses, atol=1e-6, rtol=0)
    steps = frames[:-1].double().mT @ frames[1:].double()
    cosines = (steps.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    angles = torch.rad2deg(torch.arccos(cosines.clamp(-1, 1)))
    for part in (angles[:6], angles[6:]):
        torch.testing.assert_close(part, part[:1].expand_as(part), atol=0.1, rtol=0)
    torch.testing.assert_close(interpolate_poses(poses, fps=30, seconds=1 / 30), poses, atol=1e-6, rtol=0)


@pytest.mark.parametrize("num_joints", [24, 52, 55])
def test_bodies_of_users_keep_shape_and_corrections(tmp_path: Path, num_joints: int) -> None:
    pytest.importorskip("smplx", reason="the user's SMPL files are posed by smplx, extra `smpl`")
    arrays = model_arrays(num_joints, 20, num_vertices=200)
    strongest = np.argsort(-arrays["weights"], axis=1)[:, :4]
    kept = np.zeros_like(arrays["weights"])
    np.put_along_axis(kept, strongest, np.take_along_axis(arrays["weights"], strongest, axis=1), axis=1)
    arrays |= {"weights": kept / kept.sum(axis=1, keepdims=True), "f": np.arange(200)[:, None] - np.arange(3) + 2}
    arrays["f"] %= 200
    path = write_model(tmp_path / "model.npz", arrays)
    pose, betas = archetype_poses(["crawl"])[0], torch.linspace(-2, 2, 8)
    written = save_pose(tmp_path / "pose.glb", pose, body=path, betas=betas)
    expected = load_body_model(path)(pose[None], betas).vertices[0]
    assert distances(Glb.read(written).skinned_vertices(), expected).max() < 0.01
    again = save_pose(tmp_path / "again.glb", pose, load_body_model(path), betas=betas.tolist())
    assert again.read_bytes() == written.read_bytes()


def test_khronos_validator_has_no_complaint(tmp_path: Path) -> None:
    poses = archetype_poses(POSES)
    files = [save_pose(tmp_path / f"{name}.glb", pose) for name, pose in zip(POSES, poses)]
    for path in (*files, save_animation(tmp_path / "motion.glb", poses, fps=10)):
        assert validate(path)["messages"] == []
    damaged = tmp_path / "damaged.glb"
    damaged.write_bytes(files[0].read_bytes().replace(b'"metallicFactor":0.0', b'"metallicFactor":2.0'))
    assert validate(damaged)["numErrors"] > 0, "the validator reads the file"


def test_quaternions_are_those_of_the_pose(tmp_path: Path) -> None:
    pose = archetype_poses(["lie_back"])[0]
    glb = Glb.read(save_pose(tmp_path / "pose.glb", pose))
    matrices = glb.world_matrices(glb.content["nodes"])
    world = [to_y_up(pose[None])[0, 0].numpy()]
    for joint in range(1, 22):
        world.append(world[PARENTS[joint]] @ pose[joint].numpy())
    np.testing.assert_allclose(np.stack([matrices[joint][:3, :3] for joint in range(22)]), world, atol=1e-5)
