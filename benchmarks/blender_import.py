"""Opens a GLB file in Blender, poses a bone and renders: what was imported, its skeleton, and the new pose.

Runs inside Blender (tried with Debian's 3.4, packages blender and python3-numpy):

    blender --background --python benchmarks/blender_import.py -- crouch.glb docs/blender.jpg
"""

import math
import sys

import bpy
import numpy
from mathutils import Quaternion, Vector


NUM_BONES = 24
SPACING = 1.05  # meters between the figures
SAMPLES = 160


def import_body(path: str) -> tuple[bpy.types.Object, bpy.types.Object]:
    """The armature and the mesh of a file, in an empty scene.

    Args:
        path: A GLB file.
    """
    # The importer of 3.4 uses this name, which numpy 1.24 no longer has.
    numpy.bool = bool
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=path)
    (armature,) = (each for each in bpy.data.objects if each.type == "ARMATURE")
    (mesh,) = (each for each in bpy.data.objects if each.find_armature() == armature)
    return armature, mesh


def posed_copy(mesh: bpy.types.Object, shift: float) -> bpy.types.Object:
    """A copy of the body as it is posed now, moved to the side.

    Args:
        mesh: The skinned body.
        shift: Meters to the right of the image.
    """
    evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    copy = bpy.data.objects.new("posed", bpy.data.meshes.new_from_object(evaluated))
    copy.matrix_world = mesh.matrix_world.copy()
    copy.location.x += shift
    bpy.context.collection.objects.link(copy)
    return copy


def draw_bones(armature: bpy.types.Object, shift: float) -> None:
    """Draws the bones as sticks between their joints, because renders do not show an armature.

    Args:
        armature: The skeleton.
        shift: Meters to the right of the image.
    """
    material = plain_material("bone", (0.8, 0.35, 0.05, 1.0))
    curve = bpy.data.curves.new("bones", "CURVE")
    curve.dimensions, curve.bevel_depth = "3D", 0.012
    for bone in armature.pose.bones:
        if bone.parent is not None:
            stick = curve.splines.new("POLY")
            stick.points.add(1)
            for point, head in zip(stick.points, (bone.parent.head, bone.head)):
                point.co = (*(armature.matrix_world @ head + Vector((shift, 0, 0))), 1.0)
    curve.materials.append(material)
    bpy.context.collection.objects.link(bpy.data.objects.new("bones", curve))
    for bone in armature.pose.bones:
        place = armature.matrix_world @ bone.head + Vector((shift, 0, 0))
        bpy.ops.mesh.primitive_uv_sphere_add(radius=0.022, location=place, segments=16, ring_count=8)
        bpy.context.object.data.materials.append(material)


def plain_material(name: str, color: tuple[float, float, float, float]) -> bpy.types.Material:
    """A matte material.

    Args:
        name: Its name.
        color: Linear red, green, blue and alpha.
    """
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = color
    return material


def render(path: str, floor: float, width: float) -> None:
    """Renders the scene from the front.

    Args:
        path: The image.
        floor: Height of the floor in meters.
        width: Width of the scene in meters.
    """
    scene = bpy.context.scene
    bpy.ops.mesh.primitive_plane_add(size=60, location=(0, 0, floor))
    bpy.context.object.data.materials.append(plain_material("floor", (0.75, 0.76, 0.78, 1.0)))
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.5
    bpy.ops.object.light_add(type="SUN", rotation=(math.radians(45), math.radians(-15), math.radians(-20)))
    bpy.context.object.data.energy, bpy.context.object.data.angle = 2.5, 0.3
    bpy.ops.object.camera_add(location=(0.1, -5.0, 0.3), rotation=(math.radians(84), 0, 0))
    scene.camera = bpy.context.object
    scene.camera.data.type, scene.camera.data.ortho_scale = "ORTHO", width
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", SAMPLES, "CPU"
    scene.cycles.use_denoising = False
    scene.view_settings.view_transform = "Standard"
    scene.render.resolution_x, scene.render.resolution_y = 640, 320
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.image_settings.file_format, scene.render.filepath = "JPEG", path
    bpy.ops.render.render(write_still=True)


def main() -> None:
    source, image = sys.argv[sys.argv.index("--") + 1 :]
    armature, mesh = import_body(source)
    assert len(armature.data.bones) == NUM_BONES, f"{len(armature.data.bones)} bones"
    before = posed_copy(mesh, -SPACING)
    draw_bones(armature, 0.0)
    shoulder = armature.pose.bones["left_shoulder"]
    shoulder.rotation_mode = "QUATERNION"
    turn = Quaternion((1, 0, 0), math.radians(80))
    shoulder.rotation_quaternion = shoulder.rotation_quaternion @ turn
    bpy.context.view_layer.update()
    after = posed_copy(mesh, SPACING)
    moved = [(b.co - a.co).length for a, b in zip(before.data.vertices, after.data.vertices)]
    share = sum(distance > 0.01 for distance in moved) / len(moved)
    print(f"{NUM_BONES} bones; left_shoulder moves {share:.0%} of the vertices by up to {max(moved):.2f} m")
    mesh.hide_render = True
    floor = min((each.matrix_world @ vertex.co).z for each in (before, after) for vertex in each.data.vertices)
    render(image, floor, 3.9)


main()
