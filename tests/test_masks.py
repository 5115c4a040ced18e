"""Masks in every form that tools write them, photos turned by EXIF, and what of them a fit is told."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from voge.errors import DataError
from voge.io.cameras import load_cameras
from voge.io.captures import load_captures
from voge.io.masks import read_mask
from voge.io.photos import read_photo

H, W = 40, 60
Y, X = np.mgrid[:H, :W] + 0.5
DISC = (X - 22) ** 2 + (Y - 12) ** 2 < 9**2  # above and left of the middle, so that a turn shows
OTHER = (X - 46) ** 2 + (Y - 30) ** 2 < 6**2
SOFT = np.clip((10 - np.hypot(X - 22, Y - 12)) / 4, 0, 1)  # a disc with a rim of four pixels


def save(path, values, mode=None, palette=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values)) if mode is None else Image.fromarray(np.asarray(values), mode)
    if palette is not None:
        image = Image.fromarray(np.asarray(values, np.uint8))
        image = image.convert("L")
        image.putpalette([c for color in palette for c in color])
    image.save(path, **options)
    return path


def share(path, values, mask_id=None, **options):
    return read_mask(save(path, values, **options), mask_id=mask_id).share.numpy()


def colored(shape, color):
    return np.where(shape[..., None], np.uint8(color), np.uint8(0))


# ---- Two values are binary -------------------------------------------------------------------

BINARY = {
    "0 and 255": DISC.astype(np.uint8) * np.uint8(255),
    "0 and 1": DISC.astype(np.uint8),
    "0 and 1 in 16 bits": DISC.astype(np.uint16),
    "0 and 255 in 16 bits": DISC.astype(np.uint16) * np.uint16(255),
    "0 and 65535": DISC.astype(np.uint16) * np.uint16(65535),
    "0 and 7": DISC.astype(np.uint8) * np.uint8(7),
    "90 and 91": DISC.astype(np.uint8) + np.uint8(90),
    "one bit": DISC,
    "one color on black": colored(DISC, (128, 0, 0)),
    "a dark color on black": colored(DISC, (0, 0, 3)),
    "white on blue": np.where(DISC[..., None], np.uint8((255, 255, 255)), np.uint8((0, 0, 255))),
    "white on transparent": np.dstack([np.full((H, W, 3), 255, np.uint8), DISC * np.uint8(255)]),
    "alpha of 0 and 1": np.dstack([np.full((H, W, 3), 255, np.uint8), DISC.astype(np.uint8)]),
}


@pytest.mark.parametrize("kind", BINARY)
def test_two_values_are_binary_whatever_they_are(tmp_path, kind):
    np.testing.assert_array_equal(share(tmp_path / "m.png", BINARY[kind]), DISC)


@pytest.mark.parametrize("kind", ["0 and 255", "0 and 1", "one color on black"])
def test_so_are_those_of_webp(tmp_path, kind):
    np.testing.assert_array_equal(share(tmp_path / "m.webp", BINARY[kind], lossless=True, exact=True), DISC)


@pytest.mark.parametrize("palette", [[(0, 0, 0), (128, 0, 0)], [(0, 0, 0), (1, 1, 1)], [(9, 9, 9), (0, 90, 0)]])
def test_a_palette_of_two(tmp_path, palette):
    """As DAVIS and VOC write them: index 1 is a dark color."""
    np.testing.assert_array_equal(share(tmp_path / "m.png", DISC, palette=palette), DISC)


def test_a_palette_whose_black_is_not_index_0(tmp_path):
    np.testing.assert_array_equal(share(tmp_path / "m.png", ~DISC, palette=[(255,) * 3, (0,) * 3]), DISC)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_palette_of_few_bits(tmp_path, bits):
    path = save(tmp_path / "m.png", DISC, palette=[(0, 0, 0), (0, 0, 90)], bits=bits)
    np.testing.assert_array_equal(read_mask(path).share.numpy(), DISC)


def test_jpeg_is_soft(tmp_path):
    found = share(tmp_path / "m.jpg", DISC * np.uint8(255), quality=95)
    assert np.abs(found - DISC).max() < 0.2
    red = share(tmp_path / "r.jpg", colored(DISC, (128, 0, 0)), quality=95, subsampling=0)
    assert red[DISC].mean() > 0.9
    assert np.abs(red - DISC)[np.abs(SOFT - 0.5) == 0.5].mean() < 0.02
    green = share(tmp_path / "g.jpg", colored(DISC, (0, 160, 0)), quality=75)  # its colors have half the pixels
    assert ((green > 0.5) == DISC).mean() > 0.99


# ---- Maps of ids -----------------------------------------------------------------------------

IDS = DISC * np.uint8(1) + OTHER * np.uint8(2)
MAPS = {
    "a palette": {"values": IDS, "palette": [(0, 0, 0), (128, 0, 0), (0, 128, 0)]},
    "a palette of grays": {"values": IDS, "palette": [(0, 0, 0), (100,) * 3, (255,) * 3]},
    "small numbers": {"values": IDS},
    "numbers in 16 bits": {"values": IDS.astype(np.uint16) * np.uint16(1)},
}


@pytest.mark.parametrize("kind", MAPS)
def test_any_id_above_0_is_the_object_and_one_can_be_chosen(tmp_path, kind):
    path = save(tmp_path / "m.png", **MAPS[kind])
    mask = read_mask(path)
    np.testing.assert_array_equal(mask.share.numpy(), DISC | OTHER)
    assert mask.facts.ids == (1, 2)
    np.testing.assert_array_equal(read_mask(path, mask_id=2).share.numpy(), OTHER)
    assert read_mask(path, mask_id=3).facts.empty


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        (DISC * np.uint8(1) + OTHER * np.uint8(255), (1, 255)),  # VOC's void
        (DISC * np.uint8(50) + OTHER * np.uint8(200), (50, 200)),  # spread, so that they can be seen
        (DISC * np.uint16(24001) + OTHER * np.uint16(26002), (24001, 26002)),  # Cityscapes' instances
    ],
)
def test_ids_may_be_far_apart(tmp_path, values, ids):
    mask = read_mask(save(tmp_path / "m.png", values))
    np.testing.assert_array_equal(mask.share.numpy(), DISC | OTHER)
    assert mask.facts.ids == ids
    np.testing.assert_array_equal(share(tmp_path / "m.png", values, mask_id=ids[1]), OTHER)


def test_a_palette_that_a_program_made_of_colors(tmp_path):
    image = Image.fromarray(colored(DISC, (200, 0, 0))).quantize(16)
    image.save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png")
    np.testing.assert_array_equal(mask.share.numpy(), DISC)


def test_a_map_of_colors(tmp_path):
    values = colored(DISC, (200, 30, 30)) + colored(OTHER, (0, 0, 90))
    mask = read_mask(save(tmp_path / "m.png", values))
    np.testing.assert_array_equal(mask.share.numpy(), DISC | OTHER)
    assert mask.facts.notes == ("masks are maps of 2 colors: any but black is the object",)
    with pytest.raises(DataError, match=r"m.png: has colors, and no id 2; save whole numbers, or a palette"):
        read_mask(tmp_path / "m.png", mask_id=2)


# ---- Soft masks ------------------------------------------------------------------------------


@pytest.mark.parametrize(("top", "kind"), [(255, np.uint8), (65535, np.uint16)])
def test_soft_masks_are_shares_of_the_largest_number(tmp_path, top, kind):
    values = (SOFT * top).round().astype(kind)
    np.testing.assert_allclose(share(tmp_path / "m.png", values), values / top, atol=1e-7)
    np.testing.assert_allclose(share(tmp_path / "half.png", values // 2 + 1), (values // 2 + 1) / top, atol=1e-7)


@pytest.mark.parametrize("levels", [3, 5, 17])
def test_few_levels_at_rims_are_soft(tmp_path, levels):
    """As edges that were sampled 2, 4 or 16 times."""
    narrow = np.clip(9.5 - np.hypot(X - 22, Y - 12), 0, 1)
    values = ((narrow * (levels - 1)).round() / (levels - 1) * 255).round().astype(np.uint8)
    np.testing.assert_allclose(share(tmp_path / "m.png", values), values / 255, atol=1e-7)


def test_soft_shades_of_one_color(tmp_path):
    values = (SOFT[..., None] * (0, 130, 20)).round().astype(np.uint8)
    np.testing.assert_allclose(share(tmp_path / "m.png", values), SOFT, atol=0.005)


def test_a_soft_mask_with_a_palette_of_grays(tmp_path):
    values = (SOFT * 255).round().astype(np.uint8)
    np.testing.assert_allclose(share(tmp_path / "m.png", values, palette=[(i,) * 3 for i in range(256)]), values / 255)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ((SOFT * 100).round().astype(np.uint8), "values from 0 to 100, and a soft mask of its kind reaches 255"),
        ((SOFT * 255).round().astype(np.uint16), "values from 0 to 255, and a soft mask of its kind reaches 65535"),
        (np.dstack([np.zeros((H, W, 3)), SOFT * 99]).round().astype(np.uint8), "values from 0 to 99"),
    ],
)
def test_a_soft_mask_that_stays_below_half_is_refused(tmp_path, values, problem):
    with pytest.raises(DataError, match=problem) as error:
        share(tmp_path / "m.png", values)
    assert "m.png: has " in str(error.value)
    assert "write the object as" in str(error.value)


def test_a_dark_jpeg_is_refused(tmp_path):
    """Its small numbers are not those that were written."""
    with pytest.raises(DataError, match=r"m.jpg: has .* values from 0 to"):
        share(tmp_path / "m.jpg", IDS * np.uint8(20), quality=60)


def test_tiffs(tmp_path):
    np.testing.assert_array_equal(share(tmp_path / "m.tif", DISC.astype(np.uint16)), DISC)
    with pytest.raises(DataError, match=r"f.tif: holds fractions, and masks whole numbers; save it as PNG"):
        share(tmp_path / "f.tif", SOFT.astype(np.float32))


def test_a_photo_is_no_mask(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (H, W, 3)).astype(np.uint8)
    with pytest.raises(DataError, match=r"has \d+ colors, which are no mask, and no black; save it as PNG"):
        share(tmp_path / "m.png", values)


# ---- Captures --------------------------------------------------------------------------------

TOP = {"w": W, "h": H, "fl_x": 50.0, "cx": W / 2, "cy": H / 2}


def capture(folder, masks, pictures=None, suffix="png", top=TOP, **exif):
    """A transforms.json of a view for each mask; masks of None are left out."""
    frames = []
    for i, mask in enumerate(masks):
        matrix = np.eye(4)
        matrix[2, 3] = 3 + i
        frame = {"file_path": f"{i}.{suffix}", "transform_matrix": matrix.tolist()}
        picture = colored(DISC, (90, 180, 60)) if pictures is None else pictures[i]
        save(folder / f"{i}.{suffix}", picture, **exif)
        if mask is not None:
            frame["mask_path"] = f"masks/{i}.png"
            save(folder / "masks" / f"{i}.png", mask)
        frames.append(frame)
    (folder / "transforms.json").write_text(json.dumps({**top, "frames": frames}))
    return folder / "transforms.json"


def captured(path, **options):
    """Pictures and masks of the only capture, in [0, 1], and notes."""
    (found,), notes = load_captures(load_cameras(path), path, **options)
    return *found.take(list(range(len(found)))), notes


@pytest.mark.parametrize("kind", BINARY)
def test_a_fit_sees_what_the_mask_means(tmp_path, kind):
    images, masks, notes = captured(capture(tmp_path, [BINARY[kind]] * 2))
    np.testing.assert_array_equal(masks[0].numpy(), DISC)
    assert float(images[0][torch.from_numpy(DISC)].mean()) > 0.3
    assert notes == ()


def test_ids_are_told_once_and_chosen(tmp_path):
    path = capture(tmp_path, [IDS, IDS, DISC.astype(np.uint8)])
    _images, masks, notes = captured(path)
    assert notes == ("masks are maps of ids (1, 2): any above 0 is the object; mask_id=N chooses one",)
    np.testing.assert_array_equal(masks[0].numpy(), DISC | OTHER)
    _images, masks, notes = captured(path, mask_id=2)
    np.testing.assert_array_equal(masks[0].numpy(), OTHER)
    assert notes == ("1 of 3 masks are empty: their views teach only the background",)
    with pytest.raises(DataError, match=r"0.png: has no id 9, nor have the others; ids are 1, 2"):
        captured(path, mask_id=9)


def test_empty_masks_teach_the_background_and_are_counted(tmp_path):
    images, masks, notes = captured(capture(tmp_path, [DISC * np.uint8(1), np.zeros((H, W), np.uint8)]))
    assert notes == ("1 of 2 masks are empty: their views teach only the background",)
    assert float(images[1].max()) == 0
    assert float(masks[1].max()) == 0


@pytest.mark.parametrize("value", [0, 1, 255])
def test_masks_that_are_all_empty_or_all_full_are_refused(tmp_path, value):
    problem = "leaves nothing out" if value else "is black everywhere"
    with pytest.raises(DataError, match=f"masks/0.png: {problem}, as all 2 masks are"):
        captured(capture(tmp_path, [np.full((H, W), value, np.uint8)] * 2))


def test_an_alpha_of_0_and_1_is_binary(tmp_path):
    picture = np.dstack([np.full((H, W, 3), 99, np.uint8), DISC.astype(np.uint8)])
    _images, masks, _ = captured(capture(tmp_path, [None], [picture]))
    np.testing.assert_array_equal(masks[0].numpy(), DISC)
    picture[..., 3] = (SOFT * 90).round()
    with pytest.raises(DataError, match=r"its alpha reaches 0.35 of 1 only"):
        captured(capture(tmp_path, [None], [picture]))


def test_figures_of_nothing_are_left_out():
    """A view without the object has no IoU, and none of 1.0."""
    import voge
    from voge.fitting.scores import score, summary
    from voge.scene.capture import Capture

    cameras = voge.Cameras(torch.eye(4)[None], torch.tensor([[[9.0, 0, 4], [0, 9, 4], [0, 0, 1]]]), 8, 8)
    far = voge.Ellipsoids(
        torch.tensor([[0, 0, -5.0]]), torch.ones(1, 3), torch.tensor([[1.0, 0, 0, 0]]), torch.ones(1), torch.ones(1, 3)
    )
    nothing = Capture(cameras, torch.zeros(1, 8, 8, 3), torch.zeros(1, 8, 8))
    (found,) = score(far, [nothing], torch.zeros(3), voge.RenderSettings())
    assert (found.iou, found.psnr_object) == (None, None)
    assert "iou" not in summary([found])


@pytest.mark.parametrize("settings", ["fitting", "texture", "pose", "occlusion"])
def test_every_command_that_reads_masks_takes_an_id(settings):
    import voge.fitting.settings
    import voge.occlusion.settings
    import voge.pose.settings
    import voge.texture.settings

    kind = {
        "fitting": voge.fitting.settings.FitFilesSettings,
        "texture": voge.texture.settings.TextureSettings,
        "pose": voge.pose.settings.PictureEstimation,
        "occlusion": voge.occlusion.settings.SceneSettings,
    }[settings]
    assert kind().mask_id is None
    assert kind(mask_id=3).mask_id == 3
    with pytest.raises(ValueError, match="mask_id must be at least 0"):
        kind(mask_id=-1)


# ---- Photos that EXIF turns ------------------------------------------------------------------

TURNS = {  # orientation: the upright picture of a stored one
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.swapaxes(a, 0, 1)[:, ::-1],
    7: lambda a: np.swapaxes(a, 0, 1)[::-1, ::-1],
    8: lambda a: np.swapaxes(a, 0, 1)[::-1],
}
GRAY = np.repeat((DISC * np.uint8(200))[..., None], 3, 2)


def exif(orientation):
    made = Image.Exif()
    made[0x0112] = orientation
    return made


@pytest.mark.parametrize("orientation", TURNS)
def test_pictures_of_a_list_of_views_and_their_masks_are_as_stored(tmp_path, orientation):
    path = capture(tmp_path, [DISC.astype(np.uint8)] * 2, [GRAY] * 2, exif=exif(orientation))
    images, masks, notes = captured(path)
    np.testing.assert_array_equal(images[0].numpy() > 0.5, GRAY > 0)
    np.testing.assert_array_equal(masks[0].numpy(), DISC)
    (note,) = notes
    assert note == f"EXIF's orientation {orientation} is not followed: cameras are of the stored pixels"


@pytest.mark.parametrize("orientation", TURNS)
def test_pictures_of_colmap_are_as_stored(tmp_path, orientation):
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    (tmp_path / "sparse" / "0" / "cameras.txt").write_text(f"1 PINHOLE {W} {H} 50 50 {W / 2} {H / 2}\n")
    (tmp_path / "sparse" / "0" / "images.txt").write_text("1 1 0 0 0 0 0 3 1 a.jpg\n\n")
    save(tmp_path / "images" / "a.jpg", GRAY, exif=exif(orientation), quality=95)
    images, _masks, _ = captured(tmp_path)
    assert np.abs(images[0].numpy() - GRAY / 255).max() < 0.2


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_only_the_turned_picture_has_its_cameras_size(tmp_path, orientation):
    """The cameras are of the upright photo; masks come stored, or upright."""
    top = {**TOP, "w": H, "h": W, "cx": H / 2, "cy": W / 2}
    for mask in (DISC, TURNS[orientation](DISC)):
        path = capture(tmp_path, [mask.astype(np.uint8)], [GRAY], top=top, exif=exif(orientation))
        images, masks, notes = captured(path)
        np.testing.assert_array_equal(images[0].numpy() > 0.5, TURNS[orientation](GRAY) > 0)
        np.testing.assert_array_equal(masks[0].numpy(), TURNS[orientation](DISC))
        assert f"turned upright by EXIF (orientation {orientation}): only so the picture has its camera's size" in notes
        assert load_cameras(path).notes == ()


@pytest.mark.parametrize("orientation", TURNS)
def test_a_photo_of_a_single_pose_is_turned_and_its_mask_with_it(tmp_path, orientation):
    photo = read_photo(save(tmp_path / "a.png", GRAY, exif=exif(orientation)))
    np.testing.assert_array_equal(photo.image.numpy(), TURNS[orientation](GRAY))
    assert photo.notes == (f"turned upright by EXIF (orientation {orientation})",)
    for options in ({}, {"exif": exif(orientation)}):
        mask = read_mask(save(tmp_path / "m.png", DISC, **options), photo)
        np.testing.assert_array_equal(mask.share.numpy(), TURNS[orientation](DISC))


def test_a_photo_whose_stored_pixels_have_the_poses_size(tmp_path):
    photo = read_photo(save(tmp_path / "a.png", GRAY, exif=exif(6)), size=(W, H))
    np.testing.assert_array_equal(photo.image.numpy(), GRAY)
    assert photo.notes == (
        "taken as stored, not turned by EXIF (orientation 6): only so the picture has its camera's size",
    )


def test_other_sizes_are_refused_as_before(tmp_path):
    path = capture(tmp_path, [DISC.astype(np.uint8)], [GRAY], top={**TOP, "w": 30, "h": 20}, exif=exif(6))
    with pytest.raises(DataError, match=r"0.png: is 60x40 pixels, its camera 30x20"):
        captured(path)
