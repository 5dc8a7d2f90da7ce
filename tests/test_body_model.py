"""The posed body: forward kinematics, skinning, the built-in asset and the user's own SMPL files."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from smpl_files import fake_modules, model_arrays, model_parents, write_model, write_official

from unipose.processing.body_files import ModelUnpickler, to_array
from unipose.processing.body_model import (
    PARENTS,
    BodyModel,
    load_body_model,
    to_body_model,
)
from unipose.processing.pose_features import JOINT_NAMES, mirror_pose, to_y_up, to_z_up


FORWARD, UP, LEFT = 2, 1, 0


def rest_pose(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return to_z_up(torch.eye(3, dtype=dtype).repeat(1, 22, 1, 1))


def turned(joint: str, rotvec_degrees: tuple[float, float, float]) -> torch.Tensor:
    """The rest pose with one joint turned."""
    pose = rest_pose()
    pose[:, JOINT_NAMES.index(joint)] = roma.rotvec_to_rotmat(torch.tensor(rotvec_degrees).deg2rad())
    return pose


def random_poses(count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return roma.rotvec_to_rotmat(torch.randn(count, 22, 3, generator=generator, dtype=torch.float64) * 0.6).to(dtype)


def naive_pose(body: BodyModel, rotmats: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """One joint after the other, one vertex after the other, in homogeneous 4 x 4 matrices."""
    local = np.concatenate([to_y_up(rotmats).double().numpy(), np.stack([np.eye(3)] * 2)])
    rest = body.joints.double().numpy()
    world: list[np.ndarray] = []
    for joint, parent in enumerate(PARENTS):
        step = np.eye(4)
        step[:3, :3] = local[joint]
        step[:3, 3] = rest[joint] - (rest[parent] if parent >= 0 else 0.0)
        world.append(world[parent] @ step if parent >= 0 else step)
    vertices = []
    for vertex, weights in zip(body.v_template.double().numpy(), body.weights.double().numpy()):
        moved = [w * (world[j][:3, :3] @ (vertex - rest[j]) + world[j][:3, 3]) for j, w in enumerate(weights) if w]
        vertices.append(np.sum(moved, axis=0))
    return np.stack(vertices), np.stack([matrix[:3, 3] for matrix in world[:22]])


def test_builtin_body_matches_the_notice(body: BodyModel) -> None:
    assert body.v_template.shape == (1229, 3)
    assert body.faces.shape == (2454, 3)
    height = body.v_template[:, UP].max() - body.v_template[:, UP].min()
    torch.testing.assert_close(height, torch.tensor(1.70), atol=1e-5, rtol=0)
    assert body.joints[JOINT_NAMES.index("left_wrist"), LEFT] > 0.5
    assert body.joints[JOINT_NAMES.index("left_foot"), FORWARD] > body.joints[JOINT_NAMES.index("left_ankle"), FORWARD]
    torch.testing.assert_close(body.weights.sum(1), torch.ones(1229))


def test_builtin_mesh_is_closed_and_faces_outwards(body: BodyModel) -> None:
    faces = body.faces
    directed = {tuple(edge) for edge in torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()}
    assert len(directed) == 3 * len(faces)
    assert all((end, start) in directed for start, end in directed)
    corners = body.v_template[faces]
    volume = (corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert 0.03 < volume < 0.12


def test_rest_pose_gives_the_template(body: BodyModel) -> None:
    output = body(rest_pose())
    torch.testing.assert_close(output.vertices[0], body.v_template, atol=1e-6, rtol=0)
    torch.testing.assert_close(output.joints[0], body.joints[:22], atol=1e-6, rtol=0)


# The directions of SMPL's rotations, by the joint that moves most: joint turned, degrees, joint watched, axis, sign.
@pytest.mark.parametrize(
    ("joint", "degrees", "watched", "axis", "sign"),
    [
        ("left_hip", (-60, 0, 0), "left_knee", FORWARD, 1),
        ("right_hip", (-60, 0, 0), "right_knee", FORWARD, 1),
        ("left_hip", (0, 0, 30), "left_knee", LEFT, 1),
        ("right_hip", (0, 0, -30), "right_knee", LEFT, -1),
        ("left_knee", (60, 0, 0), "left_ankle", FORWARD, -1),
        ("left_ankle", (-20, 0, 0), "left_foot", UP, 1),
        ("left_ankle", (0, 20, 0), "left_foot", LEFT, 1),
        ("right_ankle", (0, -20, 0), "right_foot", LEFT, -1),
        ("spine1", (40, 0, 0), "head", FORWARD, 1),
        ("spine1", (0, 0, 30), "head", LEFT, -1),
        ("spine1", (0, 40, 0), "right_wrist", FORWARD, 1),
        ("neck", (40, 0, 0), "head", FORWARD, 1),
        ("left_shoulder", (0, 0, -75), "left_wrist", UP, -1),
        ("right_shoulder", (0, 0, 75), "right_wrist", UP, -1),
        ("left_shoulder", (0, -60, 0), "left_wrist", FORWARD, 1),
        ("left_collar", (0, 0, 20), "left_shoulder", UP, 1),
        ("left_elbow", (0, -90, 0), "left_wrist", FORWARD, 1),
        ("right_elbow", (0, 90, 0), "right_wrist", FORWARD, 1),
    ],
)
def test_rotations_move_limbs_as_in_smpl(
    body: BodyModel, joint: str, degrees: tuple[float, float, float], watched: str, axis: int, sign: int
) -> None:
    moved = body.forward_joints(turned(joint, degrees))[0] - body.joints[:22]
    assert moved[JOINT_NAMES.index(watched), axis] * sign > 0.02


def test_global_orientation_is_z_up(body: BodyModel) -> None:
    standing = torch.eye(3).repeat(1, 22, 1, 1)
    head = body.forward_joints(standing)[0, JOINT_NAMES.index("head")]
    assert head[FORWARD] < -0.5, "without the z-up turn the body lies on its back"


def test_skinning_equals_a_loop_over_vertices(body: BodyModel) -> None:
    pose = random_poses(1, torch.float64)
    output = body(pose)
    vertices, joints = naive_pose(body, pose[0])
    np.testing.assert_allclose(output.vertices[0].numpy(), vertices, atol=1e-6)
    np.testing.assert_allclose(output.joints[0].numpy(), joints, atol=1e-9)


def test_batch_equals_single_and_joints_alone_equal_both(body: BodyModel) -> None:
    poses = random_poses(5)
    output = body(poses)
    torch.testing.assert_close(body.forward_joints(poses), output.joints)
    for number in range(5):
        single = body(poses[number : number + 1])
        torch.testing.assert_close(single.vertices[0], output.vertices[number], atol=1e-6, rtol=1e-5)


def test_empty_batch(body: BodyModel) -> None:
    assert body(torch.empty(0, 22, 3, 3)).vertices.shape == (0, 1229, 3)


def test_mirrored_pose_gives_mirrored_joints(body: BodyModel) -> None:
    poses = random_poses(4)
    mirrored = body.forward_joints(mirror_pose(poses))
    names = [name.replace("left", "L").replace("right", "left").replace("L", "right") for name in JOINT_NAMES]
    swapped = body.forward_joints(poses)[:, [JOINT_NAMES.index(name) for name in names]]
    torch.testing.assert_close(mirrored, swapped * torch.tensor([-1.0, 1.0, 1.0]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float16, 5e-3), (torch.bfloat16, 3e-2)]
)
def test_dtype_of_the_pose_is_the_dtype_of_the_body(body: BodyModel, dtype: torch.dtype, tolerance: float) -> None:
    poses = random_poses(2)
    output = body(poses.to(dtype))
    assert output.vertices.dtype == output.joints.dtype == dtype
    torch.testing.assert_close(output.vertices.float(), body(poses).vertices, atol=tolerance, rtol=0)


def test_gradients(body: BodyModel) -> None:
    small = BodyModel(body.v_template[::200], torch.tensor([[0, 1, 2]]), body.joints, body.weights[::200]).double()
    poses = random_poses(1, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda pose: small(pose).vertices, poses)
    assert torch.autograd.gradcheck(small.forward_joints, poses)


def test_vertex_areas_share_out_the_surface(body: BodyModel) -> None:
    corners = body.v_template.double()[body.faces].numpy()
    triangles = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    areas = body.vertex_areas()
    assert areas.shape == (1229,)
    assert (areas > 0).all()
    np.testing.assert_allclose(areas.sum().item(), triangles.sum(), rtol=1e-5)


@pytest.mark.parametrize("shape", [(22, 3, 3), (1, 24, 3, 3), (1, 22, 6)])
def test_wrong_shape_is_refused_by_name(body: BodyModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"rotmats has shape .*expected \(batch, 22, 3, 3\)"):
        body(torch.zeros(shape))


FACE_VERTICES = dict.fromkeys(("nose", "reye", "leye", "rear", "lear"), 0)


def smplx_twin(
    arrays: dict[str, np.ndarray], poses: torch.Tensor, betas: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices and joints of smplx's own layers (its bare `lbs` for SMPL-X, whose layer cannot hold a small mesh)."""
    smplx = pytest.importorskip("smplx", reason="the reference implementation, extra `smpl`")
    num_joints = arrays["weights"].shape[1]
    inputs = {"betas": betas, "global_orient": poses[:, :1]}
    struct = smplx.utils.Struct(**arrays)
    options = {"model_path": "", "data_struct": struct, "vertex_ids": FACE_VERTICES, "dtype": torch.float64}
    options |= {"use_hands": False, "use_feet_keypoints": False, "num_betas": betas.shape[1]}
    rest = torch.eye(3, dtype=poses.dtype).expand(len(poses), num_joints - 22, 3, 3)
    if num_joints == 24:
        output = smplx.SMPLLayer(**options)(body_pose=torch.cat([poses[:, 1:], rest], 1), **inputs)
    elif num_joints == 52:
        output = smplx.SMPLHLayer(**options)(body_pose=poses[:, 1:], **inputs)
    else:
        float_arrays = {key: torch.as_tensor(arrays[key].astype(np.float64)) for key in arrays}
        vertices, joints = smplx.lbs.lbs(
            betas,
            torch.cat([poses, rest], 1),
            float_arrays["v_template"],
            float_arrays["shapedirs"][..., : betas.shape[1]],
            float_arrays["posedirs"].flatten(0, 1).T,
            float_arrays["J_regressor"],
            torch.tensor(model_parents(num_joints)),
            float_arrays["weights"],
            pose2rot=False,
        )
        return vertices, joints
    return output.vertices, output.joints


@pytest.mark.parametrize("ending", [".npz", ".pkl"])
@pytest.mark.parametrize(("num_joints", "num_shapes", "usable"), [(24, 10, 10), (52, 16, 10), (55, 20, 10)])
def test_users_body_equals_smplx(tmp_path: Path, num_joints: int, num_shapes: int, usable: int, ending: str) -> None:
    pytest.importorskip("smplx", reason="the user's SMPL files are posed by smplx, extra `smpl`")
    arrays = model_arrays(num_joints, num_shapes)
    body = load_body_model(write_model(tmp_path / f"model{ending}", arrays))
    poses = random_poses(3, torch.float64)
    betas = torch.linspace(-1, 1, usable, dtype=torch.float64).repeat(3, 1)
    vertices, joints = smplx_twin(arrays, to_y_up(poses), betas)
    output = body(poses, betas=betas)
    torch.testing.assert_close(output.vertices, vertices - joints[:, :1], atol=1e-6, rtol=0)
    torch.testing.assert_close(output.joints, (joints - joints[:, :1])[:, :22], atol=1e-6, rtol=0)
    torch.testing.assert_close(body.forward_joints(poses, betas=betas), output.joints, atol=1e-6, rtol=0)
    assert body.weights.shape == (60, 24)
    torch.testing.assert_close(body(poses).joints, body(poses, betas=torch.zeros(usable)).joints)
    with pytest.raises(ValueError, match="betas has shape"):
        body(poses, betas=torch.zeros(3, num_shapes + 1))


@pytest.mark.parametrize(("num_joints", "num_shapes"), [(24, 10), (52, 16), (55, 20)])
def test_a_body_with_betas_is_the_body_posed_with_them(tmp_path: Path, num_joints: int, num_shapes: int) -> None:
    pytest.importorskip("smplx", reason="extra `smpl`")
    path = write_model(tmp_path / "model.npz", model_arrays(num_joints, num_shapes))
    body, betas, poses = load_body_model(path), torch.linspace(-1, 1, 6), random_poses(2)
    shaped = to_body_model(path, betas)
    expected = body(poses, betas=betas)
    torch.testing.assert_close(shaped(poses).vertices, expected.vertices, atol=1e-6, rtol=0)
    torch.testing.assert_close(shaped.forward_joints(poses), expected.joints, atol=1e-6, rtol=0)
    rest = body(rest_pose(), betas=betas)
    torch.testing.assert_close(shaped.v_template, rest.vertices[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(shaped.joints[:22], rest.joints[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(body(poses).vertices, load_body_model(path)(poses).vertices)
    assert body.with_betas(betas).posedirs is body.posedirs, "large arrays are shared"
    for wrong in (torch.zeros(num_shapes + 1), torch.full((2,), float("nan"))):
        with pytest.raises(ValueError, match="betas"):
            body.with_betas(wrong)


def test_corrections_before_skinning_give_smpls_vertices(tmp_path: Path) -> None:
    """Plain skinning of the corrected rest pose is what smplx does."""
    pytest.importorskip("smplx", reason="extra `smpl`")
    body, pose = load_body_model(write_model(tmp_path / "model.npz", model_arrays(55, 20))), random_poses(1)
    corrected = BodyModel(body.v_template + body.pose_corrections(pose)[0], body.faces, body.joints, body.weights)
    torch.testing.assert_close(corrected(pose).vertices, body(pose).vertices, atol=1e-5, rtol=0)
    assert not BodyModel.builtin().pose_corrections(pose).any()


def test_the_builtin_body_has_one_shape(body: BodyModel) -> None:
    assert to_body_model(body) is body
    assert torch.equal(to_body_model(None).v_template, body.v_template)
    with pytest.raises(ValueError, match="betas need an SMPL body"):
        to_body_model(None, [1.0])
    with pytest.raises(FileNotFoundError, match=r"no\.npz"):
        to_body_model("no.npz")


def test_folder_is_searched_by_gender(tmp_path: Path) -> None:
    pytest.importorskip("smplx", reason="extra `smpl`")
    write_model(tmp_path / "SMPLH_FEMALE.npz", model_arrays(52, 16))
    assert load_body_model(tmp_path, gender="female").model_weights.shape[1] == 52
    with pytest.raises(FileNotFoundError, match="no neutral body model"):
        load_body_model(tmp_path)


def test_unusable_files_are_named(tmp_path: Path) -> None:
    pytest.importorskip("smplx", reason="extra `smpl`")
    with pytest.raises(FileNotFoundError, match=r"gone\.npz"):
        load_body_model(tmp_path / "gone.npz")
    (tmp_path / "body.txt").write_text("no body")
    with pytest.raises(ValueError, match=r"body\.txt ends in '\.txt'"):
        load_body_model(tmp_path / "body.txt")
    for name in ("damaged.npz", "damaged.pkl"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 cut off")
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            load_body_model(tmp_path / name)
    arrays = model_arrays(24)
    with pytest.raises(ValueError, match=r"half\.npz is not an SMPL.*posedirs"):
        load_body_model(write_model(tmp_path / "half.npz", {k: v for k, v in arrays.items() if k != "posedirs"}))
    arrays["weights"] = arrays["weights"][:, :16]
    with pytest.raises(ValueError, match=r"hand\.npz has 16 joints"):
        load_body_model(write_model(tmp_path / "hand.npz", arrays))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("v_template", np.full((60, 3), np.nan), "v_template holds NaN or infinite values"),
        ("posedirs", np.full((60, 3, 207), np.inf), "posedirs holds NaN or infinite values"),
        ("shapedirs", np.full((60, 3, 10), "a"), "shapedirs holds <U1; expected numbers"),
        ("weights", np.zeros((60, 24)), "weights has a row without any weight"),
        ("weights", np.array(1.0), r"weights \(\); expected \(V, 3\) and \(V, joints\)"),
        ("f", np.full((90, 3), 60), "f holds vertices from 60 to 60; there are 60"),
        ("f", np.zeros(90, dtype=int), r"f has shape \(90,\)"),
        ("kintree_table", np.full((2, 24), 5), "kintree_table gives joint 1 the parent 5; expected less"),
    ],
)
def test_numbers_of_no_body_are_named(tmp_path: Path, key: str, value: np.ndarray, message: str) -> None:
    pytest.importorskip("smplx", reason="extra `smpl`")
    path = write_model(tmp_path / "model.npz", model_arrays(24) | {key: value})
    with pytest.raises(ValueError, match=rf"model\.npz: .*{message}"):
        load_body_model(path)


class Malicious:
    """A pickle that would call a function when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1 / 0",)


def test_pickles_run_no_code(tmp_path: Path) -> None:
    pytest.importorskip("smplx", reason="extra `smpl`")
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model_arrays(24) | {"extra": Malicious()}))
    with pytest.raises(ValueError, match=r"builtins\.eval"):
        load_body_model(tmp_path / "model.pkl")


@pytest.mark.parametrize(("protocol", "by_rows"), [(0, False), (1, True), (2, False), (2, True)])
@pytest.mark.parametrize(("num_joints", "num_shapes"), [(24, 10), (24, 300), (52, 16), (55, 400)])
def test_official_pickles_need_neither_chumpy_nor_scipy(
    tmp_path: Path, num_joints: int, num_shapes: int, protocol: int, by_rows: bool
) -> None:
    """Pickles of Python 2 with chumpy's arrays, selections of them, sets and sparse matrices give the plain arrays."""
    pytest.importorskip("smplx", reason="extra `smpl`")
    arrays = model_arrays(num_joints, num_shapes, num_vertices=20)
    arrays["J_regressor"] *= arrays["J_regressor"] > 0.01
    path = write_official(tmp_path / "basicModel_f_lbs_10_207_0_v1.0.0.pkl", arrays, protocol, by_rows)
    for name in ("chumpy.reordering", "numpy.core.multiarray", "scipy.sparse", "__builtin__\nset"):
        assert name.encode() in path.read_bytes()
    official, plain = load_body_model(path), load_body_model(write_model(tmp_path / "plain.npz", arrays))
    for name, expected in plain.state_dict().items():
        torch.testing.assert_close(official.state_dict()[name], expected, atol=1e-7, rtol=0)


@pytest.mark.parametrize("layout", ["csc", "csr"])
def test_pickles_of_the_installed_scipy_are_read(layout: str) -> None:
    sparse = pytest.importorskip("scipy.sparse", reason="the joint regressor of SMPL's pickles is one of its matrices")
    matrix = sparse.random(7, 5, 0.4, layout, rng=np.random.default_rng(0))
    read = ModelUnpickler(io.BytesIO(pickle.dumps(matrix, protocol=2)), encoding="latin1").load()
    np.testing.assert_array_equal(to_array(read), matrix.toarray())


def test_an_unknown_array_is_named(tmp_path: Path) -> None:
    pytest.importorskip("smplx", reason="extra `smpl`")
    with fake_modules({"chumpy.ch": ("MatVecMult",)}) as classes:
        product = classes["MatVecMult"]()
        vars(product).update(mtx=1, vec=2)
        (tmp_path / "model.pkl").write_bytes(pickle.dumps(model_arrays(24) | {"weights": product}))
    with pytest.raises(ValueError, match=r"model.pkl cannot be read.*an array with the fields \['mtx', 'vec'\]"):
        load_body_model(tmp_path / "model.pkl")
