// Which tiles of an image an ellipsoid may be seen in, and from what distance on; for host and device.
#pragma once

#include "abi.h"
#include "ellipsoid.h"

namespace voge {

template <class T>
VOGE_HD T scalar_at(const void* array, int64_t i) {
  return static_cast<const T*>(array)[i];
}
template <class T>
VOGE_HD Vec3<T> point_at(const void* array, int64_t row) {
  const T* p = static_cast<const T*>(array) + 3 * row;
  return {p[0], p[1], p[2]};
}

// Squared radius of the level set density * exp(q) = eta, a little widened against rounding in the
// renderers' own test; negative where the ellipsoid is never seen (NaN counts as that).
VOGE_HD double level_radius2(const voge_scene& s, double density) {
  return density >= s.eta ? 2 * log(density / s.eta) * 1.0001 + 1e-4 : -1;
}

template <class T>
VOGE_HD Mat3<double> scaled_axes(const voge_scene& s, int64_t n, double radius) {
  const T* q = static_cast<const T*>(s.quats) + 4 * n;
  const T* scale = static_cast<const T*>(s.scales) + 3 * n;
  const double quat[4] = {q[0], q[1], q[2], q[3]};
  const Mat3<double> r = rotation_of(quat);
  const double a = radius * scale[0], b = radius * scale[1], c = radius * scale[2];
  return {
      {a * r.r0.x, b * r.r0.y, c * r.r0.z}, {a * r.r1.x, b * r.r1.y, c * r.r1.z}, {a * r.r2.x, b * r.r2.y, c * r.r2.z}};
}

VOGE_HD Mat3<double> product(const Mat3<double>& a, const Mat3<double>& b) {
  return {transposed_times(b, a.r0), transposed_times(b, a.r1), transposed_times(b, a.r2)};
}

// World to homogeneous pixels: x -> linear x + shift.
struct PixelMap {
  Mat3<double> linear;
  Vec3<double> shift;
};

template <class T>
VOGE_HD PixelMap pixel_map(const voge_scene& s, int64_t view) {
  const T* m = static_cast<const T*>(s.viewmats) + 16 * view;
  const T* k = static_cast<const T*>(s.intrinsics) + 9 * view;
  const double k00 = k[0], k01 = k[1], k02 = k[2], k11 = k[4], k12 = k[5];
  const Vec3<double> x{m[0], m[1], m[2]}, y{m[4], m[5], m[6]}, z{m[8], m[9], m[10]};
  const double tx = m[3], ty = m[7], tz = m[11];
  if (s.orthographic) return {{k00 * x + k01 * y, k11 * y, z}, {k00 * tx + k01 * ty + k02, k11 * ty + k12, tz}};
  return {{k00 * x + k01 * y + k02 * z, k11 * y + k12 * z, z},
          {k00 * tx + k01 * ty + k02 * tz, k11 * ty + k12 * tz, tz}};
}

struct TileRange {
  int64_t first, last;  // last is excluded
};

// Tiles along one axis whose pixel centers lie in [low, high] pixels.
VOGE_HD TileRange covered(double low, double high, int64_t size, int32_t tile) {
  constexpr double margin = 0.01;  // pixels; rays are float
  const double first = fmax(0.0, ceil(low - 0.5 - margin));
  const double last = fmin(size - 1.0, floor(high - 0.5 + margin));
  if (!(first <= last)) return {0, 0};
  return {static_cast<int64_t>(first) / tile, static_cast<int64_t>(last) / tile + 1};
}

VOGE_HD TileRange between(const LevelSet& set, int axis, int64_t size, int32_t tile) {
  TileRange range{0, 0};
  const int64_t tiles = (size + tile - 1) / tile;
  for (int64_t i = 0; i < tiles; ++i)
    if (between_planes(set, axis, static_cast<double>(i * tile), static_cast<double>((i + 1) * tile))) {
      if (range.last == 0) range.first = i;
      range.last = i + 1;
    }
  return range;
}

// Calls visit(tile) for the tiles of one view that ellipsoid n may be seen in.
template <class T, class Visit>
VOGE_HD void for_each_tile(const voge_scene& s, int64_t columns, const PixelMap& map, int64_t n, Visit visit) {
  const double radius2 = level_radius2(s, scalar_at<T>(s.density, n));
  if (radius2 < 0) return;
  const Vec3<T> m = point_at<T>(s.means, n);
  const LevelSet set{map.linear * Vec3<double>{m.x, m.y, m.z} + map.shift,
                     product(map.linear, scaled_axes<T>(s, n, sqrt(radius2)))};
  double low[2], high[2];
  const Seen seen = screen_bounds(set, s.orthographic, low, high);
  if (seen == Seen::never) return;
  const bool box = seen == Seen::in_box;
  const TileRange x = box ? covered(low[0], high[0], s.width, s.tile_width) : between(set, 0, s.width, s.tile_width);
  const TileRange y =
      box ? covered(low[1], high[1], s.height, s.tile_height) : between(set, 1, s.height, s.tile_height);
  for (int64_t row = y.first; row < y.last; ++row)
    for (int64_t column = x.first; column < x.last; ++column) visit(row * columns + column);
}

// All rays of a tile lie in front of the plane through `start` and within the cone of half angle
// `angle` about `axis` from a ball of radius `spread` about `origin`.
struct Cone {
  Vec3<double> origin, axis;
  double spread, angle, start;
};

// May the ball about `center` be met by a ray of the cone? Never a false no.
VOGE_HD bool meets(const Cone& cone, Vec3<double> center, double radius) {
  constexpr double right_angle = 1.5707963267948966;
  const Vec3<double> v = center - cone.origin;
  const double distance = sqrt(dot(v, v));
  const double reach = (radius + cone.spread) * 1.0001;
  if (distance <= reach || cone.angle >= right_angle) return true;
  const double excess = acos(fmax(-1.0, fmin(1.0, dot(v, cone.axis) / distance))) - cone.angle;
  if (excess <= 0) return true;
  return excess < right_angle && distance * sin(excess) <= reach;
}

// Distances that all events of ellipsoid n lie between on any ray of the tile. In the ellipsoid's frame an event is p +
// a e, p across the ray's direction e and |p| <= r; along the cone's axis, which becomes v there, it lies within r
// sqrt(v.v - (v.e)^2) + a v.e of the center (section 3). v.e = s cos, s the deviation along the ray; rays turn by up to
// the cone's angle from the axis. Events outside near and far happen there.
template <class T>
VOGE_HD void event_range(const voge_scene& s, const Cone& cone, int64_t n, double& nearest, double& farthest) {
  nearest = -INFINITY, farthest = INFINITY;
  if (cone.angle >= 1.57) return;
  const Mat3<double> axes = scaled_axes<T>(s, n, 1);  // columns: the axes
  const Vec3<T> m = point_at<T>(s.means, n), scale = point_at<T>(s.scales, n);
  const double a = box_half_width(s.boxes, s.boxes - 1), radius2 = level_radius2(s, scalar_at<T>(s.density, n));
  const double least = fmin(scale.x, fmin(scale.y, scale.z)), cosine = cos(cone.angle);
  const Vec3<double> v = transposed_times(axes, cone.axis);
  const double x = v.x / (double(scale.x) * scale.x), y = v.y / (double(scale.y) * scale.y),
               z = v.z / (double(scale.z) * scale.z);
  const double steepness = sqrt(x * x + y * y + z * z), turned = cone.angle / least;  // 1 / s, and its change
  double half = sqrt(dot(v, v) * (radius2 + a * a));
  if (turned < steepness) {
    const double across2 = dot(v, v) - cosine * cosine / ((steepness + turned) * (steepness + turned));
    half = fmin(half, sqrt(across2 > 0 ? across2 * radius2 : 0) + a / (steepness - turned));
  }
  const Vec3<double> mean{m.x, m.y, m.z};
  const double center = dot(mean, cone.axis), margin = 1e-5 * (fabs(center) + fabs(cone.start) + half);
  const double bound = center - half - cone.start - margin;
  if (bound == bound) nearest = fmin(bound, s.far_distance);  // a NaN would break the order
  const double beyond = (center + half - (dot(cone.origin, cone.axis) - cone.spread) + margin) / cosine;
  if (beyond == beyond && beyond > 0) farthest = fmax(beyond, s.near_distance);
}

}  // namespace voge
